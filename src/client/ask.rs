//! How a query is put together.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// What is asked of a twin, or of each member of a group: `docs/protocol.md` has the language.
///
/// ```
/// use serde_json::json;
/// use twinthing::client::Ask;
///
/// let ask = Ask::new()
///     .select(["clientId", "reported.temp"])
///     .named(["id", "temp"])
///     .only(json!({"column": "reported.temp", "op": "IS NOT NULL"}))
///     .orient("split");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask(Map<String, Value>);

impl Ask {
    /// Everything of every twin, as a list of objects.
    ///
    /// ```
    /// use twinthing::client::Ask;
    ///
    /// assert_eq!(Ask::new(), Ask::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these columns.
    ///
    /// ```
    /// use twinthing::client::Ask;
    ///
    /// let ask = Ask::new().select(["clientId", "reported.net.ip"]);
    /// assert_ne!(ask, Ask::new());
    /// ```
    #[must_use]
    pub fn select<'a>(self, columns: impl IntoIterator<Item = &'a str>) -> Self {
        self.with("select", columns.into_iter().collect())
    }

    /// The columns under these names.
    ///
    /// ```
    /// use twinthing::client::Ask;
    ///
    /// let ask = Ask::new().select(["clientId", "reported.temp"]).named(["id", "°C"]);
    /// assert_ne!(ask, Ask::new().select(["clientId", "reported.temp"]));
    /// ```
    #[must_use]
    pub fn named<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.with("as", names.into_iter().collect())
    }

    /// Only of those twins of which this condition holds: a `where`.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::client::Ask;
    ///
    /// let on = json!({"column": "reported.on", "op": "=", "value": true});
    /// let warm = json!({"column": "reported.temp", "op": ">", "value": 25});
    /// assert_ne!(Ask::new().only(json!({"and": [on, warm]})), Ask::new().only(on));
    /// ```
    #[must_use]
    pub fn only(self, condition: impl Serialize) -> Self {
        // What serde cannot write the manager will say that it is no condition.
        self.with("where", serde_json::to_value(condition).unwrap_or_default())
    }

    /// In this shape: `records`, `split`, `index`, `columns`, `values` or `table`.
    ///
    /// ```
    /// use twinthing::client::Ask;
    ///
    /// // By id: {"lamp": {"online": true}, …}
    /// let ask = Ask::new().select(["online"]).orient("index");
    /// assert_ne!(ask, Ask::new().select(["online"]));
    /// ```
    #[must_use]
    pub fn orient(self, orient: &str) -> Self {
        self.with("orient", orient.into())
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.0.insert(member.to_owned(), value);
        self
    }

    /// The members of the request.
    pub(super) fn payload(&self) -> Map<String, Value> {
        let mut payload = self.0.clone();
        // Without any of its members a GET is not a query.
        payload.entry("select").or_insert_with(|| json!(["*"]));
        payload
    }
}
