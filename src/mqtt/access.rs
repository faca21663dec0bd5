//! How to reach a broker, and as whom: the same for the manager, for things and for applications.

use std::{fmt, path::PathBuf, time::Duration};

use crate::protocol::{IdError, ThingId};

/// How to reach the broker, and as whom.
///
/// ```
/// use twinthing::mqtt::Access;
///
/// let mut access = Access::new("lamp", "broker.example")?;
/// access.port = 8883;
/// access.ca_file = Some("/etc/ssl/certs/ca-certificates.crt".into());
/// # Ok::<(), twinthing::protocol::IdError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Access {
    /// The client id: the id of the thing, of the manager, or of an application.
    pub client_id: ThingId,
    /// The user name, if the broker wants one.
    pub user: Option<String>,
    /// The password that goes with it.
    pub password: Option<Secret>,
    /// The broker's name or address.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// The chain of CA certificates to trust, as a PEM file: turns TLS on.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, as a PEM file.
    pub cert_file: Option<PathBuf>,
    /// The key that goes with it, as a PEM file.
    pub key_file: Option<PathBuf>,
    /// The version of MQTT.
    pub version: Version,
    /// How often to give a sign of life, 5 to 65,535 s; what is outside counts as the nearest of these.
    pub keep_alive: Duration,
}

impl Access {
    /// To the broker of this name or address at port 1883, by MQTT 5, without TLS, user name and password, with a
    /// sign of life each minute.
    ///
    /// # Errors
    /// [`IdError`] if the text is no id.
    pub fn new(client_id: &str, host: &str) -> Result<Self, IdError> {
        Ok(Self {
            client_id: client_id.parse()?,
            user: None,
            password: None,
            host: host.to_owned(),
            port: 1883,
            ca_file: None,
            cert_file: None,
            key_file: None,
            version: Version::default(),
            keep_alive: Duration::from_secs(60),
        })
    }
}

/// The version of MQTT to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    #[default]
    V5,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
