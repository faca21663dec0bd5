//! What the broker sends.

use twinthing::{
    mqtt::{Close, Destination, InboxSettings, MqttSettings, Publish, Quiesce, Respond},
    protocol::{ThingTopic, Topic},
};

use crate::{
    VERSIONS,
    broker::Broker,
    peer::Peer,
    rig::{Rig, in_memory, pair, settings, settings_for, until, update},
};

#[actix::test]
async fn messages_are_handed_on_in_order_under_rising_numbers() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings, &mut peer).await;
        for n in 0..100 {
            peer.publish("TNG/d1/TWIN/SET", n.to_string()).await;
        }
        // The manager hears its own LC/ON first.
        until("101 messages", || rig.arrived.len() == 101).await;
        let arrived = rig.arrived.all();
        assert!(arrived.windows(2).all(|two| two[0].place < two[1].place));
        assert!(arrived.windows(2).all(|two| two[0].at <= two[1].at));
        let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(rig.payloads()[1..], expected);
        let session = rig.sessions()[0].unwrap();
        assert!(session > 7, "a new session has a new number");
        assert!(arrived.iter().all(|a| a.session == session));
        assert_eq!(arrived[1].topic, Topic::Thing("d1".parse().unwrap(), ThingTopic::TwinSet));
    }
}

#[actix::test]
async fn payloads_come_as_they_were_even_empty_or_not_text() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings, &mut peer).await;
        peer.publish("TNG/d1/TWIN/SET", []).await;
        peer.publish("TNG/d1/TWIN/SET", [0xff, 0, 0xfe]).await;
        until("both messages", || rig.arrived.len() == 3).await;
        let arrived = rig.arrived.all();
        assert!(arrived[1].payload.is_empty());
        assert_eq!(*arrived[2].payload, [0xff, 0, 0xfe]);
    }
}

#[actix::test]
async fn response_topic_and_correlation_come_in_and_go_out() {
    let broker = Broker::start();
    let mut peer = Peer::connect(broker.port(), "app").await;
    let rig = Rig::ready(settings(broker.port()), &mut peer).await;
    peer.subscribe("TNG/app/TPC/RES/#").await;
    peer.ask("TNG/d1/TWIN/GET", "TNG/app/TPC/RES/1", &[0, 1, 0xff]).await;
    peer.ask("TNG/d1/TWIN/GET", "TNG/app/TPC/RES/2", &[]).await;
    peer.ask("TNG/d1/TWIN/GET", "TNG/d1/STATE/SET", b"x").await;
    until("three questions", || rig.arrived.len() == 4).await;

    let responds: Vec<_> = rig.arrived.all().into_iter().skip(1).map(|a| a.respond).collect();
    let first = Respond {
        topic: "TNG/app/TPC/RES/1".parse().unwrap(),
        correlation: Some(vec![0, 1, 0xff]),
    };
    assert_eq!(responds[0].as_ref(), Some(&first));
    assert_eq!(responds[1].as_ref().unwrap().correlation, Some(vec![]));
    assert_eq!(responds[2], None);
    assert_eq!(rig.count().await.ignored_response_topic, 1);

    let payload = b"answer".as_slice().into();
    rig.bridge.do_send(Publish {
        to: Destination::Response(first),
        payload,
        about: None,
        entry: None,
    });
    let answer = peer.message().await;
    assert_eq!(answer.topic, "TNG/app/TPC/RES/1");
    let properties = answer.properties.unwrap();
    assert_eq!(properties.correlation_data.unwrap(), [0, 1, 0xff].as_slice());
}

#[actix::test]
async fn retained_messages_and_bad_topics_are_ignored_and_counted() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        peer.retain("TNG/d1/TWIN/SET", "old").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings, &mut peer).await;
        peer.publish("TNG/ d1/TWIN/SET", "bad id").await;
        peer.publish("TNG/d1/TWIN/SET", "good").await;
        until("the good one", || rig.arrived.len() == 2).await;
        assert_eq!(rig.payloads()[1], "good");
        let counters = rig.count().await;
        assert_eq!((counters.received, counters.ignored_topic), (3, 1));
        assert_eq!(counters.ignored_retained, 1);
        rig.arrived.all().iter().for_each(|a| rig.finish(a.place.number));
        rig.bridge.send(Quiesce).await.unwrap();
    }
}

#[actix::test]
async fn what_is_published_while_the_bridge_is_away_arrives_later_in_the_same_session() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings.clone(), &mut peer).await;
        peer.subscribe("TNG/mgr/LC/OFF").await;
        rig.bridge.send(Close).await.unwrap();
        assert_eq!(peer.next().await, pair("TNG/mgr/LC/OFF", r#"{"online":0}"#));
        drop(rig);
        for n in 0..50 {
            peer.publish("TNG/d1/TWIN/SET", n.to_string()).await;
        }
        let rig = Rig::start(settings);
        let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
        until("all 50", || rig.payloads().iter().filter(|p| expected.contains(p)).count() == 50)
            .await;
        assert_eq!(rig.sessions(), [Some(7)], "the session given at start is still in force");
        assert!(rig.arrived.all().iter().all(|a| a.session == 7));
    }
}

#[actix::test]
async fn no_more_entries_are_under_way_than_allowed() {
    let broker = Broker::start();
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let given = MqttSettings { under_way: 3, ..settings(broker.port()) };
    let rig = Rig::ready(given, &mut peer).await;
    for n in 0..10 {
        peer.publish("TNG/d1/TWIN/SET", n.to_string()).await;
    }
    until("three are handed on", || rig.arrived.len() == 3).await;
    for done in 0..8 {
        assert_eq!(rig.arrived.len(), done + 3);
        rig.finish(rig.arrived.all()[done].place.number);
        rig.finish(rig.arrived.all()[done].place.number);
        until("one more", || rig.arrived.len() == done + 4).await;
        rig.count().await;
    }
    assert_eq!(rig.arrived.len(), 11);
}

#[actix::test]
async fn a_full_inbox_disconnects_until_it_is_drained_and_nothing_is_lost() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let given = MqttSettings { under_way: 10, ..settings_for(version, broker.port()) };
        let inbox = InboxSettings { bytes: 20_000, ..in_memory() };
        let rig = Rig::ready_on(given, &inbox, &mut peer).await;
        peer.subscribe("TNG/mgr/LC/OFF").await;
        for n in 0..200 {
            peer.publish("TNG/d1/TWIN/SET", format!("{n:0>500}")).await;
        }
        until("it is full", || rig.link.len() == 2).await;
        rig.publish("d1", "waits");
        let mut done = 0;
        until("all have come", || {
            for arrived in rig.arrived.all().iter().skip(done) {
                rig.finish(arrived.place.number);
                done += 1;
            }
            rig.payloads().contains(&format!("{:0>500}", 199))
        })
        .await;
        // What the broker had not heard acknowledged when we left comes again.
        let mut next = 0;
        for value in rig.payloads().iter().filter_map(|p| p.parse::<usize>().ok()) {
            assert!(value <= next, "{value} came before {next}");
            next = next.max(value + 1);
        }
        assert_eq!(next, 200);
        until("the publish is told", || rig.acked.len() == 1).await;
        let sessions = rig.sessions();
        assert!(sessions.iter().flatten().all(|session| Some(*session) == sessions[0]));
        rig.bridge.send(Close).await.unwrap();
        let mut farewells = 0;
        while farewells == 0 {
            farewells += usize::from(peer.next().await.0 == "TNG/mgr/LC/OFF");
        }
        assert_eq!(rig.count().await.ignored_topic, 0);
    }
}

/// What is done of a full inbox is over only when the broker has acknowledged what came of it.
#[actix::test]
async fn a_full_inbox_whose_answers_wait_for_the_broker_connects_again() {
    let folder = tempfile::tempdir().unwrap();
    for place in [None, Some(folder.path().into())] {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let given = MqttSettings { under_way: 1000, ..settings(broker.port()) };
        let inbox = InboxSettings { folder: place, sync: false, bytes: 100_000 };
        let rig = Rig::ready_on(given, &inbox, &mut peer).await;
        for n in 0..400 {
            peer.publish("TNG/d1/TWIN/SET", format!("{n:0>500}")).await;
        }
        until("it is full", || rig.link.len() == 2).await;
        let mut done = 0;
        until("all have come", || {
            for arrived in rig.arrived.all().iter().skip(done) {
                let number = arrived.place.number;
                rig.bridge.do_send(Publish { entry: Some(number), ..update("d1", "told") });
                rig.finish(number);
                done += 1;
            }
            let has_last = rig.payloads().contains(&format!("{:0>500}", 399));
            has_last && rig.acked.len() == done
        })
        .await;
    }
}

/// What is under way may itself wait for an acknowledgement, as a group's SET does: then both wait for the other.
#[actix::test]
async fn a_full_inbox_with_something_that_waits_for_the_broker_connects_again() {
    let broker = Broker::start();
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let given = MqttSettings { under_way: 1000, ..settings(broker.port()) };
    let folder = tempfile::tempdir().unwrap();
    let inbox = InboxSettings { folder: Some(folder.path().into()), sync: false, bytes: 100_000 };
    let rig = Rig::ready_on(given, &inbox, &mut peer).await;
    for n in 0..400 {
        peer.publish("TNG/d1/TWIN/SET", format!("{n:0>500}")).await;
    }
    until("it is full", || rig.link.len() == 2).await;
    let first = rig.arrived.all()[0].place.number;
    rig.bridge.do_send(Publish { entry: Some(first), ..update("d1", "told") });
    let mut done = 1;
    until("all have come", || {
        for arrived in rig.arrived.all().iter().skip(done) {
            rig.finish(arrived.place.number);
            done += 1;
        }
        rig.acked.len() == 1
    })
    .await;
    rig.finish(first);
    until("the last has come", || {
        for arrived in rig.arrived.all().iter().skip(done) {
            rig.finish(arrived.place.number);
            done += 1;
        }
        rig.payloads().contains(&format!("{:0>500}", 399))
    })
    .await;
}
