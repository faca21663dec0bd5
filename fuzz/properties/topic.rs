//! Section 1 of the protocol: topics, ids, filters and response topics.

use std::{fmt::Display, str::FromStr};

use twinthing::protocol::{
    GroupName, GroupTopic, ResponseTopic, ThingId, ThingTopic, Topic, manager_filters,
};

/// What follows `TNG/<id>/`.
const THING: [&str; 13] = [
    "LC/ON",
    "LC/OFF",
    "TPC/PING",
    "TPC/PONG",
    "TPC/STATS",
    "STATE/GET",
    "STATE/SET",
    "STATE/UPD",
    "TWIN/GET",
    "TWIN/SET",
    "TWIN/DEL",
    "TWIN/UPD",
    "TWIN/RES",
];
/// What follows `GRP/<group>/`.
const GROUP: [&str; 4] = ["TPC/PING", "TWIN/GET", "TWIN/SET", "TWIN/RES"];

/// The input as a topic, an id, a group's name and a response topic. Says how many of them it is.
///
/// # Panics
/// If something does not hold.
pub fn check(input: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    let levels: Vec<_> = text.split('/').collect();
    let id = parse::<ThingId>(text, is_id(text));
    let group = parse::<GroupName>(text, is_id(text));
    let topic = parse::<Topic>(text, is_topic(&levels));
    let response = parse::<ResponseTopic>(text, is_response_topic(&levels));
    assert!(topic.is_none() || response.is_none(), "{text:?} is a topic and a response topic");
    if let Some(id) = &id {
        assert_eq!(id.as_str(), text);
        filters_are_topics(id);
    }
    if let Some(topic) = &topic {
        names_its_levels(topic, &levels);
        for manager in ["twinmgr", levels[1]] {
            is_subscribed_to_once_if_it_is_for(&manager.parse().unwrap(), topic, &levels);
        }
    }
    [id.is_some(), group.is_some(), topic.is_some(), response.is_some()]
        .into_iter()
        .filter(|read| *read)
        .count()
}

/// Parses what is one and nothing else; what parses prints as it was; an error is one line of text.
fn parse<T>(text: &str, is_one: bool) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + Clone,
{
    let name = std::any::type_name::<T>();
    match text.parse::<T>() {
        Ok(parsed) => {
            assert!(is_one, "{text:?} is no {name}");
            assert_eq!(parsed.to_string(), text);
            assert!(parsed.to_string().parse().is_ok_and(|again: T| again == parsed));
            Some(parsed)
        }
        Err(error) => {
            assert!(!is_one, "{text:?} is a {name}: {error}");
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
            None
        }
    }
}

fn is_id(text: &str) -> bool {
    (1..=80).contains(&text.len())
        && !text.contains(['/', '+', '#'])
        && !text.contains(char::is_control)
        && !text.starts_with(' ')
        && !text.ends_with(' ')
}

fn is_topic(levels: &[&str]) -> bool {
    let [space, id, above, below] = levels else { return false };
    let kind = format!("{above}/{below}");
    is_id(id)
        && match *space {
            "TNG" => THING.contains(&kind.as_str()),
            "GRP" => GROUP.contains(&kind.as_str()),
            _ => false,
        }
}

fn is_response_topic(levels: &[&str]) -> bool {
    let ["TNG", id, "TPC", "RES", rest @ ..] = levels else { return false };
    let rest = rest.join("/");
    is_id(id) && !rest.is_empty() && !rest.contains(['+', '#']) && !rest.contains(char::is_control)
}

fn names_its_levels(topic: &Topic, levels: &[&str]) {
    let kind = levels[2..].join("/");
    match topic {
        Topic::Thing(id, of_thing) => {
            assert_eq!((levels[0], levels[1]), ("TNG", id.as_str()));
            assert_eq!(of_thing.levels(), kind);
        }
        Topic::Group(name, of_group) => {
            assert_eq!((levels[0], levels[1]), ("GRP", name.as_str()));
            assert_eq!(of_group.levels(), kind);
        }
    }
}

/// Every filter, with an id for its `+`, is a topic.
fn filters_are_topics(manager: &ThingId) {
    for filter in manager_filters(manager) {
        let levels: Vec<_> = filter.split('/').map(|level| level.replace('+', "x")).collect();
        assert!(levels.join("/").parse::<Topic>().is_ok(), "{filter}");
    }
}

/// A broker sends a message once for each filter that matches.
fn is_subscribed_to_once_if_it_is_for(manager: &ThingId, topic: &Topic, levels: &[&str]) {
    let matches = |filter: &String| {
        let filter = filter.split('/');
        filter.clone().count() == levels.len()
            && filter.zip(levels).all(|(one, level)| one == "+" || one == *level)
    };
    let filters = manager_filters(manager).iter().filter(|filter| matches(filter)).count();
    assert_eq!(filters, usize::from(is_for(manager, topic)), "{topic} for {manager}");
}

fn is_for(manager: &ThingId, topic: &Topic) -> bool {
    match topic {
        Topic::Thing(id, kind) => match kind {
            ThingTopic::LcOn
            | ThingTopic::LcOff
            | ThingTopic::StateUpd
            | ThingTopic::TwinGet
            | ThingTopic::TwinSet
            | ThingTopic::TwinDel => true,
            ThingTopic::Ping | ThingTopic::StateGet | ThingTopic::StateSet => id == manager,
            ThingTopic::Pong | ThingTopic::Stats | ThingTopic::TwinUpd | ThingTopic::TwinRes => {
                false
            }
        },
        Topic::Group(name, kind) => match kind {
            GroupTopic::TwinGet | GroupTopic::TwinSet => true,
            GroupTopic::Ping => name.as_str() == "ALL",
            GroupTopic::TwinRes => false,
        },
    }
}
