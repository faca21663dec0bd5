//! The broker is killed, or does not let the manager say something.

use std::{
    fs,
    time::{Duration, Instant},
};

use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};
use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    client::{Client, Message},
    database::{Database, Direct},
    load::Load,
    proxy::Proxy,
    site::{PATIENCE, Site},
    tell::tell_recovery,
    wait_for,
};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
}

/// The versions of all twins, summed up.
fn versions(site: &Site) -> i64 {
    let mut db = SqliteConnection::establish(site.url.strip_prefix("sqlite://").unwrap()).unwrap();
    let sum = sql_query("SELECT COALESCE(SUM(version), 0) AS count FROM twin");
    sum.get_result::<Count>(&mut db).map_or(0, |sum| sum.count)
}

/// Kills the broker over things that the manager has heard and may not commit, and commits them while there is none.
/// The manager comes back only once the test listens again; gives one who listens for the lamp.
fn kill_the_broker(load: &mut Load, proxy: &Proxy, forgets: bool) -> Client {
    let kept = load.site.broker.folder().join("mosquitto.db");
    let direct = Direct::to(&load.site.url).hold();
    let (last, before) = (load.last(), versions(&load.site));
    (0..50).for_each(|_| load.say_on());
    load.site.client.flush();
    load.site.ready();
    load.listen(Duration::from_millis(100));
    assert!(load.told_above(last).is_empty(), "told and not committed");
    wait_for("the session to be on disk", PATIENCE, || {
        let kept = fs::read(&kept).unwrap_or_default();
        kept.windows(16).any(|part| part == b"TNG/mgr/TPC/PING").then_some(())
    });
    load.site.broker.kill();
    proxy.cut();
    drop(direct);
    wait_for("what was heard to be committed", PATIENCE, || {
        (versions(&load.site) == before + 60).then_some(())
    });
    if forgets {
        fs::remove_file(&kept).unwrap();
    }
    load.site.broker.run();
    load.site.reconnect();
    let mut lamp = Client::connect(load.site.broker.port());
    lamp.subscribe(&["TNG/lamp/STATE/SET"]);
    proxy.mend();
    lamp
}

/// A site with a lamp that was asked for light, a load, and a proxy before its broker.
fn start() -> (Load, Proxy) {
    let broker = Broker::start_with("autosave_interval 1\npersistent_client_expiration 1d");
    let proxy = Proxy::start(broker.port());
    let port = proxy.port().to_string();
    // So long after the return, what was sent and not answered is sent again.
    let settings = [("MQTT_PORT", port.as_str()), ("TWIN_RETRY", "2")];
    let site = Site::start_at(broker, &Database::Sqlite, &settings);
    let mut load = Load::on(site);
    load.site.report("lamp", &json!({"trn": 1, "on": false}));
    load.site.set("lamp", &json!({"on": true}));
    load.site.client.expect("TNG/lamp/STATE/SET", PATIENCE);
    load.run(100);
    load.listen(Duration::from_millis(300));
    (load, proxy)
}

#[test]
fn a_broker_that_is_killed_and_keeps_the_session_costs_no_update() {
    let (mut load, proxy) = start();
    kill_the_broker(&mut load, &proxy, false);
    load.recover("a broker killed, with its sessions", Instant::now());
    load.run(50);
    load.check_all_with_repeats();
    for id in ["idle", "lamp"] {
        assert_eq!(load.ask(id)["online"], true, "{id}");
    }
    let output = load.site.program.output();
    assert_eq!(output.matches(" (new)\n").count(), 1, "{output}");
}

#[test]
fn a_broker_that_is_killed_and_loses_the_session_costs_no_update_and_presence_is_not_known() {
    let (mut load, proxy) = start();
    let mut lamp = kill_the_broker(&mut load, &proxy, true);
    let ended = Instant::now();
    // What is said before the manager has subscribed again is kept by nobody.
    load.site.ready();
    load.recover("a broker killed, without its sessions", ended);
    let delta = json!({"delta": {"trn": 2, "on": true}});
    assert_eq!(lamp.expect("TNG/lamp/STATE/SET", PATIENCE).json(), delta, "it is sent again");
    load.run(50);
    load.check_all_with_repeats();
    for id in ["idle", "lamp"] {
        assert_eq!(load.ask(id)["online"], Value::Null, "{id}");
    }
    let output = load.site.program.output();
    assert_eq!(output.matches(" (new)\n").count(), 2, "{output}");
}

#[test]
fn a_publish_that_the_broker_does_not_allow_is_one_line_and_counts_as_told() {
    let mut broker = Broker::start();
    broker.stop();
    let allow = |what: &str| {
        let rules = format!("topic readwrite #\n\nuser mgr\n{what}topic readwrite #\n");
        fs::write(broker.folder().join("acl"), rules).unwrap();
    };
    allow("topic deny TNG/bad/TWIN/UPD\n");
    broker.configure("acl_file {folder}/acl");
    let rules = broker.folder().join("acl");
    broker.run();
    let mut load = Load::on(Site::start_at(broker, &Database::Sqlite, &[]));
    for number in 0..20 {
        load.site.client.send("TNG/bad/STATE/UPD", json!({"delta": {"n": number}}).to_string());
        load.run(10);
    }
    let port = load.site.broker.port();
    let line = format!(
        "broker 127.0.0.1:{port} refused a publish to TNG/bad/TWIN/UPD: not authorized; user \"mgr\" must be allowed to publish to TNG/+/TWIN/UPD\n"
    );
    let output = load.site.program.output();
    assert_eq!(output.matches(&line).count(), 1, "{output}");
    assert_eq!(output.matches("ERROR").count(), 1, "{output}");
    fs::write(rules, "topic readwrite #\nuser mgr\ntopic readwrite #\n").unwrap();
    load.site.broker.reload();
    let ended = Instant::now();
    let told = wait_for("an update", PATIENCE, || {
        load.site.client.send("TNG/bad/STATE/UPD", json!({"delta": {"n": 20}}).to_string());
        let is_told = |message: &Message| message.topic == "TNG/bad/TWIN/UPD";
        load.site.client.take(Duration::from_millis(50), is_told)
    });
    tell_recovery("a publish that is not allowed", ended.elapsed());
    assert_eq!((&told.json()["version"], &told.json()["reported"]["n"]), (&json!(21), &json!(20)));
    load.check_all();
    load.site.restart();
    let said = load.site.said("stranger");
    assert!(said.is_empty(), "what was refused counts as told: {said:?}");
}
