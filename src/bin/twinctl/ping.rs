//! Round trips to one thing, or to all, as ping(8) shows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use clap::{Arg, ArgAction, Command, value_parser};
use tokio::sync::mpsc;
use twinthing::client::{Client, ClientError, Message, ThingId};

use super::{Call, Failure, Outcome, cli, document, output::named, progress::Progress};

/// So many of the last ones an answer may still come to.
const KEPT: usize = 1000;

pub(crate) fn command() -> Command {
    Command::new("ping")
        .about("Asks a thing, or all of them, for a sign of life, until Ctrl-C")
        .after_help("Exit code 1 if nobody has answered.")
        .arg(
            Arg::new("ID")
                .required_unless_present("all")
                .value_parser(value_parser!(ThingId))
                .help("The thing's id"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .conflicts_with("ID")
                .help("All things, as far as you may hear them"),
        )
        .arg(
            Arg::new("count")
                .short('c')
                .long("count")
                .value_name("COUNT")
                .value_parser(value_parser!(u64).range(1..))
                .help("Ends after so many [no end; 1 with --all]"),
        )
        .arg(
            Arg::new("interval")
                .short('i')
                .long("interval")
                .value_name("SECONDS")
                .default_value("1")
                .value_parser(cli::seconds)
                .help("How long from one to the next"),
        )
        .arg(
            Arg::new("wait")
                .short('W')
                .long("wait")
                .value_name("SECONDS")
                .default_value("5")
                .value_parser(cli::seconds)
                .help("How long the last one is waited for"),
        )
}

pub(crate) async fn ping(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let id = call.matches.get_one::<ThingId>("ID").cloned();
    let seconds = |name| call.matches.get_one::<Duration>(name).copied().unwrap_or_default();
    let (interval, wait) = (seconds("interval"), seconds("wait"));
    let count = call.matches.get_one::<u64>("count").copied();
    let count = count.or(id.is_none().then_some(1)).unwrap_or(u64::MAX);
    let client = call.client().await?;
    let (to, from, whom) = match &id {
        Some(id) => (
            format!("TNG/{id}/TPC/PING"),
            format!("TNG/{id}/TPC/PONG"),
            document::safe(id.as_str()),
        ),
        None => ("GRP/ALL/TPC/PING".into(), "TNG/+/TPC/PONG".into(), "all things".into()),
    };
    let mut pongs = client.listen(vec![from]).await?;
    let (failed, mut failures) = mpsc::unbounded_channel();
    let end = actix_rt::signal::ctrl_c();
    tokio::pin!(end);
    call.out.line(&format!("PING {whom}"))?;
    let expected = if id.is_none() { known(&client).await } else { BTreeSet::new() };
    let mut round = Rounds::new(client.id(), id.is_some());
    let mut progress = Progress::new();
    let mut next = Instant::now();
    while !call.out.is_gone() {
        let is_last = round.sent == count;
        if is_last && round.is_complete(&expected) {
            break;
        }
        let until = if is_last { round.last + wait } else { next };
        tokio::select! {
            message = pongs.next() => {
                let Some(message) = message else { break };
                if let Some((id, number, time)) = round.hear(&message) {
                    progress.clear();
                    call.out.line(&answer(&id, number, time))?;
                    if !expected.is_empty() {
                        let (over, of) = (round.who.len(), expected.len().max(round.who.len()));
                        progress.say(&format!("{over} of {of} have answered"));
                    }
                }
            }
            Some(error) = failures.recv() => return Err(Failure::from(error)),
            () = client.after(until.saturating_duration_since(Instant::now())) => {
                if is_last {
                    break;
                }
                next += interval;
                publish(&client, &to, round.next(), failed.clone());
            }
            ended = &mut end => {
                ended?;
                break;
            }
        }
    }
    progress.clear();
    for line in round.summary(&whom) {
        call.out.line(&line)?;
    }
    let silent: Vec<_> =
        expected.difference(&round.who).map(|id| document::safe(id.as_str())).collect();
    if !silent.is_empty() {
        call.out.line(&format!("no answer from {}", silent.join(", ")))?;
    }
    Ok(if round.figures.count == 0 { Outcome::Not } else { Outcome::Done })
}

/// The things that the manager knows; nobody where it cannot be asked.
async fn known(client: &Client) -> BTreeSet<ThingId> {
    let Ok(all) = "ALL".parse() else { return BTreeSet::new() };
    let known = client.group(&all).members().await;
    known.unwrap_or_default().into_iter().collect()
}

/// The broker takes it in its own time: answers may be here before.
fn publish(client: &Client, to: &str, payload: String, failed: mpsc::UnboundedSender<ClientError>) {
    let (client, to) = (client.clone(), to.to_owned());
    actix_rt::spawn(async move {
        match client.publish(&to, payload).await {
            Ok(()) => {}
            // It is lost, as it may be on any way: it is counted so.
            Err(ClientError::Unsure { .. } | ClientError::Offline(_)) => {}
            Err(error) => drop(failed.send(error)),
        }
    });
}

fn answer(id: &ThingId, number: u64, time: Duration) -> String {
    format!("{}: seq={number} time={} ms", named(id.as_str()), milliseconds(time))
}

/// With three digits that say something, as ping(8) does.
fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.2}"),
        10.0..100.0 => format!("{milliseconds:.1}"),
        _ => format!("{milliseconds:.0}"),
    }
}

/// What was sent, and what came back.
struct Rounds {
    /// Whether one thing is asked, and not all.
    is_alone: bool,
    /// What an answer begins with that is one to us.
    mark: String,
    from: Instant,
    sent: u64,
    /// When the last one was sent.
    last: Instant,
    /// Those that are not forgotten.
    kept: BTreeMap<u64, Round>,
    who: BTreeSet<ThingId>,
    figures: Figures,
}

/// One of them: when it was sent, and who has answered.
struct Round {
    at: Instant,
    heard: BTreeSet<ThingId>,
}

impl Rounds {
    fn new(id: &ThingId, is_alone: bool) -> Self {
        let now = Instant::now();
        Self {
            is_alone,
            mark: format!("ping of {id} "),
            from: now,
            sent: 0,
            last: now,
            kept: BTreeMap::new(),
            who: BTreeSet::new(),
            figures: Figures::default(),
        }
    }

    fn next(&mut self) -> String {
        self.sent += 1;
        self.last = Instant::now();
        self.kept.insert(self.sent, Round { at: self.last, heard: BTreeSet::new() });
        if self.kept.len() > KEPT {
            self.kept.pop_first();
        }
        format!("{}{}", self.mark, self.sent)
    }

    /// An answer to one of these, the first of its thing.
    fn hear(&mut self, message: &Message) -> Option<(ThingId, u64, Duration)> {
        let text = str::from_utf8(&message.payload).ok()?;
        let number: u64 = text.strip_prefix(&self.mark)?.parse().ok()?;
        let round = self.kept.get_mut(&number)?;
        let time = round.at.elapsed();
        let id: ThingId = message.topic.split('/').nth(1)?.parse().ok()?;
        if !round.heard.insert(id.clone()) {
            return None;
        }
        self.who.insert(id.clone());
        self.figures.add(time);
        Some((id, number, time))
    }

    /// Whether one who is asked alone, or all who are known, have answered the last one.
    fn is_complete(&self, expected: &BTreeSet<ThingId>) -> bool {
        match expected.is_empty() {
            true => self.is_alone && self.figures.count == self.sent,
            false => {
                self.kept.get(&self.sent).is_some_and(|round| expected.is_subset(&round.heard))
            }
        }
    }

    fn summary(&self, whom: &str) -> Vec<String> {
        let span = milliseconds(self.from.elapsed());
        let (sent, heard) = (self.sent, self.figures.count);
        let mut lines = vec![format!("--- {whom} ---")];
        lines.push(if self.is_alone {
            let lost = sent.saturating_sub(heard);
            let percent = (lost * 100).checked_div(sent).unwrap_or(0);
            format!("{sent} sent, {heard} answered, {percent}% lost, time {span} ms")
        } else {
            format!("{sent} sent, {heard} answers of {} things, time {span} ms", self.who.len())
        });
        if heard > 0 {
            let figures = self.figures.all().map(milliseconds).join("/");
            lines.push(format!("rtt min/avg/max/mdev = {figures} ms"));
        }
        lines
    }
}

/// What is known of all times without keeping them.
#[derive(Default)]
struct Figures {
    count: u64,
    least: Duration,
    most: Duration,
    /// In seconds.
    sum: f64,
    sum_of_squares: f64,
}

impl Figures {
    fn add(&mut self, time: Duration) {
        self.least = if self.count == 0 { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        self.count += 1;
        self.sum += time.as_secs_f64();
        self.sum_of_squares += time.as_secs_f64().powi(2);
    }

    /// The least, the mean, the most, and the standard deviation.
    fn all(&self) -> [Duration; 4] {
        let count = self.count.max(1) as f64;
        let mean = self.sum / count;
        // It may be a little less than nothing, by rounding.
        let deviation = (self.sum_of_squares / count - mean.powi(2)).max(0.0).sqrt();
        let [mean, deviation] = [mean, deviation].map(Duration::from_secs_f64);
        [self.least, mean, self.most, deviation]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up_as_if_all_were_kept() {
        let mut figures = Figures::default();
        [4, 1, 7].map(Duration::from_millis).into_iter().for_each(|time| figures.add(time));
        assert_eq!(figures.all().map(milliseconds), ["1.00", "4.00", "7.00", "2.45"]);
        let mut same = Figures::default();
        (0..1000).for_each(|_| same.add(Duration::from_nanos(1_234_567)));
        assert_eq!(same.all().map(milliseconds), ["1.23", "1.23", "1.23", "0.00"]);
    }

    #[test]
    fn an_answer_counts_once_and_not_after_a_thousand_more() {
        let mut rounds = Rounds::new(&"me".parse().unwrap(), true);
        let pong = |payload: &str| Message {
            topic: "TNG/lamp/TPC/PONG".to_owned(),
            payload: payload.into(),
            retained: false,
        };
        let (first, second) = (rounds.next(), rounds.next());
        assert!(rounds.hear(&pong(&second)).is_some_and(|(_, number, _)| number == 2));
        assert!(rounds.hear(&pong(&second)).is_none());
        assert!(rounds.hear(&pong("ping of you 1")).is_none());
        assert!(!rounds.is_complete(&BTreeSet::new()));
        (2..KEPT).for_each(|_| drop(rounds.next()));
        assert!(rounds.hear(&pong(&first)).is_some());
        drop(rounds.next());
        drop(rounds.next());
        assert!(rounds.hear(&pong(&second)).is_none());
        assert_eq!((rounds.kept.len(), rounds.figures.count), (KEPT, 2));
    }
}
