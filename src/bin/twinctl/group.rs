//! What is asked of a group: `group get`, `group set`, `group unset`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use twinthing::client::{GroupName, GroupSettled, SetOutcome, Settled, ThingId};

use super::{
    Call, Failure, Outcome, document,
    output::{ASIDE, DECLINED, DESIRED, REPORTED, named, painted},
    progress::Progress,
    rows, things,
};

pub(crate) async fn call(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let (name, matches) = call.matches.subcommand().unwrap_or(("", call.matches));
    call.matches = matches;
    let asked = match name {
        "set" => call.asked()?,
        "unset" => document::removals(call.words("MEMBER"))?,
        _ => return rows::list(call).await,
    };
    ask(call, asked).await
}

async fn ask(call: &mut Call<'_>, asked: Map<String, Value>) -> Result<Outcome, Failure> {
    let Some(name) = call.matches.get_one::<GroupName>("group").cloned() else {
        return Err(Failure::Usage("there is no GROUP".to_owned()));
    };
    let from = call.matches.get_many::<ThingId>("from").map(|ids| ids.cloned());
    let group = call.client().await?.group(&name);
    let mut set = group.set(&asked);
    if let Some(from) = from {
        set = set.from(from);
    }
    let Some(wait) = call.wait() else {
        let outcome = set.await?;
        if call.is("json") {
            call.out.json(&json(&outcome, None).to_string())?;
        } else {
            call.out.line(&said(&outcome))?;
            refused(call, &outcome)?;
        }
        return Ok(if outcome.refused.is_empty() { Outcome::Done } else { Outcome::Not });
    };
    let mut progress = Progress::new();
    let show = |over, of| progress.say(&format!("{over} of {of} have answered"));
    let settled = set.settled(wait, show).await?;
    drop(progress);
    if call.is("json") {
        call.out.json(&json(&settled.outcome, Some(&settled)).to_string())?;
    } else {
        show_all(call, &settled)?;
    }
    let worst = settled.things.values().map(things::outcome).max_by_key(|one| one.exit_code());
    let worst = worst.unwrap_or(Outcome::Done);
    Ok(match settled.outcome.refused.is_empty() {
        false if worst == Outcome::Done => Outcome::Not,
        _ => worst,
    })
}

fn said(outcome: &SetOutcome) -> String {
    let changed = painted(DESIRED, &format!("{} changed", outcome.changed.len()));
    let unchanged = painted(REPORTED, &format!("{} unchanged", outcome.unchanged.len()));
    format!("{} members: {changed}, {unchanged}", outcome.members)
}

/// Who was left out.
fn refused(call: &mut Call<'_>, outcome: &SetOutcome) -> Result<(), Failure> {
    for id in &outcome.refused {
        let (id, refused) = (named(id), painted(DECLINED, "refused"));
        call.out.line(&format!("{id}  {refused}  no member, or its twin cannot take it"))?;
    }
    Ok(())
}

/// Each thing that is not as it was asked to be, and how many are.
fn show_all(call: &mut Call<'_>, settled: &GroupSettled) -> Result<(), Failure> {
    let mut counts = [0_usize; 4];
    for (id, thing) in &settled.things {
        let place = match thing {
            _ if thing.is_taken() => 0,
            _ if !thing.is_over() => 3,
            Settled { declined, .. } if !declined.is_empty() => 1,
            Settled { .. } => 2,
        };
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
        let lines = things::settled_lines(id, thing);
        for line in lines.iter().filter(|_| place != 0) {
            call.out.line(line)?;
        }
    }
    refused(call, &settled.outcome)?;
    let words =
        [(REPORTED, "taken"), (DECLINED, "declined"), (ASIDE, "overtaken"), (DESIRED, "open")];
    let parts: Vec<_> = words
        .iter()
        .zip(counts)
        .map(|((style, word), count)| painted(*style, &format!("{count} {word}")))
        .collect();
    call.out.line(&format!("{} members: {}", settled.outcome.members, parts.join(", ")))
}

/// The outcome as the manager says it, and what has become of it with each thing.
fn json(outcome: &SetOutcome, settled: Option<&GroupSettled>) -> Value {
    let ids = |ids: &BTreeSet<ThingId>| ids.iter().map(ThingId::as_str).collect::<Value>();
    let json = json!({
        "members": outcome.members,
        "changed": ids(&outcome.changed),
        "unchanged": ids(&outcome.unchanged),
        "refused": outcome.refused,
    });
    let Value::Object(mut json) = json else { return json };
    if let Some(settled) = settled {
        let thing = |(id, thing): (&ThingId, &Settled)| {
            let parts = json!({
                "taken": thing.taken, "declined": thing.declined,
                "overtaken": thing.overtaken, "open": thing.open,
            });
            (id.to_string(), parts)
        };
        json.insert("things".to_owned(), settled.things.iter().map(thing).collect());
    }
    Value::Object(json)
}
