//! What a person writes after `--where`, made the `where` of a query: alone knows how it is written.

use serde_json::{Map, Number, Value};
use unicode_width::UnicodeWidthChar;

use super::document::is_direction;

/// The most conditions that the manager takes, who counts what `and`, `or` and `not` make as well.
const MAX_CONDITIONS: usize = 1000;

/// The most objects and arrays inside each other: a payload may have 100, what is around a `where` included.
const MAX_DEPTH: usize = 90;

/// The most places that an error shows an expression in: 80 with what stands before it, and the caret behind its end.
const MAX_SHOWN: usize = 68;

const COLUMNS: &str = "clientId groupId reported desired declined reportedMeta desiredMeta \
                       declinedMeta version online";

/// Of two that begin alike the longer one stands first.
const OPERATORS: &str =
    "==, !=, <>, <=, >=, =, <, >, LIKE, NOT LIKE, IN, NOT IN, IS NULL, IS NOT NULL";

const KEYWORDS: &str = "and or not like in is null true false";

/// Why a text is no expression. It is shown in three lines, with a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--where: {message}\n{}", excerpt(text, *offset))]
pub(crate) struct ExpressionError {
    message: String,
    text: String,
    /// In bytes.
    offset: usize,
}

/// Reads an expression such as `reported.temp > 20 and online = true`. One of white space alone is `{}`, which holds
/// of every twin.
///
/// Whether an operator takes a value, and a column has such a path, is for the manager to say.
///
/// # Errors
/// [`ExpressionError`] says what was found, what is wanted there, and where that is.
pub(crate) fn parse(text: &str) -> Result<Value, ExpressionError> {
    // What is missing at the end is missing right behind the last word.
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let mut reader = Reader { text, rest: text, open: 0 };
    let condition = reader.condition()?;
    if !reader.rest.is_empty() {
        return Err(reader.unlike("\"and\" or \"or\"", ""));
    }
    let too_many = || format!("there are more than {MAX_CONDITIONS} conditions in all");
    match size(&condition) {
        (_, depth) if depth > MAX_DEPTH => Err(reader.too_deep(0)),
        (count, _) if count > MAX_CONDITIONS => Err(reader.error(0, &too_many())),
        _ => Ok(condition),
    }
}

/// How many conditions there are, and how many objects and arrays inside each other.
fn size(json: &Value) -> (usize, usize) {
    let inner: Vec<_> = match json {
        Value::Array(values) => values.iter().map(size).collect(),
        Value::Object(members) => members.values().map(size).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return (0, 0),
    };
    let conditions = inner.iter().map(|(conditions, _)| conditions).sum::<usize>();
    let depth = inner.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
    (conditions + usize::from(json.is_object()), depth + 1)
}

type Read<T> = Result<T, ExpressionError>;

/// A text, and what of it is still to be read.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    /// How many `(` and `not` are around the rest.
    open: usize,
}

impl<'a> Reader<'a> {
    fn condition(&mut self) -> Read<Value> {
        self.row("or", |reader| reader.row("and", Self::one))
    }

    /// One part, or several with this word between them.
    fn row(&mut self, word: &str, part: fn(&mut Self) -> Read<Value>) -> Read<Value> {
        let first = part(self)?;
        if !self.takes(word) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.takes(word) {
            parts.push(part(self)?);
        }
        Ok(Value::from_iter([(word, parts)]))
    }

    fn one(&mut self) -> Read<Value> {
        let at = self.start();
        let negates = self.takes("not");
        if !negates && !self.takes("(") {
            return self.comparison();
        }
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        let inner =
            if negates { Value::from_iter([("not", self.one()?)]) } else { self.condition()? };
        self.open -= 1;
        if negates || self.takes(")") {
            return Ok(inner);
        }
        Err(self.unlike("\"and\", \"or\" or )", ""))
    }

    fn comparison(&mut self) -> Read<Value> {
        let column = self.column()?;
        let op = self.operator()?;
        let mut members = vec![("column", Value::from(column)), ("op", Value::from(op))];
        let typed = op.to_lowercase();
        match op {
            "IS NULL" | "IS NOT NULL" => {}
            "IN" | "NOT IN" => members.push(("value", Value::from(self.list(&typed)?))),
            _ => members.push(("value", self.value(&typed)?)),
        }
        Ok(Value::from_iter(members))
    }

    /// A column as it is written, but for `id`, which is short for `clientId`.
    fn column(&mut self) -> Read<&'a str> {
        let at = self.start();
        let first = run(self.rest, ends_name);
        if matches!(first.chars().next(), None | Some('-' | '0'..='9')) || is_keyword(first) {
            let hint = ": begin with a column, as in reported.temp > 10";
            return Err(self.unlike("a condition", hint));
        }
        self.skip(first.len());
        self.path()?;
        let column = self.text.get(at..self.offset()).unwrap_or_default();
        let meant = match COLUMNS.split(' ').find(|known| known.eq_ignore_ascii_case(first)) {
            Some(known) if known == first => return Ok(column),
            Some(known) => column.replacen(first, known, 1),
            None if column == "id" => return Ok("clientId"),
            None => format!("reported.{column}"),
        };
        let message = format!("no column is called {}: write {}", shown(column), shown(&meant));
        Err(self.error(at, &message))
    }

    /// The steps behind a column's first word. White space ends them, unless it is in quotes.
    fn path(&mut self) -> Read<()> {
        while self.rest.starts_with(['.', '[']) {
            let is_name = self.rest.starts_with('.');
            self.skip(1);
            let (at, step) = (self.offset(), run(self.rest, ends_name));
            if is_name && self.rest.starts_with('"') {
                self.quoted('"')?;
                continue;
            }
            self.skip(step.len());
            if is_name && step.is_empty() {
                let message = "a name is missing after .: write reported.temp or reported.\"a b\"";
                return Err(self.error(at, message));
            }
            let is_index = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
            if !(is_name || is_index && self.rest.starts_with(']')) {
                let message = "between [ and ] stands a number from 0: write reported.rgb[0]";
                return Err(self.error(at, message));
            }
            self.skip(usize::from(!is_name));
        }
        Ok(())
    }

    fn operator(&mut self) -> Read<&'static str> {
        let before = self.rest;
        for op in OPERATORS.split(", ") {
            if op.split(' ').all(|word| self.takes(word)) {
                return Ok(if op == "==" { "=" } else { op });
            }
            self.rest = before;
        }
        let hint = ": write =, !=, <, <=, >, >=, like, not like, in, not in, is null, is not null";
        Err(self.unlike("an operator", hint))
    }

    fn list(&mut self, op: &str) -> Read<Vec<Value>> {
        let brackets = [("(", ")"), ("[", "]")];
        let Some((_, end)) = brackets.into_iter().find(|(begin, _)| self.takes(begin)) else {
            return Err(self.unlike("a list", &format!(": write {op} (1, 2)")));
        };
        let mut values = Vec::new();
        while !self.takes(end) {
            if !values.is_empty() && !self.takes(",") {
                return Err(self.unlike(&format!(", or {end}"), ""));
            }
            values.push(self.value(if values.is_empty() { op } else { "," })?);
        }
        Ok(values)
    }

    fn value(&mut self, before: &str) -> Read<Value> {
        let at = self.start();
        if let Some(quote) = self.rest.chars().next().filter(|sign| matches!(sign, '"' | '\'')) {
            return Ok(Value::String(self.quoted(quote)?));
        }
        if self.rest.starts_with(['(', '[']) {
            let message = "one value is wanted here, not a list: a list stands after in or not in";
            return Err(self.error(at, message));
        }
        let word = run(self.rest, ends_word);
        self.skip(word.len());
        if let Ok(number) = word.parse::<Number>() {
            return Ok(Value::Number(number));
        }
        match word.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(self.error(at, &no_value(word, before))),
        }
    }

    /// What stands in quotes, in `"` as JSON has it. In `'` a `\` counts before a `'` or another one only, and is
    /// itself before anything else: LIKE has a use of its own for it.
    fn quoted(&mut self, quote: char) -> Read<String> {
        let (at, inner) = (self.offset(), self.rest.strip_prefix(quote).unwrap_or_default());
        let mut escaped = false;
        let end = inner.find(|sign| {
            let ends = sign == quote && !escaped;
            escaped = sign == '\\' && !escaped;
            ends
        });
        let end = end.ok_or_else(|| self.error(at, &format!("this {quote} is not closed")))?;
        let (text, rest) = inner.split_at(end);
        self.rest = rest.strip_prefix(quote).unwrap_or(rest);
        if quote == '\'' {
            let pairs = text.split("\\\\").map(|part| part.replace("\\'", "'"));
            return Ok(pairs.collect::<Vec<_>>().join("\\"));
        }
        let message = "what stands in \" is not as in JSON, where \\ is written \\\\";
        serde_json::from_str(&format!("\"{text}\"")).map_err(|_error| self.error(at, message))
    }

    /// Takes this sign, or this word in any case, if it comes next.
    fn takes(&mut self, wanted: &str) -> bool {
        self.start();
        let word = run(self.rest, ends_word);
        let is_sign = word.is_empty() && self.rest.starts_with(wanted);
        let takes = is_sign || word.eq_ignore_ascii_case(wanted);
        self.skip(if takes { wanted.len() } else { 0 });
        takes
    }

    /// Skips white space, and says where the next thing begins.
    fn start(&mut self) -> usize {
        self.rest = self.rest.trim_start();
        self.offset()
    }

    fn offset(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// The error of something else than what is wanted next.
    fn unlike(&mut self, wanted: &str, hint: &str) -> ExpressionError {
        let at = self.start();
        let found = match (run(self.rest, ends_word), self.rest.chars().next()) {
            (_, None) => "the end".to_owned(),
            ("", Some(sign)) => sign.to_string(),
            (word, _) => format!("{:?}", shown(word)),
        };
        let signs = [("&&", "and"), ("&", "and"), ("||", "or"), ("|", "or"), ("!", "not")];
        let message = match signs.into_iter().find(|(sign, _)| self.rest.starts_with(sign)) {
            Some((sign, word)) => format!("{sign} is not known: write {word}"),
            None => format!("{wanted} is wanted here, not {found}{hint}"),
        };
        self.error(at, &message)
    }

    fn too_deep(&self, offset: usize) -> ExpressionError {
        self.error(offset, &format!("conditions are nested deeper than {MAX_DEPTH}"))
    }

    fn error(&self, offset: usize, message: &str) -> ExpressionError {
        ExpressionError { message: message.to_owned(), text: self.text.to_owned(), offset }
    }
}

fn run(text: &str, ends: impl Fn(char) -> bool) -> &str {
    text.split(ends).next().unwrap_or_default()
}

fn ends_word(sign: char) -> bool {
    sign.is_whitespace() || "()[],\"'=!<>&|".contains(sign)
}

fn ends_name(sign: char) -> bool {
    sign == '.' || ends_word(sign)
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.split(' ').any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn no_value(word: &str, before: &str) -> String {
    if word.eq_ignore_ascii_case("null") {
        return "null is compared with nothing: write is null or is not null".to_owned();
    }
    if word.is_empty() || is_keyword(word) {
        return format!(
            "a value is missing after {before}: write a number, \"text\", true or false"
        );
    }
    let word = shown(word);
    format!("{word} is no value: a number is written as in JSON, a text in quotes: \"{word}\"")
}

/// A word as an error repeats it, short and on one line.
fn shown(word: &str) -> String {
    let start: String = word.chars().take(40).map(plain).collect();
    start + if word.chars().nth(40).is_some() { "…" } else { "" }
}

fn plain(sign: char) -> char {
    let is_seen = !(sign.is_whitespace() || sign.is_control() || is_direction(sign));
    if is_seen { sign } else { ' ' }
}

/// The text on one line, in no more than [`MAX_SHOWN`] places around the offset, and a caret under that.
fn excerpt(text: &str, offset: usize) -> String {
    let (before, behind) = text.split_at_checked(offset).unwrap_or((text, ""));
    // Half of it is for either side, and what one does not need is for the other.
    let most = MAX_SHOWN.saturating_sub(places(behind.chars().map(plain))).max(MAX_SHOWN / 2);
    let mut before = shortened(before.chars().rev().map(plain), most);
    before.reverse();
    let column = places(before.iter().copied());
    let behind = shortened(behind.chars().map(plain), MAX_SHOWN - column);
    let line: String = before.into_iter().chain(behind).collect();
    format!("  {line}\n  {:>width$}", '^', width = column + 1)
}

/// The first of these signs, in no more than so many places.
fn shortened(signs: impl Iterator<Item = char> + Clone, most: usize) -> Vec<char> {
    if places(signs.clone()) <= most {
        return signs.collect();
    }
    let mut taken = 0;
    let fits = |sign: &char| {
        taken += place(*sign);
        taken < most
    };
    signs.take_while(fits).chain(['…']).collect()
}

fn places(signs: impl Iterator<Item = char>) -> usize {
    signs.map(place).sum()
}

fn place(sign: char) -> usize {
    sign.width().unwrap_or(0)
}

#[cfg(test)]
mod tests;
