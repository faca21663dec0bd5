//! Digital twins for things that speak MQTT.

pub mod mqtt;
pub mod protocol;
pub mod twin;

#[cfg(feature = "manager")]
pub mod config;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "manager")]
pub mod store;
