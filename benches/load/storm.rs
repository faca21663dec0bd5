//! All things come back at once, and each has missed something.

use serde_json::json;
use tokio::time::Instant;

use crate::{
    Plan,
    echo::{Echo, Sizes},
    figures::{Line, middle, ms, ratios, rounded},
    ground::{Ground, Stored, id},
    wire::Stage,
};

/// How many connections speak for the things.
const SPEAKERS: usize = 3;

async fn stage(port: u16, root: &str) -> Stage {
    let sets = format!("{root}/+/STATE/SET");
    Stage::connect(port, &[&[], &[], &[], &[&sets]]).await
}

fn say(stage: &Stage, root: &str, things: usize, levels: &str, payload: &str) {
    for thing in 0..things {
        stage.say(thing % SPEAKERS, format!("{root}/{}/{levels}", id(thing)), payload);
    }
}

/// All say LC/ON: how long until the last has both its state and its delta, in milliseconds; and how large these are.
async fn come_back(stage: &mut Stage, root: &str, things: usize) -> (f64, Sizes) {
    let begin = Instant::now();
    say(stage, root, things, "LC/ON", r#"{"online":1}"#);
    let mut sizes = Sizes { update: 0, delta: 0, state: 0 };
    let wanted = |heard: &crate::wire::Heard| {
        if heard.payload.starts_with(br#"{"delta"#) {
            sizes.delta = heard.payload.len();
        } else {
            sizes.state = heard.payload.len();
        }
        true
    };
    let last = stage.await_all(2 * things, wanted).await;
    (ms(&(last - begin)), sizes)
}

async fn go(stage: &mut Stage, things: usize) {
    say(stage, "TNG", things, "LC/OFF", r#"{"online":0}"#);
    stage.flushed().await;
}

/// A storm of so many things, with the manager just started, or with all twins in memory.
pub async fn storm(plan: &Plan, things: usize, is_fresh: bool) -> Line {
    let stored = Stored { twins: things, members: 5, is_pending: true, is_group: false };
    let mut ground = Ground::prepare(&plan.database, &stored, &[]);
    let port = ground.broker.port();
    let mut ours = stage(port, "TNG").await;
    let (mut echo, mut playing) = (None, None);
    let (mut times, mut echo_times) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds.max(5) + 1 {
        if is_fresh && round > 0 {
            assert_eq!(ground.program.terminate(), 0);
            ground.program.start_again();
            ground.ready();
        }
        let (time, sizes) = come_back(&mut ours, "TNG", things).await;
        go(&mut ours, things).await;
        ground.rest().await;
        if echo.is_none() {
            playing = Some(Echo::start(port, sizes, 0));
            echo = Some(stage(port, "ECH").await);
        }
        let (echo_time, _) = come_back(echo.as_mut().unwrap(), "ECH", things).await;
        // What everybody does for the first time does not count.
        if round > 0 {
            times.push(time);
            echo_times.push(echo_time);
        }
    }
    drop(playing);
    let [ratio, least, most] = ratios(&times, &echo_times);
    Line {
        case: format!("storm of {things}, {}", if is_fresh { "just started" } else { "warm" }),
        database: plan.name(),
        ours: format!("{:.0} ms until all have all", middle(&times)),
        other: format!("echo {:.0} ms", middle(&echo_times)),
        verdict: format!("{ratio:.2} times it ({least:.2}-{most:.2})"),
        is_met: is_fresh.then_some(ratio <= 2.5),
        json: json!({
            "things": things, "just_started": is_fresh, "ms": times.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(),
            "echo_ms": echo_times.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(), "ratio": rounded(ratio), "target": 2.5,
        }),
    }
}
