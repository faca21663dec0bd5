//! What a client is told when its request fails: alone knows the numbers of the codes, and what the
//! payload of an error looks like.

use serde_json::{Value, json};

/// The code of an error, as clients see it on `TWIN/RES`.
///
/// ```
/// use twinthing::protocol::{Code, SetRequest};
///
/// let problem = SetRequest::parse(b"{}", 1024).unwrap_err();
/// let may_pass_later = match problem.code {
///     Code::NotFound | Code::Unavailable => true,
///     Code::Malformed | Code::Conflict | Code::TooLarge | Code::Unprocessable => false,
/// };
/// assert!(!may_pass_later);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 400: the payload is no JSON object, or lacks a member, or has one of another type.
    Malformed,
    /// 404: nobody there to be asked.
    NotFound,
    /// 409: the twin is at another version.
    Conflict,
    /// 413: larger or deeper than what is taken.
    TooLarge,
    /// 422: understood, and not possible.
    Unprocessable,
    /// 503: the database is away.
    Unavailable,
}

impl Code {
    /// The number of it.
    ///
    /// ```
    /// use twinthing::protocol::Code;
    ///
    /// assert_eq!(Code::NotFound.number(), 404);
    /// ```
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::Unavailable => 503,
        }
    }
}

/// What a client is told when its request could not be done.
///
/// ```
/// use twinthing::protocol::SetRequest;
///
/// let problem = SetRequest::parse(br#"{"set":true,"query":"q1"}"#, 1024).unwrap_err();
/// assert_eq!(problem.query, Some("q1".into()));
/// assert_eq!(problem.message, "set is a boolean, not an object");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The request's `query`, by which the client knows it.
    pub query: Option<Value>,
    /// What kind of problem it is.
    pub code: Code,
    /// What is wrong, where, and what would be right.
    pub message: String,
}

impl Problem {
    /// The payload of `TWIN/RES`.
    ///
    /// ```
    /// use twinthing::protocol::{Code, Problem};
    ///
    /// let problem = Problem { query: None, code: Code::Conflict, message: "gone".into() };
    /// assert_eq!(
    ///     problem.to_payload(),
    ///     r#"{"error":{"code":409,"message":"gone"},"query":null}"#
    /// );
    /// ```
    #[must_use]
    pub fn to_payload(&self) -> String {
        json!({
            "query": self.query,
            "error": {"code": self.code.number(), "message": self.message},
        })
        .to_string()
    }
}
