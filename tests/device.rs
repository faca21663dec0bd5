//! Devices built with the library, beside a real broker and the built manager.
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

use std::{
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{
    broker::Broker,
    client::Client,
    database::Database,
    proxy::Proxy,
    site::{PATIENCE, Site, topics},
    wait_for,
};
use twinthing::device::{
    Access, AppMessage, AppTopic, Builder, By, Change, Device, DeviceError, Event, NotSaid, Runner,
    Version,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lamp {
    on: bool,
    level: u8,
}

const OFF: Lamp = Lamp { on: false, level: 40 };

/// LC/OFF counts however soon it comes after LC/ON.
const AT_ONCE: [(&str, &str); 1] = [("TWIN_LATE_WILL", "0")];

fn access(port: u16) -> Access {
    let mut access = Access::new("lamp", "127.0.0.1").unwrap();
    access.port = port;
    access
}

fn lamp(port: u16) -> Builder<Lamp> {
    lamp_at(access(port))
}

fn lamp_at(access: Access) -> Builder<Lamp> {
    Device::build(access, OFF).filter(|now, wanted| {
        if wanted.level > 100 {
            wanted.level = now.level;
        }
    })
}

/// What happens to a device, sent on as it happens.
fn watched(lamp: Builder<Lamp>) -> (Builder<Lamp>, Receiver<Event<Lamp>>) {
    let (tell, told) = mpsc::channel();
    (lamp.on_event(move |event| tell.send(event.clone()).unwrap_or_default()), told)
}

/// The next change.
fn changed(told: &Receiver<Event<Lamp>>) -> Change<Lamp> {
    loop {
        if let Event::Changed(change) = told.recv_timeout(PATIENCE).expect("a change") {
            return change;
        }
    }
}

/// The twin, as soon as it is like this.
fn twin_with(site: &mut Site, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, PATIENCE, || Some(site.twin("lamp")).filter(&holds))
}

#[test]
fn a_device_and_its_twin_follow_each_other() {
    for version in [Version::V5, Version::V3] {
        let mut site = Site::start(&Database::Sqlite, &[]);
        let mut access = access(site.broker.port());
        access.version = version;
        let (built, told) = watched(lamp_at(access));
        let lamp = built.start().unwrap();
        let twin = twin_with(&mut site, "the device is asked for its state", |twin| {
            twin["reported"] == json!({"on": false, "level": 40})
        });
        assert_eq!(twin["online"], true);
        lamp.update(|state| state.level = 41).unwrap();
        assert_eq!(changed(&told).by, By::Device);
        twin_with(&mut site, "its own change", |twin| twin["reported"]["level"] == 41);
        site.set("lamp", &json!({"on": true, "level": 200}));
        let change = changed(&told);
        assert_eq!((change.by, change.state), (By::Asked, Lamp { on: true, level: 41 }));
        assert_eq!(Value::Object(change.delta), json!({"on": true}));
        let twin = twin_with(&mut site, "what was asked", |twin| twin["reported"]["on"] == true);
        assert_eq!(twin["declined"], json!({"level": 200}));
        assert_eq!(
            twin["desired"],
            json!({"trn": twin["reported"]["trn"]}),
            "one answer settles it"
        );
        assert_eq!(lamp.state(), Lamp { on: true, level: 41 });
    }
}

#[test]
fn a_device_that_starts_again_gets_back_what_it_was_and_then_what_was_asked_meanwhile() {
    let mut site = Site::start(&Database::Sqlite, &AT_ONCE);
    let first = lamp(site.broker.port()).start().unwrap();
    twin_with(&mut site, "it is known", |twin| twin["version"] == 1);
    site.set("lamp", &json!({"on": true}));
    twin_with(&mut site, "it is on", |twin| twin["reported"]["on"] == true);
    first.update(|state| state.level = 90).unwrap();
    first.close_blocking();
    drop(first);
    let twin = site.twin("lamp");
    assert_eq!((&twin["reported"]["level"], &twin["online"]), (&json!(90), &json!(false)));
    site.set("lamp", &json!({"level": 10}));
    site.said("lamp");
    let (built, told) = watched(lamp(site.broker.port()));
    let second = built.start().unwrap();
    let given_back = changed(&told);
    assert_eq!((given_back.by, given_back.state), (By::Restored, Lamp { on: true, level: 90 }));
    let asked = changed(&told);
    assert_eq!((asked.by, asked.state), (By::Asked, Lamp { on: true, level: 10 }));
    let twin = twin_with(&mut site, "it is settled", |twin| twin["reported"]["level"] == 10);
    assert_eq!((&twin["declined"], &twin["online"]), (&json!({}), &json!(true)));
    drop(second);
    twin_with(&mut site, "the last copy is gone", |twin| twin["online"] == false);
}

#[test]
fn what_changes_while_the_broker_is_away_is_one_report_before_lc_on_and_is_not_undone() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    let proxy = Proxy::start(site.broker.port());
    let (built, told) = watched(lamp(proxy.port()));
    let lamp = built.start().unwrap();
    twin_with(&mut site, "it is known", |twin| twin["version"] == 1);
    site.set("lamp", &json!({"on": true}));
    twin_with(&mut site, "it is on", |twin| twin["reported"]["on"] == true);
    site.said("lamp");
    proxy.cut();
    while told.recv_timeout(PATIENCE).expect("it is offline") != Event::Offline {}
    assert!(!lamp.is_online());
    for level in 0..=50 {
        lamp.update(|state| state.level = level).unwrap();
    }
    lamp.update(|state| state.on = false).unwrap();
    proxy.mend();
    let said = wait_for("it is back", PATIENCE, || {
        let said = site.said("lamp");
        topics(&said).contains(&"TNG/lamp/LC/ON").then_some(said)
    });
    let place = |topic: &str| topics(&said).iter().position(|found| *found == topic);
    let report = place("TNG/lamp/STATE/UPD").expect("a report");
    assert_eq!(said[report].1, json!({"delta": {"on": false, "level": 50}}));
    assert!(report < place("TNG/lamp/LC/ON").unwrap(), "{said:?}");
    twin_with(&mut site, "the twin has it", |twin| {
        twin["reported"]["level"] == 50 && twin["reported"]["on"] == false
    });
    assert_eq!(lamp.state(), Lamp { on: false, level: 50 });
}

#[test]
fn a_burst_of_changes_is_reported_no_more_often_than_the_interval() {
    let broker = Broker::start();
    let mut listener = Client::connect(broker.port());
    listener.subscribe(&["TNG/lamp/#"]);
    let lamp = lamp(broker.port()).report_interval(Duration::from_millis(300)).start().unwrap();
    assert_eq!(listener.recv(PATIENCE).unwrap().topic, "TNG/lamp/LC/ON");
    for level in 41..=60 {
        lamp.update(|state| state.level = level).unwrap();
    }
    let last = json!({"delta": {"level": 60}});
    let reports = listener.drain_until(PATIENCE, |message| message.json() == last);
    assert!(reports.len() <= 2, "{reports:?}");
    // What is asked is answered at once, with what waits.
    lamp.update(|state| state.level = 61).unwrap();
    listener.publish_json("TNG/lamp/STATE/SET", &json!({"delta": {"trn": 5, "on": true}}));
    let answer = listener.drain_until(PATIENCE, |m| m.topic == "TNG/lamp/STATE/UPD").pop().unwrap();
    assert_eq!(answer.json(), json!({"delta": {"trn": 5, "on": true, "level": 61}}));
}

#[test]
fn a_device_answers_pings_and_speaks_on_topics_of_its_own() {
    let broker = Broker::start();
    let mut listener = Client::connect(broker.port());
    listener.subscribe(&["TNG/lamp/TPC/PONG", "GRP/hall/TPC/SEEN", "TNG/lamp/LC/#"]);
    let (tell, told) = mpsc::channel();
    let of_group = tell.clone();
    let lamp = lamp(broker.port())
        .on_topic("BLINK", move |message| tell.send(message.clone()).unwrap())
        .on_group("hall".parse().unwrap(), move |message| of_group.send(message.clone()).unwrap())
        .start()
        .unwrap();
    assert_eq!(listener.recv(PATIENCE).unwrap().topic, "TNG/lamp/LC/ON");
    for topic in ["TNG/lamp/TPC/PING", "GRP/ALL/TPC/PING"] {
        listener.publish(topic, b"\x00any\xff".to_vec());
        let pong = listener.recv(PATIENCE).unwrap();
        assert_eq!(
            (pong.topic.as_str(), pong.payload),
            ("TNG/lamp/TPC/PONG", b"\x00any\xff".to_vec())
        );
    }
    for topic in ["TNG/lamp/TPC/BLINK", "GRP/hall/TPC/SCENE/NIGHT"] {
        listener.publish(topic, "x");
        let message = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((message.topic.to_string().as_str(), message.payload), (topic, b"x".to_vec()));
    }
    let seen: AppTopic = "GRP/hall/TPC/SEEN".parse().unwrap();
    actix::System::new().block_on(lamp.publish(seen.clone(), "1")).unwrap();
    assert_eq!(listener.recv(PATIENCE).unwrap().text(), "1");
    lamp.close_blocking();
    assert_eq!(listener.recv(PATIENCE).unwrap().topic, "TNG/lamp/LC/OFF");
    let not = actix::System::new().block_on(lamp.publish(seen, "2"));
    assert_eq!(not, Err(NotSaid::Offline));
}

#[test]
fn a_ping_to_all_is_answered_once_by_one_who_listens_to_all() {
    let broker = Broker::start();
    let mut listener = Client::connect(broker.port());
    listener.subscribe(&["TNG/lamp/TPC/PONG", "TNG/lamp/LC/ON"]);
    let (tell, told) = mpsc::channel();
    let hear = move |message: &AppMessage| tell.send(message.clone()).unwrap();
    let _lamp = lamp(broker.port()).on_group("ALL".parse().unwrap(), hear).start().unwrap();
    listener.recv(PATIENCE).expect("it is there");
    listener.publish("GRP/ALL/TPC/PING", "1");
    listener.publish("GRP/ALL/TPC/NEWS", "2");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().payload, b"2");
    listener.publish("TNG/lamp/TPC/PING", "3");
    let pongs: Vec<_> = (0..2).map(|_| listener.recv(PATIENCE).unwrap().text()).collect();
    assert_eq!(pongs, ["1", "3"]);
    assert!(told.try_recv().is_err());
}

#[test]
fn a_device_that_dies_has_lc_off_as_its_will() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.port());
    let mut listener = Client::connect(broker.port());
    listener.subscribe(&["TNG/lamp/LC/#"]);
    let _lamp = lamp(proxy.port()).start().unwrap();
    assert_eq!(listener.recv(PATIENCE).unwrap().topic, "TNG/lamp/LC/ON");
    proxy.cut();
    assert_eq!(listener.recv(PATIENCE).unwrap().topic, "TNG/lamp/LC/OFF");
    proxy.mend();
    assert_eq!(listener.recv(PATIENCE).unwrap().topic, "TNG/lamp/LC/ON");
}

#[test]
fn neither_a_malformed_request_nor_a_filter_or_an_observer_that_panics_ends_a_device() {
    let broker = Broker::start();
    let mut asker = Client::connect(broker.port());
    asker.subscribe(&["TNG/lamp/STATE/UPD", "TNG/lamp/LC/ON"]);
    let lamp = Device::build(access(broker.port()), OFF)
        .filter(|_, wanted| assert_ne!(wanted.level, 13))
        .on_change(|change| assert_ne!(change.state.level, 14))
        .start()
        .unwrap();
    asker.recv(PATIENCE).expect("it is there");
    for bad in ["", "nope", "[]", "{}", r#"{"delta":5}"#, "\u{feff}{}", r#"{"state":null}"#] {
        asker.publish("TNG/lamp/STATE/SET", bad);
    }
    for (trn, level, answer) in [
        (1, json!(12), json!({"trn": 1, "level": 12})),
        (2, json!(13), json!({"trn": 2})),
        (3, json!(14), json!({"trn": 3, "level": 14})),
        (4, json!("x"), json!({"trn": 4})),
        (5, json!(15), json!({"trn": 5, "level": 15})),
    ] {
        let asked = json!({"delta": {"trn": trn, "level": level}});
        asker.publish_json("TNG/lamp/STATE/SET", &asked);
        assert_eq!(asker.recv(PATIENCE).unwrap().json(), json!({"delta": answer}));
    }
    assert_eq!(lamp.state().level, 15);
}

#[test]
fn a_request_above_the_limit_is_told_and_not_done() {
    let broker = Broker::start();
    let mut asker = Client::connect(broker.port());
    let (built, told) = watched(lamp(broker.port()).payload_limit(30));
    let _lamp = built.start().unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Event::Online));
    for level in [json!("far too high"), json!(41)] {
        asker.publish_json("TNG/lamp/STATE/SET", &json!({"delta": {"level": level}}));
    }
    let line = "TNG/lamp/STATE/SET: the payload has 34 bytes; at most 30 are taken";
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Event::Trouble(line.into())));
    assert_eq!(changed(&told).state.level, 41);
}

#[test]
fn changes_by_two_threads_are_told_in_the_order_in_which_they_were_made() {
    let (tell, told) = mpsc::channel();
    let counter = Device::build(access(1), json!({"n": 0}))
        .on_change(move |change| tell.send(change.state["n"].as_u64()).unwrap_or_default())
        .start()
        .unwrap();
    let next = |state: &mut Value| state["n"] = json!(state["n"].as_u64().unwrap() + 1);
    let count = || (0..5000).for_each(|_| counter.update(next).unwrap());
    std::thread::scope(|scope| [scope.spawn(count), scope.spawn(count)].map(drop));
    drop(counter);
    assert!(told.iter().eq((1..=10_000).map(Some)));
}

#[test]
fn a_device_cannot_be_started_on_a_thread_by_that_thread() {
    let runner = Runner::start("one").unwrap();
    let ((tell, told), within) = (mpsc::channel(), runner.clone());
    let start = move || lamp(1).start_on(&within).map(drop);
    let lamp = lamp(1).on_change(move |_| tell.send(start()).unwrap()).start_on(&runner).unwrap();
    lamp.update(|state| state.on = true).unwrap();
    let started = told.recv_timeout(PATIENCE).expect("it does not wait for itself");
    assert!(matches!(started, Err(DeviceError::Thread(_))), "{started:?}");
}

#[test]
fn what_the_broker_kept_of_requests_is_not_done() {
    let broker = Broker::start();
    let mut asker = Client::connect(broker.port());
    asker.publish_retained("TNG/lamp/STATE/SET", r#"{"delta":{"trn":1,"on":true}}"#);
    asker.subscribe(&["TNG/lamp/STATE/UPD", "TNG/lamp/LC/ON"]);
    let lamp = lamp(broker.port()).start().unwrap();
    asker.recv(PATIENCE).expect("it is there");
    asker.publish("TNG/lamp/STATE/GET", "");
    let state = asker.recv(PATIENCE).unwrap().json();
    assert_eq!(state, json!({"state": {"on": false, "level": 40}}));
    assert!(!lamp.state().on);
}

#[test]
fn many_devices_live_on_one_thread_and_end_in_order() {
    let mut site = Site::start(&Database::Sqlite, &AT_ONCE);
    let runner = Runner::start("fleet").unwrap();
    let start = |number: u8| {
        let mut access = Access::new(&format!("d{number}"), "127.0.0.1").unwrap();
        access.port = site.broker.port();
        Device::build(access, Lamp { on: false, level: number }).start_on(&runner).unwrap()
    };
    let devices: Vec<_> = (0..40).map(start).collect();
    for (number, device) in devices.iter().enumerate() {
        actix::System::new().block_on(device.online());
        let id = device.id().as_str();
        wait_for(&format!("{id} has a twin"), PATIENCE, || {
            (site.twin(id)["reported"]["level"] == number).then_some(())
        });
    }
    drop(runner);
    devices.iter().for_each(Device::close_blocking);
    wait_for("all have said farewell", PATIENCE, || {
        (0..40).all(|n| site.twin(&format!("d{n}"))["online"] == false).then_some(())
    });
}

#[test]
fn what_is_wrong_from_the_outset_is_said_at_the_start() {
    let wrong = |change: fn(&mut Access)| {
        let mut access = access(1);
        change(&mut access);
        Device::build(access, OFF).start().unwrap_err().to_string()
    };
    assert_eq!(
        wrong(|access| access.ca_file = Some("/nowhere/ca.pem".into())),
        "CA file /nowhere/ca.pem: No such file or directory (os error 2)"
    );
    let error = Device::build(access(1), json!([1])).start().unwrap_err();
    assert_eq!(error.to_string(), "the state is [1] as JSON, and not an object");
    let error = lamp(1).on_topic("PING", |_| {}).start().unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic \"TNG/lamp/TPC/PING\" is the protocol's; take another name than PING, PONG, STATS and RES"
    );
}

#[test]
fn a_broker_that_is_not_there_is_told_once_and_found_when_it_comes() {
    let mut broker = Broker::start();
    broker.stop();
    let (built, told) = watched(lamp(broker.port()));
    let lamp = built.start().unwrap();
    let Event::Trouble(line) = told.recv_timeout(PATIENCE).unwrap() else { panic!("no trouble") };
    let expected = format!(
        "broker 127.0.0.1:{} is not reached: Connection refused (os error 111); check MQTT_HOST, \
         MQTT_PORT and that the broker runs",
        broker.port()
    );
    assert_eq!(line, expected);
    broker.run();
    assert_eq!(told.recv_timeout(PATIENCE * 3), Ok(Event::Online));
    assert!(lamp.is_online());
}
