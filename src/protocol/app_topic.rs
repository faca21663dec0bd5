//! The topics that things and applications are free to use among themselves: `TPC`.

use std::{fmt, str::FromStr};

use super::{GroupName, IdError, ThingId};

/// A topic of an application's own: `TNG/<id>/TPC/<levels>` or `GRP/<group>/TPC/<levels>`. The manager has no business
/// there.
///
/// ```
/// use twinthing::protocol::AppTopic;
///
/// let topic: AppTopic = "GRP/garden/TPC/WATER/START".parse()?;
/// assert_eq!(topic, AppTopic::group("garden".parse()?, "WATER/START")?);
/// assert_eq!(topic.levels(), "WATER/START");
/// assert!("TNG/pump/TPC/PING".parse::<AppTopic>().is_err(), "that one has a meaning");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppTopic {
    of: Of,
    levels: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Of {
    Thing(ThingId),
    Group(GroupName),
}

/// Why a topic is none that an application may use as it likes.
///
/// ```
/// use twinthing::protocol::AppTopic;
///
/// let error = "TNG/pump/TPC/STATS".parse::<AppTopic>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "topic \"TNG/pump/TPC/STATS\" is the protocol's; take another name than PING, PONG, STATS and RES"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppTopicError {
    /// Not below `TPC`.
    #[error(
        "topic {0:?} is not TNG/<id>/TPC/<levels> or GRP/<group>/TPC/<levels>, without wildcards"
    )]
    Form(String),
    /// It has a meaning in the protocol.
    #[error("topic {0:?} is the protocol's; take another name than PING, PONG, STATS and RES")]
    Taken(String),
    /// The second level names neither a thing nor a group.
    #[error("topic {topic:?}: {source}")]
    Id {
        /// The topic as it came.
        topic: String,
        /// What is wrong with the id in it.
        source: IdError,
    },
}

impl AppTopic {
    /// `TNG/<id>/TPC/<levels>`.
    ///
    /// ```
    /// use twinthing::protocol::AppTopic;
    ///
    /// let level = AppTopic::thing("pump".parse()?, "TANK/2/LEVEL")?;
    /// assert_eq!(level.to_string(), "TNG/pump/TPC/TANK/2/LEVEL");
    /// assert!(AppTopic::thing("pump".parse()?, "TANK/+/LEVEL").is_err(), "that is a filter");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AppTopicError`] if the levels are none.
    pub fn thing(id: ThingId, levels: &str) -> Result<Self, AppTopicError> {
        Self { of: Of::Thing(id), levels: levels.to_owned() }.checked()
    }

    /// `GRP/<group>/TPC/<levels>`.
    ///
    /// ```
    /// use twinthing::protocol::{AppTopic, AppTopicError};
    ///
    /// let ping = AppTopic::group("ALL".parse()?, "PING");
    /// assert_eq!(ping, Err(AppTopicError::Taken("GRP/ALL/TPC/PING".into())));
    /// # Ok::<(), twinthing::protocol::IdError>(())
    /// ```
    ///
    /// # Errors
    /// [`AppTopicError`] if the levels are none.
    pub fn group(name: GroupName, levels: &str) -> Result<Self, AppTopicError> {
        Self { of: Of::Group(name), levels: levels.to_owned() }.checked()
    }

    /// What stands behind `TPC/`.
    ///
    /// ```
    /// use twinthing::protocol::AppTopic;
    ///
    /// let topic: AppTopic = "TNG/pump/TPC/VALVE/3/OPEN".parse()?;
    /// assert_eq!(Vec::from_iter(topic.levels().split('/')), ["VALVE", "3", "OPEN"]);
    /// # Ok::<(), twinthing::protocol::AppTopicError>(())
    /// ```
    #[must_use]
    pub fn levels(&self) -> &str {
        &self.levels
    }

    /// The group whose topic this is, if it is a group's.
    ///
    /// ```
    /// use twinthing::protocol::AppTopic;
    ///
    /// let topic: AppTopic = "GRP/garden/TPC/SEASON".parse()?;
    /// assert!(topic.of_group().is_some_and(|group| group.as_str() == "garden"));
    /// assert!(topic.of_thing().is_none());
    /// # Ok::<(), twinthing::protocol::AppTopicError>(())
    /// ```
    #[must_use]
    pub fn of_group(&self) -> Option<&GroupName> {
        match &self.of {
            Of::Group(name) => Some(name),
            Of::Thing(_) => None,
        }
    }

    /// The thing whose topic this is, if it is a thing's.
    ///
    /// ```
    /// use twinthing::protocol::{AppTopic, ThingId};
    ///
    /// let pump: ThingId = "pump".parse()?;
    /// let from_pump = |topic: &AppTopic| topic.of_thing() == Some(&pump);
    /// assert!(from_pump(&"TNG/pump/TPC/DONE".parse()?));
    /// assert!(!from_pump(&"TNG/lamp/TPC/DONE".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_thing(&self) -> Option<&ThingId> {
        match &self.of {
            Of::Thing(id) => Some(id),
            Of::Group(_) => None,
        }
    }

    fn checked(self) -> Result<Self, AppTopicError> {
        let first = self.levels.split('/').next().unwrap_or_default();
        let is_bad = |c: char| matches!(c, '+' | '#') || c.is_control();
        if self.levels.is_empty() || self.levels.contains(is_bad) {
            Err(AppTopicError::Form(self.to_string()))
        } else if matches!(first, "PING" | "PONG" | "STATS" | "RES") {
            Err(AppTopicError::Taken(self.to_string()))
        } else {
            Ok(self)
        }
    }
}

impl FromStr for AppTopic {
    type Err = AppTopicError;

    fn from_str(topic: &str) -> Result<Self, AppTopicError> {
        let form = || AppTopicError::Form(topic.to_owned());
        let bad_id = |source| AppTopicError::Id { topic: topic.to_owned(), source };
        let (space, rest) = topic.split_once('/').ok_or_else(form)?;
        let (id, rest) = rest.split_once('/').ok_or_else(form)?;
        let levels = rest.strip_prefix("TPC/").ok_or_else(form)?;
        match space {
            "TNG" => Self::thing(id.parse().map_err(bad_id)?, levels),
            "GRP" => Self::group(id.parse().map_err(bad_id)?, levels),
            _ => Err(form()),
        }
    }
}

impl fmt::Display for AppTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Of::Thing(id) => write!(f, "TNG/{id}/TPC/{}", self.levels),
            Of::Group(name) => write!(f, "GRP/{name}/TPC/{}", self.levels),
        }
    }
}

/// The filters that a thing of this id subscribes to, which is a member of these groups: what is for it.
///
/// ```
/// use twinthing::protocol::thing_filters;
///
/// let filters = thing_filters(&"lamp".parse()?, &["hall".parse()?]);
/// assert_eq!(
///     filters,
///     [
///         "TNG/lamp/STATE/GET",
///         "TNG/lamp/STATE/SET",
///         "TNG/lamp/TPC/PING",
///         "GRP/ALL/TPC/PING",
///         "GRP/hall/TPC/#",
///     ]
/// );
/// # Ok::<(), twinthing::protocol::IdError>(())
/// ```
#[must_use]
pub fn thing_filters(id: &ThingId, groups: &[GroupName]) -> Vec<String> {
    let own = ["STATE/GET", "STATE/SET", "TPC/PING"].map(|levels| format!("TNG/{id}/{levels}"));
    let groups = groups.iter().map(|name| format!("GRP/{name}/TPC/#"));
    own.into_iter().chain(["GRP/ALL/TPC/PING".to_owned()]).chain(groups).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_topic_of_an_application_is_told_why() {
        for (topic, why) in [
            (
                "TNG/a/STATE/SET",
                "topic \"TNG/a/STATE/SET\" is not TNG/<id>/TPC/<levels> or GRP/<group>/TPC/<levels>, without wildcards",
            ),
            (
                "GRP/a/TPC/#",
                "topic \"GRP/a/TPC/#\" is not TNG/<id>/TPC/<levels> or GRP/<group>/TPC/<levels>, without wildcards",
            ),
            (
                "TNG/a/TPC/RES/1",
                "topic \"TNG/a/TPC/RES/1\" is the protocol's; take another name than PING, PONG, STATS and RES",
            ),
            (
                "TNG/+/TPC/X",
                "topic \"TNG/+/TPC/X\": \"+\" holds '+'; an id is one topic level, without / + # and control characters",
            ),
        ] {
            assert_eq!(topic.parse::<AppTopic>().unwrap_err().to_string(), why);
        }
    }
}
