//! What is asked of one thing: `get`, `set`, `unset`, `rm`.

use std::{io, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};
use twinthing::client::{Settled, ThingId, TwinUpdate};

use super::{
    Call, Failure, Outcome, document,
    output::{ASIDE, DECLINED, DESIRED, ONLINE, PLAIN, REPORTED, named, painted, remark, width},
    table::{self, Cell},
};

/// clap has seen to it that there is one.
fn id(call: &Call<'_>) -> Result<ThingId, Failure> {
    let id = call.matches.get_one::<ThingId>("ID").cloned();
    id.ok_or_else(|| Failure::Usage("there is no ID".to_owned()))
}

pub(crate) async fn get(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let id = id(call)?;
    let twin = call.client().await?.get(&id).await?;
    if !twin.exists() {
        remark(&format!("{id}: there is no twin: no thing of this id has ever reported"));
        return Ok(Outcome::Not);
    }
    if call.is("json") {
        call.out.json(&serde_json::to_string_pretty(&twin).unwrap_or_default())?;
        return Ok(Outcome::Done);
    }
    let (style, online) = presence(twin.online);
    call.out.line(&format!(
        "{}  {}  version {}",
        named(id.as_str()),
        painted(style, online),
        twin.version
    ))?;
    let head = ["member", "reported", "since", "desired", "declined"].map(str::to_owned);
    for line in table::lines(&head, &members(&twin), width()) {
        call.out.line(&line)?;
    }
    Ok(Outcome::Done)
}

/// How it is said whether a thing is there.
pub(crate) fn presence(online: Option<bool>) -> (anstyle::Style, &'static str) {
    match online {
        Some(true) => (ONLINE, "online"),
        Some(false) => (ASIDE, "offline"),
        None => (ASIDE, "not known whether online"),
    }
}

/// A line for each member that any of the documents has.
fn members(twin: &TwinUpdate) -> Vec<Vec<Cell>> {
    let documents = [&twin.reported, &twin.desired, &twin.declined].map(document::leaves);
    let mut names: Vec<&String> = documents.iter().flatten().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| *name != "trn");
    let [reported, desired, declined] = &documents;
    let since = document::leaves(&twin.reported_meta);
    let at = |document: &[(String, &Value)], name: &str| {
        let found = document.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| document::word(value)).unwrap_or_default()
    };
    let row = |name: &String| {
        let since = since.iter().find(|(known, _)| known == name);
        let since = since.and_then(|(_, time)| time.as_i64()).map(age).unwrap_or_default();
        vec![
            (PLAIN, name.clone()),
            (REPORTED, at(reported, name)),
            (ASIDE, since),
            (DESIRED, at(desired, name)),
            (DECLINED, at(declined, name)),
        ]
    };
    names.into_iter().map(row).collect()
}

/// How long ago it is, in nanoseconds since 1970, with one unit.
fn age(time: i64) -> String {
    let seconds = Timestamp::now().as_second() - time / 1_000_000_000;
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

pub(crate) async fn set(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let asked = call.asked()?;
    ask(call, asked).await
}

pub(crate) async fn unset(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let asked = document::removals(call.words("MEMBER"))?;
    ask(call, asked).await
}

async fn ask(call: &mut Call<'_>, asked: Map<String, Value>) -> Result<Outcome, Failure> {
    let id = id(call)?;
    let client = call.client().await?;
    let mut set = client.set(&id, &asked);
    if let Some(version) = call.matches.get_one::<u64>("if-version") {
        set = set.if_version(*version);
    }
    let Some(wait) = call.wait() else {
        let settled = Settled::of(&asked, &set.await?);
        // What is so already is not asked for.
        for (style, what, members) in
            [(DESIRED, "asked", &settled.open), (REPORTED, "so already", &settled.taken)]
        {
            if !members.is_empty() {
                call.out.line(&part(&id, style, what, members))?;
            }
        }
        return Ok(Outcome::Done);
    };
    let settled = set.settled(wait).await?;
    for line in settled_lines(&id, &settled) {
        call.out.line(&line)?;
    }
    Ok(outcome(&settled))
}

/// How it is shown what a thing made of what it was asked.
pub(crate) fn settled_lines(id: &ThingId, settled: &Settled) -> Vec<String> {
    let parts = [
        (REPORTED, "taken", &settled.taken),
        (DECLINED, "declined", &settled.declined),
        (ASIDE, "overtaken", &settled.overtaken),
        (DESIRED, "open", &settled.open),
    ];
    let said = parts.into_iter().filter(|(_, _, members)| !members.is_empty());
    said.map(|(style, what, members)| part(id, style, what, members)).collect()
}

fn part(id: &ThingId, style: anstyle::Style, what: &str, members: &Map<String, Value>) -> String {
    let (id, what) = (named(id.as_str()), painted(style, what));
    format!("{id}  {what}  {}", document::shown(members))
}

/// What is open may come yet; of the rest it is said whether it is as it was asked.
pub(crate) fn outcome(settled: &Settled) -> Outcome {
    match (settled.is_over(), settled.is_taken()) {
        (false, _) => Outcome::Open,
        (true, false) => Outcome::Not,
        (true, true) => Outcome::Done,
    }
}

pub(crate) async fn forget(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let ids: Vec<ThingId> = call.matches.get_many("ID").into_iter().flatten().cloned().collect();
    let client = call.client().await?;
    let mut outcome = Outcome::Done;
    for id in &ids {
        let what = if client.delete(id).await? {
            "forgotten"
        } else {
            outcome = Outcome::Not;
            "there was no twin"
        };
        call.out.line(&format!("{}  {what}", named(id.as_str())))?;
    }
    Ok(outcome)
}

impl Call<'_> {
    /// Whether this is the format that is wanted.
    pub(crate) fn is(&self, format: &str) -> bool {
        self.matches.get_one::<String>("output").is_some_and(|wanted| wanted == format)
    }

    /// All that was typed for this argument.
    pub(crate) fn words(&self, name: &str) -> Vec<&str> {
        let words = self.matches.get_many::<String>(name).into_iter().flatten();
        words.map(String::as_str).collect()
    }

    /// How long things may take to answer, if they are waited for.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.matches.get_one("wait").copied()
    }

    /// What is asked for by `MEMBER=VALUE` or `--json`.
    pub(crate) fn asked(&self) -> Result<Map<String, Value>, Failure> {
        let Some(json) = self.matches.get_one::<String>("json") else {
            return document::members(self.words("MEMBER=VALUE"));
        };
        let text = match json.as_str() {
            "-" => io::read_to_string(io::stdin())
                .map_err(|error| Failure::Usage(format!("standard input: {error}")))?,
            text => text.to_owned(),
        };
        match serde_json::from_str(&text) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(other) => Err(Failure::Usage(format!("--json: {other} is no object"))),
            Err(error) => Err(Failure::Usage(format!("--json: {error}"))),
        }
    }
}
