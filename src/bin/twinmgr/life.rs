//! What ends the program: signals, and what cannot be mended.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::Duration,
};

use actix::prelude::*;
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use twinthing::mqtt::Fatal;

use super::Failure;

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::Start(error.to_string()));
        let (terminate, interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    /// Waits for either, and says which.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// How often is looked whether all parts live.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until a part of the program has ended by itself, which only a fault in it makes it do: its name.
///
/// A manager that goes on without one would take messages and do nothing with them.
pub(crate) async fn ended(parts: &[(&'static str, &dyn Fn() -> bool)]) -> &'static str {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        if let Some((name, _)) = parts.iter().find(|(_, lives)| !lives()) {
            return name;
        }
    }
}

/// Hands on the first fatal line.
pub(crate) struct LastWords(Option<oneshot::Sender<String>>);

impl LastWords {
    pub(crate) fn new() -> (Self, oneshot::Receiver<String>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }
}

impl Actor for LastWords {
    type Context = Context<Self>;
}

impl Handler<Fatal> for LastWords {
    type Result = ();

    fn handle(&mut self, Fatal(line): Fatal, _: &mut Self::Context) {
        if let Some(sender) = self.0.take() {
            // Nobody listens any more when the program is about to end anyway.
            sender.send(line).unwrap_or_default();
        }
    }
}

/// Makes the data folder and takes it for this process, as long as the file is held.
pub(crate) fn take_folder(folder: &Path) -> Result<File, Failure> {
    let path = folder.join("twinmgr.lock");
    let start = |error| Failure::Start(format!("data folder {}: {error}", folder.display()));
    make_folder(folder).map_err(start)?;
    let file = File::options().create(true).append(true).open(&path).map_err(start)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::Taken(format!(
            "another manager is at work on data folder {}; end it, or give this one its own by \
             TWIN_DATA_DIR",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(start(error)),
    }
}

/// Makes the data folder, unless it is there: what is in it is nobody else's business.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Frail;

    impl Actor for Frail {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Knock;

    impl Handler<Knock> for Frail {
        type Result = ();

        fn handle(&mut self, _: Knock, _: &mut Self::Context) {
            panic!("it was not built for this");
        }
    }

    #[actix_rt::test]
    async fn a_part_that_panics_is_missed_and_named() {
        let (well, frail) = (Frail.start(), Frail.start());
        let parts: [(&str, &dyn Fn() -> bool); 2] =
            [("well", &|| well.connected()), ("frail", &|| frail.connected())];
        assert!(tokio::time::timeout(LOOK / 2, ended(&parts)).await.is_err());
        frail.do_send(Knock);
        assert_eq!(ended(&parts).await, "frail");
    }
}
