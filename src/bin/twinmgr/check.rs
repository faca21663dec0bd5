//! `twinmgr check`: whether the manager would find what it needs, from beside one that may be at work.

use std::{fs, io, path::Path, process::ExitCode, time::Duration};

use twinthing::{config::Config, mqtt, store};

use super::{Failure, poison::print};

/// Something that the manager needs is missing.
const MISSING: u8 = 69;

/// Prints a line for each thing that was looked at: what is well, and what is not with what to do.
pub(crate) fn look(config: &Config, patience: Duration) -> Result<ExitCode, Failure> {
    let mut found = vec![folder(&config.data_dir, room_wanted(config))];
    let batch_bytes = config.store.batch_bytes;
    found.extend(store::examine(&config.store.target, mqtt::now, batch_bytes));
    let broker = mqtt::examine(&config.mqtt, config.manager.payload_limit, patience);
    found.extend(broker.map_err(|error| Failure::Usage(error.to_string()))?);
    let mut lines = String::new();
    for line in &found {
        let (sign, text) = match line {
            Ok(text) => ("ok   ", text),
            Err(text) => ("FAULT", text),
        };
        lines += &format!("{sign}  {text}\n");
    }
    let faults = found.iter().filter(|line| line.is_err()).count();
    lines += &match faults {
        0 => "all that the manager needs is there\n".to_owned(),
        1 => "1 thing is missing\n".to_owned(),
        faults => format!("{faults} things are missing\n"),
    };
    print(&lines)?;
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::from(MISSING) })
}

/// What the inbox may still take.
fn room_wanted(config: &Config) -> u64 {
    let Some(folder) = &config.inbox.folder else { return 0 };
    let taken = fs::metadata(folder.join("inbox")).map_or(0, |file| file.len());
    config.inbox.bytes.saturating_sub(taken)
}

/// Whether the data folder can be written, and how much room there is.
fn folder(path: &Path, wanted: u64) -> Result<String, String> {
    let shown = path.display();
    let unfit = |error: &dyn std::fmt::Display| {
        format!("data folder {shown}: {error}; let the manager's user write there (TWIN_DATA_DIR)")
    };
    if matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        return Ok(format!("data folder {shown} is not there yet; the first start makes it"));
    }
    let trial = path.join(".check");
    let written = fs::write(&trial, "what is written here is removed at once");
    fs::remove_file(&trial).unwrap_or_default();
    written.map_err(|error| unfit(&error))?;
    let room = rustix::fs::statvfs(path).map_err(|error| unfit(&error))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < wanted {
        return Err(format!(
            "data folder {shown}: {} MiB are free there, and the inbox may take {} more; make room, or lower \
             TWIN_INBOX_BYTES",
            free >> 20,
            wanted >> 20
        ));
    }
    Ok(format!("data folder {shown} can be written; {} MiB are free there", free >> 20))
}
