//! How a device is built: what its author says of it, and its start.

use std::{fmt, io, sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::sync::{broadcast, watch};

use super::{
    AppMessage, Change, Device, Event, Handle, Shared, State, StateError,
    agent::{Agent, Author},
    kept::Kept,
};
use crate::{
    mqtt::{Access, MqttError, Role, Runner, Wire, check_access},
    protocol::{AppTopic, AppTopicError, GroupName, thing_filters},
};

/// How many events wait for one who fetches them.
const EVENTS: usize = 256;

/// Why a device cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The broker cannot be reached in this way by anybody.
    #[error(transparent)]
    Access(#[from] MqttError),
    /// The state is none.
    #[error(transparent)]
    State(#[from] StateError),
    /// A topic to listen to is none.
    #[error(transparent)]
    Topic(#[from] AppTopicError),
    /// The system has no thread for it.
    #[error("a thread for the device: {0}")]
    Thread(#[from] io::Error),
}

/// A device that is not started yet.
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
    /// It must not call the device. Should it panic, all that is asked is refused.
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
    #[must_use]
    pub fn on_change(self, call: impl Fn(&Change<T>) + Send + 'static) -> Self {
        self.on_event(move |event| {
            if let Event::Changed(change) = event {
                call(change);
            }
        })
    }

    /// Called when the device is connected, and when it is no more.
    #[must_use]
    pub fn on_online(self, call: impl Fn(bool) + Send + 'static) -> Self {
        self.on_event(move |event| match event {
            Event::Online => call(true),
            Event::Offline => call(false),
            Event::Trouble(_) | Event::Changed(_) => {}
        })
    }

    /// Called when anything happens. Calls come from the device's thread, one after another: whoever has long work to
    /// do gives it to another thread.
    #[must_use]
    pub fn on_event(mut self, call: impl Fn(&Event<T>) + Send + 'static) -> Self {
        self.author.observers.push(Box::new(call));
        self
    }

    /// Called for each message on `TNG/<id>/TPC/<levels>`.
    #[must_use]
    pub fn on_topic(mut self, levels: &str, call: impl Fn(&AppMessage) + Send + 'static) -> Self {
        match AppTopic::thing(self.access.client_id.clone(), levels) {
            Ok(topic) => self.author.topics.push((topic, Box::new(call))),
            Err(error) => self.wrong = self.wrong.or(Some(error)),
        }
        self
    }

    /// Called for each message of this group, on `GRP/<group>/TPC/<levels>`. Whether the device is a member is for the
    /// broker to say.
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
    #[must_use]
    pub fn report_interval(mut self, interval: Duration) -> Self {
        self.author.interval = interval;
        self
    }

    /// Whether a manager that gives back a state may take away members that are not in it. It may not, unless said
    /// here: a device whose new version has a new member would lose it.
    #[must_use]
    pub fn may_lose_members(mut self, may: bool) -> Self {
        self.author.removes = may;
        self
    }

    /// Starts the device on a thread of its own, and with it the first attempt to connect.
    ///
    /// # Errors
    /// [`DeviceError`] for what is wrong from the outset. A broker that is away is no error: it is tried until it is
    /// there, for ever.
    pub fn start(self) -> Result<Device<T>, DeviceError> {
        let runner = Runner::start(self.access.client_id.as_str())?;
        self.start_on(&runner)
    }

    /// Starts the device on this thread, where there may be others.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(self, runner: &Runner) -> Result<Device<T>, DeviceError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong.into());
        }
        let (access, author) = (self.access, self.author);
        let id = access.client_id.clone();
        let names: Vec<_> = author.groups.iter().map(|(name, _)| name.clone()).collect();
        let own = author.topics.iter().map(|(topic, _)| topic.to_string());
        let filters: Vec<_> = thing_filters(&id, &names).into_iter().chain(own).collect();
        check_access(&access, &filters)?;
        let (events, _) = broadcast::channel(EVENTS);
        let shared = Arc::new(Shared { kept: Kept::new(self.state)?.into(), events });
        let (say_online, online) = watch::channel(false);
        let (stay, with) = (runner.clone(), Arc::clone(&shared));
        let of = id.clone();
        let agent = runner.call(move || {
            Agent::create(|ctx| {
                let wire = Wire::open(access, Role::Thing, filters, ctx.address().recipient());
                Agent::new(of, wire, with, author, say_online, stay)
            })
        })?;
        Ok(Device(Arc::new(Handle { id, shared, agent, online })))
    }
}
