//! Opens the database, and starts the actor before it.

use std::{sync::mpsc, thread, time::Duration};

use actix::prelude::*;

use super::{
    Health, Opening, Store, StoreError, StoreSettings, Target, connection::Db, lock::Lock,
    migrations, numbers, takeover, twins, untold, writer::Locked,
};

/// How long a server may take to let us in; migrations take as long as they like.
///
/// The arbiter waits for it and hears no signal meanwhile: SIGTERM has to end the program in 10 s.
const PATIENCE: Duration = Duration::from_secs(6);

/// Opens the database, brings its tables to the present form, and starts the actor before it.
///
/// The actor runs on the current arbiter. `health` hears when the database goes away, and when it
/// is back; until then it is here. This start's epoch is `epoch`, or later if the database has seen that one.
///
/// # Errors
/// [`StoreError`], also if another manager works on the database.
pub fn start(
    settings: StoreSettings,
    epoch: i64,
    health: Recipient<Health>,
) -> Result<(Addr<Store>, Opening), StoreError> {
    let (lock, mut connection) = enter(&settings.target)?;
    bring_up_to_date(&settings.target, connection.db())?;
    let opening = read_opening(&settings.target, epoch, connection.db())?;
    let store = Store::create(|ctx| Store::new(settings, lock, connection, health, ctx));
    Ok((store, opening))
}

/// Brings the tables to the present form; the names of the migrations that it took.
///
/// # Errors
/// [`StoreError`], also if a manager works on the database.
pub fn migrate(target: &Target) -> Result<Vec<String>, StoreError> {
    let (_lock, mut connection) = enter(target)?;
    bring_up_to_date(target, connection.db())
}

fn bring_up_to_date(target: &Target, db: &mut Db) -> Result<Vec<String>, StoreError> {
    let ran = migrations::run(target, db)?;
    takeover::look_through(db, &ran).map_err(|error| StoreError::of_query(target, error))?;
    Ok(ran)
}

/// Opens the database and takes the lock. A server that never answers leaves a thread behind.
fn enter(target: &Target) -> Result<(Lock, Locked), StoreError> {
    in_time(target, |target| {
        let lock = Lock::new(target)?;
        let connection = Locked::open(target, &lock)?;
        Ok((lock, connection))
    })
}

/// Does something that may wait for the database without end, on a thread that is left behind then.
pub(super) fn in_time<T: Send + 'static>(
    target: &Target,
    work: impl FnOnce(&Target) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (answer, answered) = mpsc::channel();
    let wanted = target.clone();
    // Who no longer waits needs no answer.
    let open = move || drop(answer.send(work(&wanted)));
    let silent = |reason: String| StoreError::Unreachable { target: target.clone(), reason };
    thread::Builder::new()
        .name("store-open".to_owned())
        .spawn(open)
        .map_err(|error| silent(error.to_string()))?;
    answered
        .recv_timeout(PATIENCE)
        .map_err(|_timeout| silent(format!("no answer for {} s", PATIENCE.as_secs())))?
}

/// What may be at fault where rows with text get lost.
pub(super) const LOSES_TEXT: &str = "the client library may be at fault, as MariaDB's 3.3.19 is (libmariadb3 10.11.18): \
     upgrade it";

/// Reads back what was just written. MariaDB's client library 3.3.19, which came with Debian 12's
/// MariaDB 10.11.18, loses rows with text in them: every twin would look like none.
fn check_reading(target: &Target, db: &mut Db) -> Result<(), StoreError> {
    let of_query = |error| StoreError::of_query(target, error);
    numbers::put(db, numbers::PROBE, 1).map_err(of_query)?;
    if numbers::names(db).map_err(of_query)?.iter().any(|name| name == numbers::PROBE) {
        return Ok(());
    }
    let reason = format!("what is written is not read back; {LOSES_TEXT}");
    Err(StoreError::Broken { target: target.clone(), reason })
}

fn read_opening(target: &Target, epoch: i64, db: &mut Db) -> Result<Opening, StoreError> {
    check_reading(target, db)?;
    let mut read = || {
        let epoch = epoch.max(numbers::get(db, numbers::EPOCH)?.saturating_add(1));
        numbers::put(db, numbers::EPOCH, epoch)?;
        let session = numbers::get(db, numbers::SESSION)?;
        let (untold, things) = (untold::list(db)?, twins::number(db)?);
        Ok(Opening { epoch, untold, session, things })
    };
    read().map_err(|error| StoreError::of_query(target, error))
}
