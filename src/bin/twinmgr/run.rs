//! Puts the parts together, and takes them apart again.

use std::time::Duration;

use actix::prelude::*;
use twinthing::{
    config::Config,
    manager::{ManagerSettings, Peers, Router},
    mqtt::{self, Bridge, Close, Inbox, Listeners, Quiesce},
    store::{self, Finish, Health, Opening, Store, StoreError, StoreSettings},
};

use super::{
    Failure,
    life::{LastWords, Signals, ended, take_folder},
    systemd,
};

/// How long what is under way may take at the end; with the farewell, under 10 s.
const DRAIN: Duration = Duration::from_secs(6);

/// How long the farewell to the broker may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long what came in during the farewell may take.
const REST: Duration = Duration::from_millis(1500);

/// How long to wait before a database that is away is tried again at the start.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Runs the manager until it is told to end.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    let folder = take_folder(&config.data_dir)?;
    let result = System::new().block_on(live(config));
    drop(folder);
    result
}

async fn live(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    log::info!(
        "twinmgr {} is {} at broker {}:{}, with database {}",
        env!("CARGO_PKG_VERSION"),
        config.mqtt.access.client_id,
        config.mqtt.access.host,
        config.mqtt.access.port,
        config.store.target,
    );
    let fail_fast = config.mqtt.fail_fast;
    let inbox = Inbox::open(&config.inbox).map_err(|error| Failure::Start(error.to_string()))?;
    let epoch = mqtt::now().0.max(inbox.last_epoch().saturating_add(1));
    let context = Context::<Router>::new();
    let health = context.address().recipient();
    let (store, opening) = tokio::select! {
        opened = open(config.store, epoch, health, fail_fast) => opened?,
        signal = signals.next() => {
            log::info!("{signal}: ended before it started");
            return Ok(());
        }
    };
    log::info!("{} twins in the database", opening.things);
    let (words, last_words) = LastWords::new();
    let is_on_disk = config.inbox.folder.is_some();
    let router = context.address();
    let bridge = connect(config.mqtt, inbox, config.manager, &store, opening, context, words)?;
    let parts: [(&str, &dyn Fn() -> bool); 3] = [
        ("router", &|| router.connected()),
        ("bridge", &|| bridge.connected()),
        ("store", &|| store.connected()),
    ];
    systemd::ready();
    tokio::select! {
        () = systemd::watch(router.clone(), bridge.clone(), store.clone()) => {}
        part = ended(&parts) => return Err(Failure::Broken(part)),
        signal = signals.next() => log::info!("{signal}: finishing what is under way"),
        line = last_words => return Err(Failure::Refused(line.unwrap_or_default())),
    }
    systemd::stopping(DRAIN + FAREWELL + REST);
    tokio::select! {
        () = end(&bridge, &store, is_on_disk) => {}
        signal = signals.next() => log::warn!("{signal} again: ended at once"),
    }
    Ok(())
}

/// Opens the database; one that is away is waited for.
async fn open(
    settings: StoreSettings,
    epoch: i64,
    health: Recipient<Health>,
    fail_fast: bool,
) -> Result<(Addr<Store>, Opening), Failure> {
    let mut said = String::new();
    loop {
        match store::start(settings.clone(), epoch, health.clone()) {
            Ok(started) => return Ok(started),
            Err(error) if !is_passing(&error) => return Err(error.into()),
            Err(error) if fail_fast => return Err(Failure::Refused(error.to_string())),
            Err(error) => {
                let line = error.to_string();
                if line != said {
                    log::error!("{line}; trying again");
                    said = line;
                }
            }
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Whether waiting may mend it.
fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreachable { .. } | StoreError::Denied { .. })
}

fn connect(
    mqtt: mqtt::MqttSettings,
    inbox: Inbox,
    manager: ManagerSettings,
    store: &Addr<Store>,
    opening: Opening,
    context: Context<Router>,
    words: LastWords,
) -> Result<Addr<Bridge>, Failure> {
    let router = context.address();
    let listeners = Listeners {
        router: router.clone().recipient(),
        link: router.clone().recipient(),
        acked: router.clone().recipient(),
        replayed: router.recipient(),
        fatal: words.start().recipient(),
    };
    let Opening { epoch, untold, session, things } = opening;
    let session = session.max(inbox.last_session());
    let bridge = mqtt::start(mqtt, inbox, epoch, session, listeners)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let peers = Peers {
        load: store.clone().recipient(),
        commit: store.clone().recipient(),
        unsettled: store.clone().recipient(),
        members: store.clone().recipient(),
        select: store.clone().recipient(),
        session: store.clone().recipient(),
        count_commits: store.clone().recipient(),
        told: store.clone().recipient(),
        forget: store.clone().recipient(),
        publish: bridge.clone().recipient(),
        done: bridge.clone().recipient(),
        poison: bridge.clone().recipient(),
        parked: bridge.clone().recipient(),
        again: bridge.clone().recipient(),
        count: bridge.clone().recipient(),
        asks_first: bridge.clone().recipient(),
    };
    let settings = ManagerSettings { epoch, untold, things, ..manager };
    context.run(Router::new(settings, peers));
    Ok(bridge)
}

/// Finishes what came in, says farewell, and is gone within 10 s.
async fn end(bridge: &Addr<Bridge>, store: &Addr<Store>, is_on_disk: bool) {
    let drained = tokio::time::timeout(DRAIN, bridge.send(Quiesce)).await.is_ok();
    if !drained {
        unfinished(&format!("could not be finished in {} s", DRAIN.as_secs()), is_on_disk);
    }
    if tokio::time::timeout(FAREWELL, bridge.send(Close)).await.is_err() {
        log::warn!("the broker did not hear the farewell; it will publish the will");
    }
    // The broker counts what it delivered until then as ours: it is committed, if not told.
    let rest = async { tokio::join!(bridge.send(Quiesce), store.send(Finish)) };
    if drained && tokio::time::timeout(REST, rest).await.is_err() {
        unfinished("came in at the end and could not be finished", is_on_disk);
    }
    log::info!("ended");
}

fn unfinished(why: &str, is_on_disk: bool) {
    if is_on_disk {
        log::warn!(
            "what is under way {why}; it is in the inbox, and is dealt with at the next start"
        );
    } else {
        log::error!("what is under way {why}; it is lost");
    }
}
