//! What a client wants to know of twins, and in which shape: alone knows how queries are written.

mod column;
mod condition;
mod like;
mod scalar;

use serde_json::{Map, Value};

use super::{Code, object::type_name};

pub use column::{Column, Part, Step};
pub use condition::{Condition, Test};
pub use like::Pattern;
pub use scalar::Scalar;
pub(crate) use scalar::string;

/// The most outputs, conditions, or names of a query.
///
/// ```
/// use serde_json::json;
/// use twinthing::protocol::{MAX_QUERY_PARTS, Query};
///
/// let request = serde_json::from_value(json!({"where": {"or": vec![json!({}); MAX_QUERY_PARTS]}}))?;
/// let error = Query::from_object(&request).unwrap_err();
/// assert_eq!(error.to_string(), "where has more than 1000 conditions", "the or is one, too");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub const MAX_QUERY_PARTS: usize = 1000;

/// The most characters of all the patterns of a query.
///
/// ```
/// use serde_json::json;
/// use twinthing::protocol::{MAX_PATTERN, Query};
///
/// let like = json!({"column": "clientId", "op": "LIKE", "value": "_".repeat(MAX_PATTERN / 2 + 1)});
/// assert!(Query::from_object(&serde_json::from_value(json!({"where": like}))?).is_ok());
/// let both = serde_json::from_value(json!({"where": {"or": [like, like]}}))?;
/// assert!(Query::from_object(&both).is_err(), "1002 characters");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const MAX_PATTERN: usize = 1000;

/// What is asked of one twin, or of each member of a group.
///
/// ```
/// use twinthing::protocol::Query;
///
/// let request = r#"{"where":{"column":"online","op":"=","value":true}}"#;
/// let query = Query::from_object(&serde_json::from_str(request)?)?;
/// assert_eq!(query.outputs, Query::default().outputs, "without a select it is all there is");
/// assert_ne!(query.condition, Query::default().condition);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What is told of each twin, in order. No two have one name.
    pub outputs: Vec<Output>,
    /// Which twins are told of.
    pub condition: Condition,
    /// The shape of the answer.
    pub orient: Orient,
}

/// One column of an answer.
///
/// ```
/// use twinthing::protocol::{Output, Query};
///
/// let request = r#"{"select":["reported.temp"],"as":["°C"]}"#;
/// let query = Query::from_object(&serde_json::from_str(request)?)?;
/// assert_eq!(query.outputs, [Output { column: "reported.temp".parse()?, name: "°C".into() }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where its values come from.
    pub column: Column,
    /// What it is called.
    pub name: String,
}

/// The shapes of an answer, those of pandas' `DataFrame.to_json`.
///
/// ```
/// use twinthing::protocol::{Orient, Query};
///
/// let query = Query::from_object(&serde_json::from_str(r#"{"orient":"index"}"#)?)?;
/// let is_array = match query.orient {
///     Orient::Records | Orient::Values => true,
///     Orient::Split | Orient::Index | Orient::Columns | Orient::Table => false,
/// };
/// assert!(!is_array);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orient {
    /// A list of objects, one for each twin.
    #[default]
    Records,
    /// The names, the numbers of the rows, and the rows as lists.
    Split,
    /// An object of rows by number.
    Index,
    /// An object of columns by name.
    Columns,
    /// The rows as lists.
    Values,
    /// The rows as objects, with a schema.
    Table,
}

impl Orient {
    const ALL: [(&'static str, Self); 6] = [
        ("records", Self::Records),
        ("split", Self::Split),
        ("index", Self::Index),
        ("columns", Self::Columns),
        ("values", Self::Values),
        ("table", Self::Table),
    ];
}

/// Why a query cannot be answered. `place` is where in the query it is.
///
/// ```
/// use twinthing::protocol::Query;
///
/// let request = r#"{"where":{"column":"reported.temp","op":"=","value":null}}"#;
/// let error = Query::from_object(&serde_json::from_str(request)?).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "= at where takes a number, a string or a boolean, not null; use IS NULL or IS NOT NULL"
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A member of another type.
    #[error("{place} is {found}, not {wanted}")]
    WrongType {
        /// Where.
        place: String,
        /// The type it has.
        found: &'static str,
        /// The type it should have.
        wanted: &'static str,
    },
    /// An object in a `where` that is no condition.
    #[error("{place} {what}; a condition is column, op and value, or one of and, or, not")]
    Form {
        /// Where.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// More than is taken.
    #[error("{place} has more than {limit} {what}")]
    TooMany {
        /// Where.
        place: String,
        /// What it has too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A column that no twin has.
    #[error(
        "column {column:?} is not known; known are {}, and behind the six documents paths like \
         reported.net.ip, reported.rgb[0] and reported.\"a.b\"",
        column::known()
    )]
    Column {
        /// The column as it came.
        column: String,
    },
    /// A path that is not well formed.
    #[error(
        "column {column:?} is not a path: {what}; write reported.net.ip, reported.rgb[0] or reported.\"a.b\""
    )]
    Path {
        /// The column as it came.
        column: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An operator that there is not.
    #[error("operator {op:?} at {place} is not known; known are {}", condition::OPERATORS.join(", "))]
    Operator {
        /// The operator as it came.
        op: String,
        /// Where.
        place: String,
    },
    /// A value that its operator cannot take.
    #[error("{op} at {place} takes {wanted}, not {found}{}", hint(found))]
    Operand {
        /// The operator.
        op: &'static str,
        /// Where.
        place: String,
        /// What it takes.
        wanted: &'static str,
        /// What it got.
        found: &'static str,
    },
    /// Two outputs of one name.
    #[error("two columns of the answer are called {name:?}; rename one with as")]
    Clash {
        /// The name.
        name: String,
    },
    /// A shape that there is not.
    #[error(
        "orient {orient:?} is not known; known are records, split, index, columns, values, table"
    )]
    Orient {
        /// The shape as it came.
        orient: String,
    },
}

fn hint(found: &str) -> &'static str {
    if found == "null" { "; use IS NULL or IS NOT NULL" } else { "" }
}

impl QueryError {
    /// The code under which the client is told.
    ///
    /// ```
    /// use twinthing::protocol::{Code, Column};
    ///
    /// let unknown = "humidity".parse::<Column>().unwrap_err();
    /// assert_eq!(unknown.code(), Code::Unprocessable);
    /// ```
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::WrongType { .. } | Self::Form { .. } => Code::Malformed,
            Self::TooMany { .. } => Code::TooLarge,
            Self::Column { .. }
            | Self::Path { .. }
            | Self::Operator { .. }
            | Self::Operand { .. }
            | Self::Clash { .. }
            | Self::Orient { .. } => Code::Unprocessable,
        }
    }

    fn wrong_type(place: impl Into<String>, found: &Value, wanted: &'static str) -> Self {
        Self::WrongType { place: place.into(), found: type_name(found), wanted }
    }
}

impl Query {
    /// Reads the members `select`, `as`, `where` and `orient` of a request; each may be left out.
    ///
    /// ```
    /// use serde_json::json;
    /// use twinthing::protocol::{Orient, Query};
    ///
    /// let request = json!({"select": ["clientId", "reported.temp"], "as": ["id"], "orient": "split"});
    /// let query = Query::from_object(request.as_object().unwrap()).unwrap();
    /// assert_eq!(query.outputs[0].name, "id");
    /// assert_eq!(query.outputs[1].name, "reported.temp");
    /// assert_eq!(query.orient, Orient::Split);
    /// ```
    ///
    /// # Errors
    /// [`QueryError`] names the member, and what could stand there.
    pub fn from_object(request: &Map<String, Value>) -> Result<Self, QueryError> {
        let outputs = outputs(request.get("select"), request.get("as"))?;
        let condition = match request.get("where") {
            None => Condition::All(Vec::new()),
            Some(condition) => Condition::parse(condition)?,
        };
        let orient = match request.get("orient") {
            None => Orient::default(),
            Some(orient) => {
                let name = text("orient", orient)?;
                let known = Orient::ALL.into_iter().find(|(known, _)| *known == name);
                known.ok_or_else(|| QueryError::Orient { orient: shown(name) })?.1
            }
        };
        // A table has a column of this name already.
        if orient == Orient::Table && outputs.iter().any(|output| output.name == "index") {
            return Err(QueryError::Clash { name: "index".to_owned() });
        }
        Ok(Self { outputs, condition, orient })
    }
}

impl Default for Query {
    /// Everything of every twin, as records.
    fn default() -> Self {
        let output = |(column, name)| Output { column, name };
        let outputs = column::all().map(output).collect();
        Self { outputs, condition: Condition::All(Vec::new()), orient: Orient::default() }
    }
}

fn outputs(select: Option<&Value>, names: Option<&Value>) -> Result<Vec<Output>, QueryError> {
    let selected = match select {
        None => Vec::new(),
        Some(Value::String(all)) if all == "*" => Vec::new(),
        Some(select) => texts("select", select)?,
    };
    let names = names.map_or(Ok(Vec::new()), |names| texts("as", names))?;
    let mut columns = Vec::new();
    for text in if selected.is_empty() { vec!["*"] } else { selected } {
        match text {
            "*" => columns.extend(column::all()),
            text => columns.push((text.parse()?, text.to_owned())),
        }
        if columns.len() > MAX_QUERY_PARTS {
            return Err(too_many("select", "columns"));
        }
    }
    let mut names = names.into_iter();
    let mut outputs: Vec<Output> = Vec::with_capacity(columns.len());
    let mut taken = std::collections::HashSet::new();
    for (column, own) in columns {
        let name = names.next().map_or(own, str::to_owned);
        if !taken.insert(name.clone()) {
            return Err(QueryError::Clash { name: shown(&name) });
        }
        outputs.push(Output { column, name });
    }
    Ok(outputs)
}

fn texts<'a>(place: &str, value: &'a Value) -> Result<Vec<&'a str>, QueryError> {
    let Value::Array(texts) = value else {
        return Err(QueryError::wrong_type(place, value, "an array of strings"));
    };
    let text = |(index, value)| self::text(&format!("{place}[{index}]"), value);
    texts.iter().enumerate().map(text).collect()
}

fn text<'a>(place: &str, value: &'a Value) -> Result<&'a str, QueryError> {
    value.as_str().ok_or_else(|| QueryError::wrong_type(place, value, "a string"))
}

/// What a client wrote, as an error repeats it: no longer than a person reads.
fn shown(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

fn too_many(place: &str, what: &'static str) -> QueryError {
    QueryError::TooMany { place: place.to_owned(), what, limit: MAX_QUERY_PARTS }
}

#[cfg(test)]
mod tests;
