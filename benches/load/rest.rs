//! Memory, and the time to the first answer.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::{
    Plan,
    figures::{Line, middle, ms, rounded},
    ground::{Ground, Stored, id},
    wire::Stage,
};

/// How many twins are asked for at once.
const TOGETHER: usize = 200;

/// Has all twins be in memory.
async fn ask_all(stage: &mut Stage, things: usize) {
    let ask =
        |stage: &Stage, thing: usize| stage.say(0, format!("TNG/{}/TWIN/GET", id(thing)), "{}");
    (0..things.min(TOGETHER)).for_each(|thing| ask(stage, thing));
    for heard in 0..things {
        stage.hear().await;
        if heard + TOGETHER < things {
            ask(stage, heard + TOGETHER);
        }
    }
}

/// What a twin takes in memory, and what is left of that when it has gone.
pub async fn memory(plan: &Plan, things: usize) -> Line {
    const IDLE: Duration = Duration::from_secs(20);
    let stored = Stored { twins: things + TOGETHER, members: 5, is_group: true, is_pending: false };
    let ground = Ground::prepare(&plan.database, &stored, &[("TWIN_IDLE", "20")]);
    let filters = ["TNG/+/TWIN/UPD", "GRP/all/TWIN/RES"];
    let mut stage = Stage::connect(ground.broker.port(), &[&filters]).await;
    // Connections, threads and buffers are there before it is measured, and SQLite's cache is full.
    for _ in 0..5 {
        let nobody =
            r#"{"select":["clientId"],"where":{"column":"reported.n","op":"<","value":0}}"#;
        stage.say(0, "GRP/all/TWIN/GET".to_owned(), nobody);
        stage.hear().await;
    }
    for number in things..things + TOGETHER {
        stage.say(0, format!("TNG/{}/TWIN/GET", id(number)), "{}");
        stage.hear().await;
    }
    tokio::time::sleep(IDLE * 2).await;
    let before = ground.program.memory_kib();
    let begin = Instant::now();
    ask_all(&mut stage, things).await;
    let full = ground.program.memory_kib();
    assert!(begin.elapsed() < IDLE, "twins went before the last was asked for");
    tokio::time::sleep(IDLE * 2).await;
    let after = ground.program.memory_kib();
    let each = (full - before) as f64 / things as f64;
    Line {
        case: format!("memory, {things} twins"),
        database: plan.name(),
        ours: format!("{:.1} MiB, before {:.1}, retired {:.1}", mib(full), mib(before), mib(after)),
        other: String::new(),
        verdict: format!("{each:.2} KiB a twin, of 2"),
        is_met: Some(each <= 2.0),
        json: json!({
            "things": things, "before_kib": before, "full_kib": full, "retired_kib": after, "each_kib": rounded(each),
            "target_kib": 2,
        }),
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// How soon after its start the manager answers who has asked meanwhile.
pub async fn start(plan: &Plan, twins: usize) -> Line {
    let stored = Stored { twins, members: 5, ..Stored::default() };
    let mut ground = Ground::prepare(&plan.database, &stored, &[]);
    let mut stage = Stage::connect(ground.broker.port(), &[&["TNG/+/TWIN/UPD"]]).await;
    let mut times = Vec::new();
    for round in 0..plan.rounds.max(5) {
        assert_eq!(ground.program.terminate(), 0);
        stage.say(0, format!("TNG/{}/TWIN/GET", id(twins / 2 + round)), "{}");
        stage.flushed().await;
        let begin = Instant::now();
        ground.program.start_again();
        let heard = stage.hear().await;
        times.push(ms(&(heard.at - begin)));
    }
    let time = middle(&times);
    Line {
        case: format!("start, {twins} twins stored"),
        database: plan.name(),
        ours: format!("{time:.0} ms to the first answer"),
        other: String::new(),
        verdict: format!("{time:.0} of 1000 ms"),
        is_met: Some(time <= 1000.0),
        json: json!({"twins": twins, "ms": times.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>(), "target_ms": 1000}),
    }
}
