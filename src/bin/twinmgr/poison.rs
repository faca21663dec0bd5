//! `twinmgr poison`: messages that were set aside, for a person to look at.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use jiff::Timestamp;
use twinthing::{
    config::Config,
    mqtt::{PoisonFolder, SetAside},
};

use super::{Failure, cli::Poison};

/// Does what is asked, and says what it did.
pub(crate) fn deal_with(what: &Poison, config: &Config) -> Result<ExitCode, Failure> {
    let Some(folder) = &config.mqtt.poison else { return Ok(ExitCode::SUCCESS) };
    match what {
        Poison::List => list(folder),
        Poison::Show(id) => show(folder, id),
        Poison::Retry(ids) => {
            each(folder, ids, |id| folder.retry(id), "is going to be tried again")
        }
        Poison::Drop(ids) => each(folder, ids, |id| folder.drop(id), "is dropped"),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(folder: &PoisonFolder) -> Result<(), Failure> {
    let all = found(folder)?;
    if all.is_empty() {
        return print(&format!("{}: no message was set aside\n", folder.0.display()));
    }
    let mut lines = String::new();
    for SetAside { id, reason, message, is_retried } in all {
        let (came, bytes) = (time(&message.at), message.payload.len());
        let note = if is_retried { " (is going to be tried again)" } else { "" };
        lines += &format!("{id}  {came}  {}  {bytes} bytes  {reason}{note}\n", message.topic);
    }
    print(&lines)
}

fn show(folder: &PoisonFolder, id: &str) -> Result<(), Failure> {
    let one = found(folder)?.into_iter().find(|one| one.id == id);
    let Some(SetAside { id, reason, message, .. }) = one else {
        return Err(unknown(folder, id));
    };
    let mut text = format!(
        "id      {id}\ntopic   {}\ncame    {}\nreason  {reason}\n",
        message.topic,
        time(&message.at)
    );
    if let Some(topic) = &message.response_topic {
        text += &format!("answer  {topic}\n");
    }
    let payload = String::from_utf8(message.payload.to_vec())
        .unwrap_or_else(|bytes| bytes.as_bytes().escape_ascii().to_string());
    print(&format!("{text}\n{payload}\n"))
}

/// Goes through those that are named, or all that are there.
fn each(
    folder: &PoisonFolder,
    ids: &[String],
    mut deal: impl FnMut(&str) -> io::Result<()>,
    done: &str,
) -> Result<(), Failure> {
    let ids = if ids.is_empty() {
        let all = found(folder)?.into_iter().filter(|one| !one.is_retried);
        all.map(|one| one.id).collect()
    } else {
        ids.to_vec()
    };
    for id in &ids {
        match deal(id) {
            Ok(()) => print(&format!("{id} {done}\n"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unknown(folder, id));
            }
            Err(error) => return Err(Failure::Start(format!("{id}: {error}"))),
        }
    }
    Ok(())
}

fn found(folder: &PoisonFolder) -> Result<Vec<SetAside>, Failure> {
    let failed = |error| Failure::Start(format!("{}: {error}", folder.0.display()));
    folder.list().map_err(failed)
}

fn unknown(folder: &PoisonFolder, id: &str) -> Failure {
    let folder = folder.0.display();
    Failure::Usage(format!("{id:?} is none of the messages in {folder}; poison ls lists them"))
}

fn time(at: &twinthing::protocol::Timestamp) -> String {
    Timestamp::from_nanosecond(at.0.into()).map(|time| format!("{time:.0}")).unwrap_or_default()
}

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    // A reader that has gone wants no more.
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Start(error.to_string()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
