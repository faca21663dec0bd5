//! Reads of a document only what is wanted, without making a tree of the rest.

use std::{collections::BTreeMap, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::protocol::Step;

/// Which places of a value are wanted, and under which number each is.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The number of the value itself.
    own: Option<usize>,
    members: BTreeMap<String, Wanted>,
    elements: BTreeMap<usize, Wanted>,
}

impl Wanted {
    /// Wants what is at a path, too, and gives its number: the next one, if it has none yet.
    pub(super) fn add(&mut self, path: &[Step], next: &mut usize) -> usize {
        match path.split_first() {
            None => *self.own.get_or_insert_with(|| std::mem::replace(next, *next + 1)),
            Some((Step::Member(name), rest)) => {
                self.members.entry(name.clone()).or_default().add(rest, next)
            }
            Some((Step::Element(index), rest)) => {
                self.elements.entry(*index).or_default().add(rest, next)
            }
        }
    }

    /// Puts what is wanted of the document into `places`, each under its number, as it stands there. A place where
    /// nothing is stays as it is.
    pub(super) fn read<'t>(
        &self,
        text: &'t str,
        places: &mut [Place<'t>],
    ) -> Result<(), serde_json::Error> {
        let mut document = serde_json::Deserializer::from_str(text);
        Reading { wanted: self, places }.deserialize(&mut document)?;
        document.end()
    }

    /// Forgets what was read.
    fn clear(&self, places: &mut [Place<'_>]) {
        put(self.own, None, places);
        self.members.values().for_each(|wanted| wanted.clear(places));
        self.elements.values().for_each(|wanted| wanted.clear(places));
    }

    fn has_parts(&self) -> bool {
        !self.members.is_empty() || !self.elements.is_empty()
    }
}

/// What is at a place, as JSON; none if nothing is.
pub(super) type Place<'t> = Option<&'t str>;

fn put<'t>(number: Option<usize>, value: Place<'t>, places: &mut [Place<'t>]) {
    if let Some(place) = number.and_then(|number| places.get_mut(number)) {
        *place = value;
    }
}

/// A value that is being read.
struct Reading<'a, 't> {
    wanted: &'a Wanted,
    places: &'a mut [Place<'t>],
}

impl<'de> DeserializeSeed<'de> for Reading<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.wanted.own.is_none() {
            return deserializer.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        put(self.wanted.own, Some(text), self.places);
        if self.wanted.has_parts() {
            let mut again = serde_json::Deserializer::from_str(text);
            again.deserialize_any(self).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

/// What is neither an object nor an array has nothing wanted in it.
impl<'de> Visitor<'de> for Reading<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(found) = access.next_key_seed(Known(&self.wanted.members))? {
            let Some(wanted) = found else {
                access.next_value::<IgnoredAny>()?;
                continue;
            };
            // Of a name that comes twice the last one counts, whole.
            wanted.clear(self.places);
            access.next_value_seed(Reading { wanted, places: self.places })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut at = 0;
        for (index, wanted) in &self.wanted.elements {
            while at < *index {
                if access.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
                at += 1;
            }
            if access.next_element_seed(Reading { wanted, places: self.places })?.is_none() {
                return Ok(());
            }
            at += 1;
        }
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Finds a member's name among those that are wanted, without making a string of it.
struct Known<'a>(&'a BTreeMap<String, Wanted>);

impl<'a, 'de> DeserializeSeed<'de> for Known<'a> {
    type Value = Option<&'a Wanted>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Known<'a> {
    type Value = Option<&'a Wanted>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name))
    }
}
