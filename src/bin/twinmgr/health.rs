//! `twinmgr health`: asks the running manager how it is, for whoever watches over it.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use twinthing::mqtt::{self, Access, Lookup, Probed};

use super::Failure;

/// The broker or the database is away, or refuses.
const DEGRADED: u8 = 69;

/// The manager does not answer.
const STUCK: u8 = 70;

/// Asks, says in one line what was found, and gives the exit code that stands for it.
pub(crate) fn ask(access: &Access, patience: Duration) -> Result<ExitCode, Failure> {
    let probed =
        mqtt::probe(access, patience).map_err(|error| Failure::Usage(error.to_string()))?;
    let (code, line) = verdict(access.client_id.as_str(), probed, patience);
    // The exit code says it as well, where nobody reads.
    writeln!(io::stdout(), "{line}").unwrap_or_default();
    Ok(ExitCode::from(code))
}

/// The exit code, and the line.
fn verdict(manager: &str, probed: Probed, patience: Duration) -> (u8, String) {
    let limit = patience.as_secs_f64();
    let (pong, lookup) = match probed {
        Probed::NotAsked(why) => return (DEGRADED, format!("degraded: {why}")),
        Probed::Asked { pong, lookup } => (pong, lookup),
    };
    match (pong.map(ms), lookup) {
        (Some(pong), Lookup::Read(read)) => {
            let read = ms(read);
            (
                0,
                format!(
                    "alive: {manager} answers in {pong} ms, and from its database in {read} ms"
                ),
            )
        }
        (Some(pong), Lookup::Refused) => (
            DEGRADED,
            format!(
                "degraded: {manager} answers in {pong} ms, and says that its database is away; see its log"
            ),
        ),
        (Some(pong), Lookup::Silent) => (
            DEGRADED,
            format!(
                "degraded: {manager} answers in {pong} ms, but not from its database within {limit} s; see its log"
            ),
        ),
        (None, Lookup::Read(_) | Lookup::Refused) => (
            DEGRADED,
            format!(
                "degraded: {manager} answers TWIN/GET, but no PING within {limit} s; check that the broker lets TNG/{manager}/TPC/PING and PONG through"
            ),
        ),
        (None, Lookup::Silent) => (
            STUCK,
            format!(
                "stuck: {manager} answers nothing within {limit} s; it hangs, does not run or cannot start yet: see its log"
            ),
        ),
    }
}

/// Whole milliseconds, from 1.
fn ms(span: Duration) -> u128 {
    span.as_micros().div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(1500);

    fn asked(pong: Option<u64>, lookup: Lookup) -> (u8, String) {
        let pong = pong.map(Duration::from_micros);
        verdict("mgr", Probed::Asked { pong, lookup }, PATIENCE)
    }

    #[test]
    fn a_manager_is_alive_if_it_answers_and_its_database_does() {
        let read = Lookup::Read(Duration::from_micros(4001));
        let line = "alive: mgr answers in 1 ms, and from its database in 5 ms";
        assert_eq!(asked(Some(0), read), (0, line.to_owned()));
    }

    #[test]
    fn a_manager_without_its_database_or_broker_is_degraded() {
        let why = "broker b:1883 is not reached";
        let line = "degraded: broker b:1883 is not reached";
        let not_asked = verdict("mgr", Probed::NotAsked(why.to_owned()), PATIENCE);
        assert_eq!(not_asked, (69, line.to_owned()));
        let line = "degraded: mgr answers in 3 ms, and says that its database is away; see its log";
        assert_eq!(asked(Some(3000), Lookup::Refused), (69, line.to_owned()));
        let line =
            "degraded: mgr answers in 3 ms, but not from its database within 1.5 s; see its log";
        assert_eq!(asked(Some(3000), Lookup::Silent), (69, line.to_owned()));
    }

    #[test]
    fn a_manager_that_is_kept_from_answering_a_ping_is_degraded() {
        let line = "degraded: mgr answers TWIN/GET, but no PING within 1.5 s; check that the broker lets TNG/mgr/TPC/PING and PONG through";
        for lookup in [Lookup::Refused, Lookup::Read(PATIENCE)] {
            assert_eq!(asked(None, lookup), (69, line.to_owned()));
        }
    }

    #[test]
    fn a_manager_that_answers_nothing_is_stuck() {
        let line = "stuck: mgr answers nothing within 1.5 s; it hangs, does not run or cannot start yet: see its log";
        assert_eq!(asked(None, Lookup::Silent), (70, line.to_owned()));
    }
}
