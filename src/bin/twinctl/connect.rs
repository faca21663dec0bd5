//! The connection: with the broker that is meant, and as whom.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use clap::ArgMatches;
use twinthing::{
    client::{Client, ThingId},
    config::{Source, read_access},
};

use super::{
    Failure,
    brokers::{self, ID, Place, flag, variable},
    document,
};

/// Connects, or says why it cannot be.
pub(crate) async fn client(matches: &ArgMatches) -> Result<Client, Failure> {
    let given = Given { matches, place: brokers::place(matches)? };
    let access = read_access(&given, given.id()?).map_err(|error| given.wrong(&error.lines))?;
    let broker = format!("{}:{}", access.host, access.port);
    let patience = patience(matches);
    let client = Client::connect(access)?.with_patience(patience);
    tokio::select! {
        connected = client.connected() => connected?,
        () = client.after(patience) => {
            let line = format!("broker {broker} does not answer within {} s", patience.as_secs_f64());
            return Err(Failure::Away(line));
        }
    }
    Ok(client)
}

/// How long an answer may take.
pub(crate) fn patience(matches: &ArgMatches) -> Duration {
    matches.get_one("timeout").copied().unwrap_or(Duration::from_secs(10))
}

/// From now on standard error hears when the connection is lost, and when the broker refuses what it had allowed: for
/// what goes on until it is ended.
pub(crate) fn follow() {
    env_logger::Builder::new()
        .filter_module("twinthing", log::LevelFilter::Warn)
        .format(|out, record| {
            writeln!(out, "twinctl: {}", document::safe(&record.args().to_string()))
        })
        .init();
}

/// Where settings come from.
struct Given<'a> {
    matches: &'a ArgMatches,
    /// The broker in the file, in place of the environment: what is meant for one broker is not said to another.
    place: Option<Place>,
}

impl Given<'_> {
    /// As whom: it is no secret, and so the environment says it whatever the broker is.
    fn id(&self) -> Result<ThingId, Failure> {
        let is_set = |id: &String| !id.is_empty();
        let said = flag(self.matches, ID).filter(is_set).or_else(|| variable(ID));
        let place = self.place.as_ref().filter(|_| said.is_none());
        let in_file = place.and_then(|place| place.settings.get(ID)).filter(|id| is_set(id));
        let of = place.filter(|_| in_file.is_some()).map(|place| format!("{}: ", place.named));
        let of = of.unwrap_or_default();
        let id = said.or_else(|| in_file.cloned());
        let id = id.unwrap_or_else(|| format!("twinctl-{:08x}", fastrand::u32(..)));
        id.parse().map_err(|error| Failure::Usage(format!("{of}the client id: {error}")))
    }

    /// What is wrong with settings: that of the file with its place.
    fn wrong(&self, lines: &[String]) -> Failure {
        let line = |line: &String| {
            let variable = line.split(':').next().unwrap_or_default();
            match &self.place {
                Some(place) if self.flag(variable).is_none() => format!("{}: {line}", place.named),
                Some(_) | None => line.clone(),
            }
        };
        Failure::Usage(lines.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

impl Source for Given<'_> {
    fn flag(&self, variable: &str) -> Option<String> {
        flag(self.matches, variable)
    }

    fn variable(&self, name: &str) -> Option<String> {
        match &self.place {
            Some(place) => place.settings.get(name).cloned(),
            None => variable(name),
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }
}
