//! What is asked of one thing: how soon it hears, and how soon all is settled.

use std::{collections::VecDeque, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    Plan,
    echo::{Echo, Sizes},
    figures::{Line, Times, rounded},
    ground::{Ground, Stored, id},
    update::{introduce, stage},
    wire::{Heard, Stage},
};

const THINGS: usize = 1000;
/// The lines: who asks, who listens, the things.
const ASKS: usize = 0;
const DOES: usize = 2;

struct Run {
    to_delta: Times,
    to_settled: Times,
    sizes: Sizes,
}

#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    told: u8,
}

/// So many SETs are under way at once, for so long; each thing does what it is asked.
async fn run(stage: &mut Stage, root: &str, in_flight: usize, span: Duration) -> Run {
    let mut idle: VecDeque<usize> = (0..THINGS).collect();
    let mut asked: Vec<Option<Asked>> = vec![None; THINGS];
    let mut run = Run {
        to_delta: Times::default(),
        to_settled: Times::default(),
        sizes: Sizes { update: 0, delta: 0, state: 0 },
    };
    let mut number = fastrand::u64(..1 << 40);
    let end = Instant::now() + span;
    let mut under_way = 0;
    loop {
        while under_way < in_flight
            && Instant::now() < end
            && let Some(thing) = idle.pop_front()
        {
            number += 1;
            asked[thing] = Some(Asked { at: Instant::now(), told: 0 });
            stage.say(
                ASKS,
                format!("{root}/{}/TWIN/SET", id(thing)),
                format!(r#"{{"set":{{"want":{number}}}}}"#),
            );
            under_way += 1;
        }
        if under_way == 0 {
            return run;
        }
        let heard = stage.hear().await;
        let (thing, levels) = heard.about();
        let Some(Asked { at, told }) = &mut asked[thing] else { continue };
        if levels == "STATE/SET" {
            run.to_delta.add(heard.at - *at);
            run.sizes.delta = heard.payload.len();
            // What it does is what it was asked: the delta goes back as it came.
            stage.say(DOES, format!("{root}/{}/STATE/UPD", id(thing)), heard.payload);
        } else {
            *told += 1;
            if *told == 2 {
                run.to_settled.add(heard.at - *at);
                run.sizes.update = heard.payload.len();
                asked[thing] = None;
                under_way -= 1;
                idle.push_back(thing);
            }
        }
    }
}

/// Where a side speaks.
async fn parts(port: u16, root: &str) -> Stage {
    let (updates, sets) = (format!("{root}/+/TWIN/UPD"), format!("{root}/+/STATE/SET"));
    Stage::connect(port, &[&[], &[&updates], &[&sets]]).await
}

/// SET to delta, and to the twin that has it.
pub async fn asked(plan: &Plan, in_flight: usize) -> Vec<Line> {
    let ground = Ground::prepare(&plan.database, &Stored::default(), &[]);
    let port = ground.broker.port();
    introduce(&mut stage(port, "TNG").await, THINGS, 5).await;
    let mut ours = parts(port, "TNG").await;
    let restored = |heard: &Heard| heard.topic.ends_with("STATE/SET");
    for thing in 0..THINGS {
        ours.say(DOES, format!("TNG/{}/LC/ON", id(thing)), r#"{"online":1}"#);
    }
    ours.await_all(THINGS, restored).await;
    let warm = run(&mut ours, "TNG", in_flight, Duration::from_secs(1)).await;
    let _echo = Echo::start(port, warm.sizes, 0);
    let mut echo = parts(port, "ECH").await;
    run(&mut echo, "ECH", in_flight, Duration::from_secs(1)).await;
    let mut times = [const { Times::new() }; 4];
    for _ in 0..plan.rounds {
        for (side, stage, root) in [(0, &mut ours, "TNG"), (2, &mut echo, "ECH")] {
            let run = run(stage, root, in_flight, plan.span).await;
            times[side].extend(&run.to_delta);
            times[side + 1].extend(&run.to_settled);
            ground.rest().await;
        }
    }
    let [to_delta, to_settled, echo_delta, echo_settled] = &times;
    let line = |what: &str, ours: &Times, echo: &Times, times: f64| {
        let ([p50, p95, p99], [e50, e95, e99]) = (ours.shares(), echo.shares());
        let target = times * e50 + 1.0;
        Line {
            case: format!("SET to {what}, {in_flight} in flight"),
            database: plan.name(),
            ours: format!("p50 {p50:.2} p95 {p95:.2} p99 {p99:.2} ms"),
            other: format!("echo p50 {e50:.2} p95 {e95:.2} p99 {e99:.2} ms"),
            verdict: format!("p50 {:.2} of {target:.2} ms", p50),
            is_met: (in_flight == 1).then_some(p50 <= target),
            json: json!({
                "in_flight": in_flight, "times": ours.json(), "echo_times": echo.json(),
                "target_p50_ms": rounded(target),
            }),
        }
    };
    vec![line("delta", to_delta, echo_delta, 2.0), line("settled", to_settled, echo_settled, 3.0)]
}
