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

mod agent;
mod build;
mod fit;
mod kept;
mod unsaid;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::Addr;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::sync::{broadcast, oneshot, watch};

pub use self::{
    agent::NotSaid,
    build::{Builder, DeviceError},
};
use self::{
    agent::{Agent, Changed, Close, Say},
    kept::Kept,
};
pub use crate::{
    mqtt::{Access, MqttError, Runner, Secret, Version},
    protocol::{AppTopic, AppTopicError, GroupName, ThingId},
};

/// What a state may be: a type of yours that serde reads and writes as an object, or a JSON object itself.
///
/// Whatever has these traits is one.
pub trait State: Serialize + DeserializeOwned + Clone + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> State for T {}

/// Why a state is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// serde writes it, but not as an object.
    #[error("the state is {0} as JSON, and not an object")]
    NotAnObject(String),
    /// serde cannot write it.
    #[error("the state cannot be written as JSON: {0}")]
    NotJson(String),
    /// A member that the protocol has for itself.
    #[error("the state has a member called \"trn\", which is the protocol's")]
    Trn,
}

/// Something happened to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<T> {
    /// It is connected, and has said so.
    Online,
    /// The connection is lost; it is being tried again.
    Offline,
    /// Why it cannot connect, or what the broker refuses: a line for a person. Each is told once, until there is
    /// another.
    Trouble(String),
    /// Its state changed.
    Changed(Change<T>),
}

/// A change of a device's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<T> {
    /// By whom.
    pub by: By,
    /// What it is now.
    pub state: T,
    /// What became different, as a merge patch: null for what is gone.
    pub delta: Map<String, Value>,
}

/// Who changed a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The device itself, by [`Device::update`].
    Device,
    /// Somebody asked for it.
    Asked,
    /// Its manager gave back what it was before a restart.
    Restored,
}

/// A message on a topic of an application's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMessage {
    /// Where it came.
    pub topic: AppTopic,
    /// What it says.
    pub payload: Vec<u8>,
}

/// A running device. Copies are the same device; it says LC/OFF and ends when the last one is gone.
pub struct Device<T: State>(Arc<Handle<T>>);

impl<T: State> Clone for Device<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: State> fmt::Debug for Device<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.0.id)
    }
}

struct Handle<T: State> {
    id: ThingId,
    shared: Arc<Shared<T>>,
    agent: Addr<Agent<T>>,
    online: watch::Receiver<bool>,
}

impl<T: State> Drop for Handle<T> {
    fn drop(&mut self) {
        self.agent.do_send(Close(None));
    }
}

/// What the agent and the handles have in common.
struct Shared<T: State> {
    kept: Mutex<Kept<T>>,
    events: broadcast::Sender<Event<T>>,
}

impl<T: State> Shared<T> {
    /// A filter or an update that panics leaves the state as it was.
    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: State> Device<T> {
    /// A device with the id of this access, whose state is this until its manager gives back another.
    pub fn build(access: Access, state: T) -> Builder<T> {
        Builder::new(access, state)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ThingId {
        &self.0.id
    }

    /// What its state is now.
    #[must_use]
    pub fn state(&self) -> T {
        self.0.shared.kept().state().clone()
    }

    /// Changes the state. It is reported as soon as it can be, and no more often than the minimum interval.
    ///
    /// Not to be called within a filter.
    ///
    /// # Errors
    /// [`StateError`] if the new state is none; the old one stays.
    pub fn update(&self, change: impl FnOnce(&mut T)) -> Result<(), StateError> {
        let changed = {
            let mut kept = self.0.shared.kept();
            let mut state = kept.state().clone();
            change(&mut state);
            let delta = kept.update(state)?;
            Change { by: By::Device, state: kept.state().clone(), delta }
        };
        if !changed.delta.is_empty() {
            self.0.agent.do_send(Changed(changed));
        }
        Ok(())
    }

    /// Publishes on a topic of an application's own, and waits until the broker has it.
    ///
    /// # Errors
    /// [`NotSaid`] if the device is not connected, the connection is lost first, or the broker refuses it.
    pub async fn publish(
        &self,
        topic: AppTopic,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), NotSaid> {
        let (tell, told) = oneshot::channel();
        self.0.agent.do_send(Say { topic, payload: payload.into(), tell });
        told.await.unwrap_or(Err(NotSaid::Offline))
    }

    /// Whether it is connected.
    #[must_use]
    pub fn is_online(&self) -> bool {
        *self.0.online.borrow()
    }

    /// Waits until it is connected.
    pub async fn online(&self) {
        // It ends only with the agent, after which nobody can be online.
        if self.0.online.clone().wait_for(|online| *online).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What happens to it from now on.
    #[must_use]
    pub fn events(&self) -> Events<T> {
        Events(self.0.shared.events.subscribe())
    }

    /// Reports what has not been reported, says LC/OFF and disconnects: within 5 s.
    pub async fn close(&self) {
        let (tell, told) = oneshot::channel();
        self.0.agent.do_send(Close(Some(tell)));
        // If it is closed already, nobody answers.
        told.await.unwrap_or_default();
    }

    /// The same for those who are not in an async function.
    pub fn close_blocking(&self) {
        pollster::block_on(self.close());
    }
}

/// What happens to a device, as it happens.
pub struct Events<T>(broadcast::Receiver<Event<T>>);

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl<T: Clone> Events<T> {
    /// The next one, when there is one; none once the device is closed. Who is more than 256 events late loses the
    /// oldest.
    pub async fn next(&mut self) -> Option<Event<T>> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    log::warn!("{missed} events of a device were not fetched in time");
                }
            }
        }
    }

    /// The same for those who are not in an async function.
    pub fn next_blocking(&mut self) -> Option<Event<T>> {
        pollster::block_on(self.next())
    }
}
