//! The database is gone, hangs, or does not take one of the twins.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    client::Message,
    database::{Database, Direct},
    load::{Load, NOTICED},
    mariadb::MariaDb,
    on_both_databases,
    proxy::Proxy,
    site::{PATIENCE, Site},
    tell::tell_recovery,
};

on_both_databases!(a_twin_that_the_database_refuses_costs_no_other_an_update);

#[test]
fn a_database_that_is_away_for_twenty_seconds_under_load_costs_no_update() {
    let (mut load, mut server) = Load::on_mariadb(&[]);
    load.run(100);
    server.stop();
    let (since, committed_at_most) = (Instant::now(), load.last());
    let mut checks = Vec::new();
    let mut noticed = None;
    while since.elapsed() < Duration::from_secs(20) {
        load.go_on();
        let time = since.elapsed();
        if noticed.is_none() && load.last() % 20 == 0 && load.is_refused("idle") {
            noticed = Some(time);
        }
        if noticed.is_some() && time.as_secs() as usize > checks.len() {
            load.expect_refusals();
            checks.push(time);
        }
    }
    assert!(noticed.unwrap() < NOTICED, "{noticed:?}");
    assert!(checks.len() >= 10, "{checks:?}");
    assert!(load.told_above(committed_at_most).is_empty(), "told and not committed");
    server.restart();
    load.recover("MariaDB killed for 20 s", Instant::now());
    load.run(100);
    load.check_all();
}

#[test]
fn a_network_that_swallows_what_goes_to_the_database_costs_no_update() {
    let url = MariaDb::shared().fresh_schema();
    let (place, schema) = url.rsplit_once('/').unwrap();
    let (user, port) = place.rsplit_once(':').unwrap();
    let proxy = Proxy::start(port.parse().unwrap());
    let url = format!("{user}:{}/{schema}", proxy.port());
    let settings = [("TWIN_DB_URL", url.as_str()), ("TWIN_COMMIT_TIMEOUT", "2")];
    let mut load = Load::on(Site::start(&Database::Sqlite, &settings));
    load.run(100);
    load.listen(Duration::from_millis(300));
    proxy.hold();
    let (since, committed_at_most) = (Instant::now(), load.last());
    load.wait_until_noticed();
    while since.elapsed() < Duration::from_secs(6) {
        load.run(20);
        load.expect_refusals();
    }
    assert!(load.told_above(committed_at_most).is_empty(), "told and not committed");
    proxy.let_go();
    load.recover("MariaDB hanging for 6 s", Instant::now());
    load.run(100);
    load.check_all();
    let output = load.site.program.output();
    assert_eq!(output.matches(" is away, and is tried again: ").count(), 1, "{output}");
}

const REFUSES_ON_SQLITE: &str = "
    CREATE TRIGGER refuses BEFORE INSERT ON twin WHEN NEW.clientId = 'bad'
    BEGIN SELECT RAISE(ABORT, 'no bad ones'); END";
const REFUSES_ON_MARIADB: &str = "
    CREATE TRIGGER refuses BEFORE INSERT ON twin FOR EACH ROW
    IF NEW.clientId = 'bad' THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no bad ones';
    END IF";

fn a_twin_that_the_database_refuses_costs_no_other_an_update(database: &Database) {
    let mut load = Load::on(Site::start(database, &[]));
    load.site.report("bad", &json!({"n": 1}));
    load.site.said("bad");
    load.run(50);
    let mut direct = Direct::to(&load.site.url);
    direct.execute(REFUSES_ON_SQLITE, REFUSES_ON_MARIADB);
    load.run(50);
    load.site.client.send("TNG/bad/TWIN/SET", r#"{"set":{"n":2},"query":7}"#);
    load.site.client.send("TNG/bad/STATE/UPD", r#"{"delta":{"n":3}}"#);
    // One that comes with others, and is found among them.
    (0..200).for_each(|_| load.say_on());
    let answer = load.site.client.expect("TNG/bad/TWIN/RES", PATIENCE).json();
    assert_eq!((&answer["query"], &answer["error"]["code"]), (&json!(7), &json!(503)), "{answer}");
    load.run(50);
    assert!(!load.is_refused("idle"), "the database is not away");
    let twin = load.ask("bad");
    assert_eq!((&twin["version"], &twin["reported"]), (&json!(1), &json!({"n": 1})));
    direct.execute("DROP TRIGGER refuses", "DROP TRIGGER refuses");
    let ended = Instant::now();
    load.site.set("bad", &json!({"n": 4}));
    let is_told = |message: &Message| {
        message.topic == "TNG/bad/TWIN/UPD" && message.json()["desired"]["n"] == 4
    };
    let told = load.site.client.take(PATIENCE, is_told).expect("the SET is told").json();
    tell_recovery("one twin refused", ended.elapsed());
    assert_eq!(told["version"], 2);
    load.check_all();
    let output = load.site.program.output();
    let lines = output.lines().filter(|line| line.contains("ERROR"));
    let is_right =
        |line: &str| line.contains("bad: the database does not take this twin: no bad ones");
    assert!(lines.clone().all(is_right), "{output}");
    assert!((1..=2).contains(&lines.count()), "{output}");
}
