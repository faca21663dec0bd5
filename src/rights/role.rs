//! What each role needs, by docs/protocol.md, and nothing else.

use std::collections::BTreeSet;

use super::Action;
use crate::protocol::{GroupName, ThingId, manager_filters};

/// What somebody is at the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A thing.
    Device,
    /// A member of a group, which is a thing already.
    Member(GroupName),
    /// The manager, with `twinmgr health` and `check`.
    Manager,
    /// An application that works with twins.
    Client {
        /// The groups that it asks and sets.
        groups: BTreeSet<GroupName>,
        /// The things whose twins it works with.
        things: BTreeSet<ThingId>,
        /// Whether it works with all twins.
        all_things: bool,
    },
}

/// By what a row names somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By client id: a thing, whose id that is.
    ClientId,
    /// By user name: one who connects under several client ids, as applications and tools do.
    Username,
}

/// Something that somebody may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// What.
    pub action: Action,
    /// Where: a topic filter.
    pub topic: String,
}

impl Right {
    fn new(action: Action, topic: impl Into<String>) -> Self {
        Self { action, topic: topic.into() }
    }
}

impl Role {
    /// Whether a row with this filter is one that a client has, whatever it was granted, and whether it is the one by which it
    /// is answered.
    ///
    /// ```
    /// use twinthing::rights::Role;
    ///
    /// let app = "app".parse()?;
    /// assert_eq!(Role::is_of_client(&app, "GRP/hall/TWIN/SET"), Some(false));
    /// assert_eq!(Role::is_of_client(&app, "TNG/app/TPC/RES/#"), Some(true));
    /// assert_eq!(Role::is_of_client(&app, "TNG/app/LC/ON"), None);
    /// # Ok::<(), twinthing::protocol::IdError>(())
    /// ```
    #[must_use]
    pub fn is_of_client(id: &ThingId, filter: &str) -> Option<bool> {
        if filter == format!("TNG/{id}/TPC/RES/#") {
            return Some(true);
        }
        let (kind, rest) = filter.split_once('/')?;
        let (_, levels) = rest.split_once('/')?;
        let is_it = match kind {
            "GRP" => OF_GROUP.contains(&levels),
            "TNG" => ASKED.contains(&levels) || HEARD.contains(&levels),
            _ => false,
        };
        is_it.then_some(false)
    }

    /// By what its rows name whoever has it, where the table has both.
    ///
    /// ```
    /// use twinthing::rights::{By, Role};
    ///
    /// assert_eq!(Role::Device.by(), By::ClientId);
    /// assert_eq!(Role::Manager.by(), By::Username); // `twinmgr health` has a client id of its own
    /// ```
    #[must_use]
    pub fn by(&self) -> By {
        match self {
            Self::Device | Self::Member(_) => By::ClientId,
            Self::Manager | Self::Client { .. } => By::Username,
        }
    }

    /// All that one of this role has to be allowed, in the order in which the rows are written.
    ///
    /// ```
    /// use twinthing::rights::{Action, Role};
    ///
    /// let rights = Role::Member("hall".parse()?).rights(&"lamp".parse()?);
    /// assert_eq!(rights.len(), 1);
    /// assert_eq!((rights[0].action, rights[0].topic.as_str()), (Action::Subscribe, "GRP/hall/TPC/#"));
    /// # Ok::<(), twinthing::protocol::IdError>(())
    /// ```
    #[must_use]
    pub fn rights(&self, id: &ThingId) -> Vec<Right> {
        match self {
            Self::Device => device(id),
            Self::Member(group) => {
                vec![Right::new(Action::Subscribe, format!("GRP/{group}/TPC/#"))]
            }
            Self::Manager => manager(id),
            Self::Client { groups, things, all_things } => client(id, groups, things, *all_things),
        }
    }
}

/// What a client publishes of a thing.
const ASKED: [&str; 4] = ["TWIN/GET", "TWIN/SET", "TWIN/DEL", "TPC/PING"];
/// What it hears of one; TWIN/DEL, when somebody has a twin forgotten.
const HEARD: [&str; 5] = ["TWIN/UPD", "TWIN/RES", "TWIN/DEL", "LC/+", "TPC/PONG"];
/// What it does with a group.
const OF_GROUP: [&str; 3] = ["TWIN/GET", "TWIN/SET", "TWIN/RES"];

fn device(id: &ThingId) -> Vec<Right> {
    let own = |levels: &str| format!("TNG/{id}/{levels}");
    let mut rights: Vec<_> = ["LC/ON", "LC/OFF", "STATE/UPD"]
        .into_iter()
        .map(|levels| Right::new(Action::Publish, own(levels)))
        .collect();
    rights.extend(
        ["STATE/GET", "STATE/SET"].map(|levels| Right::new(Action::Subscribe, own(levels))),
    );
    // PING, PONG, and its own applications.
    rights.push(Right::new(Action::All, own("TPC/#")));
    rights.push(Right::new(Action::Subscribe, "GRP/ALL/TPC/#"));
    rights
}

fn manager(id: &ThingId) -> Vec<Right> {
    let mut rights: Vec<_> = manager_filters(id)
        .into_iter()
        .map(|filter| Right::new(Action::Subscribe, filter))
        .collect();
    let own = ["LC/ON", "LC/OFF", "STATE/UPD", "TPC/#"].map(|levels| format!("TNG/{id}/{levels}"));
    let told = [
        "TNG/+/STATE/GET",
        "TNG/+/STATE/SET",
        "TNG/+/TWIN/UPD",
        "TNG/+/TWIN/RES",
        "GRP/+/TWIN/RES",
        "TNG/+/TPC/RES/#",
    ];
    let told = told.into_iter().map(str::to_owned).chain(own);
    rights.extend(told.map(|topic| Right::new(Action::Publish, topic)));
    // What `twinmgr health` asks, under a client id of its own and the manager's user name.
    rights.push(Right::new(Action::Publish, "TNG/+/TWIN/GET"));
    let heard = [
        "$SYS/broker/version".to_owned(),
        "$SYS/broker/publish/messages/dropped".to_owned(),
        "TNG/+/TWIN/UPD".to_owned(),
        "TNG/+/TWIN/RES".to_owned(),
        format!("TNG/{id}/TPC/PONG"),
    ];
    rights.extend(heard.map(|topic| Right::new(Action::Subscribe, topic)));
    rights
}

fn client(
    id: &ThingId,
    groups: &BTreeSet<GroupName>,
    things: &BTreeSet<ThingId>,
    all_things: bool,
) -> Vec<Right> {
    // Where the manager answers by MQTT 5.
    let mut rights = vec![Right::new(Action::Subscribe, format!("TNG/{id}/TPC/RES/#"))];
    for group in groups {
        let of = |levels: &str| format!("GRP/{group}/TWIN/{levels}");
        rights.extend(["GET", "SET"].map(|levels| Right::new(Action::Publish, of(levels))));
        rights.push(Right::new(Action::Subscribe, of("RES")));
    }
    let all = all_things.then_some("+");
    for thing in things.iter().map(ThingId::as_str).chain(all) {
        let of = |levels: &str| format!("TNG/{thing}/{levels}");
        rights.extend(ASKED.map(|levels| Right::new(Action::Publish, of(levels))));
        rights.extend(HEARD.map(|levels| Right::new(Action::Subscribe, of(levels))));
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::thing_filters,
        rights::{Ask, Row, verdict},
    };

    fn rows(id: &str, role: &Role) -> Vec<Row> {
        let row = |(place, right): (usize, Right)| Row {
            id: i64::try_from(place).unwrap(),
            allows: Some(true),
            action: Some(right.action),
            client_id: Some(id.to_owned()),
            username: None,
            address: None,
            topic: right.topic,
        };
        role.rights(&id.parse().unwrap()).into_iter().enumerate().map(row).collect()
    }

    fn may(rows: &[Row], id: &str, action: Action, topic: &str) -> bool {
        let ask = Ask { client_id: id, username: id, action, topic };
        verdict(rows, &ask).is_allowed()
    }

    #[test]
    fn a_device_may_what_a_thing_does_and_nothing_else() {
        let rows = rows("lamp", &Role::Device);
        for filter in thing_filters(&"lamp".parse().unwrap(), &[]) {
            assert!(may(&rows, "lamp", Action::Subscribe, &filter), "{filter}");
        }
        for topic in ["TNG/lamp/LC/ON", "TNG/lamp/STATE/UPD", "TNG/lamp/TPC/PONG"] {
            assert!(may(&rows, "lamp", Action::Publish, topic), "{topic}");
            let another = topic.replace("lamp", "hall");
            assert!(!may(&rows, "lamp", Action::Publish, &another), "{another}");
        }
        for (action, topic) in [
            (Action::Publish, "TNG/lamp/STATE/SET"),
            (Action::Publish, "TNG/lamp/TWIN/UPD"),
            (Action::Publish, "GRP/ALL/TPC/PING"),
            (Action::Subscribe, "TNG/lamp/TWIN/UPD"),
            (Action::Subscribe, "TNG/hall/STATE/UPD"),
            (Action::Subscribe, "GRP/hall/TPC/#"),
            (Action::Subscribe, "TNG/+/STATE/UPD"),
            (Action::Subscribe, "TNG/#"),
            (Action::Subscribe, "#"),
        ] {
            assert!(!may(&rows, "lamp", action, topic), "{topic}");
        }
        assert!(!may(&rows, "hall", Action::Publish, "TNG/lamp/LC/ON"), "somebody else");
    }

    #[test]
    fn a_manager_may_hear_and_tell_about_everybody_and_report_for_nobody() {
        let rows = rows("mgr", &Role::Manager);
        for filter in manager_filters(&"mgr".parse().unwrap()) {
            assert!(may(&rows, "mgr", Action::Subscribe, &filter), "{filter}");
        }
        for topic in ["TNG/a/STATE/SET", "TNG/a/TWIN/UPD", "TNG/app/TPC/RES/x/y", "TNG/mgr/LC/ON"] {
            assert!(may(&rows, "mgr", Action::Publish, topic), "{topic}");
        }
        for topic in ["TNG/a/STATE/UPD", "TNG/a/LC/ON", "TNG/a/TWIN/SET", "TNG/a/TPC/x"] {
            assert!(!may(&rows, "mgr", Action::Publish, topic), "{topic}");
        }
    }

    #[test]
    fn a_client_may_work_with_what_it_was_granted() {
        let role = Role::Client {
            groups: ["hall".parse().unwrap()].into(),
            things: ["lamp".parse().unwrap()].into(),
            all_things: false,
        };
        let rows = rows("app", &role);
        for topic in ["TNG/lamp/TWIN/SET", "GRP/hall/TWIN/SET", "TNG/lamp/TPC/PING"] {
            assert!(may(&rows, "app", Action::Publish, topic), "{topic}");
        }
        for topic in ["TNG/lamp/TWIN/UPD", "GRP/hall/TWIN/RES", "TNG/app/TPC/RES/TWIN"] {
            assert!(may(&rows, "app", Action::Subscribe, topic), "{topic}");
        }
        for topic in ["TNG/other/TWIN/SET", "GRP/attic/TWIN/SET", "TNG/lamp/STATE/SET"] {
            assert!(!may(&rows, "app", Action::Publish, topic), "{topic}");
        }
    }
}
