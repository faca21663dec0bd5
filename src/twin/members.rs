//! The members of an object, kept so that a small one takes little: most things have few members, and there are
//! many things.

use std::{collections::BTreeMap, sync::Arc};

use super::tree::Node;

/// So many are kept in one piece of memory, in which they are found by halving. More are in a tree, so that one of tens
/// of thousands is as quick to change; and a copy shares, with what it was made from, all that neither changes.
const FEW: usize = 32;

/// The members of an object, in order of name. Without any it takes no memory beside itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Option<Box<Kept>>);

#[derive(Clone, Debug)]
enum Kept {
    Few(Vec<(Box<str>, Node)>),
    Many(Many),
}

type Many = BTreeMap<Arc<str>, Arc<Node>>;

fn many(members: Vec<(Box<str>, Node)>) -> Many {
    members.into_iter().map(|(name, node)| (name.into(), Arc::new(node))).collect()
}

/// Where a name is among few, or belongs.
fn place(few: &[(Box<str>, Node)], name: &str) -> Result<usize, usize> {
    few.binary_search_by(|(known, _)| (**known).cmp(name))
}

impl Members {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn len(&self) -> usize {
        match self.0.as_deref() {
            None => 0,
            Some(Kept::Few(few)) => few.len(),
            Some(Kept::Many(many)) => many.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        match self.0.as_deref()? {
            Kept::Few(few) => few.get(place(few, name).ok()?).map(|(_, node)| node),
            Kept::Many(many) => many.get(name).map(AsRef::as_ref),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match self.0.as_deref_mut()? {
            Kept::Few(few) => {
                let place = place(few, name).ok()?;
                few.get_mut(place).map(|(_, node)| node)
            }
            Kept::Many(many) => many.get_mut(name).map(Arc::make_mut),
        }
    }

    /// Puts a member in place of the one of that name, or beside the others.
    pub(super) fn insert(&mut self, name: &str, node: Node) {
        let kept = self.0.get_or_insert_with(|| Box::new(Kept::Few(Vec::new())));
        match &mut **kept {
            Kept::Many(many) => match many.get_mut(name) {
                Some(own) => *own = Arc::new(node),
                None => drop(many.insert(name.into(), Arc::new(node))),
            },
            Kept::Few(few) => match place(few, name) {
                Ok(place) => {
                    if let Some((_, own)) = few.get_mut(place) {
                        *own = node;
                    }
                }
                Err(place) if few.len() < FEW => {
                    few.reserve_exact(1);
                    few.insert(place, (name.into(), node));
                }
                Err(_) => {
                    let mut many = many(std::mem::take(few));
                    many.insert(name.into(), Arc::new(node));
                    **kept = Kept::Many(many);
                }
            },
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Node> {
        let removed = match self.0.as_deref_mut()? {
            Kept::Few(few) => place(few, name).ok().map(|place| few.remove(place).1),
            Kept::Many(many) => many.remove(name).map(Arc::unwrap_or_clone),
        };
        self.tidy();
        removed
    }

    /// Keeps those for which this holds.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&str, &mut Node) -> bool) {
        match self.0.as_deref_mut() {
            None => {}
            Some(Kept::Few(few)) => few.retain_mut(|(name, node)| keeps(name, node)),
            Some(Kept::Many(many)) => many.retain(|name, node| keeps(name, Arc::make_mut(node))),
        }
        self.tidy();
    }

    /// Keeps those with such names.
    pub(super) fn retain_names(&mut self, mut keeps: impl FnMut(&str) -> bool) {
        match self.0.as_deref_mut() {
            None => {}
            Some(Kept::Few(few)) => few.retain(|(name, _)| keeps(name)),
            Some(Kept::Many(many)) => many.retain(|name, _| keeps(name)),
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }

    /// All, in order of name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        let (few, many) = match self.0.as_deref() {
            None => (None, None),
            Some(Kept::Few(few)) => (Some(few), None),
            Some(Kept::Many(many)) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().map(|(name, node)| (&**name, node));
        few.chain(many.into_iter().flatten().map(|(name, node)| (&**name, &**node)))
    }
}

/// However they are kept. What is shared is not looked at.
impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): ((&str, &Node), (&str, &Node))| {
            one.0 == other.0 && (std::ptr::eq(one.1, other.1) || one.1 == other.1)
        };
        self.len() == other.len() && self.iter().zip(other.iter()).all(same)
    }
}

/// Each name is there once.
impl FromIterator<(String, Node)> for Members {
    fn from_iter<T: IntoIterator<Item = (String, Node)>>(members: T) -> Self {
        let mut few: Vec<(Box<str>, Node)> =
            members.into_iter().map(|(name, node)| (name.into(), node)).collect();
        if few.is_empty() {
            return Self(None);
        }
        if few.len() > FEW {
            return Self(Some(Box::new(Kept::Many(many(few)))));
        }
        few.sort_by(|(one, _), (other, _)| one.cmp(other));
        few.shrink_to_fit();
        Self(Some(Box::new(Kept::Few(few))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::protocol::Timestamp;

    fn leaf(value: u8) -> Node {
        Node::Leaf(json!(value), Timestamp(0))
    }

    /// A copy costs little, and what is done to it is not done to the other.
    #[test]
    fn copies_share_what_neither_changes() {
        let numbered = |number: u8| (format!("m{number:03}"), leaf(number));
        let first: Members = (0..100).map(numbered).collect();
        let mut second = first.clone();
        second.insert("m001", leaf(200));
        *second.get_mut("m002").unwrap() = leaf(201);
        assert_eq!(second.remove("m003"), Some(leaf(3)));
        assert_eq!(first, (0..100).map(numbered).collect());
        let shared = first.iter().filter(|(name, node)| {
            second.get(name).is_some_and(|theirs| std::ptr::eq(theirs, *node))
        });
        assert_eq!(shared.count(), 97);
    }

    proptest! {
        /// Whatever is done to them, they are what a map is to which the same is done.
        #[test]
        fn they_are_what_a_map_is(
            begin in proptest::collection::btree_map("[a-d]{1,2}", any::<u8>(), 0..60),
            steps in proptest::collection::vec(("[a-d]{1,3}", any::<u8>(), 0_u8..8), 0..120),
        ) {
            let mut map: BTreeMap<String, Node> =
                begin.into_iter().map(|(name, value)| (name, leaf(value))).collect();
            let mut members: Members = map.clone().into_iter().collect();
            for (name, value, step) in steps {
                match step {
                    0 | 1 => prop_assert_eq!(members.remove(&name), map.remove(&name)),
                    2 => {
                        let keeps = |node: &Node| *node != leaf(value);
                        members.retain(|_, node| keeps(node));
                        map.retain(|_, node| keeps(node));
                    }
                    3 => {
                        members.retain_names(|kept| *kept > *name);
                        map.retain(|kept, _| *kept > name);
                    }
                    _ => {
                        members.insert(&name, leaf(value));
                        map.insert(name.clone(), leaf(value));
                    }
                }
                prop_assert_eq!(members.get(&name), map.get(&name));
                prop_assert_eq!(members.get_mut(&name).cloned(), map.get(&name).cloned());
                prop_assert_eq!((members.len(), members.is_empty()), (map.len(), map.is_empty()));
            }
            let all: Vec<_> = map.iter().map(|(name, node)| (name.as_str(), node)).collect();
            prop_assert_eq!(members.iter().collect::<Vec<_>>(), all);
            prop_assert_eq!(members, map.into_iter().collect());
        }
    }
}
