//! `twinmgr check`: whether the manager would find what it needs, from beside one that may be at work.

use std::{fs, path::Path, process::ExitCode, time::Duration};

use twinthing::{config::Config, mqtt, store};

use super::{Failure, life::make_folder, poison::print};

/// Something that the manager needs is missing.
const MISSING: u8 = 69;

/// Below this much room on a disk somebody should look.
const ROOM_BYTES: u64 = 1 << 30;

/// Prints a line for each thing that was looked at: what is well, and what is not with what to do.
pub(crate) fn look(config: &Config, patience: Duration) -> Result<ExitCode, Failure> {
    let mut found = vec![folder(&config.data_dir)];
    let batch_bytes = config.store.batch_bytes;
    found.extend(store::examine(&config.store.target, mqtt::now(), batch_bytes));
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

/// Whether the data folder can be written, and how much room there is.
fn folder(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let unfit = |error: &dyn std::fmt::Display| {
        format!(
            "data folder {shown}: {error}; make it, or let the manager's user write there (TWIN_DATA_DIR)"
        )
    };
    make_folder(path).map_err(|error| unfit(&error))?;
    let trial = path.join(".check");
    let written = fs::write(&trial, "what is written here is removed at once");
    fs::remove_file(&trial).unwrap_or_default();
    written.map_err(|error| unfit(&error))?;
    let room = rustix::fs::statvfs(path).map_err(|error| unfit(&error))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < ROOM_BYTES {
        let mib = free >> 20;
        return Err(format!(
            "data folder {shown}: {mib} MiB are left there; make room for what waits (TWIN_INBOX_BYTES)"
        ));
    }
    Ok(format!("data folder {shown} can be written; {} GiB are free there", free >> 30))
}
