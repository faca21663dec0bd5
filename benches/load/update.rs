//! Reports, and how soon and how often a second their twins are told.

use std::{collections::VecDeque, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    Plan,
    echo::{Echo, Sizes},
    figures::{Line, Times, middle, ratios, rounded},
    ground::{Ground, Stored, id, state},
    wire::Stage,
};

/// How many connections speak for the things.
const SPEAKERS: usize = 3;
/// How many things are brought in at once.
const TOGETHER: usize = 200;

/// A run of one side.
pub struct Run {
    /// Updates in a second.
    pub rate: f64,
    pub times: Times,
    /// The bytes of the last TWIN/UPD.
    pub bytes: usize,
}

/// Where a side speaks.
pub async fn stage(port: u16, root: &str) -> Stage {
    let updates = format!("{root}/+/TWIN/UPD");
    let mut lines: Vec<&[&str]> = vec![&[]; SPEAKERS];
    let listens = [updates.as_str()];
    lines.push(&listens);
    Stage::connect(port, &lines).await
}

fn report(stage: &Stage, root: &str, thing: usize, number: u64) {
    let line = thing % SPEAKERS;
    stage.say(
        line,
        format!("{root}/{}/STATE/UPD", id(thing)),
        format!(r#"{{"delta":{{"n":{number}}}}}"#),
    );
}

/// Has each thing say all that it is.
pub async fn introduce(stage: &mut Stage, things: usize, members: usize) {
    let say = |thing: usize| {
        let state = json!({"state": state(thing, members)}).to_string();
        stage.say(thing % SPEAKERS, format!("TNG/{}/STATE/UPD", id(thing)), state);
    };
    (0..things.min(TOGETHER)).for_each(say);
    for heard in 0..things {
        stage.hear().await;
        let next = heard + TOGETHER;
        if next < things {
            let state = json!({"state": state(next, members)}).to_string();
            stage.say(next % SPEAKERS, format!("TNG/{}/STATE/UPD", id(next)), state);
        }
    }
}

/// So many reports are under way at once, at most one of each thing, for so long.
pub async fn closed(
    stage: &mut Stage,
    root: &str,
    things: usize,
    in_flight: usize,
    span: Duration,
) -> Run {
    let mut idle: VecDeque<usize> = (0..things).collect();
    let mut since = vec![None; things];
    let (mut times, mut bytes, mut number) = (Times::default(), 0, fastrand::u64(..1 << 40));
    let begin = Instant::now();
    let end = begin + span;
    let (mut under_way, mut told) = (0, 0);
    loop {
        let now = Instant::now();
        while under_way < in_flight
            && now < end
            && let Some(thing) = idle.pop_front()
        {
            number += 1;
            since[thing] = Some(Instant::now());
            report(stage, root, thing, number);
            under_way += 1;
        }
        if under_way == 0 {
            break;
        }
        let heard = stage.hear().await;
        let (thing, _) = heard.about();
        if let Some(since) = since[thing].take() {
            under_way -= 1;
            idle.push_back(thing);
            bytes = heard.payload.len();
            times.add(heard.at - since);
            told += usize::from(heard.at <= end);
        }
    }
    Run { rate: told as f64 / span.as_secs_f64(), times, bytes }
}

/// So many reports in a second, whatever comes of them, for so long.
pub async fn paced(stage: &mut Stage, root: &str, things: usize, rate: u32, span: Duration) -> Run {
    let mut since = vec![None; things];
    let (mut times, mut bytes, mut told) = (Times::default(), 0, 0);
    let begin = Instant::now();
    let all = rate * u32::try_from(span.as_secs()).unwrap();
    let mut number = fastrand::u64(..1 << 40);
    for turn in 0..all {
        let due = begin + Duration::from_secs(1) * turn / rate;
        while let Some(heard) = stage.hear_until(due).await {
            take(&heard, &mut since, &mut times, &mut bytes, &mut told);
        }
        let thing = turn as usize % things;
        assert!(since[thing].is_none(), "a thing reports again before its last report is told");
        number += 1;
        since[thing] = Some(Instant::now());
        report(stage, root, thing, number);
    }
    while told < all {
        let heard = stage.hear().await;
        take(&heard, &mut since, &mut times, &mut bytes, &mut told);
    }
    Run { rate: f64::from(rate), times, bytes }
}

fn take(
    heard: &crate::wire::Heard,
    since: &mut [Option<Instant>],
    times: &mut Times,
    bytes: &mut usize,
    told: &mut u32,
) {
    let (thing, _) = heard.about();
    if let Some(since) = since[thing].take() {
        times.add(heard.at - since);
        *bytes = heard.payload.len();
        *told += 1;
    }
}

/// What a closed loop is made of.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub things: usize,
    pub in_flight: usize,
    pub stored: usize,
    pub members: usize,
}

impl Closed {
    /// Things that are all in memory, of five members.
    pub fn of(things: usize) -> Self {
        Self { things, in_flight: 100, stored: 0, members: 5 }
    }
}

/// What a closed loop came to: rates of both sides, round by round.
pub struct Both {
    pub ours: Vec<f64>,
    pub echo: Vec<f64>,
    pub ours_times: Times,
    pub echo_times: Times,
    /// Of the manager for each update, in microseconds.
    pub cpu: f64,
}

/// Both sides in turn, on a ground of its own.
pub async fn both(plan: &Plan, closed_: &Closed) -> Both {
    let stored = Stored { twins: closed_.stored, members: closed_.members, ..Stored::default() };
    let ground = Ground::prepare(&plan.database, &stored, &[]);
    let port = ground.broker.port();
    let mut ours = stage(port, "TNG").await;
    introduce(&mut ours, closed_.things, closed_.members).await;
    let warm =
        closed(&mut ours, "TNG", closed_.things, closed_.in_flight, Duration::from_secs(1)).await;
    let _echo = Echo::start(port, Sizes { update: warm.bytes, delta: 0, state: 0 }, 0);
    let mut echo = stage(port, "ECH").await;
    closed(&mut echo, "ECH", closed_.things, closed_.in_flight, Duration::from_secs(1)).await;
    let mut both = Both {
        ours: vec![],
        echo: vec![],
        ours_times: Times::default(),
        echo_times: Times::default(),
        cpu: 0.0,
    };
    let (mut cpu, mut count) = (Duration::ZERO, 0.0);
    for _ in 0..plan.rounds {
        let before = ground.cpu();
        let run = closed(&mut ours, "TNG", closed_.things, closed_.in_flight, plan.span).await;
        ground.rest().await;
        cpu += ground.cpu() - before;
        count += run.rate * plan.span.as_secs_f64();
        both.ours.push(run.rate);
        both.ours_times.extend(&run.times);
        let run = closed(&mut echo, "ECH", closed_.things, closed_.in_flight, plan.span).await;
        both.echo.push(run.rate);
        both.echo_times.extend(&run.times);
    }
    both.cpu = cpu.as_secs_f64() * 1e6 / count;
    both
}

/// Updates a second against the echo.
pub async fn throughput(plan: &Plan, things: usize) -> Line {
    let both = both(plan, &Closed::of(things)).await;
    let [ratio, least, most] = ratios(&both.ours, &both.echo);
    let [p50, p95, p99] = both.ours_times.shares();
    let [e50, _, e99] = both.echo_times.shares();
    let (target, cpu_target) = if plan.is_sqlite() { (0.5, 100.0) } else { (0.4, 80.0) };
    let is_met = (things == 1000).then_some(ratio >= target && both.cpu <= cpu_target);
    Line {
        case: format!("update, {things} things, 100 in flight"),
        database: plan.name(),
        ours: format!("{:.0}/s, p50 {p50:.1} p95 {p95:.1} p99 {p99:.1} ms", middle(&both.ours)),
        other: format!("echo {:.0}/s, p50 {e50:.1} p99 {e99:.1} ms", middle(&both.echo)),
        verdict: format!("{ratio:.2} of it ({least:.2}-{most:.2}), {:.0} µs CPU", both.cpu),
        is_met,
        json: json!({
            "things": things, "in_flight": 100, "ratio": rounded(ratio), "target": target,
            "rates": both.ours.iter().map(|rate| rate.round()).collect::<Vec<_>>(),
            "echo_rates": both.echo.iter().map(|rate| rate.round()).collect::<Vec<_>>(),
            "times": both.ours_times.json(), "echo_times": both.echo_times.json(),
            "cpu_us": rounded(both.cpu), "cpu_target_us": cpu_target,
        }),
    }
}

/// The latency at a rate that is no load.
pub async fn latency(plan: &Plan, rate: u32) -> Line {
    const THINGS: usize = 1000;
    let ground = Ground::prepare(&plan.database, &Stored::default(), &[]);
    let port = ground.broker.port();
    let mut ours = stage(port, "TNG").await;
    introduce(&mut ours, THINGS, 5).await;
    let warm = paced(&mut ours, "TNG", THINGS, rate, Duration::from_secs(1)).await;
    let _echo = Echo::start(port, Sizes { update: warm.bytes, delta: 0, state: 0 }, 0);
    let mut echo = stage(port, "ECH").await;
    paced(&mut echo, "ECH", THINGS, rate, Duration::from_secs(1)).await;
    let (mut times, mut echo_times) = (Times::default(), Times::default());
    for _ in 0..plan.rounds {
        times.extend(&paced(&mut ours, "TNG", THINGS, rate, plan.span).await.times);
        ground.rest().await;
        echo_times.extend(&paced(&mut echo, "ECH", THINGS, rate, plan.span).await.times);
    }
    let ([p50, p95, p99], [e50, e95, e99]) = (times.shares(), echo_times.shares());
    let (more50, more99) = (p50 - e50, p99 - e99);
    Line {
        case: format!("update, {rate}/s"),
        database: plan.name(),
        ours: format!("p50 {p50:.2} p95 {p95:.2} p99 {p99:.2} ms"),
        other: format!("echo p50 {e50:.2} p95 {e95:.2} p99 {e99:.2} ms"),
        verdict: format!("p50 {more50:+.2} ms, p99 {more99:+.2} ms"),
        is_met: (rate == 50).then_some(more50 <= 1.0 && more99 <= 3.0),
        json: json!({
            "rate": rate, "times": times.json(), "echo_times": echo_times.json(),
            "more_p50_ms": rounded(more50), "more_p99_ms": rounded(more99), "target_p50_ms": 1, "target_p99_ms": 3,
        }),
    }
}
