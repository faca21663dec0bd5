//! JSON's numbers by value, exactly: alone knows when two spellings are the same number.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Whether two JSON numbers have the same value, however they are written.
///
/// Exact: nothing is rounded, and numbers of any length are told apart.
///
/// ```
/// use twinthing::protocol::same_number;
///
/// assert!(same_number(&serde_json::from_str("20")?, &serde_json::from_str("2e1")?));
/// assert!(!same_number(&9007199254740993_u64.into(), &9007199254740992_u64.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn same_number(one: &Number, other: &Number) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    one == other || Decimal::of(one) == Decimal::of(other)
}

/// Whether two JSON values are equal: numbers by value, objects whatever their order.
///
/// ```
/// use serde_json::json;
/// use twinthing::protocol::same_value;
///
/// assert!(same_value(&json!({"on": true, "rgb": [20]}), &json!({"rgb": [20.0], "on": true})));
/// assert!(!same_value(&json!(20), &json!("20")));
/// ```
#[must_use]
pub fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same_value(a, b)))
        }
        (one, other) => one == other,
    }
}

/// The number as a whole one, if by value it is one from 0 to 2⁶⁴−1: `5`, `5.0` and `50e-1` are 5.
///
/// ```
/// use serde_json::json;
/// use twinthing::protocol::whole_number;
///
/// assert_eq!(whole_number(&json!(5.0)), Some(5));
/// assert_eq!(whole_number(&json!(5.5)), None);
/// assert_eq!(whole_number(&json!("5")), None);
/// ```
#[must_use]
pub fn whole_number(value: &Value) -> Option<u64> {
    let Value::Number(number) = value else { return None };
    let text = number.as_str();
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let decimal = Decimal::of(text);
    if decimal.digits.is_empty() {
        return Some(0);
    }
    if decimal.negative || !(0..20).contains(&decimal.exponent) {
        return None;
    }
    let zeros = "0".repeat(usize::try_from(decimal.exponent).ok()?);
    format!("{}{zeros}", decimal.digits).parse().ok()
}

/// A number of any length by its value, exactly.
///
/// ```
/// use twinthing::protocol::Scalar;
///
/// let decimal = |text| match Scalar::of(&serde_json::from_str(text).ok()?)? {
///     Scalar::Number(decimal) => Some(decimal),
///     Scalar::Bool(_) | Scalar::Text(_) => None,
/// };
/// assert!(decimal("1e400") < decimal("1e401"), "a float holds neither");
/// assert_eq!(decimal("0.10"), decimal("1e-1"));
/// ```
// Digits without zeros at either end, times ten to the exponent. Zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i128,
}

impl Decimal {
    /// Reads what JSON's grammar allows; the parser has seen to that.
    pub(super) fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        let places = |text: &str| i128::try_from(text.len()).unwrap_or(i128::MAX);
        let exponent = read_exponent(exponent)
            .saturating_sub(places(fraction))
            .saturating_add(places(significant) - places(&digits));
        Self { negative, digits, exponent }
    }
}

impl Decimal {
    /// How a number, as JSON, is in order to this. Most numbers are short and whole, and need no taking apart.
    pub(super) fn order_of(&self, number: &str) -> Ordering {
        match (short(number), self.short()) {
            (Some(number), Some(own)) => number.cmp(&own),
            _ => Self::of(number).cmp(self),
        }
    }

    fn short(&self) -> Option<i64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = u32::try_from(self.exponent).ok().filter(|zeros| *zeros < 19)?;
        let whole: i64 = self.digits.parse().ok()?;
        let whole = whole.checked_mul(10_i64.checked_pow(zeros)?)?;
        Some(if self.negative { -whole } else { whole })
    }
}

/// A number that is written as a whole one of at most 18 digits.
fn short(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (digits.len() <= 18 && digits.bytes().all(|sign| sign.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || {
            // The place of the first digit tells, and then the digits from there on.
            let first = |number: &Self| {
                let digits = i128::try_from(number.digits.len()).unwrap_or(i128::MAX);
                number.exponent.saturating_add(digits)
            };
            first(self).cmp(&first(other)).then_with(|| self.digits.cmp(&other.digits))
        };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if self.negative => size().reverse(),
            Ordering::Equal => size(),
            unlike @ (Ordering::Less | Ordering::Greater) => unlike,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An exponent past what can be counted stands for infinitely large, or small.
fn read_exponent(text: &str) -> i128 {
    let end = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    text.strip_prefix('+').unwrap_or(text).parse().unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_are_equal_by_value() {
        for (one, other) in [
            ("20", "20.0"),
            ("20", "2e1"),
            ("0", "-0"),
            ("0.0", "0e99"),
            ("100", "1E+2"),
            ("0.001", "1e-3"),
            ("12.50", "125e-1"),
            ("-7", "-7.000"),
        ] {
            assert!(same_value(&number(one), &number(other)), "{one} {other}");
        }
    }

    #[test]
    fn numbers_that_a_float_would_confuse_are_told_apart() {
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("1", "-1"),
            ("0.1", "0.10000000000000000001"),
            ("1", "10"),
        ] {
            assert!(!same_value(&number(one), &number(other)), "{one} {other}");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_in_many_ways() {
        for (text, whole) in
            [("5", 5), ("5.0", 5), ("50e-1", 5), ("0", 0), ("-0.0", 0), ("2e3", 2000)]
        {
            assert_eq!(whole_number(&number(text)), Some(whole), "{text}");
        }
        for text in
            ["5.5", "-1", "1e20", "1e999999999999999999999999", "18446744073709551616", "1e-3"]
        {
            assert_eq!(whole_number(&number(text)), None, "{text}");
        }
        assert_eq!(whole_number(&json!("5")), None);
        assert_eq!(whole_number(&json!(true)), None);
    }

    #[test]
    fn arrays_and_objects_are_compared_through() {
        assert!(same_value(&json!([1, {"a": 2.0}]), &json!([1.0, {"a": 2}])));
        assert!(!same_value(&json!([1, 2]), &json!([1])));
        assert!(!same_value(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same_value(&json!(1), &json!("1")));
    }

    proptest! {
        #[test]
        fn shifting_the_point_changes_nothing(digits in 1_i64..=i64::MAX, shift in 0_usize..30) {
            let shifted = format!("{digits}{}e-{shift}", "0".repeat(shift));
            prop_assert!(same_value(&number(&shifted), &number(&digits.to_string())));
        }

        #[test]
        fn decimals_are_in_the_order_of_floats(
            one in -1000_i32..1000, shift in 0_i32..6, other in -1000_i32..1000, place in 0_i32..6,
        ) {
            let (a, b) = (format!("{one}e-{shift}"), format!("{other}e-{place}"));
            let floats = a.parse::<f64>().unwrap().partial_cmp(&b.parse().unwrap());
            prop_assert_eq!(Some(Decimal::of(&a).cmp(&Decimal::of(&b))), floats);
            prop_assert_eq!(Some(Decimal::of(&b).order_of(&a)), floats);
        }

        #[test]
        fn short_numbers_are_in_the_order_of_long_ones(
            one in "-?(0|[1-9][0-9]{0,20})(e[0-3])?", other in "-?(0|[1-9][0-9]{0,20})(e[0-3])?",
        ) {
            let order = Decimal::of(&one).cmp(&Decimal::of(&other));
            prop_assert_eq!(Decimal::of(&other).order_of(&one), order);
        }

        #[test]
        fn floats_agree_with_their_own_equality(one in any::<i32>(), other in any::<i32>()) {
            let same = same_value(&json!(f64::from(one)), &json!(other));
            prop_assert_eq!(same, one == other);
        }
    }
}
