//! A network between the store and its server: what goes over it, and that it swallows a connection while the server
//! still thinks that it lives.

use std::time::{Duration, Instant};

use twinthing::store::{Health, StoreSettings};

use crate::{
    bench::{Bench, Place, next, record, run, until},
    mariadb::MariaDb,
    proxy::Proxy,
};

/// A proxy before a schema of its own, and the way through it.
fn through_proxy() -> (Proxy, Place) {
    let url = MariaDb::shared().fresh_schema();
    let (user, place) = url.split_once('@').unwrap();
    let (server, schema) = place.split_once('/').unwrap();
    let port = server.rsplit_once(':').unwrap().1.parse().unwrap();
    let network = Proxy::start(port);
    let place = Place::in_schema(format!("{user}@127.0.0.1:{}/{schema}", network.port()));
    (network, place)
}

#[test]
fn a_connection_that_the_network_swallowed_is_ended_and_its_lock_taken_over() {
    let (network, place) = through_proxy();
    run(async {
        let settings = StoreSettings { commit_timeout: Duration::from_secs(1), ..place.settings() };
        let mut bench = Bench::with(settings);
        bench.commit("lamp", record(1));
        bench.answer("lamp", 1).await;
        bench.load("lamp").await;
        network.swallow();
        let lost = Instant::now();
        bench.commit("lamp", record(2));
        assert!(matches!(next(&mut bench.health).await, Health::Away(_)));
        assert_eq!(bench.answer("lamp", 2).await.refused, None);
        assert_eq!(bench.load("lamp").await.unwrap().record, record(2));
        assert_eq!(next(&mut bench.health).await, Health::Here);
        assert!(lost.elapsed() < Duration::from_secs(15), "{:?}", lost.elapsed());
    });
}

#[test]
fn a_commit_takes_two_journeys() {
    let (network, place) = through_proxy();
    run(async {
        let mut bench = Bench::start(&place);
        bench.commit("lamp", record(1));
        bench.answer("lamp", 1).await;
        // Should it take long, the ping finds its connection open.
        bench.load("lamp").await;
        let before = network.said();
        for revision in 2..=101 {
            bench.commit("lamp", record(revision));
            bench.answer("lamp", revision).await;
        }
        let said = network.said() - before;
        assert!((200..220).contains(&said), "100 commits took {said} journeys");
    });
}

/// What a connection without autocommit leaves open keeps rows locked.
#[test]
fn no_transaction_is_left_open() {
    const OPEN: &str = "SELECT CAST(COUNT(*) AS CHAR) AS text FROM information_schema.INNODB_TRX \
        JOIN information_schema.PROCESSLIST ON ID = trx_mysql_thread_id WHERE DB = DATABASE()";
    let (network, place) = through_proxy();
    let is_over = || place.texts(OPEN) == [Some("0".to_owned())];
    run(async {
        let mut bench = Bench::start(&place);
        bench.commit("lamp", record(1));
        assert_eq!(bench.answer("lamp", 1).await.refused, None);
        until("the commit's", is_over).await;
        place.execute(
            "CREATE TRIGGER refuses BEFORE UPDATE ON twin FOR EACH ROW
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no change'",
        );
        bench.commit("new", record(1));
        bench.commit("lamp", record(2));
        assert_eq!(bench.answer("lamp", 2).await.refused.as_deref(), Some("no change"));
        until("what was refused", is_over).await;
        assert_eq!(bench.load("new").await.unwrap().record, record(1));
        assert_eq!(bench.load("lamp").await.unwrap().record, record(1));
        let said = network.said();
        until("a ping", || network.said() > said).await;
        until("the ping's", is_over).await;
    });
}
