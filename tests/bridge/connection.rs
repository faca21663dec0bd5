//! How connections come and go.

use std::time::Duration;

use twinthing::mqtt::{Close, Link};

use crate::{
    VERSIONS,
    broker::Broker,
    peer::Peer,
    port::free_port,
    proxy::Proxy,
    rig::{Rig, pair, settings, settings_for, until},
};

#[actix::test]
async fn a_broker_that_forgot_the_session_gives_a_new_number() {
    for version in VERSIONS {
        let mut broker = Broker::start_with("persistence false");
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, broker.port());
        let rig = Rig::ready(settings, &mut peer).await;
        // Its own LC/ON comes back to it, perhaps after it has come to the peer.
        until("it is subscribed", || rig.arrived.len() == 1).await;
        broker.kill();
        until("it is noticed", || rig.link.len() == 2).await;
        broker.run();
        until("it is back", || rig.link.len() == 3).await;
        let sessions = rig.sessions();
        assert!(sessions[2] > sessions[0]);
        until("it is subscribed again", || rig.arrived.len() == 2).await;
        assert_eq!(rig.arrived.all()[1].session, sessions[2].unwrap());
    }
}

#[actix::test]
async fn the_will_says_lc_off_when_the_connection_breaks() {
    for version in VERSIONS {
        let broker = Broker::start();
        let proxy = Proxy::start(broker.port());
        let mut peer = Peer::connect(broker.port(), "peer").await;
        let settings = settings_for(version, proxy.port());
        let rig = Rig::ready(settings, &mut peer).await;
        peer.subscribe("TNG/mgr/LC/OFF").await;
        proxy.cut();
        assert_eq!(peer.next().await, pair("TNG/mgr/LC/OFF", r#"{"online":0}"#));
        proxy.mend();
        assert_eq!(peer.next().await, pair("TNG/mgr/LC/ON", r#"{"online":1}"#));
        assert_eq!(rig.link.len(), 3);
    }
}

#[actix::test]
async fn a_connection_that_went_silent_is_given_up_and_made_anew() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.port());
    let mut peer = Peer::connect(broker.port(), "peer").await;
    let rig = Rig::ready(settings(proxy.port()), &mut peer).await;
    proxy.hold();
    rig.publish("d1", "1");
    until("it is noticed", || rig.link.len() == 2).await;
    proxy.let_go();
    until("the publish is acknowledged", || rig.acked.len() == 1).await;
    assert!(matches!(rig.link.all()[1..], [Link::Down, Link::Up { .. }]));
}

#[actix::test]
async fn close_without_a_connection_answers_at_once() {
    let rig = Rig::start(settings(free_port()));
    let closing = rig.bridge.send(Close);
    actix_rt::time::timeout(Duration::from_secs(1), closing).await.unwrap().unwrap();
}

#[actix::test]
async fn a_broker_that_answers_nothing_is_waited_for() {
    let broker = Broker::start();
    let mut peer = Peer::connect(broker.port(), "peer").await;
    peer.subscribe("TNG/mgr/LC/ON").await;
    broker.freeze();
    let rig = Rig::start(settings(broker.port()));
    rig.publish("d1", "1");
    rig.count().await;
    broker.thaw();
    until("it is acknowledged", || rig.acked.len() == 1).await;
    assert_eq!(rig.link.len(), 1);
}
