//! When two JSON values are the same: objects by member, numbers by value, whatever their spelling.

use serde_json::Value;

/// Whether both are the same value: `20`, `20.0` and `2e1` are.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            decimal(&left.to_string()) == decimal(&right.to_string())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

/// A number as sign, digits and power of ten, with no zero at either end of the digits.
fn decimal(number: &str) -> (bool, String, i64) {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let short = digits.trim_end_matches('0');
    let dropped = digits.len() - short.len();
    let digits = short.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return (false, digits, 0);
    }
    let exponent: i64 = exponent.parse().unwrap();
    let power = exponent - i64::try_from(fraction.len()).unwrap() + i64::try_from(dropped).unwrap();
    (negative, digits, power)
}
