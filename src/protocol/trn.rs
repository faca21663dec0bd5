//! The number that ties an answer to its request: alone knows its range, and what in a payload counts
//! as one.

use std::num::NonZeroU32;

use serde_json::Value;

use super::whole_number;

/// A transaction number: 0 to 2³¹−1, for devices keep it in a signed 32-bit integer.
///
/// ```
/// use twinthing::protocol::{Report, Trn};
///
/// let report = Report::parse(br#"{"delta":{"trn":8,"on":true}}"#, 1024)?;
/// assert!(report.trn >= Trn::new(7), "it answers that one, too");
/// # Ok::<(), twinthing::protocol::Bad>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
// One above the number: so a trn that may be missing takes no more room than one that is there.
pub struct Trn(NonZeroU32);

impl Trn {
    /// The highest of them. After it they start again at 1.
    ///
    /// ```
    /// use twinthing::protocol::Trn;
    ///
    /// assert_eq!(i32::try_from(Trn::MAX.get()), Ok(i32::MAX));
    /// ```
    pub const MAX: Self = Self(NonZeroU32::MIN.saturating_add(0x7fff_ffff));

    /// The first that a manager gives out.
    ///
    /// ```
    /// use twinthing::protocol::Trn;
    ///
    /// let next = |trn: Trn| Trn::new(trn.get() + 1).unwrap_or(Trn::FIRST);
    /// assert_eq!(next(Trn::MAX).get(), 1);
    /// ```
    pub const FIRST: Self = Self(NonZeroU32::MIN.saturating_add(1));

    /// The number, if it is in the range.
    ///
    /// ```
    /// use twinthing::protocol::Trn;
    ///
    /// assert!(Trn::new(0).is_some_and(|none_yet| none_yet < Trn::FIRST));
    /// assert_eq!(Trn::new(0x8000_0000), None);
    /// ```
    #[must_use]
    pub fn new(trn: u32) -> Option<Self> {
        (trn <= Self::MAX.get()).then(|| Self(NonZeroU32::MIN.saturating_add(trn)))
    }

    /// The trn in a JSON value, if it is by value a whole number in the range.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::protocol::Trn;
    ///
    /// assert_eq!(Trn::from_value(&json!(7.0)), Trn::new(7));
    /// assert_eq!(Trn::from_value(&json!(-1)), None);
    /// ```
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        whole_number(value).and_then(|whole| u32::try_from(whole).ok()).and_then(Self::new)
    }

    /// The number.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::protocol::Trn;
    ///
    /// assert_eq!(json!({"trn": Trn::FIRST.get()}).to_string(), r#"{"trn":1}"#);
    /// ```
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get() - 1
    }
}
