//! Payloads that no topic should take, of many kinds, the same for the same seed.
//!
//! Every one is judged by [`fault`], which rests on this kit's own parser and the contract, not on the program.

use fastrand::Rng;

use super::json::Json;

/// The largest payload that the manager takes, in bytes.
const LARGEST: usize = 256 * 1024;
/// The deepest payload that the manager takes, in levels.
const DEEPEST: usize = 100;
/// One payload in so many is a large one, so that a run ends in good time.
const LARGE_ONE_IN: usize = 400;

/// A topic that the manager hears and whose payload it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hears {
    Report,
    Set,
    Del,
    Get,
    GroupGet,
    GroupSet,
    OwnSet,
}

impl Hears {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Report,
        Self::Set,
        Self::Del,
        Self::Get,
        Self::GroupGet,
        Self::GroupSet,
        Self::OwnSet,
    ];

    /// The topic, for a thing or group of this id and a manager of that.
    pub fn topic(self, id: &str, manager: &str) -> String {
        match self {
            Self::Report => format!("TNG/{id}/STATE/UPD"),
            Self::Set => format!("TNG/{id}/TWIN/SET"),
            Self::Del => format!("TNG/{id}/TWIN/DEL"),
            Self::Get => format!("TNG/{id}/TWIN/GET"),
            Self::GroupGet => format!("GRP/{id}/TWIN/GET"),
            Self::GroupSet => format!("GRP/{id}/TWIN/SET"),
            Self::OwnSet => format!("TNG/{manager}/STATE/SET"),
        }
    }

    /// Where an error to it goes, for the same id. A report is no request: there is no answer to it.
    pub fn answered_on(self, id: &str) -> Option<String> {
        match self {
            Self::Report | Self::OwnSet => None,
            Self::Set | Self::Del | Self::Get => Some(format!("TNG/{id}/TWIN/RES")),
            Self::GroupGet | Self::GroupSet => Some(format!("GRP/{id}/TWIN/RES")),
        }
    }

    /// A payload that the topic takes.
    fn good(self, rng: &mut Rng) -> String {
        let members = some_members(rng, 3);
        match self {
            Self::Report | Self::OwnSet => {
                let part = one_of(rng, &["delta", "state"]);
                format!(r#"{{"{part}":{{"trn":{},{members}}}}}"#, rng.u16(1..))
            }
            Self::Set => {
                let part = one_of(rng, &["set", "delta", "state"]);
                format!(r#"{{"{part}":{{{members}}},"query":"q{}"}}"#, rng.u8(..))
            }
            Self::GroupSet => format!(r#"{{"set":{{{members}}},"from":["a","b"],"query":1}}"#),
            Self::Del => format!(r#"{{"query":{{{members}}}}}"#),
            Self::Get | Self::GroupGet => r#"{"select":["clientId","reported.a"],"as":["id"],
                "where":{"column":"reported.a","op":">","value":1.5e3},"orient":"split","query":7}"#
                .to_owned(),
        }
    }
}

/// Why a topic must not take a payload; none if it may.
///
/// Where the contract leaves room, such as `"version": null`, this says none.
pub fn fault(hears: Hears, payload: &[u8]) -> Option<String> {
    let asks = matches!(hears, Hears::Get | Hears::GroupGet | Hears::Del);
    if payload.is_empty() && asks {
        return None;
    }
    if payload.len() > LARGEST {
        return Some("too large".to_owned());
    }
    let document = match Json::parse(payload) {
        Ok(document) => document,
        Err(why) => return Some(why),
    };
    if !matches!(document, Json::Object(_)) {
        return Some("not an object".to_owned());
    }
    if document.depth() > DEEPEST {
        return Some("too deep".to_owned());
    }
    let wrong = match hears {
        Hears::Report | Hears::OwnSet => wrong_part(&document, &["delta", "state"]),
        Hears::Set => wrong_part(&document, SETS) || wrong_version(&document),
        Hears::GroupSet => {
            wrong_part(&document, SETS)
                || wrong_version(&document)
                || document.member("from").is_some_and(|from| !is_texts(from))
        }
        Hears::Get => document.member("select").is_some() && wrong_query(&document),
        Hears::GroupGet => wrong_query(&document),
        Hears::Del => false,
    };
    wrong.then(|| "a member is missing or of the wrong type".to_owned())
}

const SETS: &[&str] = &["set", "delta", "state"];

/// Whether the first of these that is there is no object, or none is there.
fn wrong_part(document: &Json, parts: &[&str]) -> bool {
    let first = parts.iter().find_map(|part| document.member(part));
    !matches!(first, Some(Json::Object(_)))
}

fn wrong_version(document: &Json) -> bool {
    !matches!(document.member("version"), None | Some(Json::Null | Json::Number(_)))
}

fn wrong_query(document: &Json) -> bool {
    let is = |name: &str, right: fn(&Json) -> bool| document.member(name).is_none_or(right);
    !(is("select", is_texts)
        && is("as", is_texts)
        && is("where", |value| matches!(value, Json::Object(_)))
        && is("orient", |value| matches!(value, Json::Text(_))))
}

fn is_texts(value: &Json) -> bool {
    matches!(value, Json::Array(items) if items.iter().all(|item| matches!(item, Json::Text(_))))
}

/// A payload that its topic must not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostile {
    /// The topic.
    pub hears: Hears,
    /// The payload.
    pub payload: Vec<u8>,
    /// How it was made.
    pub kind: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// An endless run of hostile payloads: topic after topic, of every kind.
pub fn hostile(seed: u64) -> impl Iterator<Item = Hostile> {
    let mut rng = Rng::with_seed(seed);
    (0..).map(move |number: usize| {
        let hears = Hears::ALL[number % Hears::ALL.len()];
        let kinds = if number % LARGE_ONE_IN == LARGE_ONE_IN - 1 { LARGE } else { SMALL };
        loop {
            let &(kind, make) = rng.choice(kinds).unwrap();
            let payload = make(&mut rng, hears);
            if let Some(why) = fault(hears, &payload) {
                return Hostile { hears, payload, kind, why };
            }
        }
    })
}

/// A way to make payloads that are mostly bad, and its name.
type Kind = (&'static str, fn(&mut Rng, Hears) -> Vec<u8>);

/// The kinds of small payloads.
pub const SMALL: &[Kind] = &[
    ("empty", |_, _| Vec::new()),
    ("blank", |rng, _| one_of(rng, &[" ", "\n", "\t\r\n ", "\u{a0}", "\u{c}"]).into()),
    ("truncated", truncated),
    ("one byte changed", one_byte_changed),
    ("one byte more", one_byte_more),
    ("noise", |rng, _| (0..rng.usize(1..60)).map(|_| rng.u8(..)).collect()),
    ("trailing comma", |rng, hears| {
        value_replaced(rng, hears, &["[1,]", "{\"a\":1,}", "[,]", "{,}"])
    }),
    ("no JSON word", |rng, hears| {
        let words =
            ["NaN", "Infinity", "-Infinity", "nan", "undefined", "None", "True", "nul", "TRUE"];
        value_replaced(rng, hears, &words)
    }),
    ("no JSON number", |rng, hears| {
        let numbers =
            ["01", "+1", "1e", ".5", "1.", "0x1F", "1e+", "--1", "1_000", "-", "1.e3", "00", "-01"];
        value_replaced(rng, hears, &numbers)
    }),
    ("lone surrogate", |rng, hears| {
        let texts = [
            r#""\ud800""#,
            r#""\udfff x""#,
            r#""\ud800\ud800""#,
            r#""\ud83dA""#,
            r#"{"\udc00":1}"#,
        ];
        value_replaced(rng, hears, &texts)
    }),
    ("no such escape", |rng, hears| {
        value_replaced(rng, hears, &[r#""\x41""#, r#""\u12G4""#, r#""\'""#, r#""\u00""#, r#""\0""#])
    }),
    ("other dialect", |rng, hears| {
        let values = [
            "'a'",
            "{a:1}",
            "1 // one",
            "/* one */ 1",
            "# one\n1",
            "(1)",
            "<a/>",
            "`a`",
            "{'a':1}",
        ];
        value_replaced(rng, hears, &values)
    }),
    ("wrong brackets", |rng, hears| {
        let values = [
            "[1}",
            "{\"a\":1]",
            "[1",
            "1]",
            "{\"a\" 1}",
            "{\"a\":}",
            "{:1}",
            "[1 2]",
            "{\"a\"}",
            "{1:1}",
        ];
        value_replaced(rng, hears, &values)
    }),
    ("unterminated string", |rng, hears| {
        value_replaced(rng, hears, &["\"abc", "\"abc\\\"", "{\"abc:1}", "\"\\"])
    }),
    ("control byte in a string", control_byte),
    ("not UTF-8", not_utf8),
    ("byte order mark", |rng, hears| ["\u{feff}", &hears.good(rng)].concat().into()),
    ("UTF-16", |rng, hears| hears.good(rng).encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ("text after the end", |rng, hears| {
        let tail = one_of(rng, &["}", "{}", "x", ",", "\0", " null", "]", "\u{feff}"]);
        [hears.good(rng).as_str(), tail].concat().into()
    }),
    ("not an object", |rng, hears| {
        let wrapped = format!("[{}]", hears.good(rng));
        let text = serde_json::Value::from(hears.good(rng)).to_string();
        one_of(rng, &["null", "true", "0", "-1.5e300", "\"\"", "[]", &wrapped, &text]).into()
    }),
    ("member of the wrong type", wrong_type),
    ("member missing", |rng, _| {
        one_of(
            rng,
            &["{}", r#"{"query":1}"#, r#"{"Set":{"a":1}}"#, r#"{"deltas":{"a":1}}"#, r#"{"":{}}"#],
        )
        .into()
    }),
    ("deep", |rng, hears| {
        let levels = rng.usize(120..400);
        let deep = if rng.bool() {
            format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
        } else {
            format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
        };
        value_replaced(rng, hears, &[&deep])
    }),
];

/// The kinds of large payloads.
pub const LARGE: &[Kind] = &[
    ("large text", |rng, hears| {
        let text = format!("\"{}\"", "x".repeat(rng.usize(LARGEST..LARGEST + 100_000)));
        value_replaced(rng, hears, &[&text])
    }),
    ("many members", |rng, hears| {
        let members: Vec<_> = (0..30_000).map(|number| format!("\"m{number}\":1")).collect();
        value_replaced(rng, hears, &[&format!("{{{}}}", members.join(","))])
    }),
    ("very deep", |rng, _| one_of(rng, &["[", "{\"a\":", "[[{\"\":"]).repeat(40_000).into()),
    ("large noise", |rng, _| (0..LARGEST).map(|_| rng.u8(..)).collect()),
];

/// A good payload with one of its values, or a new member's, replaced by one of these.
fn value_replaced(rng: &mut Rng, hears: Hears, values: &[&str]) -> Vec<u8> {
    let good = hears.good(rng);
    let value = one_of(rng, values);
    let colons: Vec<_> = good.match_indices(':').map(|(at, _)| at + 1).collect();
    let at = *rng.choice(&colons).unwrap();
    let end = good[at..].find([',', '}']).map_or(good.len(), |length| at + length);
    if rng.bool() {
        [&good[..at], value, &good[end..]].concat().into()
    } else {
        let open = good.find('{').unwrap() + 1;
        format!("{}\"new\":{value},{}", &good[..open], &good[open..]).into()
    }
}

fn truncated(rng: &mut Rng, hears: Hears) -> Vec<u8> {
    let good = hears.good(rng).into_bytes();
    good[..rng.usize(..good.len())].to_vec()
}

fn one_byte_changed(rng: &mut Rng, hears: Hears) -> Vec<u8> {
    let mut bytes = hears.good(rng).into_bytes();
    let at = rng.usize(..bytes.len());
    bytes[at] = rng.u8(..);
    bytes
}

fn one_byte_more(rng: &mut Rng, hears: Hears) -> Vec<u8> {
    let mut bytes = hears.good(rng).into_bytes();
    let extra = *rng.choice(b"{}[]\",:\\0-.eE\0\x7f").unwrap();
    bytes.insert(rng.usize(..=bytes.len()), extra);
    bytes
}

fn control_byte(rng: &mut Rng, hears: Hears) -> Vec<u8> {
    let text = format!("\"a{}b\"", char::from(rng.u8(..0x20)));
    value_replaced(rng, hears, &[&text])
}

fn not_utf8(rng: &mut Rng, hears: Hears) -> Vec<u8> {
    let broken: &[&[u8]] = &[
        b"\x80",
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xfe\xfe",
    ];
    let bytes = *rng.choice(broken).unwrap();
    let text = String::from_utf8(value_replaced(rng, hears, &["\"a@b\""])).unwrap();
    let (head, tail) = text.split_once('@').unwrap();
    [head.as_bytes(), bytes, tail.as_bytes()].concat()
}

/// JSON that is well-formed and says the wrong thing in one member that counts.
fn wrong_type(rng: &mut Rng, hears: Hears) -> Vec<u8> {
    const VALUES: &[&str] =
        &["null", "true", "false", "0", "-7", "1.5", "\"\"", "\"{}\"", "[]", "[{}]", "{}", "[1]"];
    let value = one_of(rng, VALUES);
    let members = some_members(rng, 2);
    match hears {
        Hears::Report | Hears::OwnSet => {
            format!(r#"{{"{}":{value}}}"#, one_of(rng, &["delta", "state"]))
        }
        Hears::Set => {
            if rng.bool() {
                format!(r#"{{"{}":{value}}}"#, one_of(rng, SETS))
            } else {
                format!(r#"{{"set":{{{members}}},"version":{value}}}"#)
            }
        }
        Hears::GroupSet => match rng.u8(..3) {
            0 => format!(r#"{{"{}":{value}}}"#, one_of(rng, SETS)),
            1 => format!(r#"{{"set":{{{members}}},"from":{value}}}"#),
            _ => format!(r#"{{"set":{{{members}}},"version":{value}}}"#),
        },
        Hears::Get | Hears::GroupGet => match rng.u8(..4) {
            0 => format!(r#"{{"select":{value}}}"#),
            1 => format!(r#"{{"select":["clientId"],"as":{value}}}"#),
            2 => format!(r#"{{"select":["clientId"],"where":{value}}}"#),
            _ => format!(r#"{{"select":["clientId"],"orient":{value}}}"#),
        },
        Hears::Del => value.to_owned(),
    }
    .into()
}

/// Between one and `most` members, without the braces.
fn some_members(rng: &mut Rng, most: usize) -> String {
    let count = rng.usize(1..=most);
    let members = (0..count).map(|number| {
        let name = one_of(rng, &["on", "temp", "net", "a b", "ü", "😀", "timestamp", "é\\n"]);
        let value = one_of(
            rng,
            &["1", "-0.5e-3", "true", "null", "\"text\"", "[1,[2]]", "{\"ip\":\"::1\"}", "{}"],
        );
        format!("\"{name}{number}\":{value}")
    });
    members.collect::<Vec<_>>().join(",")
}

fn one_of<'a>(rng: &mut Rng, choices: &[&'a str]) -> &'a str {
    choices[rng.usize(..choices.len())]
}
