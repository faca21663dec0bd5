//! The number that ties an answer to its request: alone knows its range, and what in a payload counts
//! as one.

use serde_json::Value;

use super::whole_number;

/// A transaction number: 0 to 2³¹−1, for devices keep it in a signed 32-bit integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trn(u32);

impl Trn {
    /// The highest of them. After it they start again at 1.
    pub const MAX: Self = Self(0x7fff_ffff);

    /// The first that a manager gives out.
    pub const FIRST: Self = Self(1);

    /// The number, if it is in the range.
    #[must_use]
    pub fn new(trn: u32) -> Option<Self> {
        (trn <= Self::MAX.0).then_some(Self(trn))
    }

    /// The trn in a JSON value, if it is by value a whole number in the range.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        whole_number(value).and_then(|whole| u32::try_from(whole).ok()).and_then(Self::new)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}
