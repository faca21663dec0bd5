//! What the author of a device says of it.

use std::{sync::Arc, time::Duration};

use super::{AppMessage, Event, State, kept::Filter};
use crate::protocol::{AppTopic, DEFAULT_PAYLOAD_LIMIT, GroupName};

pub(super) type Observer<T> = Box<dyn Fn(&Event<T>) + Send>;
pub(super) type Listener = Box<dyn Fn(&AppMessage) + Send>;

/// What an author says of a device.
pub(super) struct Author<T: State> {
    pub(super) filter: Arc<Filter<T>>,
    pub(super) observers: Vec<Observer<T>>,
    pub(super) topics: Vec<(AppTopic, Listener)>,
    pub(super) groups: Vec<(GroupName, Listener)>,
    pub(super) interval: Duration,
    pub(super) removes: bool,
    /// The most bytes of a request.
    pub(super) limit: usize,
}

impl<T: State> Default for Author<T> {
    fn default() -> Self {
        Self {
            filter: Arc::new(|_, _| {}),
            observers: Vec::new(),
            topics: Vec::new(),
            groups: Vec::new(),
            interval: Duration::ZERO,
            removes: false,
            limit: DEFAULT_PAYLOAD_LIMIT,
        }
    }
}
