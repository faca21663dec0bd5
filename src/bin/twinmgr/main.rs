//! The manager: `twinmgr` runs it, `twinmgr migrate` brings a database up to date, `twinmgr health`
//! asks the running one how it is, `twinmgr groups` and `twinmgr members` show who is a member of what, `twinmgr user`,
//! `grant`, `revoke` and `acl` say who may connect to the broker and do what there.
//!
//! Exit codes, after sysexits.h: 0 ended as asked, 1 could not start, 64 wrong settings or usage,
//! 69 and 70 what `health` found, 70 also a manager that has a fault and cannot go on, 75 another manager is at work here, 78 broker or database not there
//! at the start, or refusing, under `--fail-fast`.

mod access;
mod check;
mod cli;
mod groups;
mod health;
mod life;
mod logging;
mod poison;
mod run;
mod systemd;

use std::process::ExitCode;

use twinthing::{
    config::Config,
    store::{self, StoreError},
};

use cli::{Called, Given};

/// Twins come and go by the thousand: docs/performance.md says what this is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the program ends otherwise than asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Settings or usage.
    #[error("{0}")]
    Usage(String),
    /// Another manager holds the data folder or the database.
    #[error("{0}")]
    Taken(String),
    /// Broker or database are not there at the start, or refuse us, and `--fail-fast` is set.
    #[error("{0}")]
    Refused(String),
    /// A part of the program has ended by itself.
    #[error(
        "its {0} has ended by a fault of the program; what it had is in the inbox, for the next start"
    )]
    Broken(&'static str),
    /// Anything else that keeps it from starting.
    #[error("{0}")]
    Start(String),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Start(_) => 1,
            Self::Usage(_) => 64,
            Self::Broken(_) => 70,
            Self::Taken(_) => 75,
            Self::Refused(_) => 78,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let line = error.to_string();
        if matches!(error, StoreError::Locked { .. }) {
            Self::Taken(line)
        } else {
            Self::Start(line)
        }
    }
}

fn main() -> ExitCode {
    let (called, given) = match cli::parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    match call(called, &given) {
        Ok(code) => code,
        Err(failure) => {
            for line in failure.to_string().lines() {
                eprintln!("twinmgr: {line}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn call(called: Called, given: &Given) -> Result<ExitCode, Failure> {
    let config = Config::read(given).map_err(|error| Failure::Usage(error.to_string()))?;
    logging::start(&config.log);
    match called {
        Called::Run => run::run(config).map(|()| ExitCode::SUCCESS),
        Called::Health(patience) => health::ask(&config.mqtt.access, patience),
        Called::Check(patience) => check::look(&config, patience),
        Called::Groups => groups::list(&config.store.target),
        Called::Members { group, explains } => {
            groups::members(&config.store.target, &group, explains)
        }
        Called::Access(what) => access::deal_with(&what, &config.store.target),
        Called::Poison(what) => poison::deal_with(&what, &config),
        Called::Migrate => {
            let folder = &config.data_dir;
            life::make_folder(folder)
                .map_err(|error| Failure::Start(format!("{}: {error}", folder.display())))?;
            let done = store::migrate(&config.store.target)?;
            for name in &done {
                println!("{}: ran {name}", config.store.target);
            }
            if done.is_empty() {
                println!("{}: is up to date", config.store.target);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
