//! What can be wrong with a state, a device at its start, and a message of its own.

use std::io;

use crate::{mqtt::MqttError, protocol::AppTopicError};

/// Why a state is none.
///
/// ```
/// use serde_json::json;
/// use twinthing::device::{Access, Device, DeviceError, StateError};
///
/// let error = Device::build(Access::new("lamp", "127.0.0.1")?, json!([1, 2])).start().unwrap_err();
/// assert!(matches!(error, DeviceError::State(StateError::NotAnObject(_))));
/// assert_eq!(error.to_string(), "the state is [1,2] as JSON, and not an object");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// serde writes it, but not as an object.
    #[error("the state is {0} as JSON, and not an object")]
    NotAnObject(String),
    /// serde cannot write it.
    #[error("the state cannot be written as JSON: {0}")]
    NotJson(String),
    /// serde writes it, and cannot read what it wrote, without what is null: nothing could be asked of it any more. A
    /// float that is not finite is null as JSON.
    #[error(
        "the state cannot be read from what it is as JSON, where NaN and infinity are null: {0}"
    )]
    NotRead(String),
    /// A member that the protocol has for itself.
    #[error("the state has a member called \"trn\", which is the protocol's")]
    Trn,
}

/// Why a device cannot be started.
///
/// ```
/// use serde_json::json;
/// use twinthing::device::{Access, Device, DeviceError};
///
/// let mut access = Access::new("lamp", "127.0.0.1")?;
/// access.ca_file = Some("/nowhere/ca.pem".into());
/// let error = Device::build(access, json!({"on": false})).start().unwrap_err();
/// assert!(matches!(error, DeviceError::Access(_)));
/// assert!(error.to_string().starts_with("CA file /nowhere/ca.pem"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// There is no thread for it: the system has none, or it is the one that asks.
    #[error("a thread for the device: {0}")]
    Thread(#[from] io::Error),
}

/// Why a message of a device's own is not with the broker.
///
/// ```
/// use serde_json::json;
/// use twinthing::{client::block_on, device::{Access, Device, NotSaid}};
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = Device::build(access, json!({"on": false})).start()?;
/// let said = block_on(lamp.publish("GRP/hall/TPC/MOVED".parse()?, "1"));
/// assert_eq!(said, Err(NotSaid::Offline), "nobody listens at that port");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSaid {
    /// There is no connection, or it was lost before the broker said that it has it.
    #[error("the device is not connected")]
    Offline,
    /// The broker will not take it.
    #[error("{0}")]
    Refused(String),
}
