//! The rules for one thing: what it was told to be and asked to be, in order.

use std::collections::BTreeMap;

use super::{
    super::log::{Event, Member, SLOTS, Thing, Twin, Values, Writer, shown},
    Broker, Rule, Verdict, Violation,
};

/// What is known of one thing so far.
pub struct Course {
    thing: Thing,
    broker: Broker,
    /// The highest number that each writer has said, and that it has a PUBACK for.
    sent: BTreeMap<Writer, u64>,
    acked: BTreeMap<Writer, u64>,
    /// The last twin that was told, and the highest number that each member ever was told to have taken.
    told: Option<Twin>,
    taken: Values,
    /// The highest number that each member was ever told to be reported with.
    confirmed: Values,
    /// Whether the twin was told since it was last asked for in the end.
    is_heard: bool,
}

impl Course {
    pub fn new(thing: Thing, broker: Broker) -> Self {
        Self {
            thing,
            broker,
            sent: BTreeMap::new(),
            acked: BTreeMap::new(),
            told: None,
            taken: Values::new(),
            confirmed: Values::new(),
            is_heard: false,
        }
    }

    /// The twin is asked for: what is told from here on is how it ends.
    pub fn sweep(&mut self) {
        self.is_heard = false;
    }

    /// The twin is told, maybe once more.
    pub fn hear(&mut self) {
        self.is_heard = true;
    }

    /// Takes what happened to the thing.
    pub fn see(&mut self, entry: usize, event: &Event, verdict: &mut Verdict) {
        let mut faults = Faults { thing: self.thing, entry, verdict };
        match event {
            Event::Sent { writer, number, .. } => {
                self.sent.insert(*writer, *number);
            }
            Event::Acked { writer, number, .. } => {
                self.acked.insert(*writer, *number);
            }
            Event::Told { twin, .. } => self.tell(twin, &mut faults),
            Event::Asked { restores, values, .. } => self.ask(*restores, values, &mut faults),
            Event::Refused { why, .. } => faults.add(Rule::Refused, format!("TWIN/RES: {why}")),
            Event::Holds { values, .. } => self.end(values, &mut faults),
            Event::Passed { .. }
            | Event::Replayed { .. }
            | Event::Parted
            | Event::Joined
            | Event::Stale { .. }
            | Event::Began { .. }
            | Event::Ended { .. }
            | Event::Grouped { .. }
            | Event::Swept => {}
        }
    }

    fn tell(&mut self, twin: &Twin, faults: &mut Faults<'_>) {
        self.check_version(twin, faults);
        for member in members() {
            let (latest, taken) = (twin.latest(member), self.taken(member));
            if latest < taken {
                let text = format!(
                    "TWIN/UPD of version {} has {member} = {latest}, and {taken} had been told",
                    twin.version
                );
                faults.add(Rule::Kept, text);
            }
        }
        for writer in Writer::ALL {
            self.check_writer(writer, twin, faults);
        }
        for member in members() {
            raise(&mut self.taken, member, twin.latest(member));
            let reported = twin.reported.get(&member).copied().unwrap_or(0);
            raise(&mut self.confirmed, member, reported);
        }
        if self.told.as_ref().is_none_or(|told| told.version <= twin.version) {
            self.told = Some(twin.clone());
        }
    }

    fn check_version(&self, twin: &Twin, faults: &mut Faults<'_>) {
        let Some(told) = &self.told else { return };
        if twin.version < told.version {
            let text = format!("version {} is told after {}", twin.version, told.version);
            faults.add(Rule::Version, text);
        } else if twin.version == told.version && twin != told {
            let text = format!("a version was {told}, and is {twin}");
            faults.add(Rule::Version, text);
        }
    }

    /// The numbers of a writer come in order: whoever has one has all before it, as far as they are not superseded.
    fn check_writer(&mut self, writer: Writer, twin: &Twin, faults: &mut Faults<'_>) {
        let slots = (0..SLOTS).map(|slot| twin.latest(Member { writer, slot }));
        let highest = slots.max().unwrap_or(0);
        let sent = self.sent.get(&writer).copied().unwrap_or(0);
        if highest > sent {
            let member = Member::of(writer, highest);
            let text = format!("TWIN/UPD has {member} = {highest}, and the last sent was {sent}");
            faults.add(Rule::Invented, text);
        }
        if self.broker == Broker::Keeps {
            self.check_up_to(writer, highest, "TWIN/UPD", twin, faults);
        }
    }

    /// Each member of the writer must have its last number up to this one.
    fn check_up_to(
        &self,
        writer: Writer,
        number: u64,
        place: &str,
        twin: &Twin,
        faults: &mut Faults<'_>,
    ) {
        for number in (number.saturating_sub(SLOTS - 1).max(1))..=number {
            let member = Member::of(writer, number);
            let found = twin.latest(member);
            let is_news = !faults.verdict.lost.contains(&(self.thing, writer, number));
            if found < number && is_news {
                faults.verdict.lost.insert((self.thing, writer, number));
                let said = if writer == Writer::Thing { "report" } else { "SET" };
                let text = format!(
                    "{said} {member} = {number} had its PUBACK, and {place} of version {} has {found} there",
                    twin.version
                );
                faults.add(Rule::Lost, text);
            }
        }
    }

    fn ask(&self, restores: bool, values: &Values, faults: &mut Faults<'_>) {
        for (member, value) in values {
            let confirmed = self.confirmed.get(member).copied().unwrap_or(0);
            if *value < confirmed {
                let kind = if restores { "state" } else { "delta" };
                let text = format!(
                    "STATE/SET has {member} = {value} in its {kind}, and {confirmed} was confirmed"
                );
                faults.add(Rule::Stale, text);
            }
        }
    }

    /// Everything is over: this is what the thing has.
    fn end(&mut self, values: &Values, faults: &mut Faults<'_>) {
        let Some(twin) = self.told.clone().filter(|_| self.is_heard) else {
            faults.add(Rule::Settled, "no TWIN/UPD in the end".to_owned());
            return;
        };
        if !twin.desired.is_empty() {
            let text = format!("in the end the twin still desires{}", shown(&twin.desired));
            faults.add(Rule::Settled, text);
        }
        for member in members() {
            let (in_twin, in_thing) = (twin.reported.get(&member), values.get(&member));
            if in_twin != in_thing {
                let text = format!(
                    "in the end the twin reports {member} = {in_twin:?}, and the thing has {in_thing:?}"
                );
                faults.add(Rule::Settled, text);
            }
        }
        if self.broker == Broker::Keeps {
            for (writer, number) in self.acked.clone() {
                self.check_up_to(writer, number, "the last TWIN/UPD", &twin, faults);
            }
        }
    }

    fn taken(&self, member: Member) -> u64 {
        self.taken.get(&member).copied().unwrap_or(0)
    }
}

/// Takes what is wrong with one entry.
struct Faults<'a> {
    thing: Thing,
    entry: usize,
    verdict: &'a mut Verdict,
}

impl Faults<'_> {
    fn add(&mut self, rule: Rule, text: String) {
        let (thing, entry) = (self.thing, self.entry);
        self.verdict.violations.push(Violation { thing, rule, entry, text });
    }
}

fn members() -> impl Iterator<Item = Member> {
    let slots = |writer| (0..SLOTS).map(move |slot| Member { writer, slot });
    Writer::ALL.into_iter().flat_map(slots)
}

fn raise(values: &mut Values, member: Member, value: u64) {
    if value > 0 {
        let highest = values.entry(member).or_insert(0);
        *highest = value.max(*highest);
    }
}
