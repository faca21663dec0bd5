//! A state as JSON, and back.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};

use super::StateError;
use crate::protocol::{same_number, whole_number, without_nulls};

/// What a state may be: a type of yours that serde reads and writes as an object, or a JSON object itself. Whatever has
/// these traits is one, if serde reads what it writes.
///
/// A member that serde skips is not part of the state: when something is asked, it is what its `Default` says, unless the
/// filter puts back what it was.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use twinthing::device::{Access, Device};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Lamp { on: bool, #[serde(skip)] watched: bool }
///
/// # let mut access = Access::new("lamp", "127.0.0.1")?;
/// # access.port = 1;
/// let lamp = Device::build(access, Lamp { on: false, watched: true })
///     .filter(|now, wanted| wanted.watched = now.watched)
///     .start()?;
/// assert!(lamp.state().watched);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait State: Serialize + DeserializeOwned + Clone + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> State for T {}

/// A state as JSON: an object in which what is null is not there, and from which it can be read again.
pub(super) fn show<T: Serialize + DeserializeOwned>(
    state: &T,
) -> Result<Map<String, Value>, StateError> {
    let shown = match serde_json::to_value(state) {
        Ok(Value::Object(object)) if object.contains_key("trn") => return Err(StateError::Trn),
        Ok(Value::Object(object)) => without_nulls(object),
        Ok(other) => return Err(StateError::NotAnObject(other.to_string())),
        Err(error) => return Err(StateError::NotJson(error.to_string())),
    };
    match read::<T>(&shown) {
        Ok(_) => Ok(shown),
        Err(error) => Err(StateError::NotRead(error.to_string())),
    }
}

/// A state of the author's type, where 20.0 is 20 as well.
pub(super) fn read<T: DeserializeOwned>(members: &Map<String, Value>) -> serde_json::Result<T> {
    let value = Value::Object(members.clone());
    T::deserialize(&value).or_else(|_| T::deserialize(plain(value)))
}

/// The same with each number in the one form that serde takes for a number everywhere, also in a flattened or untagged
/// type: a whole one without a point, another one as a float is written. One that is neither stays as it is.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain_number(number)),
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, plain(value))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}

fn plain_number(number: Number) -> Number {
    let text = number.as_str();
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let size = size.parse().ok().and_then(|size| whole_number(&Value::Number(size)));
    let plain = match size.map(i128::from) {
        Some(size) => Number::from_i128(sign * size),
        None => number.as_f64().and_then(Number::from_f64),
    };
    plain.filter(|plain| same_number(plain, &number)).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Room {
        #[serde(flatten)]
        air: Air,
        #[serde(flatten)]
        heater: Heater,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Air {
        temperature: f64,
        fans: u8,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "mode")]
    enum Heater {
        Off,
        Target { degrees: f32 },
    }

    fn room(members: &str) -> serde_json::Result<Room> {
        read(&serde_json::from_str(members).unwrap())
    }

    #[test]
    fn a_number_may_be_written_in_any_way_also_below_flatten_and_in_a_tagged_type() {
        let air = Air { temperature: 21.5, fans: 2 };
        let expected = Room { air, heater: Heater::Target { degrees: 18.25 } };
        for (temperature, fans, degrees) in
            [("21.5", "2", "18.25"), ("21.50", "2.0", "1825e-2"), ("2.15E1", "0.2e1", "18.250")]
        {
            let members = format!(
                r#"{{"temperature":{temperature},"fans":{fans},"mode":"Target","degrees":{degrees}}}"#
            );
            assert_eq!(room(&members).unwrap(), expected, "{members}");
        }
        let off = room(r#"{"temperature":-0.50,"fans":0.0,"mode":"Off"}"#).unwrap();
        assert_eq!(off.air, Air { temperature: -0.5, fans: 0 });
    }

    #[test]
    fn a_number_that_no_float_is_stays_as_it_was_written() {
        for text in ["0.10000000000000000001", "1e400", "123456789012345678901234567890.5"] {
            let number: Number = text.parse().unwrap();
            assert_eq!(plain(Value::Number(number.clone())), Value::Number(number));
        }
        assert_eq!(plain(json!([{"a": 1.0}])).to_string(), r#"[{"a":1}]"#);
    }

    #[test]
    fn a_state_that_does_not_read_back_is_none() {
        #[derive(Serialize, Deserialize)]
        struct Sensor {
            value: f64,
            #[serde(skip_serializing_if = "is_zero")]
            offset: u8,
        }
        fn is_zero(offset: &u8) -> bool {
            *offset == 0
        }
        let why = |value, offset| show(&Sensor { value, offset }).unwrap_err().to_string();
        let start =
            "the state cannot be read from what it is as JSON, where NaN and infinity are null: ";
        assert!(show(&Sensor { value: 1.5, offset: 1 }).is_ok());
        assert_eq!(why(f64::NAN, 1), format!("{start}missing field `value`"));
        assert_eq!(why(f64::NEG_INFINITY, 1), format!("{start}missing field `value`"));
        assert_eq!(why(1.5, 0), format!("{start}missing field `offset`"));
    }
}
