//! Groups: a SET until the last member has its delta, and a query with a condition.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Plan,
    echo::{Echo, Sizes},
    figures::{Line, middle, ms, ratios, rounded},
    ground::{Ground, Stored, id},
    support::database::Direct,
    wire::Stage,
};

/// The lines: who asks, who listens, the things.
const ASKS: usize = 0;
const DOES: usize = 2;

/// Where a side speaks.
async fn parts(port: u16, [things, groups]: [&str; 2]) -> Stage {
    let (updates, answers) = (format!("{things}/+/TWIN/UPD"), format!("{groups}/+/TWIN/RES"));
    let sets = format!("{things}/+/STATE/SET");
    Stage::connect(port, &[&[], &[&updates, &answers], &[&sets]]).await
}

/// One SET: how long until the last delta has come, and the deltas.
async fn one(
    stage: &mut Stage,
    group: &str,
    members: usize,
    number: u64,
) -> (Duration, Vec<(String, Vec<u8>)>, Sizes) {
    let begin = Instant::now();
    stage.say(ASKS, format!("{group}/all/TWIN/SET"), format!(r#"{{"set":{{"want":{number}}}}}"#));
    let (mut deltas, mut last, mut updates) = (Vec::new(), begin, 0);
    let mut sizes = Sizes { update: 0, delta: 0, state: 0 };
    while deltas.len() < members || updates < members {
        let heard = stage.hear().await;
        match heard.about().1 {
            "STATE/SET" => {
                last = heard.at;
                sizes.delta = heard.payload.len();
                deltas.push((heard.topic, heard.payload));
            }
            "TWIN/UPD" => {
                sizes.update = heard.payload.len();
                updates += 1;
            }
            _ => {}
        }
    }
    (last - begin, deltas, sizes)
}

/// All do what they were asked.
async fn settle(stage: &mut Stage, deltas: Vec<(String, Vec<u8>)>) {
    let count = deltas.len();
    for (topic, delta) in deltas {
        stage.say(DOES, topic.replace("STATE/SET", "STATE/UPD"), delta);
    }
    stage.await_all(count, |heard| heard.topic.ends_with("TWIN/UPD")).await;
}

/// A SET of a group whose members are all there.
pub async fn set(plan: &Plan, members: usize) -> Line {
    let stored = Stored { twins: members, members: 5, is_group: true, is_pending: false };
    let ground = Ground::prepare(&plan.database, &stored, &[]);
    let port = ground.broker.port();
    let mut ours = parts(port, ["TNG", "GRP"]).await;
    for thing in 0..members {
        ours.say(DOES, format!("TNG/{}/LC/ON", id(thing)), r#"{"online":1}"#);
    }
    ours.await_all(members, |heard| heard.topic.ends_with("STATE/SET")).await;
    let mut number = fastrand::u64(..1 << 40);
    let (_, deltas, sizes) = one(&mut ours, "GRP", members, number).await;
    settle(&mut ours, deltas).await;
    let _echo = Echo::start(port, sizes, members);
    let mut echo = parts(port, ["ECH", "ECG"]).await;
    one(&mut echo, "ECG", members, number).await;
    let (mut times, mut echo_times) = (Vec::new(), Vec::new());
    let rounds = plan.rounds.max(if members > 1000 { 5 } else { 15 });
    for _ in 0..rounds {
        number += 1;
        let (time, deltas, _) = one(&mut ours, "GRP", members, number).await;
        times.push(ms(&time));
        settle(&mut ours, deltas).await;
        ground.rest().await;
        let (time, _, _) = one(&mut echo, "ECG", members, number).await;
        echo_times.push(ms(&time));
    }
    let [ratio, least, most] = ratios(&times, &echo_times);
    Line {
        case: format!("group SET, {members} members"),
        database: plan.name(),
        ours: format!("{:.0} ms to the last delta", middle(&times)),
        other: format!("echo {:.0} ms", middle(&echo_times)),
        verdict: format!("{ratio:.2} times it ({least:.2}-{most:.2})"),
        is_met: Some(ratio <= 2.0),
        json: json!({
            "members": members, "ms": times.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(),
            "echo_ms": echo_times.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(), "ratio": rounded(ratio), "target": 2,
        }),
    }
}

/// Finds one in ten, and tells two values of it.
fn question() -> Value {
    json!({
        "select": ["clientId", "reported.temp"],
        "where": {"column": "reported.temp", "op": ">=", "value": 90},
    })
}

/// A query of a group, beside the time in which the database alone hands over the rows.
pub async fn get(plan: &Plan, members: usize) -> Line {
    let stored = Stored { twins: members, members: 5, is_group: true, is_pending: false };
    let ground = Ground::prepare(&plan.database, &stored, &[]);
    let mut stage = Stage::connect(ground.broker.port(), &[&["GRP/all/TWIN/RES"]]).await;
    let mut direct = Direct::to(&ground.url);
    let (mut times, mut alone) = (Vec::new(), Vec::new());
    // One takes some milliseconds: of a few, a single disturbance would be most.
    let rounds = plan.rounds.max(if members > 10_000 { 11 } else { 51 });
    for round in 0..=rounds {
        let begin = Instant::now();
        stage.say(0, "GRP/all/TWIN/GET".to_owned(), question().to_string());
        let answer = stage.hear().await;
        let time = answer.at - begin;
        let rows: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(rows["res"].as_array().map(Vec::len), Some(members / 10), "{rows}");
        let begin = Instant::now();
        assert_eq!(direct.documents(), members);
        if round > 0 {
            times.push(ms(&time));
            alone.push(ms(&begin.elapsed()));
        }
    }
    let [ratio, least, most] = ratios(&times, &alone);
    let target = match members {
        10_000 => Some(2.0),
        100_000 => Some(3.0),
        _ => None,
    };
    Line {
        case: format!("group GET with where, {members} members"),
        database: plan.name(),
        ours: format!("{:.1} ms", middle(&times)),
        other: format!("database alone {:.1} ms", middle(&alone)),
        verdict: format!("{ratio:.2} times it ({least:.2}-{most:.2})"),
        is_met: target.map(|target| ratio <= target),
        json: json!({
            "members": members, "ms": times.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(),
            "alone_ms": alone.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(), "ratio": rounded(ratio), "target": target,
        }),
    }
}
