//! Twins as they change, a line for each.

use std::{
    collections::BTreeSet,
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use jiff::Zoned;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use twinthing::client::{Change, Client, ClientError, GroupName, ThingId, Watch};

use super::{
    Call, Failure, Outcome, connect, document,
    members::{self, Look},
    output::{ASIDE, DECLINED, DESIRED, REPORTED, named, painted},
    things,
};

pub(crate) async fn watch(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let ids: BTreeSet<ThingId> =
        call.matches.get_many("ID").into_iter().flatten().cloned().collect();
    let group = call.matches.get_one::<GroupName>("group").cloned();
    let client = call.client().await?;
    let mut watched = Watched { watches: Vec::new(), members: None, before: BTreeSet::new() };
    let mut looks = group.map(|name| members::follow(client.clone(), &name));
    if looks.is_none() {
        watched.watches.push(if ids.is_empty() {
            client.watch_all().await?
        } else {
            begin(&client, ids).await?
        });
        connect::follow();
    }
    let end = actix_rt::signal::ctrl_c();
    tokio::pin!(end);
    while !call.out.is_gone() {
        let change = tokio::select! {
            change = watched.next() => change,
            look = next_of(looks.as_mut()) => {
                let Some(look) = look else { break };
                watched.see(look?);
                continue;
            }
            ended = &mut end => {
                ended?;
                break;
            }
        };
        let Some(change) = change else { break };
        if call.is("json") {
            call.out.json(&json_line(&change))?;
        } else {
            call.out.line(&line(&change))?;
        }
    }
    Ok(Outcome::Done)
}

/// Watches these, beginning with what they are.
async fn begin(client: &Client, ids: BTreeSet<ThingId>) -> Result<Watch, Failure> {
    let mut watch = client.watch(ids.clone()).await?;
    for id in ids {
        let twin = client.get(&id).await?;
        watch.know(id, twin);
    }
    Ok(watch)
}

/// The next look at a group; nothing for ever, if it is none that is watched.
async fn next_of(
    looks: Option<&mut mpsc::Receiver<Result<Look, ClientError>>>,
) -> Option<Result<Look, ClientError>> {
    match looks {
        Some(looks) => looks.recv().await,
        None => pending().await,
    }
}

/// All that is watched.
struct Watched {
    /// No thing is in two of them. One that was a member once stays in its own: it may come back.
    watches: Vec<Watch>,
    /// Who is shown, if it is a group that was looked at.
    members: Option<BTreeSet<ThingId>>,
    /// Who was shown before that look.
    before: BTreeSet<ThingId>,
}

impl Watched {
    fn see(&mut self, look: Look) {
        self.watches.extend(look.watch);
        match self.members.replace(look.members) {
            Some(before) => self.before = before,
            None => connect::follow(),
        }
    }

    /// Whose twin was forgotten is no member by that, and it is said all the same.
    fn is_shown(&self, change: &Change) -> bool {
        let Some(members) = &self.members else { return true };
        members.contains(&change.id) || !change.twin.exists() && self.before.contains(&change.id)
    }

    /// The next change of who is shown; none once the client is closed.
    async fn next(&mut self) -> Option<Change> {
        loop {
            let change = poll_fn(|context| self.poll(context)).await?;
            if self.is_shown(&change) {
                return Some(change);
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Change>> {
        for place in 0..self.watches.len() {
            let Some(watch) = self.watches.get_mut(place) else { break };
            if let ready @ Poll::Ready(_) = Pin::new(watch).poll_next(context) {
                // It has its turn again when the others have had theirs.
                self.watches.rotate_left(place + 1);
                return ready;
            }
        }
        Poll::Pending
    }
}

/// `21:40:03  lamp  reported on=true  declined level=200`
fn line(change: &Change) -> String {
    let mut parts = vec![
        painted(ASIDE, &Zoned::now().strftime("%H:%M:%S").to_string()),
        named(change.id.as_str()),
    ];
    if !change.twin.exists() {
        parts.push(painted(DECLINED, "forgotten"));
        return parts.join("  ");
    }
    if let Some(online) = change.online {
        let (style, text) = things::presence(online);
        parts.push(painted(style, text));
    }
    let documents = [
        (REPORTED, "reported", &change.reported, &change.twin.reported),
        (DESIRED, "desired", &change.desired, &change.twin.desired),
        (DECLINED, "declined", &change.declined, &change.twin.declined),
    ];
    let mut gone = Vec::new();
    for (style, name, changed, now) in documents {
        let now = document::leaves(now);
        let is_there = |name: &str| now.iter().any(|(known, _)| known == name);
        let (there, lost): (Vec<_>, Vec<_>) =
            document::leaves(changed).into_iter().partition(|(name, _)| is_there(name));
        if !there.is_empty() {
            let words: Vec<_> = there
                .iter()
                .map(|(name, value)| format!("{name}={}", document::word(value)))
                .collect();
            parts.push(format!("{} {}", painted(style, name), words.join(" ")));
        }
        let lost: Vec<_> = lost.into_iter().map(|(name, _)| name).collect();
        if !lost.is_empty() {
            gone.push((style, name, lost));
        }
    }
    // What is asked no more is so, or is declined: the line says it already.
    let is_said = |name: &String| {
        let says = |document| document::leaves(document).iter().any(|(known, _)| known == name);
        says(&change.reported) || says(&change.declined)
    };
    for (style, name, mut lost) in gone {
        if name == "desired" {
            lost.retain(|name| !is_said(name));
        }
        if !lost.is_empty() {
            parts.push(format!(
                "{} {}",
                painted(style, &format!("no longer {name}")),
                lost.join(" ")
            ));
        }
    }
    if parts.len() == 2 {
        parts.push(painted(ASIDE, "as it was"));
    }
    parts.join("  ")
}

fn json_line(change: &Change) -> String {
    let json = json!({
        "time": Zoned::now().timestamp().to_string(),
        "id": change.id.as_str(),
        "version": change.twin.version,
        "reported": change.reported,
        "desired": change.desired,
        "declined": change.declined,
    });
    let Value::Object(mut json) = json else { return json.to_string() };
    if let Some(online) = change.online {
        json.insert("online".to_owned(), online.into());
    }
    Value::Object(json).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use twinthing::client::TwinUpdate;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn said(change: &Value, twin: Value) -> String {
        let change = Change {
            id: "lamp".parse().unwrap(),
            twin: TwinUpdate::from_object(object(&twin)).unwrap(),
            reported: object(&change["reported"]),
            desired: object(&change["desired"]),
            declined: object(&change["declined"]),
            online: None,
        };
        let line = anstream::adapter::strip_str(&line(&change)).to_string();
        line.split_once("  ").unwrap().1.to_owned()
    }

    #[test]
    fn what_is_settled_is_not_said_twice_and_what_is_withdrawn_is() {
        let twin = json!({"reported": {"on": true}, "desired": {}, "declined": {"level": 9}, "version": 3});
        let change = json!({
            "reported": {"on": true}, "desired": {"on": null, "level": null}, "declined": {"level": 9},
        });
        assert_eq!(said(&change, twin), "lamp  reported on=true  declined level=9");
        let twin = json!({"reported": {}, "desired": {"gone": null}, "declined": {}, "version": 4});
        let change = json!({
            "reported": {"a": null}, "desired": {"on": null, "gone": null}, "declined": {"level": null},
        });
        assert_eq!(
            said(&change, twin),
            "lamp  desired gone=null  no longer reported a  no longer desired on  no longer declined level"
        );
        let nothing = json!({"reported": {}, "desired": {}, "declined": {}});
        assert_eq!(said(&nothing, json!({"version": 5})), "lamp  as it was");
        assert_eq!(said(&nothing, json!({})), "lamp  forgotten");
    }
}
