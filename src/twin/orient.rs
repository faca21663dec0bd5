//! Gives rows one of six shapes, those of pandas' `DataFrame.to_json` for a frame with a default index.
//!
//! A row becomes text as soon as it is there, so that an answer of many rows is never held as a tree as well.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::protocol::{Orient, Query};

/// Rows that stand one after the other in the answer to a query, as text in the query's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    orient: Orient,
    /// What the columns are called, as JSON.
    names: Vec<String>,
    /// How many rows of the answer stand before these.
    before: usize,
    count: usize,
    /// The rows with commas between them; of columns, a text for each.
    texts: Vec<String>,
    kinds: Vec<Kind>,
}

/// What pandas would take a column for, by the values seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    all_bool: bool,
    all_whole: bool,
    /// But for nulls, which pandas takes for a number that is none.
    all_numbers: bool,
    has_number: bool,
}

impl Rows {
    /// Rows behind so many others; there are none yet.
    #[must_use]
    pub fn behind(before: usize, query: &Query) -> Self {
        let texts = if query.orient == Orient::Columns { query.outputs.len() } else { 1 };
        let names = query.outputs.iter().map(|output| Value::from(&*output.name).to_string());
        Self {
            orient: query.orient,
            names: names.collect(),
            before,
            count: 0,
            texts: vec![String::new(); texts],
            kinds: vec![Kind::ANY; query.outputs.len()],
        }
    }

    /// These rows, behind no others.
    #[must_use]
    pub fn of(query: &Query, rows: &[Vec<Value>]) -> Self {
        let mut all = Self::behind(0, query);
        rows.iter().for_each(|row| all.push(row));
        all
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The bytes of their text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }

    /// Puts a row behind the others: a value for each output of the query.
    pub fn push(&mut self, row: &[Value]) {
        for (kind, value) in self.kinds.iter_mut().zip(row) {
            kind.see(value);
        }
        // Writing to a string does not fail.
        self.write(row).ok();
        self.count += 1;
    }

    fn write(&mut self, row: &[Value]) -> fmt::Result {
        let (number, names) = (self.before + self.count, &self.names);
        for text in &mut self.texts {
            if self.count > 0 {
                text.push(',');
            }
        }
        if self.orient == Orient::Columns {
            let mut columns = self.texts.iter_mut().zip(row);
            return columns.try_for_each(|(text, value)| write!(text, "\"{number}\":{value}"));
        }
        let Some(text) = self.texts.first_mut() else { return Ok(()) };
        match self.orient {
            Orient::Records => object(text, "", names, row),
            Orient::Table => object(text, &format!("\"index\":{number}"), names, row),
            Orient::Index => {
                write!(text, "\"{number}\":")?;
                object(text, "", names, row)
            }
            Orient::Values | Orient::Split => array(text, row),
            Orient::Columns => Ok(()),
        }
    }
}

impl Kind {
    /// Of a column without values.
    const ANY: Self =
        Self { all_bool: true, all_whole: true, all_numbers: true, has_number: false };

    fn see(&mut self, value: &Value) {
        let is_whole = value.is_i64() || value.is_u64();
        // To pandas a whole number beyond 64 bits is an object.
        let is_number = value
            .as_number()
            .is_some_and(|number| is_whole || number.as_str().contains(['.', 'e', 'E']));
        self.all_bool &= value.is_boolean();
        self.all_whole &= is_whole;
        self.all_numbers &= is_number || value.is_null();
        self.has_number |= is_number;
    }

    fn and(self, other: Self) -> Self {
        Self {
            all_bool: self.all_bool && other.all_bool,
            all_whole: self.all_whole && other.all_whole,
            all_numbers: self.all_numbers && other.all_numbers,
            has_number: self.has_number || other.has_number,
        }
    }

    fn name(self) -> &'static str {
        match (self.all_bool, self.all_whole, self.all_numbers && self.has_number) {
            // Only a column without values is all of it.
            (true, true, _) => "string",
            (true, _, _) => "boolean",
            (_, true, _) => "integer",
            (_, _, true) => "number",
            _ => "string",
        }
    }
}

/// A row as an object, behind what else belongs to it.
fn object(text: &mut String, first: &str, names: &[String], row: &[Value]) -> fmt::Result {
    text.push('{');
    text.push_str(first);
    for (at, (name, value)) in names.iter().zip(row).enumerate() {
        let comma = if at > 0 || !first.is_empty() { "," } else { "" };
        write!(text, "{comma}{name}:{value}")?;
    }
    text.push('}');
    Ok(())
}

fn array(text: &mut String, row: &[Value]) -> fmt::Result {
    text.push('[');
    for (at, value) in row.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(text, "{comma}{value}")?;
    }
    text.push(']');
    Ok(())
}

/// The payload that answers a query, with its rows in order, in as many parts as they come in; a query's mark that
/// was absent is 0.
#[must_use]
pub fn query_answer(query: &Query, mark: Option<&Value>, rows: &[&Rows]) -> String {
    let mark = mark.map_or_else(|| "0".to_owned(), Value::to_string);
    let bytes: usize = rows.iter().map(|rows| rows.bytes() + 1).sum();
    let mut text = String::with_capacity(bytes + mark.len() + 100);
    // Writing to a string does not fail.
    write_answer(&mut text, query, &mark, rows).ok();
    text
}

fn write_answer(text: &mut String, query: &Query, mark: &str, rows: &[&Rows]) -> fmt::Result {
    write!(text, r#"{{"query":{mark},"res":"#)?;
    let count: usize = rows.iter().map(|rows| rows.count).sum();
    match query.orient {
        Orient::Records | Orient::Values => {
            text.push('[');
            join(text, rows, 0);
            text.push(']');
        }
        Orient::Index => {
            text.push('{');
            join(text, rows, 0);
            text.push('}');
        }
        Orient::Columns => {
            text.push('{');
            for (at, output) in query.outputs.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                write!(text, "{comma}{}:{{", Value::from(&*output.name))?;
                join(text, rows, at);
                text.push('}');
            }
            text.push('}');
        }
        Orient::Split => {
            let names: Vec<_> = query.outputs.iter().map(|output| output.name.as_str()).collect();
            write!(text, r#"{{"columns":{},"index":["#, json!(names))?;
            for number in 0..count {
                let comma = if number > 0 { "," } else { "" };
                write!(text, "{comma}{number}")?;
            }
            text.push_str(r#"],"data":["#);
            join(text, rows, 0);
            text.push_str("]}");
        }
        Orient::Table => {
            write!(text, r#"{{"schema":{},"data":["#, schema(query, rows))?;
            join(text, rows, 0);
            text.push_str("]}");
        }
    }
    text.push('}');
    Ok(())
}

/// Puts the texts of this number behind one another, with commas between them.
fn join(text: &mut String, rows: &[&Rows], at: usize) {
    let mut is_first = true;
    for part in rows.iter().filter(|rows| rows.count > 0).filter_map(|rows| rows.texts.get(at)) {
        if !is_first {
            text.push(',');
        }
        is_first = false;
        text.push_str(part);
    }
}

fn schema(query: &Query, rows: &[&Rows]) -> Value {
    let kind = |at: usize| {
        let kinds = rows.iter().filter_map(|rows| rows.kinds.get(at));
        kinds.fold(Kind::ANY, |all, kind| all.and(*kind)).name()
    };
    let columns = query.outputs.iter().enumerate();
    let fields = columns.map(|(at, output)| json!({"name": output.name, "type": kind(at)}));
    json!({
        "fields": Vec::from_iter(std::iter::once(json!({"name": "index", "type": "integer"})).chain(fields)),
        "primaryKey": ["index"],
        // The version of the schema's form, not of pandas.
        "pandas_version": "1.4.0",
    })
}
