//! A network that swallows a connection, while the server still thinks that it lives.

use std::time::{Duration, Instant};

use twinthing::store::{Health, StoreSettings};

use crate::{
    bench::{Bench, Place, next, record, run},
    mariadb::MariaDb,
    proxy::Proxy,
};

#[test]
fn a_connection_that_the_network_swallowed_is_ended_and_its_lock_taken_over() {
    let url = MariaDb::shared().fresh_schema();
    let (user, place) = url.split_once('@').unwrap();
    let (server, schema) = place.split_once('/').unwrap();
    let port = server.rsplit_once(':').unwrap().1.parse().unwrap();
    let network = Proxy::start(port);
    let place = Place::in_schema(format!("{user}@127.0.0.1:{}/{schema}", network.port()));
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
