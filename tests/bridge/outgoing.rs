//! What is published.

use twinthing::mqtt::{Link, Quiesce};

use crate::{
    VERSIONS,
    broker::Broker,
    peer::Peer,
    proxy::Proxy,
    rig::{Rig, settings, settings_for, until, update},
};

#[actix::test]
async fn publishes_arrive_in_order_per_topic_and_are_told_once_each() {
    for version in VERSIONS {
        let broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings, &mut peer).await;
        peer.subscribe("TNG/+/TWIN/UPD").await;
        for n in 0..2_000 {
            rig.publish(["a", "b", "c"][n % 3], &n.to_string());
        }
        let mut arrived = Vec::new();
        for _ in 0..2_000 {
            arrived.push(peer.next().await);
        }
        for (i, thing) in ["a", "b", "c"].iter().enumerate() {
            let topic = format!("TNG/{thing}/TWIN/UPD");
            let values = arrived.iter().filter(|(t, _)| *t == topic).map(|(_, n)| n.clone());
            let expected = (i..2_000).step_by(3).map(|n| n.to_string());
            assert_eq!(values.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }
        until("2 000 acknowledged", || rig.acked.len() == 2_000).await;
        assert_eq!(rig.count().await.acked, 2_000);
    }
}

#[actix::test]
async fn nothing_is_lost_when_the_broker_restarts_and_the_session_is_kept() {
    for version in VERSIONS {
        let mut broker = Broker::start();
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings, &mut peer).await;
        let session = rig.sessions()[0];
        for n in 0..3_000 {
            rig.publish("d1", &n.to_string());
        }
        until("some are acknowledged", || rig.acked.len() > 100).await;
        broker.stop();
        assert!(rig.acked.len() < 3_000, "the broker was stopped in mid-stream");
        until("it is noticed", || rig.link.len() == 2).await;
        rig.publish("d1", "meanwhile");
        broker.run();
        until("all are acknowledged", || rig.acked.len() == 3_001).await;
        assert_eq!(rig.sessions(), [session, None, session]);

        let mut peer = Peer::connect(broker.port(), "peer").await;
        peer.publish("TNG/d1/TWIN/SET", "again").await;
        until("it is subscribed", || rig.payloads().contains(&"again".to_owned())).await;
        assert_eq!(rig.count().await.reconnects, 1);
    }
}

#[actix::test]
async fn order_holds_through_broken_connections() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.port());
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(proxy.port()), &mut peer).await;
    peer.subscribe("TNG/d1/TWIN/UPD").await;
    for n in 0..3_000 {
        rig.publish("d1", &n.to_string());
    }
    for cut in 1..=3 {
        until("some more are acknowledged", || rig.acked.len() > cut * 500).await;
        proxy.cut();
        until("it is noticed", || rig.link.len() == 2 * cut).await;
        proxy.mend();
        // Enough for the next cut may have been acknowledged before this one: then there is nothing to cut yet.
        until("it is back", || rig.link.len() == 2 * cut + 1).await;
    }
    until("all are acknowledged", || rig.acked.len() == 3_000).await;
    let (mut next, mut last) = (0, None);
    while next < 3_000 || last != Some(2_999) {
        let (topic, payload) = peer.next().await;
        if topic.ends_with("UPD") {
            let n: i32 = payload.parse().unwrap();
            assert!(n <= next, "{n} came before {next}");
            next = next.max(n + 1);
            last = Some(n);
        }
    }
    assert_eq!(rig.acked.len(), 3_000, "each is told once");
}

#[actix::test]
async fn a_publish_larger_than_the_broker_takes_is_not_sent_and_counts_as_acknowledged() {
    let broker = Broker::start_with("max_packet_size 2000");
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(broker.port()), &mut peer).await;
    assert!(matches!(rig.link.all()[0], Link::Up { maximum_packet: Some(2000), .. }));
    peer.subscribe("TNG/d1/TWIN/UPD").await;
    // PUBLISH: 3 bytes of header, 2 of length and 15 of topic, 2 of id, 1 without properties.
    let fits = 2_000 - 3 - 2 - "TNG/d1/TWIN/UPD".len() - 2 - 1;
    rig.publish("d1", &"x".repeat(fits + 1));
    rig.publish("d1", &"y".repeat(fits));
    assert_eq!(peer.next().await.1, "y".repeat(fits));
    until("both are told", || rig.acked.len() == 2).await;
    assert_eq!((rig.count().await.refused, rig.link.len()), (1, 1));
}

#[actix::test]
async fn quiesce_waits_for_what_came_and_for_what_goes() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.port());
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(proxy.port()), &mut peer).await;
    until("LC/ON has come", || rig.arrived.len() == 1).await;
    let quiet = actix_rt::spawn(rig.bridge.send(Quiesce));
    rig.count().await;
    assert!(!quiet.is_finished(), "an entry is not done");
    proxy.hold();
    rig.publish("d1", "1");
    rig.finish(1);
    rig.count().await;
    assert!(!quiet.is_finished(), "a publish is not acknowledged");
    proxy.let_go();
    quiet.await.unwrap().unwrap();
    assert_eq!(rig.acked.len(), 1);
}

#[actix::test]
async fn quiescing_does_not_wait_for_what_comes_after_it() {
    let broker = Broker::start();
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(broker.port()), &mut peer).await;
    until("LC/ON has come", || rig.arrived.len() == 1).await;
    let quiet = actix_rt::spawn(rig.bridge.send(Quiesce));
    rig.count().await;
    peer.publish("TNG/d1/TWIN/SET", "{}").await;
    until("a SET has come", || rig.arrived.len() == 2).await;
    assert!(!quiet.is_finished(), "the first entry is not done");
    rig.finish(1);
    quiet.await.unwrap().unwrap();
}

#[actix::test]
async fn publishes_wait_until_the_broker_is_there() {
    let mut broker = Broker::start();
    broker.stop();
    let rig = Rig::start(settings(broker.port()));
    rig.bridge.do_send(update("d1", "1"));
    rig.count().await;
    broker.run();
    until("it is acknowledged", || rig.acked.len() == 1).await;
    assert_eq!(rig.fatal.len(), 0);
}
