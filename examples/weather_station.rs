//! A weather station that measures every 5 seconds, whether or not anybody is there to hear it.
//!
//! Shows: values that nobody else may set; a setting that somebody may (how often to measure); what changes while the
//! broker is away and is reported when it is back; async code, here in actix' runtime for its timer and Ctrl-C: a device is
//! content with any. Does not show: a sensor.
//!
//! cargo run --example weather_station -- [ID [HOST [PORT]]]

use std::{env, error::Error, pin::pin, time::Duration};

use actix_rt::{
    signal::ctrl_c,
    time::{Instant, sleep_until},
};
use serde::{Deserialize, Serialize};
use twinthing::device::{Access, Device, Event};

#[derive(Clone, Serialize, Deserialize)]
struct Station {
    /// °C
    temperature: f64,
    /// %
    humidity: f64,
    /// How often to measure.
    seconds: u64,
}

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = env::args().skip(1).collect();
    let text = |place, or| given.get(place).map_or(or, String::as_str);
    let mut access = Access::new(text(0, "weather"), text(1, "127.0.0.1"))?;
    access.port = text(2, "1883").parse()?;

    let station = Device::build(access, Station { temperature: 15.0, humidity: 60.0, seconds: 5 })
        .filter(|now, wanted| {
            wanted.seconds = wanted.seconds.clamp(1, 3600);
            (wanted.temperature, wanted.humidity) = (now.temperature, now.humidity);
        })
        .report_interval(Duration::from_secs(1))
        .start()?;

    let (mut events, mut measured) = (station.events(), Instant::now());
    let mut ctrl_c = pin!(ctrl_c());
    loop {
        // Whatever happens meanwhile does not put it off.
        let due = measured + Duration::from_secs(station.state().seconds);
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Online) => println!("online"),
                Some(Event::Offline) => println!("offline: what is measured now is reported later"),
                Some(Event::Trouble(line)) => eprintln!("{line}"),
                Some(Event::Changed(change)) => println!("{:?}: {}", change.by, serde_json::to_string(&change.delta)?),
                None => return Ok(()),
            },
            () = sleep_until(due) => {
                measured = Instant::now();
                station.update(measure)?;
            }
            end = &mut ctrl_c => {
                end?;
                station.close().await;
                return Ok(());
            }
        }
    }
}

/// As good as a sensor: a walk.
fn measure(station: &mut Station) {
    let step = || (fastrand::f64() - 0.5) * 0.4;
    let one_digit = |value: f64| (value * 10.0).round() / 10.0;
    station.temperature = one_digit((station.temperature + step()).clamp(-40.0, 50.0));
    station.humidity = one_digit((station.humidity + step()).clamp(0.0, 100.0));
}
