//! The ids of things and the names of groups: whoever holds one knows that it is valid.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The most bytes of UTF-8 that an id or a group's name may have.
///
/// ```
/// use twinthing::protocol::{MAX_ID_BYTES, ThingId};
///
/// let id = "ä".repeat(MAX_ID_BYTES / 2);
/// assert!(id.parse::<ThingId>().is_ok());
/// assert!(format!("{id}1").parse::<ThingId>().is_err(), "41 characters, and 81 bytes");
/// ```
pub const MAX_ID_BYTES: usize = 80;

/// Why a text is no id of a thing and no name of a group.
///
/// ```
/// use twinthing::protocol::ThingId;
///
/// let error = " lamp".parse::<ThingId>().unwrap_err();
/// assert_eq!(error.to_string(), "\" lamp\" begins or ends with a space; an id does not");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An id names something, so it is not empty.
    #[error("an id is empty; it has 1 to {MAX_ID_BYTES} bytes")]
    Empty,
    /// The databases' id column ends there.
    #[error("{id:?} has {bytes} bytes; an id has 1 to {MAX_ID_BYTES}")]
    TooLong {
        /// The text as it came.
        id: String,
        /// Its length in UTF-8.
        bytes: usize,
    },
    /// The characters with a meaning in topics, and those nobody can see.
    #[error(
        "{id:?} holds {found:?}; an id is one topic level, without / + # and control characters"
    )]
    Reserved {
        /// The text as it came.
        id: String,
        /// The first character that may not be there.
        found: char,
    },
    /// Databases pad and trim, and people do not see it.
    #[error("{id:?} begins or ends with a space; an id does not")]
    Space {
        /// The text as it came.
        id: String,
    },
}

fn check(id: &str) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty);
    }
    if id.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong { id: id.to_owned(), bytes: id.len() });
    }
    if let Some(found) = id.chars().find(|c| matches!(c, '/' | '+' | '#') || c.is_control()) {
        return Err(IdError::Reserved { id: id.to_owned(), found });
    }
    if id.starts_with(' ') || id.ends_with(' ') {
        return Err(IdError::Space { id: id.to_owned() });
    }
    Ok(())
}

macro_rules! one_level {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of it, as it stands in a topic.
            ///
            /// ```
            #[doc = concat!("use twinthing::protocol::", stringify!($name), ";")]
            ///
            #[doc = concat!("let name: ", stringify!($name), " = \"Küche 2\".parse()?;")]
            /// assert_eq!(name.as_str().split_once(' '), Some(("Küche", "2")));
            /// # Ok::<(), twinthing::protocol::IdError>(())
            /// ```
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(id: &str) -> Result<Self, IdError> {
                check(id)?;
                Ok(Self(id.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

one_level! {
    /// The id of a thing: its MQTT client id, one level of a topic.
    ///
    /// UTF-8, at least a byte of it and at most 80. It holds no `/`, `+` or `#` and no control
    /// character, and no space begins or ends it. Ids are compared byte by byte, and a copy costs no
    /// allocation.
    ///
    /// ```
    /// use twinthing::protocol::ThingId;
    ///
    /// let lamp: ThingId = "lamp 1".parse()?;
    /// assert_eq!(lamp.as_str(), "lamp 1");
    /// assert!("lamp/1".parse::<ThingId>().is_err());
    /// # Ok::<(), twinthing::protocol::IdError>(())
    /// ```
    ThingId
}

one_level! {
    /// The name of a group, of the same form as a [`ThingId`].
    ///
    /// ```
    /// use twinthing::protocol::GroupName;
    ///
    /// let kitchen: GroupName = "kitchen".parse()?;
    /// assert_eq!(kitchen.to_string(), "kitchen");
    /// # Ok::<(), twinthing::protocol::IdError>(())
    /// ```
    GroupName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_80_bytes_is_taken_and_one_of_81_is_not() {
        assert!("é".repeat(40).parse::<ThingId>().is_ok());
        let error = "a".repeat(81).parse::<ThingId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{:?} has 81 bytes; an id has 1 to 80", "a".repeat(81))
        );
    }

    #[test]
    fn an_id_with_a_character_of_topics_says_which() {
        for (id, found) in [("a/b", "'/'"), ("+", "'+'"), ("a#", "'#'"), ("a\u{7f}", "'\\u{7f}'")] {
            assert_eq!(
                id.parse::<ThingId>().unwrap_err().to_string(),
                format!(
                    "{id:?} holds {found}; an id is one topic level, without / + # and control characters"
                )
            );
        }
    }

    #[test]
    fn spaces_stand_inside_an_id_but_not_at_its_ends() {
        assert!("a b".parse::<ThingId>().is_ok());
        for id in [" a", "a ", " "] {
            assert_eq!(
                id.parse::<ThingId>().unwrap_err().to_string(),
                format!("{id:?} begins or ends with a space; an id does not")
            );
        }
        assert_eq!(
            "".parse::<ThingId>().unwrap_err().to_string(),
            "an id is empty; it has 1 to 80 bytes"
        );
    }

    #[test]
    fn ids_differ_in_case_and_accents() {
        assert_ne!("Lamp".parse::<ThingId>(), "lamp".parse::<ThingId>());
        assert_ne!("é".parse::<ThingId>(), "e\u{301}".parse::<ThingId>());
    }
}
