//! A running device, as its author holds it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::Addr;
use tokio::sync::{broadcast, oneshot, watch};

use super::{
    Builder, Event, Events, NotSaid, State, StateError,
    agent::{Agent, Changed, Close, Say},
    kept::Kept,
};
use crate::{
    mqtt::Access,
    protocol::{AppTopic, ThingId},
};

/// How many events wait for one who fetches them.
const EVENTS: usize = 256;

/// A running device. Copies are the same device; it says LC/OFF and ends when the last one is gone.
///
/// ```
/// use serde_json::json;
/// use twinthing::device::{Access, Device};
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = Device::build(access, json!({"on": false})).start()?;
/// let switch = lamp.clone();
/// switch.update(|state| state["on"] = json!(true))?;
/// assert_eq!(lamp.state(), json!({"on": true}));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
pub(super) struct Shared<T> {
    kept: Mutex<Kept<T>>,
    /// None when it is closed, so that nobody waits for more.
    events: Mutex<Option<broadcast::Sender<Event<T>>>>,
}

impl<T: State> Shared<T> {
    pub(super) fn new(kept: Kept<T>) -> Self {
        Self { kept: kept.into(), events: Some(broadcast::channel(EVENTS).0).into() }
    }

    /// A filter or an update that panics leaves the state as it was.
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> MutexGuard<'_, Option<broadcast::Sender<Event<T>>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, event: Event<T>) {
        if let Some(events) = &*self.events() {
            // Nobody has to fetch them.
            events.send(event).ok();
        }
    }

    /// Nobody is told anything any more.
    pub(super) fn end(&self) {
        self.kept().end_changes();
        drop(self.events().take());
    }

    fn subscribe(&self) -> Events<T> {
        Events(match &*self.events() {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        })
    }
}

impl<T: State> Device<T> {
    pub(super) fn new(
        id: ThingId,
        shared: Arc<Shared<T>>,
        agent: Addr<Agent<T>>,
        online: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Handle { id, shared, agent, online }))
    }

    /// A device with the id of this access, whose state is this until its manager gives back another.
    ///
    /// ```
    /// use twinthing::device::{Access, Device, DeviceError, StateError};
    ///
    /// let wrong = Device::build(Access::new("lamp", "127.0.0.1")?, serde_json::json!({"trn": 1}));
    /// assert!(matches!(wrong.start(), Err(DeviceError::State(StateError::Trn))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build(access: Access, state: T) -> Builder<T> {
        Builder::new(access, state)
    }

    /// Its id.
    ///
    /// ```
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, serde_json::json!({"on": false})).start()?;
    /// assert_eq!(lamp.id().as_str(), "lamp");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> &ThingId {
        &self.0.id
    }

    /// What its state is now.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, json!({"on": false})).start()?;
    /// assert_eq!(lamp.state(), json!({"on": false}), "nothing was asked yet");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn state(&self) -> T {
        self.0.shared.kept().state().clone()
    }

    /// Changes the state. It is reported as soon as it can be, and no more often than the minimum interval; of a device
    /// that is closed nobody is told.
    ///
    /// Neither this nor [`Self::state`] may be called within `change`, or within a filter: they would wait for themselves.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use twinthing::device::{Access, Device, StateError};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Sensor { celsius: f64 }
    ///
    /// # let mut access = Access::new("sensor", "127.0.0.1")?;
    /// # access.port = 1;
    /// let sensor = Device::build(access, Sensor { celsius: 20.0 }).start()?;
    /// sensor.update(|state| state.celsius += 1.5)?;
    /// let wrong = sensor.update(|state| state.celsius = f64::NAN);
    /// assert!(matches!(wrong, Err(StateError::NotRead(_))), "JSON has no such number");
    /// assert_eq!(sensor.state().celsius, 21.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StateError`] if the new state is none; the old one stays.
    pub fn update(&self, change: impl FnOnce(&mut T)) -> Result<(), StateError> {
        let is_another = {
            let mut kept = self.0.shared.kept();
            let mut state = kept.state().clone();
            change(&mut state);
            kept.update(state)?
        };
        if is_another {
            self.0.agent.do_send(Changed);
        }
        Ok(())
    }

    /// Publishes on a topic of an application's own, and waits until the broker has it.
    ///
    /// ```no_run
    /// use twinthing::{client::block_on, device::{Access, Device, NotSaid}};
    ///
    /// let door = Device::build(Access::new("door", "127.0.0.1")?, serde_json::json!({})).start()?;
    /// block_on(async {
    ///     door.online().await;
    ///     door.publish("GRP/hall/TPC/RANG".parse().expect("a topic"), "front").await
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, serde_json::json!({"on": false})).start()?;
    /// assert!(!lamp.is_online(), "it has just begun to try");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_online(&self) -> bool {
        *self.0.online.borrow()
    }

    /// Waits until it is connected, and says whether it is: it is not if it is closed.
    ///
    /// ```
    /// use twinthing::{client::block_on, device::{Access, Device}};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, serde_json::json!({"on": false})).start()?;
    /// lamp.close_blocking();
    /// assert!(!block_on(lamp.online()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn online(&self) -> bool {
        // It fails with the end of the agent, after which nobody can be online.
        self.0.online.clone().wait_for(|online| *online).await.is_ok()
    }

    /// What happens to it from now on; nothing if it is closed.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::device::{Access, Device, Event};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, json!({"on": false})).start()?;
    /// lamp.update(|state| state["on"] = json!(true))?;
    /// lamp.close_blocking();
    /// assert_eq!(lamp.events().next_blocking(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Events<T> {
        self.0.shared.subscribe()
    }

    /// Reports what has not been reported, says LC/OFF and disconnects: within 6 s, 2 s for each. Whoever else calls it
    /// meanwhile waits for the same.
    ///
    /// ```
    /// use twinthing::{client::block_on, device::{Access, Device, NotSaid}};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, serde_json::json!({"on": false})).start()?;
    /// block_on(lamp.close());
    /// let said = block_on(lamp.publish("TNG/lamp/TPC/BYE".parse()?, "1"));
    /// assert_eq!(said, Err(NotSaid::Offline));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn close(&self) {
        let (tell, told) = oneshot::channel();
        self.0.agent.do_send(Close(Some(tell)));
        // If it is closed already, nobody answers.
        told.await.unwrap_or_default();
    }

    /// The same for those who are not in an async function. Called within a callback of a device on the same thread it
    /// waits for ever.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let lamp = Device::build(access, json!({"on": false})).start()?;
    /// let switch = lamp.clone();
    /// lamp.close_blocking();
    /// switch.close_blocking(); // there is nothing left to do
    /// assert_eq!(switch.state(), json!({"on": false}));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close_blocking(&self) {
        pollster::block_on(self.close());
    }
}
