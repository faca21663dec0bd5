//! What systemd is told, if it started the program: that it is up, that it works, and that it ends.

use std::time::Duration;

use actix::Addr;
use sd_notify::NotifyState;
use tokio::time::{interval, timeout};
use twinthing::{
    manager::{self, Router},
    mqtt::{Bridge, IsWorking},
    store::{self, Store},
};

/// The manager is up. Its broker may be away: that is waited for.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The manager ends, and may take this long.
pub(crate) fn stopping(patience: Duration) {
    let usec = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec)]);
}

/// Tells systemd's watchdog again and again that the manager works, as long as it does. It never ends.
pub(crate) async fn watch(router: Addr<Router>, bridge: Addr<Bridge>, store: Addr<Store>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut looks = interval(limit / 3);
    let mut was_working = true;
    loop {
        looks.tick().await;
        let signs = async {
            tokio::join!(
                router.send(manager::SignOfLife),
                store.send(store::SignOfLife),
                bridge.send(IsWorking),
            )
        };
        let trouble = match timeout(limit / 3, signs).await {
            Ok((Ok(()), Ok(()), Ok(true))) => None,
            Ok((Ok(()), Ok(()), Ok(false))) => {
                Some("messages have been under way for a minute and none is done")
            }
            Ok(_) | Err(_) => Some("a part of the program does not answer"),
        };
        match trouble {
            None => tell(&[NotifyState::Watchdog]),
            Some(trouble) if was_working => log::error!("{trouble}; the watchdog is not fed"),
            Some(_) => {}
        }
        let is_working = trouble.is_none();
        was_working = is_working;
    }
}

/// Who cannot be told need not be.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("systemd is not told: {error}");
    }
}
