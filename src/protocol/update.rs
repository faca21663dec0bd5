//! What a manager tells of a twin on `TWIN/UPD`, as those read it who are told.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Bad, object::parse_object};

/// A twin as it is told: the payload of `TWIN/UPD`. In `reported`, `desired` and `declined`, `trn` is a member.
///
/// ```
/// use twinthing::protocol::TwinUpdate;
///
/// let twin = TwinUpdate::parse(br#"{"declined":{"fan":3},"version":9,"online":null}"#)?;
/// assert_eq!(twin.declined["fan"], 3);
/// assert_eq!(twin.online, None);
/// # Ok::<(), twinthing::protocol::Bad>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TwinUpdate {
    /// What was asked and is not settled yet; null asks for removal.
    pub desired: Map<String, Value>,
    /// When each member of it was set, in nanoseconds since 1970.
    pub desired_meta: Map<String, Value>,
    /// What the thing says it is.
    pub reported: Map<String, Value>,
    /// When each member of it was set.
    pub reported_meta: Map<String, Value>,
    /// What the thing was asked and did not do.
    pub declined: Map<String, Value>,
    /// When each member of it was set.
    pub declined_meta: Map<String, Value>,
    /// How often these documents have changed; 0 if there is no twin.
    pub version: u64,
    /// Whether the thing is connected; none if that is not known.
    pub online: Option<bool>,
}

impl TwinUpdate {
    /// Reads the payload of `TWIN/UPD`, of any size: a manager's limit is not ours.
    ///
    /// ```
    /// use twinthing::protocol::TwinUpdate;
    ///
    /// let twin = TwinUpdate::parse(br#"{"reported":{"trn":1,"on":false},"version":1,"online":true}"#)?;
    /// assert_eq!(twin.reported["on"], false);
    /// assert!(twin.exists() && twin.is_settled());
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    ///
    /// # Errors
    /// [`Bad`] if it is none.
    pub fn parse(payload: &[u8]) -> Result<Self, Bad> {
        let object = parse_object(payload, usize::MAX)?;
        Self::from_object(object)
    }

    /// Reads a row of an answer to a query that selects all.
    ///
    /// ```
    /// use twinthing::protocol::TwinUpdate;
    ///
    /// let row = r#"{"clientId":"lamp","reported":{"on":true},"version":4}"#;
    /// let twin = TwinUpdate::from_object(serde_json::from_str(row)?)?;
    /// assert_eq!(twin.reported["on"], true);
    /// assert_eq!(twin.version, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Bad`] if a member has another type than it has in a twin.
    pub fn from_object(object: Map<String, Value>) -> Result<Self, Bad> {
        serde_json::from_value(Value::Object(object))
            .map_err(|error| Bad::NotJson(error.to_string()))
    }

    /// Whether there is a twin.
    ///
    /// ```
    /// use twinthing::protocol::TwinUpdate;
    ///
    /// assert!(!TwinUpdate::parse(br#"{"reported":{},"version":0,"online":null}"#)?.exists());
    /// assert!(TwinUpdate::parse(br#"{"reported":{},"version":1,"online":false}"#)?.exists());
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    #[must_use]
    pub fn exists(&self) -> bool {
        self.version > 0 || self.reported.contains_key("trn")
    }

    /// Whether nothing is asked that the thing has not answered.
    ///
    /// ```
    /// use twinthing::protocol::TwinUpdate;
    ///
    /// assert!(TwinUpdate::parse(br#"{"desired":{"trn":7}}"#)?.is_settled());
    /// assert!(!TwinUpdate::parse(br#"{"desired":{"trn":8,"alarm":null}}"#)?.is_settled());
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.desired.keys().all(|name| name == "trn")
    }
}
