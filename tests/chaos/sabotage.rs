//! The checker can fail: a manager whose database is tampered with breaks its word, and is caught.
//!
//! The product has no switch for this. Rows that are put back stand for a manager that tells before it commits.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    ALONE,
    cast::Cast,
    checker::{Broker, Rule, check},
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
    let mut stage = Stage::start(Base::Sqlite, "", &log);
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
