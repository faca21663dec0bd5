//! The topics: alone knows how they are spelled. Text becomes a [`Topic`] once, where it comes in.

use std::{fmt, str::FromStr};

use super::{GroupName, IdError, ThingId};

/// A topic of the protocol, parsed once where a message comes in.
///
/// `Display` and `FromStr` are each other's inverse.
///
/// ```
/// use twinthing::protocol::{ThingTopic, Topic};
///
/// let topic: Topic = "TNG/lamp/TWIN/SET".parse()?;
/// assert_eq!(topic, Topic::Thing("lamp".parse()?, ThingTopic::TwinSet));
/// assert_eq!(topic.to_string(), "TNG/lamp/TWIN/SET");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `TNG/<id>/…`: what concerns one thing.
    Thing(ThingId, ThingTopic),
    /// `GRP/<group>/…`: what concerns the members of a group.
    Group(GroupName, GroupTopic),
}

/// Why a topic is none of the protocol's.
///
/// ```
/// use twinthing::protocol::Topic;
///
/// let error = "TNG//TWIN/SET".parse::<Topic>().unwrap_err();
/// assert_eq!(error.to_string(), "topic \"TNG//TWIN/SET\": an id is empty; it has 1 to 80 bytes");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The levels match none that the protocol names.
    #[error("topic {0:?} is none of the protocol's")]
    Unknown(String),
    /// The levels match, but the second names neither a thing nor a group.
    #[error("topic {topic:?}: {source}")]
    Id {
        /// The topic as it came.
        topic: String,
        /// What is wrong with the id in it.
        source: IdError,
    },
}

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$kind_doc:meta])* $kind:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$kind_doc])* $kind,)+ }

        impl $name {
            /// Every kind, in the order of the protocol's table.
            ///
            /// ```
            #[doc = concat!("use twinthing::protocol::", stringify!($name), ";")]
            ///
            #[doc = concat!("let mut kinds = ", stringify!($name), "::ALL.iter();")]
            /// let answer = kinds.find(|kind| kind.levels() == "TWIN/RES");
            #[doc = concat!("assert_eq!(answer, Some(&", stringify!($name), "::TwinRes));")]
            /// ```
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The levels after the id, such as `STATE/UPD`.
            ///
            /// ```
            #[doc = concat!("use twinthing::protocol::", stringify!($name), ";")]
            ///
            #[doc = concat!("assert_eq!(", stringify!($name), "::Ping.levels(), \"TPC/PING\");")]
            /// ```
            #[must_use]
            pub fn levels(self) -> &'static str {
                match self { $(Self::$kind => $text,)+ }
            }

            fn from_levels(levels: &str) -> Option<Self> {
                match levels { $($text => Some(Self::$kind),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// What a message about one thing is.
    ///
    /// ```
    /// use twinthing::protocol::{ThingTopic, Topic};
    ///
    /// let is_gone = |topic: &Topic| matches!(topic, Topic::Thing(_, ThingTopic::LcOff));
    /// assert!(is_gone(&"TNG/lamp/LC/OFF".parse()?));
    /// assert!(!is_gone(&"TNG/lamp/LC/ON".parse()?));
    /// # Ok::<(), twinthing::protocol::TopicError>(())
    /// ```
    ThingTopic {
        /// The thing has connected.
        LcOn = "LC/ON",
        /// The thing is gone: its will, or its farewell.
        LcOff = "LC/OFF",
        /// Asks the thing for a sign of life.
        Ping = "TPC/PING",
        /// The sign of life: the PING's payload.
        Pong = "TPC/PONG",
        /// Counters of a manager.
        Stats = "TPC/STATS",
        /// Asks the thing for its state.
        StateGet = "STATE/GET",
        /// Asks the thing to change.
        StateSet = "STATE/SET",
        /// The thing reports.
        StateUpd = "STATE/UPD",
        /// A client asks for the twin.
        TwinGet = "TWIN/GET",
        /// A client asks for a change.
        TwinSet = "TWIN/SET",
        /// A client has the twin forgotten.
        TwinDel = "TWIN/DEL",
        /// The twin, as the manager tells it.
        TwinUpd = "TWIN/UPD",
        /// The answer to a query, or an error.
        TwinRes = "TWIN/RES",
    }
}

kinds! {
    /// What a message about a group is.
    ///
    /// ```
    /// use twinthing::protocol::{GroupTopic, Topic};
    ///
    /// let ask = Topic::Group("hall".parse()?, GroupTopic::TwinGet);
    /// assert_eq!(ask.to_string(), "GRP/hall/TWIN/GET");
    /// # Ok::<(), twinthing::protocol::IdError>(())
    /// ```
    GroupTopic {
        /// Asks every member for a sign of life.
        Ping = "TPC/PING",
        /// A client asks for the members' twins.
        TwinGet = "TWIN/GET",
        /// A client asks the members for a change.
        TwinSet = "TWIN/SET",
        /// The answer to either, or an error.
        TwinRes = "TWIN/RES",
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(topic: &str) -> Result<Self, TopicError> {
        let unknown = || TopicError::Unknown(topic.to_owned());
        let bad_id = |source| TopicError::Id { topic: topic.to_owned(), source };
        let (space, rest) = topic.split_once('/').ok_or_else(unknown)?;
        let (id, levels) = rest.split_once('/').ok_or_else(unknown)?;
        match space {
            "TNG" => {
                let kind = ThingTopic::from_levels(levels).ok_or_else(unknown)?;
                Ok(Self::Thing(id.parse().map_err(bad_id)?, kind))
            }
            "GRP" => {
                let kind = GroupTopic::from_levels(levels).ok_or_else(unknown)?;
                Ok(Self::Group(id.parse().map_err(bad_id)?, kind))
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thing(id, kind) => write!(f, "TNG/{id}/{}", kind.levels()),
            Self::Group(name, kind) => write!(f, "GRP/{name}/{}", kind.levels()),
        }
    }
}

/// The filters that a manager called `manager` subscribes to: what is for it, and nothing else.
///
/// ```
/// let filters = twinthing::protocol::manager_filters(&"mgr".parse()?);
/// assert!(filters.contains(&"TNG/+/STATE/UPD".to_owned()));
/// assert!(filters.contains(&"TNG/mgr/TPC/PING".to_owned()));
/// # Ok::<(), twinthing::protocol::IdError>(())
/// ```
#[must_use]
pub fn manager_filters(manager: &ThingId) -> Vec<String> {
    use ThingTopic::{LcOff, LcOn, Ping, StateGet, StateSet, StateUpd, TwinDel, TwinGet, TwinSet};
    let any_thing = [LcOn, LcOff, StateUpd, TwinGet, TwinSet, TwinDel]
        .map(|kind| format!("TNG/+/{}", kind.levels()));
    let any_group =
        [GroupTopic::TwinGet, GroupTopic::TwinSet].map(|kind| format!("GRP/+/{}", kind.levels()));
    let own =
        [Ping, StateGet, StateSet].map(|kind| Topic::Thing(manager.clone(), kind).to_string());
    let all = [format!("GRP/ALL/{}", GroupTopic::Ping.levels())];
    any_thing.into_iter().chain(any_group).chain(own).chain(all).collect()
}

/// Where a client on MQTT 5 wants its answer as well: `TNG/<id>/TPC/RES/<one or more levels>`.
///
/// No other response topic is obeyed: a client could have us publish where it is not allowed to.
///
/// ```
/// use twinthing::protocol::ResponseTopic;
///
/// assert!("TNG/app/TPC/RES/requests/7".parse::<ResponseTopic>().is_ok());
/// assert!("TNG/lamp/STATE/SET".parse::<ResponseTopic>().is_err(), "the thing would obey");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResponseTopic(String);

/// A response topic that the manager does not publish to.
///
/// ```
/// use twinthing::protocol::ResponseTopic;
///
/// let error = "TNG/app/TPC/RES/#".parse::<ResponseTopic>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "response topic \"TNG/app/TPC/RES/#\" is not TNG/<id>/TPC/RES/<one or more levels> without wildcards"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response topic {0:?} is not TNG/<id>/TPC/RES/<one or more levels> without wildcards")]
pub struct ResponseTopicError(pub String);

impl ResponseTopic {
    /// The topic as text.
    ///
    /// ```
    /// use twinthing::protocol::ResponseTopic;
    ///
    /// let topic: ResponseTopic = "TNG/app/TPC/RES/7".parse()?;
    /// assert!(topic.as_str().ends_with("/7"));
    /// # Ok::<(), twinthing::protocol::ResponseTopicError>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResponseTopic {
    type Err = ResponseTopicError;

    fn from_str(topic: &str) -> Result<Self, ResponseTopicError> {
        let levels = topic
            .strip_prefix("TNG/")
            .and_then(|rest| rest.split_once('/'))
            .filter(|(id, _)| id.parse::<ThingId>().is_ok())
            .and_then(|(_, rest)| rest.strip_prefix("TPC/RES/"));
        match levels {
            Some(levels)
                if !levels.is_empty()
                    && !levels.chars().any(|c| matches!(c, '+' | '#') || c.is_control()) =>
            {
                Ok(Self(topic.to_owned()))
            }
            _ => Err(ResponseTopicError(topic.to_owned())),
        }
    }
}

impl fmt::Display for ResponseTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, strategy::ValueTree};

    use super::*;

    /// Texts of which some are topics and most are nearly so.
    const NEARLY: &str = "(TNG|TNG|GRP|tng|X)/([a-z]{1,3}|[a-z+#/ ]{0,4})/\
        (LC/(ON|OFF)|(TWIN|STATE|TPC)/(SET|GET|UPD|DEL|RES|PING|PONG|[A-Z]{1,5}))(/x)?";

    fn any_topic() -> impl Strategy<Value = Topic> {
        let id = "[^/+#\\p{Cc} ]{1,20}";
        prop_oneof![
            (id, proptest::sample::select(ThingTopic::ALL))
                .prop_map(|(id, kind)| Topic::Thing(id.parse().unwrap(), kind)),
            (id, proptest::sample::select(GroupTopic::ALL))
                .prop_map(|(id, kind)| Topic::Group(id.parse().unwrap(), kind)),
        ]
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(topic in any_topic()) {
            prop_assert_eq!(topic.to_string().parse::<Topic>().unwrap(), topic);
        }

        #[test]
        fn what_parses_prints_as_it_was(text in NEARLY) {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            if let Err(error) = text.parse::<Topic>() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn of_the_texts_that_are_nearly_topics_some_parse() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let texts = (0..1_000).map(|_| NEARLY.new_tree(&mut runner).unwrap().current());
        let topics = texts.filter(|text| text.parse::<Topic>().is_ok()).count();
        assert!((50..500).contains(&topics), "{topics} of 1000 texts");
    }

    #[test]
    fn a_topic_matches_only_at_its_exact_number_of_levels_and_case() {
        for text in [
            "TNG/d1/TWIN",
            "TNG/d1/TWIN/SET/x",
            "TNG/TWIN/SET",
            "tng/d1/twin/set",
            "TNG//TWIN/SET",
            "TNG/d1/TWIN/SET/",
            "/TNG/d1/TWIN/SET",
            "GRP/g/STATE/SET",
            "TNG",
            "",
        ] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_topic_and_what_is_wrong_with_it() {
        assert_eq!(
            "TNG/x/TWIN/NOPE".parse::<Topic>().unwrap_err().to_string(),
            "topic \"TNG/x/TWIN/NOPE\" is none of the protocol's"
        );
        assert_eq!(
            "TNG/ x/TWIN/SET".parse::<Topic>().unwrap_err().to_string(),
            "topic \"TNG/ x/TWIN/SET\": \" x\" begins or ends with a space; an id does not"
        );
    }

    #[test]
    fn the_manager_subscribes_to_what_is_for_it() {
        assert_eq!(
            manager_filters(&"m".parse().unwrap()),
            [
                "TNG/+/LC/ON",
                "TNG/+/LC/OFF",
                "TNG/+/STATE/UPD",
                "TNG/+/TWIN/GET",
                "TNG/+/TWIN/SET",
                "TNG/+/TWIN/DEL",
                "GRP/+/TWIN/GET",
                "GRP/+/TWIN/SET",
                "TNG/m/TPC/PING",
                "TNG/m/STATE/GET",
                "TNG/m/STATE/SET",
                "GRP/ALL/TPC/PING",
            ]
        );
    }

    #[test]
    fn only_a_response_topic_below_a_things_res_is_obeyed() {
        for good in ["TNG/app/TPC/RES/1", "TNG/app/TPC/RES/a/b/c"] {
            assert_eq!(good.parse::<ResponseTopic>().unwrap().as_str(), good);
        }
        for bad in [
            "TNG/app/TPC/RES",
            "TNG/app/TPC/RES/",
            "TNG/app/TPC/RES/+",
            "TNG/app/TPC/RES/a/#",
            "TNG//TPC/RES/1",
            "TNG/+/TPC/RES/1",
            "TNG/app/STATE/SET",
            "GRP/app/TPC/RES/1",
            "x",
        ] {
            assert_eq!(
                bad.parse::<ResponseTopic>().unwrap_err().to_string(),
                format!(
                    "response topic {bad:?} is not TNG/<id>/TPC/RES/<one or more levels> without wildcards"
                )
            );
        }
    }
}
