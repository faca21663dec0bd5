//! An input as what happens to a twin, line by line.

use std::time::Duration;

use twinthing::{
    protocol::{GetRequest, Problem, Report, SetRequest, parse_delete},
    twin::Event,
};

use super::stage::Stage;

/// Longer stories cost time and tell no more.
const MOST_LINES: usize = 48;

/// By what the sign for the time stands for, from `0` on; the last goes back.
const STEPS_NS: [i64; 10] = [
    0,
    1,
    1_000_000_000,
    4_999_999_999,
    5_000_000_000,
    5_000_000_001,
    30_000_000_000,
    3_600_000_000_000,
    31_536_000_000_000_000,
    -10_000_000_000,
];

/// What happens, how long after the line before, and with what payload.
pub(super) struct Line<'a> {
    sign: u8,
    time: u8,
    pub(super) payload: &'a [u8],
}

pub(super) fn lines(input: &[u8]) -> Vec<Line<'_>> {
    let lines = input.split(|byte| *byte == b'\n').take(MOST_LINES);
    lines
        .filter_map(|line| match line {
            [sign, time, payload @ ..] => Some(Line { sign: *sign, time: *time, payload }),
            [] | [_] => None,
        })
        .collect()
}

/// Says how many events the twin took.
pub(super) fn play(lines: &[Line<'_>]) -> usize {
    let mut stage = Stage::new();
    lines.iter().filter(|line| play_line(&mut stage, line)).count()
}

fn play_line(stage: &mut Stage, line: &Line<'_>) -> bool {
    stage.wait(STEPS_NS[usize::from(line.time.wrapping_sub(b'0')) % STEPS_NS.len()]);
    let limit = stage.rules.twin_limit;
    let number = line.payload.first().map_or(1, |byte| byte.wrapping_sub(b'0'));
    let asked = |problem: Problem| super::form::is_answered(&problem);
    match line.sign {
        b'u' => Report::parse(line.payload, limit)
            .is_ok_and(|report| stage.step(&Event::Reported(report), None)),
        b's' => SetRequest::parse(line.payload, limit).map_err(asked).is_ok_and(|request| {
            let SetRequest { members, version, query } = request;
            stage.step(&Event::Set { members: members.into(), version }, query)
        }),
        b'g' => match GetRequest::parse(line.payload, limit) {
            Ok(GetRequest::Plain { query }) => stage.step(&Event::Get, query),
            Ok(GetRequest::Query { .. }) => false,
            Err(problem) => {
                asked(problem);
                false
            }
        },
        b'd' => parse_delete(line.payload, limit)
            .map_err(asked)
            .is_ok_and(|query| stage.step(&Event::Delete, query)),
        b'+' => stage.step(&Event::Connected, None),
        b'-' => stage.step(&Event::Gone, None),
        // The manager has started, or lost its session at the broker.
        b'r' => stage.step(&Event::Resumed { untold: false }, None),
        b't' => stage.step(&Event::RetryDue(u32::from(number)), None),
        b'n' => {
            stage.session = i64::from(number);
            false
        }
        // Killed, and back with what was stored.
        b'!' => {
            stage.restart();
            false
        }
        b'l' => {
            stage.limit(usize::from(number) * 64);
            false
        }
        _ => false,
    }
}

/// The time that has passed, which a clock may take back, though not before 1970.
pub(super) fn passed(now_ns: i64, step_ns: i64) -> i64 {
    now_ns.saturating_add(step_ns).max(0)
}

/// The time between two, as the rules count it: none if the clock went back.
pub(super) fn since(now_ns: i64, earlier_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(now_ns.saturating_sub(earlier_ns)).unwrap_or(0))
}
