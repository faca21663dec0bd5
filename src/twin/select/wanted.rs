//! Reads of a document only what is wanted, without making a tree of the rest.

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::protocol::Step;

/// Which places of a value are wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// All of it.
    whole: bool,
    members: BTreeMap<String, Wanted>,
    elements: BTreeMap<usize, Wanted>,
}

impl Wanted {
    /// Wants what is at a path, too.
    pub(super) fn add(&mut self, path: &[Step]) {
        match path.split_first() {
            None => self.whole = true,
            Some((Step::Member(name), rest)) => {
                self.members.entry(name.clone()).or_default().add(rest);
            }
            Some((Step::Element(index), rest)) => {
                self.elements.entry(*index).or_default().add(rest);
            }
        }
    }

    /// The document, with at least what is wanted of it.
    pub(super) fn read(&self, text: &str) -> Result<Value, serde_json::Error> {
        let mut document = serde_json::Deserializer::from_str(text);
        let value = self.deserialize(&mut document)?;
        document.end()?;
        Ok(value)
    }
}

/// What is at a path.
pub(super) fn at<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match (step, value) {
        (Step::Member(name), Value::Object(members)) => members.get(name),
        (Step::Element(index), Value::Array(elements)) => elements.get(*index),
        (Step::Member(_) | Step::Element(_), _) => None,
    })
}

impl<'de> DeserializeSeed<'de> for &Wanted {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.whole {
            return serde::Deserialize::deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

/// What is neither an object nor an array has nothing wanted in it.
impl<'de> Visitor<'de> for &Wanted {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            match self.members.get(&name) {
                Some(wanted) => {
                    let value = access.next_value_seed(wanted)?;
                    members.insert(name, value);
                }
                None => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(members))
    }

    /// The elements before the last wanted one keep their places.
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        let last = self.elements.last_key_value().map(|(index, _)| *index);
        while last.is_some_and(|last| elements.len() <= last) {
            let read = match self.elements.get(&elements.len()) {
                Some(wanted) => access.next_element_seed(wanted)?,
                None => access.next_element::<IgnoredAny>()?.map(|_ignored| Value::Null),
            };
            let Some(element) = read else { return Ok(Value::Array(elements)) };
            elements.push(element);
        }
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(elements))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}
