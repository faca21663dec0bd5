//! For those who build things: a device with a state that its twin follows.
//!
//! [`Device::build`] takes how the broker is reached, and the state, which is a type of yours. From then on the device
//! is connected whenever it can be, says so, reports what changes, does what its twin asks as far as your filter lets
//! it, and gets back what it was after a restart. None of that is yours to do: you change the state when something
//! happened ([`Device::update`]), and act when it was changed ([`Builder::on_change`], or [`Device::events`]).
//!
//! It works from any runtime, and from none: it has a thread of its own. `examples/lamp.rs` and
//! `examples/weather_station.rs` are devices to begin with.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use twinthing::{device::Device, mqtt::Access};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Lamp {
//!     on: bool,
//!     brightness: u8,
//! }
//!
//! let lamp = Device::build(Access::new("lamp", "127.0.0.1")?, Lamp { on: false, brightness: 40 })
//!     .filter(|now, wanted| if wanted.brightness > 100 { wanted.brightness = now.brightness })
//!     .on_change(|change| println!("the lamp is {}", if change.state.on { "on" } else { "off" }))
//!     .start()?;
//! lamp.update(|state| state.on = true)?; // somebody has pressed the switch
//! lamp.close_blocking();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is kept, and what is not
//!
//! The state is in memory. A device that starts again has the state that it is built with until its manager gives
//! back what it had reported; a manager that has never heard of it asks for that state instead. What changes while
//! the broker is away is reported when it is back, in one report, before the device says that it is there: so the
//! state that it is given back has it.
//!
//! A manager that was away may give back a state from before. It undoes nothing that the device has changed itself since
//! it started, unless somebody has asked for that member since.

mod agent;
mod author;
mod build;
mod error;
mod event;
mod fit;
mod handle;
mod kept;
mod state;
mod unsaid;

#[cfg(test)]
mod tests;

pub use self::{
    build::Builder,
    error::{DeviceError, NotSaid, StateError},
    event::{AppMessage, By, Change, Event, Events},
    handle::Device,
    state::State,
};
pub use crate::{
    mqtt::{Access, MqttError, Runner, Secret, Version},
    protocol::{AppTopic, AppTopicError, GroupName, ThingId},
};
