//! The examples as programs: a lamp, a weather station, and a fleet of a thousand under group SETs.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    broker::Broker,
    database::{Database, Direct},
    library::{example, id, object},
    lines::Lines,
    on_both_databases,
    site::{PATIENCE, Site},
    wait_for,
};
use twinthing::client::{Access, Client, GroupSettled, ThingId, block_on};

on_both_databases!(a_thousand_things_settle_under_group_sets_while_a_tenth_of_them_flap);

/// The longest wait for a fleet to do anything.
const FLEET_PATIENCE: Duration = Duration::from_secs(90);
const THINGS: usize = 1000;

fn client(port: u16) -> Client {
    let mut access = Access::new("app", "127.0.0.1").unwrap();
    access.port = port;
    Client::connect(access).unwrap()
}

#[test]
fn the_lamp_is_switched_by_hand_and_by_its_twin_and_refuses_to_shine_too_bright() {
    let site = Site::start(&Database::Sqlite, &[("TWIN_LATE_WILL", "0")]);
    let client = client(site.broker.port());
    let port = site.broker.port().to_string();
    let mut lamp = Lines::start(example("lamp").args(["hall", "127.0.0.1", &port]));
    lamp.until(PATIENCE, |line| line == "online");
    lamp.say("on");
    lamp.until(PATIENCE, |line| line == "on: true, brightness: 40");
    let hall = id("hall");
    block_on(async {
        let asked = json!({"on": false, "brightness": 101});
        let settled = client.set(&hall, asked).settled(PATIENCE).await.unwrap();
        assert_eq!(settled.taken, object(json!({"on": false})));
        assert_eq!(settled.declined, object(json!({"brightness": 101})));
        // What does not fit the lamp's type is refused as well.
        let settled = client.set(&hall, json!({"brightness": "dim"})).settled(PATIENCE).await;
        assert_eq!(settled.unwrap().declined, object(json!({"brightness": "dim"})));
    });
    lamp.until(PATIENCE, |line| line == "on: false, brightness: 40");
    lamp.say("130");
    lamp.until(PATIENCE, |line| line == "type on, off, or a brightness from 0 to 100");
    let (status, _) = lamp.end(PATIENCE);
    assert!(status.success());
    assert_eq!(block_on(client.get(&hall)).unwrap().online, Some(false), "it says LC/OFF");
}

#[test]
fn the_weather_station_reports_what_it_measured_while_the_broker_was_away() {
    let mut broker = Broker::start();
    broker.stop();
    let port = broker.port().to_string();
    let mut station = Lines::start(example("weather_station").args(["roof", "127.0.0.1", &port]));
    station.until(PATIENCE, |line| line.contains("is not reached"));
    station.until(PATIENCE, |line| line.starts_with("Device: "));
    broker.run();
    let site = Site::start_at(broker, &Database::Sqlite, &[("TWIN_LATE_WILL", "0")]);
    station.until(FLEET_PATIENCE, |line| line == "online");
    let (client, roof) = (client(site.broker.port()), id("roof"));
    block_on(async {
        let asked = json!({"seconds": 1, "humidity": 0});
        let settled = client.set(&roof, asked).settled(PATIENCE).await.unwrap();
        assert_eq!(settled.taken, object(json!({"seconds": 1})));
        assert_eq!(settled.declined, object(json!({"humidity": 0})));
        let mut watch = client.watch([roof.clone()]).await.unwrap();
        watch.know(roof.clone(), client.get(&roof).await.unwrap());
        let measured = watch.next().await.unwrap();
        assert!(measured.reported.keys().all(|name| name != "seconds"), "{measured:?}");
    });
    station.signal("INT");
    let (status, lines) = station.end(PATIENCE);
    assert!(status.success(), "{lines:?}");
    assert_eq!(block_on(client.get(&roof)).unwrap().online, Some(false), "it says LC/OFF");
}

#[test]
fn the_weather_station_measures_in_time_however_often_it_is_asked_for_something() {
    let site = Site::start(&Database::Sqlite, &[]);
    let port = site.broker.port().to_string();
    let mut station = Lines::start(example("weather_station").args(["roof", "127.0.0.1", &port]));
    station.until(PATIENCE, |line| line == "online");
    let (client, roof) = (client(site.broker.port()), id("roof"));
    let mut seconds = [1, 2].into_iter().cycle();
    wait_for("it measures", PATIENCE, || {
        let asked = json!({"seconds": seconds.next()});
        block_on(async { client.set(&roof, asked).settled(PATIENCE).await }).unwrap();
        std::iter::from_fn(|| station.heard()).find(|line| line.starts_with("Device: "))
    });
}

fn a_thousand_things_settle_under_group_sets_while_a_tenth_of_them_flap(database: &Database) {
    let site = Site::start(database, &[("TWIN_LATE_WILL", "0"), ("LOGLEVEL", "info")]);
    let ids: Vec<String> = (0..THINGS).map(|number| format!("fleet-{number:05}")).collect();
    Direct::to(&site.url).join("fleet", &ids);
    let (from, port) = (Instant::now(), site.broker.port().to_string());
    let mut fleet =
        Lines::start(example("fleet").args([&THINGS.to_string(), "10", "10", "127.0.0.1", &port]));
    let online = |line: &str| {
        let number = line.strip_prefix("online ")?.split(',').next()?;
        number.parse::<usize>().ok()
    };
    fleet.until(FLEET_PATIENCE, |line| online(line) >= Some(THINGS * 9 / 10));
    println!("{THINGS} things: online within {:.1} s", from.elapsed().as_secs_f64());

    let client = client(site.broker.port()).with_patience(FLEET_PATIENCE);
    let group = client.group(&"fleet".parse().unwrap());
    let set = |members: Value| -> GroupSettled {
        let (from, mut most) = (Instant::now(), (Duration::ZERO, 0));
        let progress = |over, of| {
            // When nine of ten have answered: those that are there.
            if over * 10 >= of * 9 && most.1 == 0 {
                most = (from.elapsed(), over);
            }
        };
        let settled = block_on(group.set(&members).settled(FLEET_PATIENCE, progress)).unwrap();
        assert_eq!(settled.open().collect::<Vec<_>>(), Vec::<&ThingId>::new());
        assert_eq!(settled.things.len(), THINGS);
        println!(
            "{members}: {} of {} answered within {:.2} s, all within {:.2} s",
            most.1,
            settled.things.len(),
            most.0.as_secs_f64(),
            from.elapsed().as_secs_f64()
        );
        settled
    };
    for round in 1..=3 {
        let settled = set(json!({"mode": format!("m{round}"), "level": round}));
        let not_taken: Vec<_> =
            settled.things.iter().filter(|(_, settled)| !settled.is_taken()).collect();
        assert!(not_taken.is_empty(), "{not_taken:?}");
    }
    let settled = set(json!({"level": 101, "mode": "last"}));
    for (id, thing) in &settled.things {
        assert_eq!(thing.taken, object(json!({"mode": "last"})), "{id}");
        assert_eq!(thing.declined, object(json!({"level": 101})), "{id}");
    }
    let (status, lines) = fleet.end(FLEET_PATIENCE);
    assert!(status.success(), "{lines:?}");
    let last = lines.iter().rev().find(|line| line.starts_with("online ")).unwrap();
    println!("the fleet's last line: {last}");
    let restored = last.split("restored ").nth(1).and_then(|rest| rest.split(',').next());
    assert!(restored.unwrap().parse::<u64>().unwrap() > 0, "none has flapped: {last}");
}
