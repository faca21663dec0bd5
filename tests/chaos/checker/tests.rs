//! The checker can fail: logs made by hand, each with one thing wrong, and what it says of them.

use std::time::Duration;

use super::{
    super::log::{Entry, Event, Member, Thing, Twin, Values, Writer},
    Broker, Rule, Verdict, check,
};

/// A log that is written line by line, of one thing unless a line says otherwise.
#[derive(Default)]
struct Story {
    log: Vec<Entry>,
    thing: Thing,
}

impl Story {
    fn event(mut self, event: Event) -> Self {
        let at = Duration::from_millis(self.log.len() as u64);
        self.log.push(Entry { at, event });
        self
    }

    fn of(mut self, thing: Thing) -> Self {
        self.thing = thing;
        self
    }

    /// A report with this number, and its PUBACK.
    fn reports(self, number: u64) -> Self {
        self.says(Writer::Thing, number)
    }

    /// A SET of the first client with this number, and its PUBACK.
    fn sets(self, number: u64) -> Self {
        self.says(Writer::First, number)
    }

    fn says(self, writer: Writer, number: u64) -> Self {
        let thing = self.thing;
        self.event(Event::Sent { thing, writer, number }).event(Event::Acked {
            thing,
            writer,
            number,
        })
    }

    fn told(self, version: u64, reported: &str, desired: &str, declined: &str) -> Self {
        let (reported, desired, declined) = (values(reported), values(desired), values(declined));
        let thing = self.thing;
        let twin = Twin { version, reported, desired, declined, times: version };
        self.event(Event::Told { thing, twin })
    }

    fn asked(self, trn: u64, delta: &str) -> Self {
        let thing = self.thing;
        self.event(Event::Asked { thing, restores: false, trn, values: values(delta) })
    }

    fn restored(self, trn: u64, state: &str) -> Self {
        let thing = self.thing;
        self.event(Event::Asked { thing, restores: true, trn, values: values(state) })
    }

    /// The manager is killed and comes back.
    fn restarts(self) -> Self {
        self.event(Event::Parted).event(Event::Joined)
    }

    /// All is over: the twin is told once more, and the thing has this.
    fn ends(self, version: u64, reported: &str, desired: &str, declined: &str) -> Self {
        let thing = self.thing;
        let values = values(reported);
        self.event(Event::Swept)
            .told(version, reported, desired, declined)
            .event(Event::Holds { thing, values })
    }

    fn check(&self) -> Verdict {
        check(&self.log, Broker::Keeps)
    }

    fn forgetful(&self) -> Verdict {
        check(&self.log, Broker::Forgets)
    }
}

/// `"r1=5 a0=4"`.
fn values(text: &str) -> Values {
    let value = |word: &str| {
        let (member, value) = word.split_once('=').unwrap();
        (Member::parse(member).unwrap(), value.parse().unwrap())
    };
    text.split_whitespace().map(value).collect()
}

/// A thing that reported once and was asked and answered once.
fn answered() -> Story {
    Story::default()
        .reports(1)
        .told(1, "r1=1", "", "")
        .sets(1)
        .told(2, "r1=1", "a1=1", "")
        .asked(2, "a1=1")
        .told(3, "r1=1 a1=1", "", "")
}

#[track_caller]
fn expect(verdict: &Verdict, rule: Rule, words: &[&str]) {
    assert!(verdict.has(0, rule, words), "{rule:?} {words:?} is not in {verdict:?}");
}

#[track_caller]
fn expect_none(verdict: &Verdict) {
    assert!(verdict.violations.is_empty(), "{verdict:?}");
    assert!(verdict.lost.is_empty(), "{verdict:?}");
}

#[test]
fn a_good_log_passes() {
    let story = answered()
        .sets(2)
        .told(4, "r1=1 a1=1", "a2=2", "")
        .asked(3, "a2=2")
        .told(5, "r1=1 a1=1", "", "a2=2")
        .restored(3, "r1=1 a1=1")
        .ends(5, "r1=1 a1=1", "", "a2=2");
    let verdict = story.check();
    expect_none(&verdict);
    assert_eq!(verdict.duplicates, 0);
}

#[test]
fn what_is_superseded_declined_or_told_late_is_not_lost() {
    let mut story = Story::default();
    for number in 1..=9 {
        story = story.sets(number);
    }
    // The manager was away: one update for all of them. A fifth number takes the place of the first.
    let story = story.told(1, "", "a0=8 a1=9 a2=6 a3=7", "").asked(1, "a0=8 a1=9 a2=6 a3=7").ends(
        2,
        "a0=8 a1=9 a2=6",
        "",
        "a3=7",
    );
    expect_none(&story.check());
}

#[test]
fn what_was_told_and_is_gone_after_a_restart_is_found() {
    let story = answered().restarts().told(2, "r1=1", "a1=1", "").ends(2, "r1=1", "", "");
    let verdict = story.check();
    expect(&verdict, Rule::Version, &["version 2 is told after 3"]);
    expect(&verdict, Rule::Kept, &["TWIN/UPD of version 2 has a1 = 0, and 1 had been told"]);
    assert!(story.forgetful().has(0, Rule::Kept, &["a1 = 0"]), "whatever the broker forgets");
}

#[test]
fn a_version_that_comes_again_with_something_else_in_it_is_found() {
    let story = answered().reports(2).restarts().told(3, "r1=1 r2=2 a1=1", "", "");
    expect(
        &story.check(),
        Rule::Version,
        &["was 3: reported", ", and is 3: reported r1 = 1 r2 = 2"],
    );
}

#[test]
fn an_old_set_that_is_applied_again_is_found_at_the_twin_and_at_the_thing() {
    let mut story = answered();
    for number in 2..=5 {
        story = story.sets(number);
    }
    let story = story
        .told(4, "r1=1 a1=1", "a0=4 a1=5 a2=2 a3=3", "")
        .asked(3, "a0=4 a1=5 a2=2 a3=3")
        .told(5, "r1=1 a0=4 a1=5 a2=2 a3=3", "", "")
        .restarts()
        .told(6, "r1=1 a0=4 a1=5 a2=2 a3=3", "a1=1", "")
        .asked(4, "a1=1");
    let verdict = story.check();
    expect(&verdict, Rule::Stale, &["STATE/SET has a1 = 1 in its delta, and 5 was confirmed"]);
    // The thing does as it is told.
    let story = story.told(7, "r1=1 a0=4 a1=1 a2=2 a3=3", "", "");
    expect(&story.check(), Rule::Kept, &["TWIN/UPD of version 7 has a1 = 1, and 5 had been told"]);
    assert!(story.forgetful().has(0, Rule::Stale, &["a1 = 1"]), "whatever the broker forgets");
}

#[test]
fn a_pending_set_that_is_overwritten_by_an_old_one_is_found() {
    let mut story = Story::default();
    for number in 1..=5 {
        story = story.sets(number);
    }
    let story = story.told(1, "", "a0=4 a1=5 a2=2 a3=3", "").restarts().told(
        2,
        "",
        "a0=4 a1=1 a2=2 a3=3",
        "",
    );
    expect(&story.check(), Rule::Kept, &["a1 = 1, and 5 had been told"]);
}

#[test]
fn a_report_that_is_applied_again_is_found() {
    let mut story = Story::default();
    for number in 1..=5 {
        story = story.reports(number);
    }
    let story = story.told(5, "r0=4 r1=5 r2=2 r3=3", "", "").restarts().told(
        6,
        "r0=4 r1=1 r2=2 r3=3",
        "",
        "",
    );
    expect(&story.check(), Rule::Kept, &["version 6 has r1 = 1, and 5 had been told"]);
}

#[test]
fn a_thing_that_is_given_back_less_than_it_was_confirmed_to_have_is_found() {
    let story = answered().restarts().restored(2, "r1=1 a1=0");
    expect(&story.check(), Rule::Stale, &["STATE/SET has a1 = 0 in its state, and 1 was"]);
}

#[test]
fn a_lost_set_is_found_as_soon_as_a_later_one_is_told() {
    let story = answered().sets(2).restarts().sets(3).told(4, "r1=1 a1=1", "a3=3", "");
    let verdict = story.check();
    expect(&verdict, Rule::Lost, &["SET a2 = 2 had its PUBACK", "version 4 has 0 there"]);
    assert_eq!(verdict.lost.into_iter().collect::<Vec<_>>(), [(0, Writer::First, 2)]);
    expect_none(&story.forgetful());
}

#[test]
fn a_lost_report_is_found_as_soon_as_a_later_one_is_told() {
    let story = answered().reports(2).restarts().reports(3).told(4, "r1=1 r3=3 a1=1", "", "");
    let verdict = story.check();
    expect(&verdict, Rule::Lost, &["report r2 = 2 had its PUBACK", "version 4 has 0 there"]);
}

#[test]
fn a_lost_set_and_a_lost_report_are_found_in_the_end_if_nothing_comes_after_them() {
    let story = answered().sets(2).reports(2).restarts().ends(3, "r1=1 a1=1", "", "");
    let verdict = story.check();
    expect(&verdict, Rule::Lost, &["SET a2 = 2", "the last TWIN/UPD of version 3 has 0 there"]);
    expect(&verdict, Rule::Lost, &["report r2 = 2", "the last TWIN/UPD of version 3"]);
    assert_eq!(verdict.lost.len(), 2);
}

#[test]
fn what_was_sent_and_has_no_puback_may_be_lost_and_may_be_there() {
    let (thing, writer) = (0, Writer::First);
    let sent = |story: Story| story.event(Event::Sent { thing, writer, number: 2 });
    expect_none(&sent(answered()).ends(3, "r1=1 a1=1", "", "").check());
    expect_none(&sent(answered()).ends(5, "r1=1 a1=1 a2=2", "", "").check());
}

#[test]
fn a_value_that_nobody_sent_is_found() {
    let story = answered().told(4, "r1=1 a1=1", "a2=2", "");
    expect(&story.check(), Rule::Invented, &["TWIN/UPD has a2 = 2, and the last sent was 1"]);
}

#[test]
fn a_twin_that_does_not_settle_is_found() {
    let story = answered().sets(2).ends(4, "r1=1 a1=1", "a2=2", "");
    expect(&story.check(), Rule::Settled, &["the twin still desires a2 = 2"]);
}

#[test]
fn a_twin_that_is_not_as_its_thing_in_the_end_is_found() {
    let holds = Event::Holds { thing: 0, values: values("r1=1") };
    let story = answered().event(Event::Swept).told(3, "r1=1 a1=1", "", "").event(holds);
    let words = ["the twin reports a1 = Some(1), and the thing has None"];
    expect(&story.check(), Rule::Settled, &words);
}

#[test]
fn a_twin_that_nobody_hears_of_in_the_end_is_found() {
    let holds = Event::Holds { thing: 0, values: values("r1=1 a1=1") };
    let story = answered().event(Event::Swept).event(holds);
    expect(&story.check(), Rule::Settled, &["no TWIN/UPD in the end"]);
}

#[test]
fn a_refusal_is_found() {
    let story = answered().event(Event::Refused { thing: 0, why: "422".to_owned() });
    expect(&story.check(), Rule::Refused, &["TWIN/RES: 422"]);
}

#[test]
fn what_a_lost_connection_repeats_through_to_its_end_is_taken_out() {
    let repeated = |story: Story| {
        story.told(2, "r1=1", "a1=1", "").asked(2, "a1=1").told(3, "r1=1 a1=1", "", "")
    };
    let story = repeated(answered().event(Event::Parted)).event(Event::Joined);
    let verdict = story.check();
    expect_none(&verdict);
    assert_eq!(verdict.duplicates, 3);
    // And a second time, broken off and begun again.
    let story = story.event(Event::Parted).told(2, "r1=1", "a1=1", "").event(Event::Parted);
    let verdict = repeated(story).ends(3, "r1=1 a1=1", "", "").check();
    expect_none(&verdict);
    assert_eq!(verdict.duplicates, 3 + 1 + 3 + 1);
}

#[test]
fn a_repetition_without_a_lost_connection_is_found() {
    let story = answered().told(2, "r1=1", "a1=1", "");
    expect(&story.check(), Rule::Version, &["version 2 is told after 3"]);
}

#[test]
fn a_repetition_that_stops_halfway_is_found() {
    let story = answered().restarts().told(2, "r1=1", "a1=1", "").asked(2, "a1=1");
    let story = story.reports(2).told(4, "r1=1 r2=2 a1=1", "", "");
    expect(&story.check(), Rule::Version, &["version 2 is told after 3"]);
}

#[test]
fn a_repetition_that_leaves_one_out_is_found() {
    let story = answered().event(Event::Parted).told(1, "r1=1", "", "").asked(2, "a1=1");
    let story = story.told(3, "r1=1 a1=1", "", "").event(Event::Joined);
    expect(&story.check(), Rule::Version, &["version 1 is told after 3"]);
}

#[test]
fn once_the_manager_has_said_something_new_it_may_repeat_nothing() {
    let story = answered().restarts().reports(2).told(4, "r1=1 r2=2 a1=1", "", "");
    let story = story.told(3, "r1=1 a1=1", "", "").told(4, "r1=1 r2=2 a1=1", "", "");
    expect(&story.check(), Rule::Version, &["version 3 is told after 4"]);
}

#[test]
fn each_thing_is_judged_by_itself() {
    let story = answered().of(1).reports(1).restarts().of(0).ends(3, "r1=1 a1=1", "", "");
    let verdict = story.of(1).ends(0, "", "", "").check();
    assert!(verdict.has(1, Rule::Lost, &["report r1 = 1"]), "{verdict:?}");
    assert!(verdict.violations.iter().all(|violation| violation.thing == 1), "{verdict:?}");
}
