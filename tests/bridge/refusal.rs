//! What brokers refuse.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    time::Duration,
};

use twinthing::mqtt::{Fatal, MqttSettings, Probed, Secret, Version, probe};

use crate::{
    broker::{Broker, broker_without},
    peer::Peer,
    rig::{Rig, settings, settings_for, until},
};

#[actix::test]
async fn bad_credentials_are_fatal_under_fail_fast_and_tried_again_all_the_same() {
    for (version, why) in [(Version::V3, "not authorized"), (Version::V5, "not authorized")] {
        let mut broker = Broker::start();
        broker.stop();
        broker.configure("allow_anonymous false\npassword_file {folder}/users");
        let users = broker.folder().join("users");
        let mut maker = Command::new("mosquitto_passwd");
        maker.args(["-b", "-c"]).arg(&users).args(["mgr", "right"]);
        assert!(maker.status().unwrap().success());
        broker.run();
        let mut given = MqttSettings { fail_fast: true, ..settings_for(version, broker.port()) };
        given.access.user = Some("mgr".to_owned());
        given.access.password = Some(Secret("wrong".to_owned()));
        let rig = Rig::start(given);
        until("it is refused", || rig.fatal.len() == 1).await;
        let line = format!(
            "broker 127.0.0.1:{} refused user \"mgr\": {why}; check MQTT_USER and MQTT_PASSWD",
            broker.port()
        );
        assert_eq!(rig.fatal.all(), [Fatal(line)]);
        broker.configure("");
        broker.restart();
        until("it is let in", || rig.link.len() == 1).await;
        assert_eq!(rig.fatal.len(), 1, "the same reason is told once");
    }
}

#[actix::test]
async fn without_fail_fast_nothing_is_fatal() {
    let broker = Broker::start_with("allow_anonymous false");
    let rig = Rig::start(settings(broker.port()));
    // Nothing is told of a refusal, so watch that nothing comes of some attempts.
    let mut looks = 0;
    until("a second has passed", || {
        looks += 1;
        looks > 100
    })
    .await;
    assert_eq!((rig.fatal.len(), rig.link.len()), (0, 0));
}

#[actix::test]
async fn a_refused_subscription_is_one_line_and_the_others_hold() {
    for (version, why) in [(Version::V3, "unspecified error"), (Version::V5, "not authorized")] {
        let broker = broker_without("TNG/+/TWIN/DEL");
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let given = MqttSettings { fail_fast: true, ..settings_for(version, broker.port()) };
        let rig = Rig::ready(given, &mut peer).await;
        let line = format!(
            "broker 127.0.0.1:{} refused the subscription to TNG/+/TWIN/DEL: {why}; client \"mgr\" \
             without a user name must be allowed to subscribe to it",
            broker.port()
        );
        assert_eq!(rig.fatal.all(), [Fatal(line)]);
        peer.publish("TNG/d1/TWIN/SET", "1").await;
        until("the others are granted", || rig.arrived.len() == 2).await;
    }
}

#[test]
fn a_probe_that_may_not_hear_the_answer_does_not_ask() {
    for (version, why) in [(Version::V3, "unspecified error"), (Version::V5, "not authorized")] {
        let broker = broker_without("TNG/+/TPC/PONG");
        let given = settings_for(version, broker.port());
        let Probed::NotAsked(line) = probe(&given.access, Duration::from_secs(10)).unwrap() else {
            panic!("it asked")
        };
        let begin = format!(
            "broker 127.0.0.1:{} refused the subscription to TNG/mgr/TPC/PONG: {why}; client \
             \"mgr-health-",
            broker.port()
        );
        let end = "\" without a user name must be allowed to subscribe to it";
        assert!(line.starts_with(&begin) && line.ends_with(end), "{line}");
    }
}

#[actix::test]
async fn a_publish_that_the_broker_refuses_counts_as_acknowledged() {
    let mut broker = Broker::start();
    broker.stop();
    let rights = "topic readwrite TNG/+/LC/ON\ntopic readwrite TNG/+/TWIN/RES\n";
    fs::write(broker.folder().join("acl"), rights).unwrap();
    broker.configure("acl_file {folder}/acl");
    broker.run();
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(broker.port()), &mut peer).await;
    rig.publish("d1", "1");
    rig.publish("d2", "2");
    until("both are told", || rig.acked.len() == 2).await;
    assert_eq!(rig.count().await.refused, 2);
    assert_eq!(rig.link.len(), 1, "the connection holds");
}

#[actix::test]
async fn a_publish_at_which_the_broker_hangs_up_does_not_hold_up_the_others_for_ever() {
    let mut broker = Broker::start();
    broker.stop();
    let rights = "topic readwrite TNG/+/LC/ON\ntopic readwrite TNG/good/TWIN/UPD\n";
    fs::write(broker.folder().join("acl"), rights).unwrap();
    // With this bound of 0, mosquitto 2.0 closes the connection after a publish that it denies.
    broker.configure("acl_file {folder}/acl\nmax_queued_messages 0");
    broker.run();
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(broker.port()), &mut peer).await;
    peer.subscribe("TNG/good/TWIN/UPD").await;
    rig.publish("bad", "1");
    rig.publish("good", "2");
    until("both are told", || rig.acked.len() == 2).await;
    let counters = rig.count().await;
    assert_eq!((counters.refused, counters.acked), (1, 1));
}

#[actix::test]
async fn a_broker_without_our_version_is_fatal_under_fail_fast() {
    let answers = [
        (Version::V3, b"\x20\x02\x00\x01".as_slice(), "MQTT 3.1.1; choose MQTT 5"),
        (Version::V5, b"\x20\x03\x00\x84\x00".as_slice(), "MQTT 5; choose MQTT 3.1.1"),
    ];
    for (version, connack, words) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                client.read_exact(&mut [0; 10]).ok();
                client.write_all(connack).ok();
            }
        });
        let rig = Rig::start(MqttSettings { fail_fast: true, ..settings_for(version, port) });
        until("it is refused", || rig.fatal.len() == 1).await;
        let line = format!("broker 127.0.0.1:{port} does not speak {words}");
        assert_eq!(rig.fatal.all(), [Fatal(line)]);
    }
}
