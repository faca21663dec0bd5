//! A network that swallows a connection, while the server still thinks that it lives.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use twinthing::store::{Health, StoreSettings};

use crate::{
    bench::{Bench, Place, next, record, run},
    mariadb::MariaDb,
};

/// Stands between the store and a server, and can swallow what goes over its connections.
struct Network {
    port: u16,
    /// Connections with a lower number are swallowed.
    swallows_below: Arc<AtomicU32>,
    connections: Arc<AtomicU32>,
}

impl Network {
    fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = Self {
            port: listener.local_addr().unwrap().port(),
            swallows_below: Arc::default(),
            connections: Arc::default(),
        };
        let (below, count) =
            (Arc::clone(&network.swallows_below), Arc::clone(&network.connections));
        thread::spawn(move || {
            for client in listener.incoming() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (from, to) in [(client, server), back] {
                    let below = Arc::clone(&below);
                    thread::spawn(move || forward(from, to, number, &below));
                }
            }
        });
        network
    }

    /// Swallows what goes over the connections that there are; new ones work.
    fn lose_all(&self) {
        self.swallows_below.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, number: u32, below: &AtomicU32) {
    let mut buffer = [0; 65_536];
    while let Ok(read) = from.read(&mut buffer) {
        let swallows = number < below.load(Ordering::SeqCst);
        if !swallows && (read == 0 || to.write_all(&buffer[..read]).is_err()) {
            to.shutdown(std::net::Shutdown::Both).ok();
            return;
        }
        if read == 0 {
            // The other side never hears of it.
            loop {
                thread::park();
            }
        }
    }
}

#[test]
fn a_connection_that_the_network_swallowed_is_ended_and_its_lock_taken_over() {
    let url = MariaDb::shared().fresh_schema();
    let (user, place) = url.split_once('@').unwrap();
    let (server, schema) = place.split_once('/').unwrap();
    let network = Network::before(server.to_owned());
    let place = Place::in_schema(format!("{user}@127.0.0.1:{}/{schema}", network.port));
    run(async {
        let settings = StoreSettings { commit_timeout: Duration::from_secs(1), ..place.settings() };
        let mut bench = Bench::with(settings);
        bench.commit("lamp", record(1));
        bench.answer("lamp", 1).await;
        bench.load("lamp").await;
        network.lose_all();
        let lost = Instant::now();
        bench.commit("lamp", record(2));
        assert!(matches!(next(&mut bench.health).await, Health::Away(_)));
        assert_eq!(bench.answer("lamp", 2).await.refused, None);
        assert_eq!(bench.load("lamp").await.unwrap().record, record(2));
        assert_eq!(next(&mut bench.health).await, Health::Here);
        assert!(lost.elapsed() < Duration::from_secs(15), "{:?}", lost.elapsed());
    });
}
