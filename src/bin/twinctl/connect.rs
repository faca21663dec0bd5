//! Which broker, and as whom: by flags, by the environment, or as a broker that `twinctl.toml` names.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ArgMatches;
use serde::Deserialize;
use twinthing::{
    client::{Client, ThingId},
    config::{Source, read_access},
};

use super::Failure;

/// What a broker may be told in the file, and the setting it is.
pub(crate) const KEYS: [(&str, &str); 11] = [
    ("host", "MQTT_HOST"),
    ("port", "MQTT_PORT"),
    ("user", "MQTT_USER"),
    ("passwd", "MQTT_PASSWD"),
    ("passwd_file", "MQTT_PASSWD_FILE"),
    ("cert", "MQTT_CERT"),
    ("client_cert", "MQTT_CLIENT_CERT"),
    ("client_key", "MQTT_CLIENT_KEY"),
    ("version", "MQTT_VERSION"),
    ("keep_alive", "MQTT_KEEP_ALIVE"),
    ("id", ID),
];

/// The variable for the client id.
const ID: &str = "TWINCTL_ID";

/// Connects, or says why it cannot be.
pub(crate) async fn client(matches: &ArgMatches) -> Result<Client, Failure> {
    let place = place(matches)?;
    let of = place.as_ref().map(|place| format!("{}: ", place.named)).unwrap_or_default();
    let given = Given { matches, place };
    let id = given.flag(ID).or_else(|| given.variable(ID)).filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| format!("twinctl-{:08x}", fastrand::u32(..)));
    let wrong = |line: String| Failure::Usage(format!("{of}{line}"));
    let id: ThingId = id.parse().map_err(|error| wrong(format!("{ID}: {error}")))?;
    let access =
        read_access(&given, id).map_err(|error| wrong(error.lines.join(&format!("\n{of}"))))?;
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

/// From now on standard error hears when the connection is lost: for what goes on until it is ended. Refusals are
/// answers, and said there.
pub(crate) fn follow() {
    env_logger::Builder::new()
        .filter_module("twinthing", log::LevelFilter::Warn)
        .format(|out, record| {
            let is_said = record.level() == log::Level::Warn;
            if is_said { writeln!(out, "twinctl: {}", record.args()) } else { Ok(()) }
        })
        .init();
}

/// Where settings come from.
struct Given<'a> {
    matches: &'a ArgMatches,
    /// The broker in the file, in place of the environment: what is meant for one broker is not said to another.
    place: Option<Place>,
}

struct Place {
    /// The file and the broker in it, for what is wrong there.
    named: String,
    settings: BTreeMap<&'static str, String>,
}

impl Source for Given<'_> {
    fn flag(&self, variable: &str) -> Option<String> {
        // Secrets have no flag, and clap does not know them.
        self.matches.try_get_one::<String>(variable).ok().flatten().cloned()
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

fn variable(name: &str) -> Option<String> {
    // What is no text is no right value either: it is named as a mistake, not overlooked.
    env::var_os(name)
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<String>,
    #[serde(default)]
    broker: BTreeMap<String, BTreeMap<String, toml::Value>>,
}

/// The broker of the file that is meant: the one that is named, or its default where nothing else is said.
fn place(matches: &ArgMatches) -> Result<Option<Place>, Failure> {
    let flag = |name: &str| matches.get_one::<String>(name).cloned();
    let named = flag("broker").or_else(|| variable("TWINCTL_BROKER"));
    let own_path = flag("config").or_else(|| variable("TWINCTL_CONFIG")).map(PathBuf::from);
    let is_wanted = named.is_some() || own_path.is_some();
    let Some(path) = own_path.or_else(usual_path) else { return Ok(None) };
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_wanted => return Ok(None),
        Err(error) => return Err(Failure::Usage(format!("{shown}: {error}"))),
    };
    let file: File =
        toml::from_str(&text).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
    let is_said = |(_, name): &(&str, &str)| {
        variable(name).is_some() || matches.try_get_one::<String>(name).ok().flatten().is_some()
    };
    let name = match named {
        Some(name) => name,
        // A password is for the broker that it was written down with.
        None if KEYS.iter().filter(|(_, name)| *name != ID).any(is_said) => return Ok(None),
        None => match file.default {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    let Some(found) = file.broker.get(&name) else {
        let names = file.broker.keys().cloned().collect::<Vec<_>>().join(", ");
        let has = if names.is_empty() { "none".to_owned() } else { names };
        return Err(Failure::Usage(format!(
            "{shown}: there is no broker {name:?}; there is {has}"
        )));
    };
    let named = format!("{shown}: broker {name}");
    let settings = settings(found).map_err(|why| Failure::Usage(format!("{named}: {why}")))?;
    Ok(Some(Place { named, settings }))
}

fn settings(
    found: &BTreeMap<String, toml::Value>,
) -> Result<BTreeMap<&'static str, String>, String> {
    let mut settings = BTreeMap::new();
    for (key, value) in found {
        let Some((_, name)) = KEYS.iter().find(|(known, _)| known == key) else {
            let known: Vec<_> = KEYS.iter().map(|(known, _)| *known).collect();
            return Err(format!("{key:?} is none of {}", known.join(", ")));
        };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => {
                return Err(format!(
                    "{key}: a {} is neither a text nor a number",
                    value.type_str()
                ));
            }
        };
        let is_path = ["passwd_file", "cert", "client_cert", "client_key"].contains(&key.as_str());
        settings.insert(*name, if is_path { at_home(&text) } else { text });
    }
    Ok(settings)
}

/// `~/` is the home of whoever calls.
fn at_home(path: &str) -> String {
    match (path.strip_prefix("~/"), variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest).display().to_string(),
        (Some(_) | None, _) => path.to_owned(),
    }
}

fn usual_path() -> Option<PathBuf> {
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(Path::new(&variable("HOME")?).join(".config")));
    folder.map(|folder| folder.join("twinctl.toml"))
}
