//! What a SET leaves to ask of a thing.

use serde_json::{Map, Value};

use super::{
    ledger::Ledger,
    tree::{self, Leaf, Members, Node, Path},
};
use crate::protocol::Timestamp;

/// What is known of the thing when something is asked of it.
pub(super) struct Known<'a> {
    /// What it last said it is.
    pub(super) reported: &'a Members,
    /// What it refused.
    pub(super) declined: &'a Members,
    /// What was sent to it and is not answered.
    pub(super) ledger: &'a Ledger,
    /// Whether what it says may be about to change: it was restored, and has not reported since.
    pub(super) unsure: bool,
}

impl Known<'_> {
    /// Whether a leaf has to be asked for although the thing may report it already.
    fn needs(&self, path: &[String], leaf: Leaf<'_>) -> bool {
        self.unsure
            || !tree::has(self.reported, path, leaf)
            || tree::touches(self.declined, path)
            || self.ledger.is_open(path)
    }
}

/// Merges a SET into what is desired, and says whether that changed anything.
pub(super) fn ask(
    desired: &mut Members,
    set: &Map<String, Value>,
    known: &Known<'_>,
    now: Timestamp,
) -> bool {
    Asking { known, now }.object(desired, set, Some(known.reported), &mut Path::new())
}

struct Asking<'a> {
    known: &'a Known<'a>,
    now: Timestamp,
}

impl Asking<'_> {
    fn object(
        &self,
        desired: &mut Members,
        set: &Map<String, Value>,
        reported: Option<&Members>,
        path: &mut Path,
    ) -> bool {
        let mut changed = false;
        for (name, value) in set {
            path.push(name.clone());
            let reported = reported.and_then(|members| members.get(name));
            changed |= if let Value::Object(set) = value {
                self.member(desired, name, set, reported, path)
            } else {
                self.leaf(desired, name, value, path)
            };
            path.pop();
        }
        changed
    }

    /// Asks for a member that is an object.
    fn member(
        &self,
        desired: &mut Members,
        name: &str,
        set: &Map<String, Value>,
        reported: Option<&Node>,
        path: &mut Path,
    ) -> bool {
        let theirs = reported.and_then(Node::members);
        match desired.get_mut(name) {
            Some(Node::Object(own)) => {
                let was_empty = own.is_empty();
                let changed = self.object(own, set, theirs, path);
                if own.is_empty() && !was_empty {
                    desired.remove(name);
                }
                changed
            }
            Some(Node::Leaf(..)) => {
                let mut own = Members::new();
                self.object(&mut own, &instead_of(set, theirs), theirs, path);
                let asks =
                    !own.is_empty() || (set.is_empty() && self.known.needs(path, Leaf::Object));
                if asks {
                    desired.insert(name, Node::Object(own));
                } else {
                    desired.remove(name);
                }
                true
            }
            None if set.is_empty() => {
                let needed = self.known.needs(path, Leaf::Object);
                if needed {
                    desired.insert(name, Node::Object(Members::new()));
                }
                needed
            }
            None => {
                let mut own = Members::new();
                let changed = self.object(&mut own, set, theirs, path);
                if changed {
                    desired.insert(name, Node::Object(own));
                }
                changed
            }
        }
    }

    fn leaf(&self, desired: &mut Members, name: &str, value: &Value, path: &[String]) -> bool {
        if tree::has_leaf(desired.get(name), value) {
            return false;
        }
        if self.known.needs(path, Leaf::Value(value)) {
            desired.insert(name, Node::Leaf(value.clone(), self.now));
            true
        } else {
            desired.remove(name).is_some()
        }
    }
}

/// The patch that makes an object what `set` says and no more: `null` for the rest of `reported`.
fn instead_of(set: &Map<String, Value>, reported: Option<&Members>) -> Map<String, Value> {
    let mut patch = set.clone();
    for (name, theirs) in reported.into_iter().flat_map(Members::iter) {
        match (patch.get_mut(name), theirs) {
            (None, _) => {
                patch.insert(name.to_owned(), Value::Null);
            }
            (Some(Value::Object(set)), Node::Object(theirs)) => {
                *set = instead_of(set, Some(theirs));
            }
            (Some(_), _) => {}
        }
    }
    patch
}
