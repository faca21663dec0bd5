//! States with their times, as trees: what a state holds and when each leaf was set are one thing,
//! so that the one cannot differ from the other.

use serde_json::{Map, Value};

pub(super) use super::members::Members;
use crate::protocol::{Timestamp, same_value};

/// The steps from the top of a state to a member.
pub(super) type Path = Vec<String>;

/// A member of a state.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// A value that is no object, and when it was last set.
    Leaf(Value, Timestamp),
    /// An object; it has no time of its own.
    Object(Members),
}

/// What is asked for, refused, or there, at a leaf: any member but an object with members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Leaf<'a> {
    /// Null (in a patch: no such member), a scalar or an array.
    Value(&'a Value),
    /// An object, whatever it holds: merging an empty object into it changes nothing.
    Object,
}

impl Node {
    /// The members, if it is an object.
    pub(super) fn members(&self) -> Option<&Members> {
        match self {
            Self::Object(members) => Some(members),
            Self::Leaf(..) => None,
        }
    }

    fn is_value(&self, value: &Value) -> bool {
        matches!(self, Self::Leaf(own, _) if same_value(own, value))
    }

    /// A patch's value as it stands in the state that it makes of nothing.
    fn merged_from_nothing(value: &Value, at: Timestamp) -> Self {
        let Value::Object(patch) = value else {
            return Self::Leaf(value.clone(), at);
        };
        let mut members = Members::new();
        merge(&mut members, patch, at);
        Self::Object(members)
    }
}

/// Merges a JSON merge patch (RFC 7396) into a state, and says whether that changed anything.
///
/// A leaf that already has the patch's value keeps the time at which it got it.
pub(super) fn merge(members: &mut Members, patch: &Map<String, Value>, at: Timestamp) -> bool {
    let mut changed = false;
    for (name, value) in patch {
        changed |= match (value, members.get_mut(name)) {
            (Value::Null, _) => members.remove(name).is_some(),
            (Value::Object(patch), Some(Node::Object(own))) => merge(own, patch, at),
            (value, Some(own)) if own.is_value(value) => false,
            (value, _) => {
                members.insert(name, Node::merged_from_nothing(value, at));
                true
            }
        };
    }
    changed
}

/// Makes a state what `whole` says, and says whether that changed anything.
pub(super) fn replace(members: &mut Members, whole: &Map<String, Value>, at: Timestamp) -> bool {
    let before = members.len();
    members.retain_names(|name| whole.get(name).is_some_and(|value| !value.is_null()));
    let mut changed = members.len() != before;
    for (name, value) in whole.iter().filter(|(_, value)| !value.is_null()) {
        // What stays is only looked at: it is shared with the twin before.
        if members.get(name).is_some_and(|own| own.is_value(value)) {
            continue;
        }
        changed |= match (value, members.get_mut(name)) {
            (Value::Object(whole), Some(Node::Object(own))) => replace(own, whole, at),
            (value, _) => {
                members.insert(name, Node::merged_from_nothing(value, at));
                true
            }
        };
    }
    changed
}

/// The member at a path.
pub(super) fn at<'a>(members: &'a Members, path: &[String]) -> Option<&'a Node> {
    let (first, rest) = path.split_first()?;
    let node = members.get(first)?;
    if rest.is_empty() { Some(node) } else { at(node.members()?, rest) }
}

/// Whether the state has at the path what a patch with this leaf would make it have.
pub(super) fn has(members: &Members, path: &[String], leaf: Leaf<'_>) -> bool {
    match (leaf, at(members, path)) {
        (Leaf::Value(Value::Null), node) => node.is_none(),
        (Leaf::Value(value), Some(node)) => node.is_value(value),
        (Leaf::Object, Some(Node::Object(_))) => true,
        (Leaf::Value(_), None) | (Leaf::Object, _) => false,
    }
}

/// Whether a member of a patch is this very leaf.
pub(super) fn has_leaf(node: Option<&Node>, value: &Value) -> bool {
    node.is_some_and(|node| node.is_value(value))
}

/// Whether there is a leaf at the path, above it or below it: one of them cannot change alone.
pub(super) fn touches(members: &Members, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match members.get(first) {
        None => false,
        Some(Node::Leaf(..)) => true,
        Some(Node::Object(own)) => own.is_empty() || touches(own, rest),
    }
}

/// Every leaf of a patch with its path.
pub(super) fn leaves(members: &Members) -> Vec<(Path, Leaf<'_>)> {
    fn collect<'a>(members: &'a Members, path: &mut Path, found: &mut Vec<(Path, Leaf<'a>)>) {
        for (name, node) in members.iter() {
            path.push(name.to_owned());
            match node {
                Node::Leaf(value, _) => found.push((path.clone(), Leaf::Value(value))),
                Node::Object(own) if own.is_empty() => found.push((path.clone(), Leaf::Object)),
                Node::Object(own) => collect(own, path, found),
            }
            path.pop();
        }
    }
    let mut found = Vec::new();
    collect(members, &mut Path::new(), &mut found);
    found
}

/// Whether the member of a patch at the path is a leaf.
pub(super) fn is_leaf(members: &Members, path: &[String]) -> bool {
    match at(members, path) {
        Some(Node::Leaf(..)) => true,
        Some(Node::Object(own)) => own.is_empty(),
        None => false,
    }
}

/// About how many bytes the paths of all leaves take, each written out.
///
/// That may be far more than the tree itself has, for in the tree a step stands once for all that is
/// below it. So it is counted without making the paths.
pub(super) fn paths_size(members: &Members) -> usize {
    fn below(members: &Members, above: usize) -> usize {
        let sizes = members.iter().map(|(name, node)| {
            let here = above + step_size(name);
            match node {
                Node::Object(own) if !own.is_empty() => below(own, here),
                Node::Object(_) | Node::Leaf(..) => path_size(here),
            }
        });
        sizes.fold(0, usize::saturating_add)
    }
    below(members, 0)
}

/// About how many bytes a step of a path takes as JSON.
pub(super) fn step_size(step: &str) -> usize {
    step.len() + 3
}

/// About how many bytes a path takes as JSON with its trn, by what its steps take.
pub(super) fn path_size(steps: usize) -> usize {
    steps + 8
}

/// Takes out what is at the path, above it as a leaf, or below it; an object emptied by that
/// vanishes.
pub(super) fn take_out(members: &mut Members, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let taken = match members.get_mut(first) {
        None => return false,
        Some(Node::Object(own)) if !rest.is_empty() && !own.is_empty() => {
            let taken = take_out(own, rest);
            if !own.is_empty() {
                return taken;
            }
            taken
        }
        Some(_) => true,
    };
    members.remove(first);
    taken
}

/// Takes out every leaf that the state has as the patch would make it, and says whether there was
/// one; an object emptied by that vanishes.
pub(super) fn take_out_all(patch: &mut Members, state: Option<&Members>) -> bool {
    let mut taken = false;
    patch.retain(|name, node| {
        let there = state.and_then(|state| state.get(name));
        let stays = match node {
            Node::Leaf(Value::Null, _) => there.is_some(),
            Node::Leaf(value, _) => !there.is_some_and(|there| there.is_value(value)),
            Node::Object(own) if own.is_empty() => there.and_then(Node::members).is_none(),
            Node::Object(own) => {
                taken |= take_out_all(own, there.and_then(Node::members));
                !own.is_empty()
            }
        };
        taken |= !stays;
        stays
    });
    taken
}

/// Puts a leaf into a patch, over whatever is there.
pub(super) fn put(members: &mut Members, path: &[String], leaf: Leaf<'_>, now: Timestamp) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        let node = match leaf {
            Leaf::Value(value) => Node::Leaf(value.clone(), now),
            Leaf::Object => Node::Object(Members::new()),
        };
        members.insert(first, node);
        return;
    }
    if members.get(first).and_then(Node::members).is_none() {
        members.insert(first, Node::Object(Members::new()));
    }
    if let Some(Node::Object(own)) = members.get_mut(first) {
        put(own, rest, leaf, now);
    }
}

/// Whether a delta speaks of the member at the path: names it, or removes what it is in.
///
/// A value put above it does not count. It does away with the member, but a thing that was asked
/// for that value first, and for the member's removal later, would be taken to have done both.
pub(super) fn carries(report: &Map<String, Value>, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    match report.get(first) {
        None => false,
        Some(Value::Object(own)) => rest.is_empty() || carries(own, rest),
        Some(value) => rest.is_empty() || value.is_null(),
    }
}
