//! Who is a member of a group, looked at again and again.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::mpsc;
use twinthing::client::{Client, ClientError, Group, GroupName, ThingId, Watch};

/// How long from one look to the next.
const PAUSE: Duration = Duration::from_secs(10);

/// What a look at a group has found.
pub(crate) struct Look {
    /// Who is a member now.
    pub(crate) members: BTreeSet<ThingId>,
    /// What becomes of those who have never been one before.
    pub(crate) watch: Option<Watch>,
}

/// Looks as long as somebody wants to know. The first look says why it cannot be; a later one that fails is passed over.
pub(crate) fn follow(
    client: Client,
    name: &GroupName,
) -> mpsc::Receiver<Result<Look, ClientError>> {
    let (tell, looks) = mpsc::channel(1);
    let group = client.group(name);
    actix_rt::spawn(async move {
        tokio::select! {
            () = look_on(&client, &group, &tell) => {}
            () = tell.closed() => {}
        }
    });
    looks
}

async fn look_on(client: &Client, group: &Group, tell: &mpsc::Sender<Result<Look, ClientError>>) {
    let mut watched = BTreeSet::new();
    let mut is_first = true;
    loop {
        match look(client, group, &watched).await {
            Ok(look) => {
                watched.extend(look.members.iter().cloned());
                is_first = false;
                if tell.send(Ok(look)).await.is_err() {
                    return;
                }
            }
            Err(error) if is_first => return drop(tell.send(Err(error)).await),
            Err(ClientError::Closed) => return,
            Err(_) => {}
        }
        client.after(PAUSE).await;
    }
}

/// Listens before it asks, so that no change comes between the two.
async fn look(
    client: &Client,
    group: &Group,
    watched: &BTreeSet<ThingId>,
) -> Result<Look, ClientError> {
    let members: BTreeSet<ThingId> = group.members().await?.into_iter().collect();
    let new: Vec<ThingId> = members.difference(watched).cloned().collect();
    if new.is_empty() {
        return Ok(Look { members, watch: None });
    }
    let mut watch = client.watch(new.clone()).await?;
    let mut twins = group.twins().await?;
    for id in new {
        if let Some(twin) = twins.remove(&id) {
            watch.know(id, twin);
        }
    }
    Ok(Look { members, watch: Some(watch) })
}
