//! What happens to a device, for those who look on.

use std::fmt;

use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::protocol::AppTopic;

/// Something happened to a device.
///
/// ```
/// use serde_json::json;
/// use twinthing::device::{Access, Device, Event};
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = Device::build(access, json!({"on": false})).start()?;
/// let mut events = lamp.events();
/// let Some(Event::Trouble(why)) = events.next_blocking() else { panic!("no broker is there") };
/// assert!(why.starts_with("broker 127.0.0.1:1 is not reached"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Event<T> {
    /// It is connected, and has said so.
    Online,
    /// The connection is lost; it is being tried again.
    Offline,
    /// Why it cannot connect, what the broker refuses, or what is wrong with a request: a line for a person. Each is told
    /// once, until there is another.
    Trouble(String),
    /// Its state changed.
    Changed(Change<T>),
}

/// A change of a device's state.
///
/// ```
/// use serde_json::json;
/// use twinthing::device::{Access, By, Change, Device, Event};
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = Device::build(access, json!({"on": false, "level": 40})).start()?;
/// let mut events = lamp.events();
/// lamp.update(|state| state["level"] = json!(50))?;
/// let delta = std::iter::from_fn(|| events.next_blocking()).find_map(|event| match event {
///     Event::Changed(Change { by: By::Device, delta, .. }) => Some(delta),
///     _ => None,
/// });
/// assert_eq!(delta, json!({"level": 50}).as_object().cloned());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use twinthing::device::{Access, By, Device};
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let (tell, told) = std::sync::mpsc::channel();
/// let lamp = Device::build(access, serde_json::json!({"on": false}))
///     .on_change(move |change| tell.send(change.by).unwrap_or_default())
///     .start()?;
/// lamp.update(|state| state["on"] = true.into())?;
/// assert_eq!(told.recv()?, By::Device);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The device itself, by [`Device::update`](super::Device::update).
    Device,
    /// Somebody asked for it.
    Asked,
    /// Its manager gave back what it was before a restart.
    Restored,
}

/// A message on a topic of an application's own.
///
/// ```
/// use twinthing::device::AppMessage;
///
/// let is_start = |message: &AppMessage| message.topic.levels() == "WATER/START";
/// let topic = "GRP/garden/TPC/WATER/START".parse()?;
/// assert!(is_start(&AppMessage { topic, payload: b"5 min".to_vec() }));
/// # Ok::<(), twinthing::device::AppTopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMessage {
    /// Where it came.
    pub topic: AppTopic,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What happens to a device, as it happens.
///
/// ```
/// use serde_json::json;
/// use twinthing::device::{Access, Device, Event};
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = Device::build(access, json!({"on": false})).start()?;
/// let mut events = lamp.events();
/// lamp.update(|state| state["on"] = json!(true))?;
/// lamp.close_blocking();
/// let lit = std::iter::from_fn(|| events.next_blocking()) // it ends with the device
///     .filter(|event| matches!(event, Event::Changed(change) if change.state["on"] == true));
/// assert_eq!(lit.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Events<T>(pub(super) broadcast::Receiver<Event<T>>);

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

impl<T: Clone> Events<T> {
    /// The next one, when there is one; none once the device is closed. Who is more than 256 events late loses the
    /// oldest.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::{client::block_on, device::{Access, Device}};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, json!({"on": false})).start()?;
    /// let mut events = lamp.events();
    /// block_on(async {
    ///     assert!(events.next().await.is_some(), "no broker is there");
    ///     lamp.close().await;
    ///     while events.next().await.is_some() {}
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// The same for those who are not in an async function. Called within a callback of the device it waits for ever.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, json!({"on": false})).start()?;
    /// lamp.close_blocking();
    /// assert_eq!(lamp.events().next_blocking(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_blocking(&mut self) -> Option<Event<T>> {
        pollster::block_on(self.next())
    }
}
