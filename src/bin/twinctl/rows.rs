//! Twins in a list: `ls` and `group get`.

use std::io::{self, IsTerminal};

use serde::Deserialize;
use serde_json::Value;
use twinthing::client::{Ask, GroupName};

use super::{
    Call, Failure, Outcome, document, expression,
    output::{ASIDE, DECLINED, DESIRED, NAME, ONLINE, PLAIN, REPORTED, remark, width},
    table::{self, Cell},
};

/// What is listed unless columns are named.
const USUAL: [&str; 6] = ["clientId", "online", "version", "reported", "desired", "declined"];
/// The group that all things are members of which may subscribe to what is said to all.
const ALL: &str = "ALL";

pub(crate) async fn list(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let group: GroupName = match call.matches.get_one::<GroupName>("group").cloned() {
        Some(group) => group,
        None => ALL.parse().map_err(|error| Failure::Usage(format!("{ALL}: {error}")))?,
    };
    let mut ask = Ask::new();
    if let Some(text) = call.matches.get_one::<String>("where") {
        let condition =
            expression::parse(text).map_err(|error| Failure::Usage(error.to_string()))?;
        ask = ask.only(condition);
    }
    let given = call.matches.get_one::<String>("select");
    let columns: Option<Vec<&str>> = given.map(|columns| columns.split(',').map(column).collect());
    let is_json = call.is("json");
    ask = match columns {
        Some(columns) => ask.select(columns),
        None if is_json => ask,
        None => ask.select(USUAL),
    };
    let ask = ask.orient(if is_json { "records" } else { "split" });
    let found = call.client().await?.group(&group).query(&ask).await?;
    if is_json {
        call.out.json(&serde_json::to_string_pretty(&found).unwrap_or_default())?;
        return Ok(Outcome::Done);
    }
    let Split { columns, data } = serde_json::from_value(found)
        .map_err(|error| Failure::Away(format!("the answer is not understood: {error}")))?;
    let rows = data.iter().map(Vec::as_slice);
    if call.is("csv") {
        call.out.raw(&csv(&columns, rows, io::stdout().is_terminal())?)?;
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<Cell>> = rows
        .map(|row| columns.iter().zip(row).map(|(column, value)| cell(column, value)).collect())
        .collect();
    if rows.is_empty() {
        let why = if given.is_none() && !call.matches.contains_id("where") {
            format!("no thing that may subscribe to GRP/{group}/TPC/# has a twin")
        } else {
            "none".to_owned()
        };
        remark(&why);
        return Ok(Outcome::Done);
    }
    let head: Vec<String> = columns
        .iter()
        .map(|column| document::safe(if column == "clientId" { "id" } else { column }))
        .collect();
    for line in table::lines(&head, &rows, width()) {
        call.out.line(&line)?;
    }
    Ok(Outcome::Done)
}

/// An answer of the orient `split`.
#[derive(Deserialize)]
struct Split {
    columns: Vec<String>,
    data: Vec<Vec<Value>>,
}

fn column(name: &str) -> &str {
    match name.trim() {
        "id" => "clientId",
        name => name,
    }
}

fn cell(column: &str, value: &Value) -> Cell {
    let (document, path) = column.split_once('.').unwrap_or((column, ""));
    let style = match (document, value) {
        ("clientId", _) => NAME,
        ("reported", _) => REPORTED,
        ("desired", _) => DESIRED,
        ("declined", _) => DECLINED,
        ("online", Value::Bool(true)) => ONLINE,
        ("online", _) => ASIDE,
        _ => PLAIN,
    };
    let text = match (value, document, path) {
        (Value::Bool(online), "online", _) => if *online { "online" } else { "offline" }.to_owned(),
        (Value::Null, "online", _) => "?".to_owned(),
        // A path that leads nowhere.
        (Value::Null, ..) => String::new(),
        (Value::Object(document), _, "") => document::shown(document),
        (Value::String(text), ..) => document::safe(text),
        (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_), ..) => {
            document::word(value)
        }
    };
    (style, text)
}

/// As RFC 4180 has it: texts as they are, everything else as JSON. For a terminal nothing in it speaks to that.
fn csv<'a>(
    columns: &[String],
    rows: impl Iterator<Item = &'a [Value]>,
    is_for_terminal: bool,
) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |error: csv::Error| Failure::Output(error.into());
    let shown = |text: String| if is_for_terminal { document::safe(&text) } else { text };
    writer.write_record(columns.iter().cloned().map(shown)).map_err(wrong)?;
    for row in rows {
        let field = |value: &Value| match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_null() => String::new(),
            None => value.to_string(),
        };
        writer.write_record(row.iter().map(field).map(shown)).map_err(wrong)?;
    }
    writer.into_inner().map_err(|error| Failure::Output(error.into_error()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_quotes_what_would_be_taken_for_more_fields() {
        let columns = ["clientId", "reported.name", "reported"].map(str::to_owned);
        let row = [json!("lamp, \"big\""), json!(null), json!({"a": [1, "x"]})];
        let text = csv(&columns, [row.as_slice()].into_iter(), false).unwrap();
        let expected = "clientId,reported.name,reported\n\"lamp, \"\"big\"\"\",,\"{\"\"a\"\":[1,\"\"x\"\"]}\"\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn csv_is_raw_unless_a_terminal_shows_it() {
        let columns = ["reported.\u{202e}".to_owned()];
        let row = [json!("\u{1b}]0;x\n")];
        let text = |is_for_terminal| {
            let text = csv(&columns, [row.as_slice()].into_iter(), is_for_terminal).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(false), "reported.\u{202e}\n\"\u{1b}]0;x\n\"\n");
        assert_eq!(text(true), "reported.\\u{202e}\n\\u{1b}]0;x\\u{a}\n");
    }
}
