//! The broker, or the way to it, goes silent, while connections seem to stand.

use std::time::{Duration, Instant};

use crate::support::{
    broker::Broker, database::Database, load::Load, proxy::Proxy, site::Site, wait_for,
};

/// The longest wait for what the keep alive of 5 s finds out.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

fn losses(load: &Load) -> usize {
    load.site.program.output().matches(": connection lost: ").count()
}

#[test]
fn a_broker_that_hangs_longer_than_the_keep_alive_costs_no_update() {
    let mut load = Load::on(Site::start(&Database::Sqlite, &[("MQTT_KEEP_ALIVE", "5")]));
    load.run(100);
    (0..50).for_each(|_| load.say_on());
    load.site.broker.freeze();
    wait_for("the manager to notice", KEEP_ALIVE, || {
        load.listen(Duration::from_millis(100));
        (losses(&load) > 0).then_some(())
    });
    (0..50).for_each(|_| load.say_on());
    load.site.broker.thaw();
    load.recover("a broker hanging", Instant::now());
    load.run(100);
    load.check_all_with_repeats();
}

#[test]
fn a_connection_of_which_only_one_half_stands_is_made_anew_and_costs_no_update() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.port());
    let port = proxy.port().to_string();
    let settings = [("MQTT_PORT", port.as_str()), ("MQTT_KEEP_ALIVE", "5")];
    let mut load = Load::on(Site::start_at(broker, &Database::Sqlite, &settings));
    load.run(100);
    (0..50).for_each(|_| load.say_on());
    proxy.swallow();
    // The connection never comes back: the time is from when it went silent.
    let time = load.recover("a connection half open, from its beginning", Instant::now());
    assert!(time < KEEP_ALIVE, "{time:?}");
    load.run(100);
    load.check_all_with_repeats();
    assert_eq!(losses(&load), 1);
}
