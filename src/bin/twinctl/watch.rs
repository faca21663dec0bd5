//! Twins as they change, a line for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use futures_core::Stream;
use jiff::Zoned;
use serde_json::{Value, json};
use twinthing::client::{Change, Client, Group, GroupName, ThingId, Watch};

use super::{
    Call, Failure, Outcome, connect, document,
    output::{ASIDE, DECLINED, DESIRED, NAME, REPORTED, painted},
    things,
};

/// How often it is asked who is a member.
const MEMBERS: Duration = Duration::from_secs(10);

pub(crate) async fn watch(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let ids: BTreeSet<ThingId> =
        call.matches.get_many("ID").into_iter().flatten().cloned().collect();
    let group = call.matches.get_one::<GroupName>("group").cloned();
    let client = call.client().await?;
    connect::follow();
    let group = group.map(|name| client.group(&name));
    let mut watched = Watched { client: client.clone(), watches: Vec::new(), members: None };
    match &group {
        Some(group) => watched.follow(group).await?,
        None if ids.is_empty() => watched.watches.push(client.watch_all().await?),
        None => watched.watch(ids).await?,
    }
    let end = actix_rt::signal::ctrl_c();
    tokio::pin!(end);
    loop {
        let change = tokio::select! {
            change = watched.next() => change,
            () = client.after(MEMBERS), if group.is_some() => {
                if let Some(group) = &group {
                    watched.follow(group).await?;
                }
                continue;
            }
            ended = &mut end => {
                ended?;
                return Ok(Outcome::Done);
            }
        };
        let Some(change) = change else { return Ok(Outcome::Done) };
        let line = if call.is("json") { json_line(&change) } else { line(&change) };
        call.out.line(&line)?;
    }
}

/// All that is watched.
struct Watched {
    client: Client,
    /// No thing is in two of them.
    watches: Vec<Watch>,
    /// Who is shown, if it is a group.
    members: Option<BTreeMap<ThingId, ()>>,
}

impl Watched {
    /// Watches these, beginning with what they are.
    async fn watch(&mut self, ids: BTreeSet<ThingId>) -> Result<(), Failure> {
        let mut watch = self.client.watch(ids.clone()).await?;
        for id in ids {
            let twin = self.client.get(&id).await?;
            watch.know(id, twin);
        }
        self.watches.push(watch);
        Ok(())
    }

    /// Watches those who have become members; those who are none any more are not shown.
    async fn follow(&mut self, group: &Group) -> Result<(), Failure> {
        let twins = group.twins().await?;
        let known = self.members.take().unwrap_or_default();
        let new: Vec<_> = twins.iter().filter(|(id, _)| !known.contains_key(*id)).collect();
        if !new.is_empty() {
            let mut watch = self.client.watch(new.iter().map(|(id, _)| (*id).clone())).await?;
            new.into_iter().for_each(|(id, twin)| watch.know(id.clone(), twin.clone()));
            self.watches.push(watch);
        }
        self.members = Some(twins.into_keys().map(|id| (id, ())).collect());
        Ok(())
    }

    /// The next change of who is shown; none once the client is closed.
    async fn next(&mut self) -> Option<Change> {
        loop {
            let change = poll_fn(|context| {
                for watch in &mut self.watches {
                    if let ready @ Poll::Ready(_) = Pin::new(watch).poll_next(context) {
                        return ready;
                    }
                }
                Poll::Pending
            });
            let change = change.await?;
            if self.members.as_ref().is_none_or(|members| members.contains_key(&change.id)) {
                return Some(change);
            }
        }
    }
}

/// `21:40:03  lamp  reported on=true  declined level=200`
fn line(change: &Change) -> String {
    let mut parts = vec![
        painted(ASIDE, &Zoned::now().strftime("%H:%M:%S").to_string()),
        painted(NAME, change.id.as_str()),
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
