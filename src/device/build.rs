//! How a device is built: what its author says of it, and its start.

use std::{fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::sync::watch;

use super::{
    AppMessage, Change, Device, DeviceError, Event, State, agent::Agent, author::Author,
    handle::Shared, kept::Kept,
};
use crate::{
    mqtt::{Access, Role, Runner, Wire, check_access},
    protocol::{AppTopic, AppTopicError, GroupName, ThingId, thing_filters},
};

/// A device that is not started yet.
///
/// ```
/// use serde_json::{Value, json};
/// use twinthing::device::{Access, Builder, Device};
///
/// fn modest(lamp: Builder<Value>) -> Builder<Value> {
///     lamp.filter(|now, wanted| if wanted["level"] == 100 { *wanted = now.clone() })
/// }
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = modest(Device::build(access, json!({"level": 40}))).start()?;
/// assert_eq!(lamp.state()["level"], 40);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Builder<T: State> {
    access: Access,
    state: T,
    author: Author<T>,
    /// The first topic that is none.
    wrong: Option<AppTopicError>,
}

impl<T: State> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({})", self.access.client_id)
    }
}

impl<T: State> Builder<T> {
    pub(super) fn new(access: Access, state: T) -> Self {
        Self { access, state, author: Author::default(), wrong: None }
    }

    /// What is said to that which is asked. It gets the state as it is and the state as it is wanted, and may change
    /// the latter: a member that it puts back is refused, and its twin shows it as declined; one that it makes
    /// something else is reported as that. Without a filter everything that fits the state's type is accepted.
    ///
    /// It must not call the device, which would wait for itself. Should it panic, all that is asked is refused. Should
    /// it make what is no state, it is called again with less of what is asked.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use twinthing::device::{Access, Device};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Heater { target: f64, measured: f64 }
    ///
    /// let heater = Device::build(Access::new("heater", "127.0.0.1")?, Heater { target: 18.0, measured: 17.2 })
    ///     .filter(|now, wanted| {
    ///         wanted.target = wanted.target.clamp(5.0, 30.0);
    ///         wanted.measured = now.measured; // nobody sets what it measures
    ///     });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn filter(mut self, filter: impl Fn(&T, &mut T) + Send + Sync + 'static) -> Self {
        self.author.filter = Arc::new(filter);
        self
    }

    /// Called when the state changed, by whomever.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let (light, lit) = std::sync::mpsc::channel();
    /// let lamp = Device::build(access, json!({"on": false}))
    ///     .on_change(move |change| light.send(change.state["on"] == true).unwrap_or_default())
    ///     .start()?;
    /// lamp.update(|state| state["on"] = json!(true))?;
    /// assert!(lit.recv()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_change(self, call: impl Fn(&Change<T>) + Send + 'static) -> Self {
        self.on_event(move |event| {
            if let Event::Changed(change) = event {
                call(change);
            }
        })
    }

    /// Called when the device is connected, and when it is no more.
    ///
    /// ```no_run
    /// use serde_json::json;
    /// use twinthing::device::{Access, Device};
    ///
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let lamp = Device::build(Access::new("lamp", "127.0.0.1")?, json!({"on": false}))
    ///     .on_online(move |online| tell.send(online).unwrap_or_default())
    ///     .start()?;
    /// assert!(told.recv()?);
    /// lamp.close_blocking();
    /// assert!(!told.recv()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_online(self, call: impl Fn(bool) + Send + 'static) -> Self {
        self.on_event(move |event| match event {
            Event::Online => call(true),
            Event::Offline => call(false),
            Event::Trouble(_) | Event::Changed(_) => {}
        })
    }

    /// Called when anything happens. Calls come from the device's thread, one after another: whoever has long work to
    /// do gives it to another thread. Who waits in one for this device or another on its thread waits for ever, as by
    /// [`Device::close_blocking`] and [`Events::next_blocking`](super::Events::next_blocking).
    ///
    /// ```
    /// use twinthing::device::{Access, Device, Event};
    ///
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let lamp = Device::build(access, serde_json::json!({"on": false}))
    ///     .on_event(move |event| if let Event::Trouble(why) = event {
    ///         tell.send(why.clone()).unwrap_or_default();
    ///     })
    ///     .start()?;
    /// assert!(told.recv()?.contains("is not reached"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_event(mut self, call: impl Fn(&Event<T>) + Send + 'static) -> Self {
        self.author.observers.push(Box::new(call));
        self
    }

    /// Called for each message on `TNG/<id>/TPC/<levels>`.
    ///
    /// ```
    /// use twinthing::device::{Access, Device, DeviceError};
    ///
    /// let lamp = Device::build(Access::new("lamp", "127.0.0.1")?, serde_json::json!({"on": false}))
    ///     .on_topic("BLINK", |message| println!("{} times", message.payload.len()))
    ///     .on_topic("PING", |_| println!("the device answers that itself"));
    /// assert!(matches!(lamp.start(), Err(DeviceError::Topic(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_topic(mut self, levels: &str, call: impl Fn(&AppMessage) + Send + 'static) -> Self {
        match AppTopic::thing(self.access.client_id.clone(), levels) {
            Ok(topic) => self.author.topics.push((topic, Box::new(call))),
            Err(error) => self.wrong = self.wrong.or(Some(error)),
        }
        self
    }

    /// Called for each message of this group that is an application's: on `GRP/<group>/TPC/<levels>`, unless the first of
    /// these levels is PING, which the device answers itself, PONG, STATS or RES. Whether the device is a member is for
    /// the broker to say.
    ///
    /// ```no_run
    /// use twinthing::device::{Access, Device};
    ///
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let lamp = Device::build(Access::new("lamp", "127.0.0.1")?, serde_json::json!({"on": false}))
    ///     .on_group("hall".parse()?, move |message| tell.send(message.topic.to_string()).unwrap_or_default())
    ///     .start()?;
    /// assert!(told.recv()?.starts_with("GRP/hall/TPC/"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_group(
        mut self,
        group: GroupName,
        call: impl Fn(&AppMessage) + Send + 'static,
    ) -> Self {
        self.author.groups.push((group, Box::new(call)));
        self
    }

    /// Changes of its own are reported no more often than this, merged. None if unset. What was asked is answered at
    /// once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twinthing::device::{Access, Device};
    ///
    /// # let mut access = Access::new("meter", "127.0.0.1")?;
    /// # access.port = 1;
    /// let meter = Device::build(access, serde_json::json!({"turns": 0}))
    ///     .report_interval(Duration::from_secs(60))
    ///     .start()?;
    /// meter.update(|state| state["turns"] = 1.into())?;
    /// assert_eq!(meter.state()["turns"], 1, "it is so at once, and said later");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn report_interval(mut self, interval: Duration) -> Self {
        self.author.interval = interval;
        self
    }

    /// Whether a `state` that a manager gives back, or that somebody asks for, may take away members that are not in it.
    /// It may not, unless said here: a device whose new version has a new member would lose it.
    ///
    /// ```no_run
    /// use twinthing::device::{Access, Device};
    ///
    /// // A scene that was deleted before a restart does not come back with the state that it is built with.
    /// let lamp = Device::build(Access::new("lamp", "127.0.0.1")?, serde_json::json!({"scenes": {"day": 80}}))
    ///     .may_lose_members(true)
    ///     .start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn may_lose_members(mut self, may: bool) -> Self {
        self.author.removes = may;
        self
    }

    /// The most bytes of what is asked at once, [`DEFAULT_PAYLOAD_LIMIT`](crate::protocol::DEFAULT_PAYLOAD_LIMIT) if
    /// unset. More is not read, and an [`Event::Trouble`].
    ///
    /// ```no_run
    /// use twinthing::device::{Access, Device};
    ///
    /// let lamp = Device::build(Access::new("lamp", "127.0.0.1")?, serde_json::json!({"on": false}))
    ///     .payload_limit(1024)
    ///     .start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.author.limit = bytes;
        self
    }

    /// Starts the device on a thread of its own, and with it the first attempt to connect.
    ///
    /// ```
    /// use twinthing::device::{Access, Device};
    ///
    /// let mut access = Access::new("lamp", "127.0.0.1")?;
    /// access.port = 1; // nobody is there
    /// let lamp = Device::build(access, serde_json::json!({"on": false})).start()?;
    /// assert!(!lamp.is_online(), "it will try until somebody is");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DeviceError`] for what is wrong from the outset. A broker that is away is no error: it is tried until it is
    /// there, for ever.
    pub fn start(self) -> Result<Device<T>, DeviceError> {
        let runner = Runner::start(self.access.client_id.as_str())?;
        self.start_on(&runner)
    }

    /// Starts the device on this thread, where there may be others. Not to be called on that thread, as callbacks are.
    ///
    /// ```
    /// use twinthing::device::{Access, Device, Runner};
    ///
    /// let lights = Runner::start("lights")?;
    /// # let mut access = Access::new("lamp", "127.0.0.1")?;
    /// # access.port = 1;
    /// # let mut other = access.clone();
    /// # other.client_id = "desk".parse()?;
    /// let lamp = Device::build(access, serde_json::json!({"on": false})).start_on(&lights)?;
    /// let desk = Device::build(other, serde_json::json!({"on": true})).start_on(&lights)?;
    /// assert_ne!(lamp.state(), desk.state());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::start`]; [`DeviceError::Thread`] on that thread.
    pub fn start_on(self, runner: &Runner) -> Result<Device<T>, DeviceError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong.into());
        }
        let (access, author) = (self.access, self.author);
        let id = access.client_id.clone();
        let filters = filters(&id, &author);
        check_access(&access, &filters)?;
        let shared = Arc::new(Shared::new(Kept::new(self.state)?));
        let (say_online, online) = watch::channel(false);
        let (stay, with) = (runner.clone(), Arc::clone(&shared));
        let of = id.clone();
        let agent = runner.call(move || {
            Agent::create(|ctx| {
                let wire = Wire::open(access, Role::Thing, filters, ctx.address().recipient());
                Agent::new(of, wire.into(), with, author, say_online, stay)
            })
        })?;
        Ok(Device::new(id, shared, agent, online))
    }
}

/// What is for this device, each by one subscription alone: a broker may send what is for two of them twice.
fn filters<T: State>(id: &ThingId, author: &Author<T>) -> Vec<String> {
    let groups: Vec<_> = author.groups.iter().map(|(name, _)| name.clone()).collect();
    let mut filters = thing_filters(id, &groups);
    if filters.iter().any(|filter| filter == "GRP/ALL/TPC/#") {
        filters.retain(|filter| filter != "GRP/ALL/TPC/PING");
    }
    filters.extend(author.topics.iter().map(|(topic, _)| topic.to_string()));
    filters
}
