//! What a thing says of itself on `STATE/UPD`: alone knows that a `delta` goes before a `state`, and
//! where the trn stands in them.

use serde_json::{Map, Value, json};

use super::{
    Bad, Trn,
    object::{parse_object, wrong_type},
};

/// What a thing says of itself: the payload of `STATE/UPD`. What is asked of it, that of `STATE/SET`, has the same form.
///
/// ```
/// use twinthing::protocol::Report;
///
/// let report = Report::parse(br#"{"state":{"trn":"7","on":true}}"#, 1024)?;
/// assert_eq!(report.trn, None, "a text is no trn");
/// assert_eq!(Vec::from_iter(report.members.keys()), ["on"]);
/// # Ok::<(), twinthing::protocol::Bad>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether these are changes, or all there is.
    pub kind: ReportKind,
    /// The members, without `trn`.
    pub members: Map<String, Value>,
    /// The trn that came with them; one that is none counts as absent.
    pub trn: Option<Trn>,
}

/// Whether a report holds changes, or all there is.
///
/// ```
/// use twinthing::protocol::{Report, ReportKind};
///
/// let report = Report::parse(br#"{"state":{"level":2}}"#, 1024)?;
/// let removes_alarm = match report.kind {
///     ReportKind::Delta => report.members.get("alarm").is_some_and(|alarm| alarm.is_null()),
///     ReportKind::State => !report.members.contains_key("alarm"),
/// };
/// assert!(removes_alarm);
/// # Ok::<(), twinthing::protocol::Bad>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportKind {
    /// `delta`: these changed.
    Delta,
    /// `state`: this is all.
    State,
}

impl Report {
    /// Reads the payload of `STATE/UPD`. If both `delta` and `state` are there, `delta` counts.
    ///
    /// ```
    /// use twinthing::protocol::{Report, ReportKind};
    ///
    /// let report = Report::parse(br#"{"delta":{"trn":7,"on":true}}"#, 1024)?;
    /// assert_eq!(report.kind, ReportKind::Delta);
    /// assert_eq!(report.trn.map(|trn| trn.get()), Some(7));
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    ///
    /// # Errors
    /// [`Bad`] if the payload is above `limit` bytes, too deep, no JSON object, or holds neither.
    pub fn parse(payload: &[u8], limit: usize) -> Result<Self, Bad> {
        let mut object = parse_object(payload, limit)?;
        let (kind, name) = if object.contains_key("delta") {
            (ReportKind::Delta, "delta")
        } else {
            (ReportKind::State, "state")
        };
        let mut members = match object.remove(name) {
            Some(Value::Object(members)) => members,
            Some(other) => return Err(wrong_type(name, &other, "an object")),
            None => return Err(Bad::Missing("delta and no state")),
        };
        let trn = members.remove("trn").as_ref().and_then(Trn::from_value);
        Ok(Self { kind, members, trn })
    }
}

impl Report {
    /// The payload that says this.
    ///
    /// ```
    /// use twinthing::protocol::Report;
    ///
    /// let payload = br#"{"delta":{"on":true,"trn":7}}"#;
    /// assert_eq!(Report::parse(payload, 1024)?.to_payload().as_bytes(), payload);
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    #[must_use]
    pub fn to_payload(&self) -> String {
        let trn = self.trn.map(|trn| ("trn".to_owned(), json!(trn.get())));
        let members = self.members.iter().map(|(name, value)| (name.clone(), value.clone()));
        let members: Map<_, _> = trn.into_iter().chain(members).collect();
        match self.kind {
            ReportKind::Delta => json!({"delta": members}).to_string(),
            ReportKind::State => json!({"state": members}).to_string(),
        }
    }

    /// Makes of this report and a later one a single report that says the same as both after one another.
    ///
    /// ```
    /// use twinthing::protocol::Report;
    ///
    /// let mut report = Report::parse(br#"{"delta":{"on":true,"level":1}}"#, 1024)?;
    /// let later = Report::parse(br#"{"delta":{"level":2}}"#, 1024)?;
    /// assert!(report.merge(later).is_ok());
    /// assert_eq!(report, Report::parse(br#"{"delta":{"on":true,"level":2}}"#, 1024)?);
    /// # Ok::<(), twinthing::protocol::Bad>(())
    /// ```
    ///
    /// # Errors
    /// The later one, if there is no such report: their trns differ, one is a delta and the other a state (one of
    /// which may not count), or no single patch has the effect of both.
    pub fn merge(&mut self, later: Self) -> Result<(), Self> {
        let composes = match (self.kind, later.kind) {
            (ReportKind::State, ReportKind::State) => true,
            (ReportKind::Delta, ReportKind::Delta) => composes(&self.members, &later.members),
            (ReportKind::State, ReportKind::Delta) | (ReportKind::Delta, ReportKind::State) => {
                false
            }
        };
        if self.trn != later.trn || !composes {
            return Err(later);
        }
        match later.kind {
            ReportKind::State => self.members = later.members,
            ReportKind::Delta => put_over(&mut self.members, later.members),
        }
        Ok(())
    }
}

/// Whether one patch has the effect of two: an object over what is no object does away with what was there
/// before the first one, which no patch can say.
fn composes(earlier: &Map<String, Value>, later: &Map<String, Value>) -> bool {
    later.iter().all(|(name, value)| match (earlier.get(name), value) {
        (Some(Value::Object(earlier)), Value::Object(later)) => composes(earlier, later),
        (Some(_), Value::Object(_)) => false,
        (None, _) | (Some(_), _) => true,
    })
}

/// Makes one patch of two, which compose.
fn put_over(patch: &mut Map<String, Value>, later: Map<String, Value>) {
    for (name, value) in later {
        match (patch.get_mut(&name), value) {
            (Some(Value::Object(own)), Value::Object(later)) => put_over(own, later),
            (_, value) => drop(patch.insert(name, value)),
        }
    }
}

/// The payload of a `STATE/SET` or `STATE/UPD` that holds all there is.
///
/// ```
/// use serde_json::json;
/// use twinthing::protocol::state_whole;
///
/// assert_eq!(state_whole(json!({"trn": 1, "on": true})), r#"{"state":{"on":true,"trn":1}}"#);
/// ```
#[must_use]
pub fn state_whole(members: Value) -> String {
    json!({"state": members}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Code, SetRequest};

    fn report(payload: &str) -> Result<Report, Bad> {
        Report::parse(payload.as_bytes(), 1000)
    }

    #[test]
    fn of_delta_and_state_in_a_report_delta_counts() {
        let report = report(r#"{"state":{"trn":9,"a":1},"delta":{"trn":1,"b":2}}"#).unwrap();
        assert_eq!(report.kind, ReportKind::Delta);
        assert_eq!(report.trn, Trn::new(1));
        assert_eq!(Value::Object(report.members), json!({"b": 2}));
    }

    #[test]
    fn a_trn_that_is_none_counts_as_absent() {
        for trn in ["-1", "2147483648", "1.5", "\"3\"", "null", "true", "[1]", "{}", "1e99"] {
            let report = report(&format!(r#"{{"delta":{{"trn":{trn},"a":1}}}}"#)).unwrap();
            assert_eq!((report.trn, report.members.len()), (None, 1), "{trn}");
        }
        for (trn, wanted) in [("0", 0), ("7.0", 7), ("70e-1", 7), ("2147483647", 0x7fff_ffff)] {
            let report = report(&format!(r#"{{"state":{{"trn":{trn}}}}}"#)).unwrap();
            assert_eq!(report.trn, Trn::new(wanted), "{trn}");
        }
    }

    #[test]
    fn a_bad_report_says_what_is_wrong() {
        for (payload, message) in [
            ("", "the payload is not JSON: EOF while parsing a value at line 1 column 0"),
            ("\u{feff}{}", "the payload is not JSON: expected value at line 1 column 1"),
            (
                r#"{"delta":{"a":{"$serde_json::private::Number":"1"}}}"#,
                "the payload holds \"$serde_json::private::\", which no member may be called",
            ),
            ("[1]", "the payload is an array, not a JSON object"),
            ("{}", "the payload has no delta and no state"),
            (r#"{"delta":null}"#, "delta is null, not an object"),
            (r#"{"state":[]}"#, "state is an array, not an object"),
            (
                r#"{"delta":{"a":NaN}}"#,
                "the payload is not JSON: expected value at line 1 column 15",
            ),
        ] {
            assert_eq!(report(payload).unwrap_err().to_string(), message);
        }
        assert_eq!(
            Report::parse(b"{\"delta\":{\"a\":\"\xff\"}}", 1000).unwrap_err().code(),
            Code::Malformed
        );
    }

    #[test]
    fn a_reserved_name_is_refused_however_it_is_spelled() {
        for name in [
            "$serde_json::private::Number",
            r"\u0024serde_json::private::Number",
            r"$serde\u005fjson\u003A:private::RawValue",
            r"\\\u0024serde_json::private::Number",
        ] {
            let payload = format!(r#"{{"delta":{{"n":{{"a":1,"{name}":"1"}}}}}}"#);
            assert_eq!(report(&payload).unwrap_err(), Bad::Reserved, "{name}");
        }
        for name in
            [r"\\u0024serde_json::private::Number", r"\u0124serde_json::private::", "\\u00e9"]
        {
            assert!(report(&format!(r#"{{"delta":{{"{name}":"1"}}}}"#)).is_ok(), "{name}");
        }
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        let text = format!(r#"{{"delta":{{"a":"{}\"{}"}}}}"#, "[".repeat(200), "{".repeat(200));
        assert!(report(&text).is_ok());
    }

    #[test]
    fn a_number_comes_back_as_it_was_sent() {
        let text = r#"{"delta":{"a":123456789012345678901234567890.10,"b":1e+400}}"#;
        let delta = json!({"delta": report(text).unwrap().members}).to_string();
        assert_eq!(delta, text);
    }

    #[test]
    fn a_payload_above_the_limit_or_too_deep_is_a_413() {
        assert_eq!(
            Report::parse(br#"{"delta":{}}"#, 11).unwrap_err(),
            Bad::TooLarge { bytes: 12, limit: 11 }
        );
        let nested = |depth: usize| {
            format!("{}1{}", "{\"delta\":".repeat(depth), "}".repeat(depth)).into_bytes()
        };
        assert!(Report::parse(&nested(100), 10_000).is_ok());
        assert_eq!(Report::parse(&nested(101), 10_000).unwrap_err(), Bad::TooDeep);
        let brackets = "[".repeat(5000);
        let error = SetRequest::parse(brackets.as_bytes(), 10_000).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::TooLarge, "the payload is nested deeper than 100")
        );
    }
}
