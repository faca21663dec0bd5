//! A lamp with a switch, in forty lines.
//!
//! Shows: a state that is a type of its own; a request that is refused (a brightness over 100); a change of the lamp's
//! own; what to do when the state changed. Does not show: TLS and passwords (`Access` has them), topics of your own.
//!
//! cargo run --example lamp -- [ID [HOST [PORT]]]     then type: on, off, or a brightness

use std::{env, error::Error, io};

use serde::{Deserialize, Serialize};
use twinthing::device::{Access, Device};

#[derive(Clone, Serialize, Deserialize)]
struct Lamp {
    on: bool,
    brightness: u8,
}

fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = env::args().skip(1).collect();
    let text = |place, or| given.get(place).map_or(or, String::as_str);
    let mut access = Access::new(text(0, "lamp"), text(1, "127.0.0.1"))?;
    access.port = text(2, "1883").parse()?;

    let lamp = Device::build(access, Lamp { on: false, brightness: 40 })
        .filter(|now, wanted| {
            if wanted.brightness > 100 {
                wanted.brightness = now.brightness;
            }
        })
        .on_online(|online| println!("{}", if online { "online" } else { "offline" }))
        .on_change(|change| {
            println!("on: {}, brightness: {}", change.state.on, change.state.brightness)
        })
        .start()?;

    for line in io::stdin().lines() {
        match line?.trim() {
            switch @ ("on" | "off") => lamp.update(|lamp| lamp.on = switch == "on")?,
            number => match number.parse() {
                Ok(brightness @ 0..=100) => lamp.update(|lamp| lamp.brightness = brightness)?,
                _ => eprintln!("type on, off, or a brightness from 0 to 100"),
            },
        }
    }
    lamp.close_blocking();
    Ok(())
}
