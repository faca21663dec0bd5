//! A message in the inbox, and the bytes that it is on disk.

use std::sync::Arc;

use crate::protocol::Timestamp;

/// How an entry on disk begins. The last sign is the version of the form.
pub(super) const MAGIC: &[u8; 8] = b"twinmsg2";

/// The magic, the checksum of what follows the length, and that length.
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 8;

/// The bytes of the mask that stands before the content.
const MASK_BYTES: usize = 8;

/// Where a length stands for a text that is not there.
const ABSENT: u32 = u32::MAX;

/// A message as it came, not parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Where it was published.
    pub topic: String,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// Where else its sender wants the answer.
    pub response_topic: Option<String>,
    /// What its sender knows the answer by.
    pub correlation: Option<Vec<u8>>,
    /// When it came.
    pub at: Timestamp,
    /// The session at the broker in which it came.
    pub session: i64,
    /// The connection it came by, counted in this process; 0 if that was in another one.
    pub connection: u64,
}

/// A place in the inbox: numbers rise within an epoch, and epochs from start to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The start of the manager at which it came.
    pub epoch: i64,
    /// Its number, from 1.
    pub number: u64,
}

/// A message with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its own place.
    pub place: Place,
    /// The first place that was not done when this one came: what is before it is over.
    pub oldest: Place,
    /// What came.
    pub message: Arc<Incoming>,
}

/// Bytes that are no entry, or not the one that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It does not begin as an entry does.
    #[error("it does not begin as an entry of this version does")]
    NoEntry,
    /// It ends before it should.
    #[error("it is cut off")]
    CutOff,
    /// What is there is not what was written.
    #[error("its checksum is not that of its content")]
    Checksum,
    /// The checksum is right, and the content is none.
    #[error("its content is none of this version")]
    Content,
}

impl Entry {
    /// The entry as bytes: magic, checksum and length, and what they are of: a mask and the content under it.
    ///
    /// The mask is by chance. So nobody can send a payload that would be taken for an entry where a file is
    /// looked through for them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Incoming { topic, payload, response_topic, correlation, at, session, .. } =
            &*self.message;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + 80 + topic.len() + payload.len());
        bytes.extend(MAGIC);
        bytes.extend([0; 8]);
        let mask = fastrand::u64(..);
        bytes.extend(mask.to_le_bytes());
        for place in [self.place, self.oldest] {
            bytes.extend(place.epoch.to_le_bytes());
            bytes.extend(place.number.to_le_bytes());
        }
        bytes.extend(at.0.to_le_bytes());
        bytes.extend(session.to_le_bytes());
        put(&mut bytes, Some(topic.as_bytes()));
        put(&mut bytes, Some(payload));
        put(&mut bytes, response_topic.as_ref().map(String::as_bytes));
        put(&mut bytes, correlation.as_deref());
        let (head, content) = bytes.split_at_mut(HEAD_BYTES);
        put_under(mask, content.get_mut(MASK_BYTES..).unwrap_or_default());
        let numbers = [crc32fast::hash(content), length(content)].map(u32::to_le_bytes);
        if let Some((_, place)) = head.split_at_mut_checked(MAGIC.len()) {
            place.copy_from_slice(numbers.as_flattened());
        }
        bytes
    }

    /// The entry that bytes begin with; what follows it does not count.
    ///
    /// # Errors
    /// [`EntryError`] if they are not what [`Entry::to_bytes`] made.
    ///
    /// ```
    /// use twinthing::mqtt::{Entry, EntryError};
    ///
    /// assert_eq!(Entry::from_bytes(b"something else"), Err(EntryError::NoEntry));
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let (mask, content) =
            content(bytes)?.split_first_chunk::<MASK_BYTES>().ok_or(EntryError::Content)?;
        let mut content = content.to_vec();
        put_under(u64::from_le_bytes(*mask), &mut content);
        Reader(&content).entry().ok_or(EntryError::Content)
    }
}

/// Puts the mask over the content, or takes it off.
fn put_under(mask: u64, content: &mut [u8]) {
    let (chunks, rest) = content.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u64::from_le_bytes(*chunk) ^ mask).to_le_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.to_le_bytes()) {
        *byte ^= mask;
    }
}

/// Mask and content, which stand behind the head of an entry, if its checksum is right.
fn content(bytes: &[u8]) -> Result<&[u8], EntryError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(EntryError::NoEntry)?;
    let mut head = Reader(rest);
    let (checksum, length) = (|| Some((head.u32()?, head.u32()?)))().ok_or(EntryError::CutOff)?;
    let content = usize::try_from(length).ok().and_then(|length| head.take(length));
    let content = content.ok_or(EntryError::CutOff)?;
    if crc32fast::hash(content) == checksum { Ok(content) } else { Err(EntryError::Checksum) }
}

/// How many bytes an entry has that begins like this: its head at least.
pub(super) fn whole_length(head: &[u8]) -> Option<usize> {
    let mut reader = Reader(head.strip_prefix(MAGIC)?);
    reader.u32()?;
    usize::try_from(reader.u32()?).ok()?.checked_add(HEAD_BYTES)
}

fn length(part: &[u8]) -> u32 {
    u32::try_from(part.len()).unwrap_or(ABSENT)
}

fn put(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    bytes.extend(part.map_or(ABSENT, length).to_le_bytes());
    bytes.extend(part.unwrap_or_default());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn place(&mut self) -> Option<Place> {
        let epoch = self.i64()?;
        let number = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        Some(Place { epoch, number })
    }

    /// A part with its length; `None` within for one that is not there.
    fn part(&mut self) -> Option<Option<&'a [u8]>> {
        match self.u32()? {
            ABSENT => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }

    fn entry(&mut self) -> Option<Entry> {
        let (place, oldest) = (self.place()?, self.place()?);
        let (at, session) = (Timestamp(self.i64()?), self.i64()?);
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).ok();
        let topic = text(self.part()??)?;
        let payload = self.part()??.into();
        let response_topic = match self.part()? {
            Some(part) => Some(text(part)?),
            None => None,
        };
        let correlation = self.part()?.map(<[u8]>::to_vec);
        let message =
            Incoming { topic, payload, response_topic, correlation, at, session, connection: 0 };
        self.0.is_empty().then(|| Entry { place, oldest, message: Arc::new(message) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..50);
        let place = || any::<(i64, u64)>().prop_map(|(epoch, number)| Place { epoch, number });
        let message = (".*", bytes(), any::<Option<String>>(), proptest::option::of(bytes()));
        (place(), place(), message, any::<(i64, i64)>()).prop_map(
            |(place, oldest, (topic, payload, response_topic, correlation), (at, session))| {
                let message = Incoming {
                    topic,
                    payload: payload.into(),
                    response_topic,
                    correlation,
                    at: Timestamp(at),
                    session,
                    connection: 0,
                };
                Entry { place, oldest, message: Arc::new(message) }
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(entry in entry(), behind in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = entry.to_bytes();
            prop_assert_eq!(whole_length(&bytes), Some(bytes.len()));
            bytes.extend(behind);
            prop_assert_eq!(Entry::from_bytes(&bytes), Ok(entry));
        }

        #[test]
        fn an_entry_that_lacks_its_end_or_has_another_byte_is_none(entry in entry(), at in any::<prop::sample::Index>(), other in 1_u8..) {
            let mut bytes = entry.to_bytes();
            let at = at.index(bytes.len());
            prop_assert!(Entry::from_bytes(&bytes[..at]).is_err());
            bytes[at] ^= other;
            prop_assert!(Entry::from_bytes(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            prop_assert!(Entry::from_bytes(&bytes).is_err());
            bytes.splice(..0, *MAGIC);
            prop_assert!(Entry::from_bytes(&bytes).is_err());
        }
    }

    #[test]
    fn what_is_wrong_with_an_entry_is_told_apart() {
        let message = Incoming {
            topic: "t".to_owned(),
            payload: Arc::new([1]),
            response_topic: None,
            correlation: None,
            at: Timestamp(0),
            session: 0,
            connection: 7,
        };
        let place = Place { epoch: 1, number: 1 };
        let bytes = Entry { place, oldest: place, message: Arc::new(message) }.to_bytes();
        let error = |bytes: &[u8]| Entry::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(error(b"twinmsg9"), "it does not begin as an entry of this version does");
        assert_eq!(error(&bytes[..bytes.len() - 1]), "it is cut off");
        let mut other = bytes.clone();
        other[20] ^= 1;
        assert_eq!(error(&other), "its checksum is not that of its content");
        let mut longer = bytes[HEAD_BYTES..].to_vec();
        longer.push(0);
        let head = [crc32fast::hash(&longer), length(&longer)].map(u32::to_le_bytes);
        let whole = [MAGIC.as_slice(), head.as_flattened(), &longer].concat();
        assert_eq!(error(&whole), "its content is none of this version");
    }
}
