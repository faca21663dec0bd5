//! What is printed of a run, and what is kept of one that fails.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{Write as _, stderr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    checker::{Verdict, Violation},
    log::{Entry, Event, Fault},
    wire::id,
};

/// How many violations are shown.
const SHOWN: usize = 10;

/// Shows a line also when the test passes, unlike `eprintln!`.
pub fn tell(line: &str) {
    writeln!(stderr().lock(), "{line}").unwrap();
}

/// The counts of a run, on one line.
pub fn counts(log: &[Entry], verdict: &Verdict) -> String {
    let count = |is: &dyn Fn(&Event) -> bool| log.iter().filter(|entry| is(&entry.event)).count();
    let sent = count(&|event| matches!(event, Event::Sent { .. }));
    let acked = count(&|event| matches!(event, Event::Acked { .. }));
    let told = count(&|event| matches!(event, Event::Told { .. }));
    let asked = count(&|event| matches!(event, Event::Asked { .. }));
    let passed = count(&|event| matches!(event, Event::Passed { .. }));
    let stale = count(&|event| matches!(event, Event::Stale { .. }));
    let groups = count(&|event| matches!(event, Event::Grouped { .. }));
    let kills = count(&|event| *event == Event::Began { fault: Fault::KillManager });
    let faults = count(&|event| matches!(event, Event::Began { .. }));
    format!(
        "{} messages ({acked} of {sent} SETs and reports acknowledged, {groups} SETs of groups among them, \
         {told} TWIN/UPD, {asked} STATE/SET), \
         {faults} faults, {kills} kills of the manager, {} replays, {} duplicates, {stale} old deltas at \
         things, {} losses",
        told + asked + passed,
        replayed(log),
        verdict.duplicates,
        verdict.lost.len(),
    )
}

/// The counter begins anew with each life of the manager.
fn replayed(log: &[Entry]) -> u64 {
    let (mut total, mut last) = (0, 0);
    for entry in log {
        if let Event::Replayed { entries } = entry.event {
            total += if entries < last { entries } else { entries - last };
            last = entries;
        }
    }
    total
}

/// How long after each kind of fault the first update came, the median and the longest: a line for each.
pub fn recoveries(log: &[Entry]) -> String {
    let mut times = BTreeMap::<Fault, Vec<Duration>>::new();
    for (number, entry) in log.iter().enumerate() {
        let Event::Ended { fault } = entry.event else { continue };
        let told = log[number..].iter().find(|later| matches!(later.event, Event::Told { .. }));
        if let Some(told) = told {
            times.entry(fault).or_default().push(told.at.saturating_sub(entry.at));
        }
    }
    let mut text = String::new();
    for (fault, mut times) in times {
        times.sort_unstable();
        let ms = |time: Duration| time.as_millis();
        writeln!(
            text,
            "  {fault:<16} {:>3} times, the first update after {:>5} ms (median), {:>5} ms (longest)",
            times.len(),
            ms(times[times.len() / 2]),
            ms(times[times.len() - 1]),
        )
        .unwrap();
    }
    text
}

/// The first violations, and where the log lies.
pub fn violations(log: &[Entry], verdict: &Verdict, run: &str) -> String {
    let mut text = format!("{run}: {} violations\n", verdict.violations.len());
    for violation in verdict.violations.iter().take(SHOWN) {
        writeln!(text, "  {violation}").unwrap();
    }
    if let Some(Violation { thing, .. }) = verdict.violations.first() {
        let path = keep(log, run, |event| event.thing().is_none_or(|about| about == *thing));
        writeln!(text, "all that concerns {}: {}", id(*thing), path.display()).unwrap();
        let path = keep(log, &format!("{run} whole"), |_| true);
        writeln!(text, "the whole log: {}", path.display()).unwrap();
    }
    text
}

/// Writes down some of the log: number of the entry, seconds since the beginning, event.
fn keep(log: &[Entry], name: &str, is_wanted: impl Fn(&Event) -> bool) -> PathBuf {
    let mut text = String::new();
    for (number, Entry { at, event }) in log.iter().enumerate() {
        if is_wanted(event) {
            writeln!(text, "{number:>7} {:>9.3} {event}", at.as_secs_f64()).unwrap();
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("chaos-{}.log", name.replace(", ", "-").replace(' ', "-")));
    fs::write(&path, text).unwrap();
    path
}
