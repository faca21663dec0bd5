//! Gives rows one of six shapes, those of pandas' `DataFrame.to_json` for a frame with a default index.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::protocol::{Orient, Query};

/// The payload that answers a query, with its rows in order; a query's mark that was absent is 0.
#[must_use]
pub fn query_answer(query: &Query, mark: Option<&Value>, rows: &[Vec<Value>]) -> String {
    let names = query.outputs.iter().map(|output| output.name.as_str()).collect();
    let res = Frame { names, rows, orient: query.orient };
    let zero = Value::from(0);
    // A tree of strings and numbers always has a text.
    serde_json::to_string(&Answer { query: mark.unwrap_or(&zero), res }).unwrap_or_default()
}

#[derive(Serialize)]
struct Answer<'a> {
    query: &'a Value,
    res: Frame<'a>,
}

/// A table with its shape.
struct Frame<'a> {
    names: Vec<&'a str>,
    rows: &'a [Vec<Value>],
    orient: Orient,
}

impl Serialize for Frame<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = &self.names;
        let numbers = 0..self.rows.len();
        match self.orient {
            Orient::Records => {
                serializer.collect_seq(self.rows.iter().map(|row| Row { names, row, number: None }))
            }
            Orient::Values => serializer.collect_seq(self.rows),
            Orient::Index => serializer.collect_map(
                numbers
                    .zip(self.rows)
                    .map(|(number, row)| (number, Row { names, row, number: None })),
            ),
            Orient::Columns => serializer.collect_map(
                names.iter().enumerate().map(|(at, name)| (name, ColumnOf { rows: self.rows, at })),
            ),
            Orient::Split => {
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("columns", names)?;
                map.serialize_entry("index", &numbers.collect::<Vec<_>>())?;
                map.serialize_entry("data", self.rows)?;
                map.end()
            }
            Orient::Table => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("schema", &self.schema())?;
                let rows = numbers.zip(self.rows);
                let rows = rows.map(|(number, row)| Row { names, row, number: Some(number) });
                map.serialize_entry("data", &rows.collect::<Vec<_>>())?;
                map.end()
            }
        }
    }
}

impl Frame<'_> {
    fn schema(&self) -> Schema<'_> {
        let index = Field { name: "index", kind: "integer" };
        let fields =
            self.names.iter().enumerate().map(|(at, name)| Field { name, kind: self.kind(at) });
        Schema {
            fields: std::iter::once(index).chain(fields).collect(),
            primary_key: ["index"],
            // The version of the schema's form, not of pandas.
            pandas_version: "1.4.0",
        }
    }

    /// What pandas takes a column for.
    fn kind(&self, at: usize) -> &'static str {
        let mut values = self.rows.iter().filter_map(|row| row.get(at)).peekable();
        if values.peek().is_none() {
            return "string";
        }
        let (mut all_bool, mut all_whole, mut all_numbers, mut any) = (true, true, true, false);
        for value in values {
            all_bool &= value.is_boolean();
            all_whole &= value.is_i64() || value.is_u64();
            all_numbers &= value.is_number() || value.is_null();
            any |= value.is_number();
        }
        match (all_bool, all_whole, all_numbers && any) {
            (true, _, _) => "boolean",
            (_, true, _) => "integer",
            (_, _, true) => "number",
            _ => "string",
        }
    }
}

#[derive(Serialize)]
struct Schema<'a> {
    fields: Vec<Field<'a>>,
    #[serde(rename = "primaryKey")]
    primary_key: [&'static str; 1],
    pandas_version: &'static str,
}

#[derive(Serialize)]
struct Field<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A row as an object, with its number if that belongs to it.
struct Row<'a> {
    names: &'a [&'a str],
    row: &'a [Value],
    number: Option<usize>,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(number) = self.number {
            map.serialize_entry("index", &number)?;
        }
        for (name, value) in self.names.iter().zip(self.row) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A column as an object of values by row.
struct ColumnOf<'a> {
    rows: &'a [Vec<Value>],
    at: usize,
}

impl Serialize for ColumnOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.rows.iter().map(|row| row.get(self.at)).enumerate())
    }
}
