//! Who is a member of a group, by the rows of the broker's access table: a rule without a database.

use std::collections::BTreeMap;

use crate::{
    protocol::{GroupName, ThingId},
    rights::{EVERYBODY, Row},
};

/// Whom a row names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Everybody,
    Thing(ThingId),
    /// Nobody that could be a thing, and why.
    Nobody(String),
}

/// Whether it names every thing.
pub(super) fn names_everybody(row: &Row) -> bool {
    row.name() == Some(EVERYBODY)
}

fn named(row: &Row) -> Named {
    match row.name() {
        None => Named::Nobody("it names nobody".to_owned()),
        Some(EVERYBODY) => Named::Everybody,
        Some(name) => match name.parse() {
            Ok(id) => Named::Thing(id),
            Err(error) => Named::Nobody(error.to_string()),
        },
    }
}

/// What became of a thing that some row names, and the row that decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is a member.
    pub is_member: bool,
    /// The id of the first row that names it.
    pub row: i64,
}

/// A row that names no thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The row's id.
    pub row: i64,
    /// Why.
    pub reason: String,
}

/// The members of a group, and how they came to be that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Every thing that a row names, in order of id.
    pub decided: BTreeMap<ThingId, Decision>,
    /// Rows of the group that name nobody.
    pub skipped: Vec<Skipped>,
}

impl Membership {
    /// Goes through the rows in order of id: the first that names a thing decides. `known` are the things that
    /// `$all` names.
    #[must_use]
    pub fn new(group: &GroupName, rows: &[Row], known: &[ThingId]) -> Self {
        let mut membership = Self::default();
        let own = rows.iter().filter(|row| row.group().as_ref() == Some(group));
        let mut rows: Vec<_> = own.collect();
        rows.sort_by_key(|row| row.id);
        for row in rows {
            let named = match row.allows {
                Some(_) => named(row),
                None => Named::Nobody("it neither allows nor denies".to_owned()),
            };
            let decision = Decision { is_member: row.allows == Some(true), row: row.id };
            match named {
                Named::Thing(id) => {
                    membership.decided.entry(id).or_insert(decision);
                }
                Named::Everybody => {
                    for id in known {
                        membership.decided.entry(id.clone()).or_insert_with(|| decision.clone());
                    }
                }
                Named::Nobody(reason) => {
                    membership.skipped.push(Skipped { row: row.id, reason });
                }
            }
        }
        membership
    }

    /// The members, in order of id.
    pub fn members(&self) -> impl Iterator<Item = &ThingId> {
        self.decided.iter().filter(|(_, decision)| decision.is_member).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Action;

    fn row(id: i64, sign: char, client_id: &str, username: &str, topic: &str) -> Row {
        let name = |name: &str| (name != "NULL").then(|| name.to_owned());
        Row {
            id,
            allows: (sign != '?').then_some(sign == '+'),
            action: Some(Action::Subscribe),
            client_id: name(client_id),
            username: name(username),
            address: None,
            topic: topic.to_owned(),
        }
    }

    fn members(rows: Vec<Row>, known: &[&str]) -> Vec<String> {
        let known: Vec<ThingId> = known.iter().map(|id| id.parse().unwrap()).collect();
        let membership = Membership::new(&"g".parse().unwrap(), &rows, &known);
        membership.members().map(ToString::to_string).collect()
    }

    const G: &str = "GRP/g/TPC/#";

    #[test]
    fn the_first_row_in_order_of_id_that_names_a_thing_decides() {
        let rows = vec![
            row(4, '+', "a", "NULL", G),
            row(2, '-', "a", "NULL", G),
            row(1, '+', "b", "NULL", G),
            row(3, '-', "b", "NULL", G),
        ];
        assert_eq!(members(rows.clone(), &[]), ["b"]);
        let membership = Membership::new(&"g".parse().unwrap(), &rows, &[]);
        let decided = &membership.decided[&"a".parse::<ThingId>().unwrap()];
        assert_eq!(*decided, Decision { is_member: false, row: 2 });
    }

    #[test]
    fn a_row_names_its_client_or_else_its_user() {
        let rows = vec![
            row(1, '+', "a", "x", G),
            row(2, '+', "", "b", G),
            row(3, '+', "NULL", "c", G),
            row(4, '+', "NULL", "", G),
            row(5, '+', "NULL", "NULL", G),
            row(6, '+', "no/thing", "d", G),
            row(7, '?', "e", "NULL", G),
        ];
        assert_eq!(members(rows.clone(), &[]), ["a", "b", "c"]);
        let membership = Membership::new(&"g".parse().unwrap(), &rows, &[]);
        let skipped: Vec<_> =
            membership.skipped.iter().map(|it| (it.row, it.reason.as_str())).collect();
        assert_eq!(skipped[..2], [(4, "it names nobody"), (5, "it names nobody")]);
        assert_eq!(skipped[2].0, 6);
        assert!(skipped[2].1.contains("\"no/thing\" holds '/'"), "{skipped:?}");
        assert_eq!(skipped[3..], [(7, "it neither allows nor denies")]);
    }

    #[test]
    fn everybody_is_every_known_thing_that_no_row_before_names() {
        let rows = vec![
            row(1, '-', "a", "NULL", G),
            row(2, '+', "NULL", "$all", G),
            row(3, '-', "b", "NULL", G),
            row(4, '+', "unknown", "NULL", G),
        ];
        assert_eq!(members(rows, &["a", "b", "c"]), ["b", "c", "unknown"]);
        let rows = vec![row(1, '-', "$all", "NULL", G), row(2, '+', "a", "NULL", G)];
        assert!(members(rows, &["a"]).is_empty());
    }

    #[test]
    fn only_the_group_s_own_filter_counts_case_and_all() {
        let named = |topic: &str| members(vec![row(1, '+', "a", "NULL", topic)], &[]);
        assert_eq!(named(G), ["a"]);
        assert_eq!(named("eq GRP/g/TPC/#"), ["a"]);
        for topic in [
            "#",
            "GRP/#",
            "GRP/+/TPC/#",
            "GRP/G/TPC/#",
            "grp/g/TPC/#",
            "GRP/g/TPC/x",
            "GRP/g/TPC",
            "eq eq GRP/g/TPC/#",
            "EQ GRP/g/TPC/#",
            " GRP/g/TPC/#",
            "GRP/g/TPC/# ",
            "GRP/gg/TPC/#",
        ] {
            assert!(named(topic).is_empty(), "{topic}");
        }
        let publishes = Row { action: Some(Action::Publish), ..row(1, '-', "a", "NULL", G) };
        assert_eq!(members(vec![publishes, row(2, '+', "a", "NULL", G)], &[]), ["a"]);
    }
}
