//! Which broker is meant: what flags and the environment say, or one that `twinctl.toml` names.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use clap::ArgMatches;

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
pub(crate) const ID: &str = "TWINCTL_ID";

/// The flags that say where a broker is, and their settings.
const WHERE: [(&str, &str); 2] = [("--mqtt-host", "MQTT_HOST"), ("--mqtt-port", "MQTT_PORT")];

/// A broker of the file.
pub(crate) struct Place {
    /// The file and the broker in it, for what is wrong there.
    pub(crate) named: String,
    /// What is said of it, by the settings' variables.
    pub(crate) settings: BTreeMap<&'static str, String>,
}

/// What a flag says, by the setting's variable.
pub(crate) fn flag(matches: &ArgMatches, name: &str) -> Option<String> {
    // Secrets have no flag, and clap does not know them.
    matches.try_get_one::<String>(name).ok().flatten().cloned()
}

/// What the environment says.
pub(crate) fn variable(name: &str) -> Option<String> {
    // What is no text is no right value either: it is named as a mistake, not overlooked.
    env::var_os(name)
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| !value.is_empty())
}

/// The broker of the file that is meant: the one that is named, or its default where nothing else says where it is.
pub(crate) fn place(matches: &ArgMatches) -> Result<Option<Place>, Failure> {
    let typed = WHERE.iter().find(|(_, variable)| flag(matches, variable).is_some());
    let named = match flag(matches, "broker") {
        Some(name) => Some(("--broker", name)),
        None => variable("TWINCTL_BROKER").map(|name| ("TWINCTL_BROKER", name)),
    };
    if let (Some((by, _)), Some((flag, _))) = (&named, typed) {
        return Err(Failure::Usage(format!("{by} and {flag} do not go together")));
    }
    // A password is for the broker that it was written down with.
    let is_set = |(_, name): &(&str, &str)| *name != ID && variable(name).is_some();
    let is_elsewhere = typed.is_some() || KEYS.iter().any(is_set);
    let name = named.map(|(_, name)| name);
    let Some((shown, text)) = read(matches, name.is_some(), is_elsewhere)? else { return Ok(None) };
    let wrong = |why: String| Failure::Usage(format!("{shown}: {why}"));
    let File { default, brokers } = File::parse(&text).map_err(wrong)?;
    let Some(name) = name.or_else(|| default.filter(|_| !is_elsewhere)) else { return Ok(None) };
    let Some(found) = brokers.get(&name) else {
        let names = brokers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let has = if names.is_empty() { "none" } else { &names };
        return Err(wrong(format!("there is no broker {name:?}; there is {has}")));
    };
    let settings = settings(found).map_err(|why| wrong(format!("broker {name}: {why}")))?;
    Ok(Some(Place { named: format!("{shown}: broker {name}"), settings }))
}

/// The file's path and text. That there is none, or none that may be read, is no mistake unless one is asked for.
fn read(
    matches: &ArgMatches,
    is_named: bool,
    is_elsewhere: bool,
) -> Result<Option<(String, String)>, Failure> {
    let own = flag(matches, "config").or_else(|| variable("TWINCTL_CONFIG")).map(PathBuf::from);
    let is_wanted = is_named || own.is_some();
    let Some(path) = own.or_else(usual_path) else {
        let why = "no file names brokers: neither HOME nor XDG_CONFIG_HOME is set";
        return if is_wanted { Err(Failure::Usage(why.to_owned())) } else { Ok(None) };
    };
    let is_none = |kind| {
        let is_denied = kind == io::ErrorKind::PermissionDenied;
        let is_there = !matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        !is_there || is_denied && is_elsewhere
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path.display().to_string(), text))),
        Err(error) if !is_wanted && is_none(error.kind()) => Ok(None),
        Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
    }
}

/// What the file says.
struct File {
    default: Option<String>,
    brokers: BTreeMap<String, toml::Table>,
}

impl File {
    /// Looks at it piece by piece: nothing of it is repeated in an error, for it may be a password.
    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = toml::from_str(text).map_err(|error| at(text, &error))?;
        let mut file = Self { default: None, brokers: BTreeMap::new() };
        for (key, value) in table {
            match (key.as_str(), value) {
                ("default", toml::Value::String(name)) => file.default = Some(name),
                ("broker", toml::Value::Table(brokers)) => {
                    for (name, broker) in brokers {
                        let toml::Value::Table(broker) = broker else {
                            return Err(format!(
                                "broker.{name} is no table: begin it with [broker.NAME]"
                            ));
                        };
                        file.brokers.insert(name, broker);
                    }
                }
                ("default", _) => return Err("default is not the name of a broker".to_owned()),
                ("broker", _) => {
                    return Err("broker is no table: begin one with [broker.NAME]".to_owned());
                }
                (other, _) => return Err(format!("{other:?} is none of default, broker")),
            }
        }
        Ok(file)
    }
}

/// What is no TOML, and where.
fn at(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

fn settings(found: &toml::Table) -> Result<BTreeMap<&'static str, String>, String> {
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
