//! All that goes over the broker for twins, as people read it.

use jiff::Zoned;
use serde_json::{Map, Value, json};
use twinthing::client::{Message, TwinUpdate};
use unicode_width::UnicodeWidthStr;

use super::{
    Call, Failure, Outcome, connect, document,
    output::{ASIDE, DECLINED, DESIRED, NAME, ONLINE, PLAIN, REPORTED, painted, width},
    table::cut,
};

/// How many bytes of what is no text are shown.
const BYTES: usize = 32;

pub(crate) async fn listen(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let mut filters: Vec<String> = call.words("FILTER").into_iter().map(str::to_owned).collect();
    if filters.is_empty() {
        filters = ["TNG/#", "GRP/#"].map(str::to_owned).into();
    }
    let mut messages = call.client().await?.listen(filters).await?;
    connect::follow();
    let end = actix_rt::signal::ctrl_c();
    tokio::pin!(end);
    while !call.out.is_gone() {
        let message = tokio::select! {
            message = messages.next() => message,
            ended = &mut end => {
                ended?;
                break;
            }
        };
        let Some(message) = message else { break };
        if call.is("json") {
            call.out.json(&json_line(&message))?;
        } else {
            let most = if call.matches.get_flag("full") { None } else { width() };
            let time = Zoned::now().strftime("%H:%M:%S%.3f").to_string();
            call.out.line(&line(&message, &time, most))?;
        }
    }
    Ok(Outcome::Done)
}

/// `21:40:03.123  lamp  STATE/UPD  delta on=true`
fn line(message: &Message, time: &str, width: Option<usize>) -> String {
    let (who, what) = parts(&message.topic);
    let (style, mut text) = told(what, &message.payload);
    if message.retained {
        text.push_str(" (retained)");
    }
    let (who, what) = (document::safe(who), document::safe(what));
    let taken = [time, &who, &what].iter().map(|part| part.width() + 2).sum::<usize>();
    if let Some(width) = width {
        text = cut(&text, width.saturating_sub(taken).max(10));
    }
    let (time, who) = (painted(ASIDE, time), painted(NAME, &who));
    format!("{time}  {who}  {}  {text}", painted(style, &what))
}

/// Whose topic it is, and what of them; of another topic it is all of it.
fn parts(topic: &str) -> (&str, &str) {
    let of = topic.strip_prefix("TNG/").or_else(|| topic.strip_prefix("GRP/"));
    of.and_then(|of| of.split_once('/')).unwrap_or(("", topic))
}

/// What a message says, and in which style that is announced.
fn told(what: &str, payload: &[u8]) -> (anstyle::Style, String) {
    let style = match what {
        "STATE/UPD" | "TWIN/UPD" => REPORTED,
        "STATE/SET" | "TWIN/SET" => DESIRED,
        "TWIN/DEL" => DECLINED,
        "LC/ON" | "LC/OFF" => ONLINE,
        _ => PLAIN,
    };
    let object = serde_json::from_slice::<Map<String, Value>>(payload).ok();
    let text = match object {
        // An answer to somebody may be a twin as well.
        Some(twin) if twin.contains_key("reportedMeta") => match TwinUpdate::from_object(twin) {
            Ok(twin) => twin_line(&twin),
            Err(_) => raw(payload),
        },
        Some(object) => members(&object),
        None => raw(payload),
    };
    (style, text)
}

/// Each member of a request or a report: those that are objects in words.
fn members(object: &Map<String, Value>) -> String {
    let word = |(name, value): (&String, &Value)| match value.as_object() {
        Some(inner) if ["delta", "state", "set"].contains(&name.as_str()) => {
            let words = document::leaves(inner);
            let words: Vec<_> = words
                .iter()
                .map(|(name, value)| format!("{name}={}", document::word(value)))
                .collect();
            format!("{name} {}", if words.is_empty() { "{}".to_owned() } else { words.join(" ") })
        }
        Some(_) | None => format!("{}={}", document::safe(name), document::word(value)),
    };
    object.iter().map(word).collect::<Vec<_>>().join("  ")
}

fn twin_line(twin: &TwinUpdate) -> String {
    let online = super::things::presence(twin.online).1;
    let mut parts = vec![format!("version {}  {online}", twin.version)];
    for (name, document) in
        [("reported", &twin.reported), ("desired", &twin.desired), ("declined", &twin.declined)]
    {
        let shown = document::shown(document);
        if !shown.is_empty() {
            parts.push(format!("{name} {shown}"));
        }
    }
    parts.join("  ")
}

/// Text as it is; what is none in hexadecimal.
fn raw(payload: &[u8]) -> String {
    match str::from_utf8(payload) {
        Ok(text) => document::safe(text),
        Err(_) => {
            let begin: Vec<_> =
                payload.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect();
            let rest = if payload.len() > BYTES { " …" } else { "" };
            format!("{} bytes: {}{rest}", payload.len(), begin.join(" "))
        }
    }
}

fn json_line(message: &Message) -> String {
    let payload = match serde_json::from_slice::<Value>(&message.payload) {
        Ok(json) => json,
        Err(_) => match str::from_utf8(&message.payload) {
            Ok(text) => Value::from(text),
            Err(_) => {
                let hex: String =
                    message.payload.iter().map(|byte| format!("{byte:02x}")).collect();
                json!({ "hex": hex })
            }
        },
    };
    let time = Zoned::now().timestamp().to_string();
    json!({"time": time, "topic": message.topic, "retained": message.retained, "payload": payload})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_message_is_read() {
        let twin = br#"{"reported":{"trn":3,"on":true},"reportedMeta":{"trn":1},"desired":{"trn":4,
            "level":9},"declined":{},"version":7,"online":false}"#;
        for (topic, payload, expected) in [
            (
                "TNG/lamp/STATE/UPD",
                &br#"{"delta":{"on":true,"trn":3}}"#[..],
                "lamp  STATE/UPD  delta on=true trn=3",
            ),
            ("TNG/lamp/STATE/SET", br#"{"state":{}}"#, "lamp  STATE/SET  state {}"),
            ("TNG/lamp/LC/ON", br#"{"online":1}"#, "lamp  LC/ON  online=1"),
            (
                "GRP/all/TWIN/SET",
                br#"{"set":{"on":1},"query":5}"#,
                "all  TWIN/SET  query=5  set on=1",
            ),
            (
                "TNG/lamp/TWIN/UPD",
                twin,
                "lamp  TWIN/UPD  version 7  offline  reported on=true  desired level=9",
            ),
            ("TNG/lamp/TPC/PING", b"\x1b[2J", "lamp  TPC/PING  \\u{1b}[2J"),
            ("TNG/lamp/TPC/X", b"\xff\x00", "lamp  TPC/X  2 bytes: ff 00"),
            ("home/door", b"open", "  home/door  open"),
        ] {
            let message =
                Message { topic: topic.to_owned(), payload: payload.to_vec(), retained: false };
            let line = anstream::adapter::strip_str(&line(&message, "t", None)).to_string();
            assert_eq!(line, format!("t  {expected}"));
        }
    }

    #[test]
    fn a_long_line_is_cut_and_what_was_kept_is_marked() {
        let payload = br#"{"delta":{"name":"a-long-name-for-a-lamp"}}"#.to_vec();
        let message = Message { topic: "TNG/lamp/STATE/UPD".to_owned(), payload, retained: true };
        let plain = |width| anstream::adapter::strip_str(&line(&message, "t", width)).to_string();
        assert_eq!(plain(Some(40)), "t  lamp  STATE/UPD  delta name=a-long-n…");
        assert!(plain(None).ends_with("lamp (retained)"));
        let payload = br#"{"delta":{"name":"a-long-name-for-a-lamp"}}"#.to_vec();
        let message =
            Message { topic: "TNG/日本/STATE/UPD".to_owned(), payload, retained: false };
        let plain = anstream::adapter::strip_str(&line(&message, "t", Some(40))).to_string();
        assert_eq!(plain, "t  日本  STATE/UPD  delta name=a-long-n…");
    }
}
