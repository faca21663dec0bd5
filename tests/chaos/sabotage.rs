//! The checker can fail: a manager whose database is tampered with breaks its word, and is caught.
//!
//! The product has no switch for this. Rows that are put back stand for a manager that tells before it commits; rows
//! whose `applied` is taken away, for one that does not heed it.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    ALONE,
    cast::Cast,
    checker::{Broker, Rule, Verdict, check},
    log::Log,
    play::{Load, Play},
    report::tell,
    stage::{Base, Stage},
};

/// A few things that talk much.
const THINGS: usize = 20;
const LOAD: Load =
    Load { set_every: Duration::from_millis(100), report_every: Duration::from_millis(200) };
/// They need not settle.
const SETTLING: Duration = Duration::from_secs(1);

#[test]
fn a_manager_that_told_what_it_had_not_committed_is_caught() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let log = Arc::new(Log::new());
    let mut stage = Stage::start(Base::Sqlite, "", &log, THINGS);
    let play = Play::new(THINGS, LOAD, false, SETTLING);
    let cast = Cast::start(stage.ports(), &play, &log, 1);
    stage.sql("CREATE TABLE older AS SELECT * FROM twin");
    stage.pause(Duration::from_secs(1));
    stage.program.kill();
    stage.sql("DELETE FROM twin; INSERT INTO twin SELECT * FROM older; DROP TABLE older");
    stage.program.start_again();
    stage.ready();
    cast.finish();
    let verdict = check(&log.since(0), Broker::Keeps);
    for rule in [Rule::Version, Rule::Kept, Rule::Lost] {
        let found = verdict.violations.iter().find(|violation| violation.rule == rule);
        tell(&format!("caught: {}", found.unwrap_or_else(|| panic!("{rule:?}: {verdict:?}"))));
    }
}

/// Runs a manager over its old inbox again: messages that it has done stand there once more. With `tamper` nothing
/// in the rows says so.
fn run_over_an_old_inbox(tamper: Option<&str>) -> Verdict {
    let log = Arc::new(Log::new());
    let mut stage = Stage::start(Base::Sqlite, "", &log, THINGS);
    let play = Play::new(THINGS, LOAD, false, SETTLING);
    let cast = Cast::start(stage.ports(), &play, &log, 1);
    let inbox = stage.program.folder().join("data/inbox");
    let (kept, half) = (inbox.with_extension("kept"), inbox.with_extension("half"));
    // While the database is held, what comes in stays in the inbox; for two of these seconds it is copied.
    let held = stage.hold_database();
    stage.pause(Duration::from_secs(2));
    std::fs::copy(&inbox, &half).unwrap();
    std::fs::rename(half, &kept).unwrap();
    drop(held);
    stage.pause(Duration::from_secs(2));
    stage.program.kill();
    std::fs::rename(kept, inbox).unwrap();
    if let Some(tamper) = tamper {
        stage.sql(tamper);
    }
    stage.program.start_again();
    stage.ready();
    cast.finish();
    let output = stage.program.output();
    assert!(output.contains("messages were left in the inbox"), "{output}");
    check(&log.since(0), Broker::Keeps)
}

#[test]
fn a_manager_that_does_not_heed_what_is_applied_is_caught() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tamper = "UPDATE twin SET applied_epoch = 0, applied_number = 0";
    let verdict = run_over_an_old_inbox(Some(tamper));
    for rule in [Rule::Kept, Rule::Stale] {
        let found = verdict.violations.iter().find(|violation| violation.rule == rule);
        tell(&format!("caught: {}", found.unwrap_or_else(|| panic!("{rule:?}: {verdict:?}"))));
    }
}

/// What the inbox had lost in the meantime is lost: all that has been done is in the rows. Nothing is done twice.
#[test]
fn a_manager_that_heeds_what_is_applied_does_nothing_twice() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let verdict = run_over_an_old_inbox(None);
    let twice = |rule| matches!(rule, Rule::Kept | Rule::Stale | Rule::Version);
    let found: Vec<_> =
        verdict.violations.iter().filter(|violation| twice(violation.rule)).collect();
    assert!(found.is_empty(), "{found:?}");
}
