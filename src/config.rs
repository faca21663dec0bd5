//! The settings of `twinmgr`: each is an environment variable and, unless it is a secret, a flag.
//!
//! [`SETTINGS`] is the list of them, with what `--help` says; [`Config::read`] reads them all and
//! reports every mistake at once. A secret may also be in a file, named by `NAME_FILE`.

mod read;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use read::{ConfigError, Source};
pub use settings::{Kind, SETTINGS, Setting};

use crate::{
    manager::ManagerSettings,
    mqtt::{Access, InboxSettings, MqttSettings, PoisonFolder, Secret, Version},
    protocol::{ThingId, manager_filters},
    store::{StoreSettings, Target},
    twin::{Rules, Twin},
};
use read::Reader;

/// Everything that `twinmgr` can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to reach the broker.
    pub mqtt: MqttSettings,
    /// Where what has come in is kept.
    pub inbox: InboxSettings,
    /// Where the database is, and how to use it.
    pub store: StoreSettings,
    /// How the service works. Its `epoch` and `things` are known only once it starts.
    pub manager: ManagerSettings,
    /// The folder for what the manager keeps.
    pub data_dir: PathBuf,
    /// What is logged, as env_logger has it: `info`, or `info,twinthing::mqtt=debug`.
    pub log: String,
}

impl Config {
    /// Reads the settings: a flag counts before its environment variable, and that before the
    /// default. A variable that is empty counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] with a line for each setting that is missing or wrong.
    pub fn read(source: &dyn Source) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(source);
        let config = Self::read_all(&mut reader);
        reader.finish()?;
        config.ok_or_else(|| ConfigError { lines: vec!["the settings cannot be read".to_owned()] })
    }

    fn read_all(from: &mut Reader<'_>) -> Option<Self> {
        let data_dir = from.path("TWIN_DATA_DIR").unwrap_or_default();
        let target = target(from, &data_dir);
        let mqtt = mqtt(from, &data_dir);
        let inbox = inbox(from, &data_dir);
        let rules = rules(from);
        let store = store(from, target);
        let log = from.text("LOGLEVEL").unwrap_or_default().to_lowercase();
        check_log(from, &log);
        let log = from.text("RUST_LOG").unwrap_or(log);
        let idle = from.seconds("TWIN_IDLE", 0);
        let stats = from.seconds("TWIN_STATS", 1);
        let cache = from.number("TWIN_CACHE", 1..=10_000_000);
        let restores = from.number("TWIN_RESTORES", 1..=100_000);
        let thing_rate = from.number("TWIN_THING_RATE", 1..=1_000_000);
        let retry_rate = from.number("TWIN_RETRY_RATE", 1..=100_000);
        // All have been read, and each mistake noted: only now may the first one missing end it.
        let (mqtt, inbox, store) = (mqtt?, inbox?, store?);
        let manager = ManagerSettings {
            id: mqtt.access.client_id.clone(),
            payload_limit: rules.twin_limit,
            rules,
            idle,
            cache: cache?,
            restores: restores?,
            thing_rate: thing_rate?,
            retry_rate: retry_rate?,
            stats,
            epoch: 0,
            untold: Vec::new(),
            things: 0,
            apply: Twin::apply,
        };
        Some(Self { mqtt, inbox, store, manager, data_dir, log })
    }
}

/// The inbox: on disk, in the data folder, or in memory, where less of it may wait.
fn inbox(from: &mut Reader<'_>, data_dir: &Path) -> Option<InboxSettings> {
    const IN_MEMORY: u64 = 256 << 20;
    let kind = from.text("TWIN_INBOX").unwrap_or_default();
    let sync = match from.text("TWIN_INBOX_SYNC").unwrap_or_default().as_str() {
        "never" => Some(false),
        "always" => Some(true),
        other => from.wrong("TWIN_INBOX_SYNC", &format!("{other:?} is neither never nor always")),
    };
    let bytes = from.number("TWIN_INBOX_BYTES", (1 << 20)..=u64::MAX);
    let is_given = from.is_given("TWIN_INBOX_BYTES");
    match kind.as_str() {
        "disk" => Some(InboxSettings { folder: Some(data_dir.into()), sync: sync?, bytes: bytes? }),
        "memory" => {
            if sync? {
                from.wrong::<()>("TWIN_INBOX_SYNC", "is always, and the inbox is in memory");
            }
            let bytes = if is_given { bytes? } else { IN_MEMORY };
            Some(InboxSettings { folder: None, sync: false, bytes })
        }
        other => from.wrong("TWIN_INBOX", &format!("{other:?} is neither disk nor memory")),
    }
}

/// How to reach a broker for one who is no manager: by the settings named `MQTT_` up to `MQTT_KEEP_ALIVE`, under this
/// client id.
///
/// # Errors
/// [`ConfigError`] with a line for each setting that is wrong.
pub fn read_access(source: &dyn Source, client_id: ThingId) -> Result<Access, ConfigError> {
    let mut reader = Reader::new(source);
    let user = reader.text("MQTT_USER");
    let password = password(&mut reader, user.is_some());
    let access = access(&mut reader, Some(client_id), user, password);
    reader.finish()?;
    access.ok_or_else(|| ConfigError { lines: vec!["the settings cannot be read".to_owned()] })
}

fn access(
    from: &mut Reader<'_>,
    client_id: Option<ThingId>,
    user: Option<String>,
    password: Option<Secret>,
) -> Option<Access> {
    let version = match from.text("MQTT_VERSION").unwrap_or_default().as_str() {
        "5" => Some(Version::V5),
        "3.1.1" => Some(Version::V3),
        other => from.wrong("MQTT_VERSION", &format!("{other:?} is neither 5 nor 3.1.1")),
    };
    let port = from.number("MQTT_PORT", 1..=65_535);
    let [ca_file, cert_file, key_file] = certificates(from);
    let keep_alive = from.number("MQTT_KEEP_ALIVE", 5..=65_535);
    Some(Access {
        client_id: client_id?,
        user,
        password,
        host: from.text("MQTT_HOST").unwrap_or_default(),
        port: port?,
        ca_file,
        cert_file,
        key_file,
        version: version?,
        keep_alive: Duration::from_secs(keep_alive?),
    })
}

fn mqtt(from: &mut Reader<'_>, data_dir: &Path) -> Option<MqttSettings> {
    let (client_id, user, password) = identity(from);
    let filters = client_id.as_ref().map(manager_filters).unwrap_or_default();
    let access = access(from, client_id, user, password);
    let session_expiry = from.seconds("MQTT_SESSION_EXPIRY", 0);
    let window = from.number("MQTT_WINDOW", 1..=60_000);
    let under_way = from.number("TWIN_UNDER_WAY", 1..=1_000_000);
    let outbox_bytes = from.number("TWIN_OUTBOX_BYTES", 1024..=usize::MAX);
    let fail_fast = from.flag("TWIN_FAIL_FAST");
    Some(MqttSettings {
        filters,
        access: access?,
        session_expiry,
        window: window?,
        under_way: under_way?,
        poison: Some(PoisonFolder(data_dir.join("poison"))),
        outbox_bytes: outbox_bytes?,
        fail_fast,
    })
}

/// The manager's id, and its user name and password at the broker.
fn identity(from: &mut Reader<'_>) -> (Option<ThingId>, Option<String>, Option<Secret>) {
    let user = from.text("MQTT_USER");
    let name = user.clone().unwrap_or_else(|| settings::DEFAULT_NAME.to_owned());
    let client_id = match name.parse::<ThingId>() {
        Ok(id) => Some(id),
        Err(error) => from.wrong("MQTT_USER", &format!("{error}; it is the manager's id")),
    };
    let password = password(from, user.is_some());
    (client_id, user, password)
}

fn password(from: &mut Reader<'_>, has_user: bool) -> Option<Secret> {
    let password = from.secret("MQTT_PASSWD").map(Secret);
    if password.is_some() && !has_user {
        from.wrong::<()>("MQTT_PASSWD", "is set, and MQTT_USER is not");
    }
    password
}

/// The files for TLS: the CA's, the manager's own, and its key.
fn certificates(from: &mut Reader<'_>) -> [Option<PathBuf>; 3] {
    let is_set = |from: &mut Reader<'_>, name| from.text(name).is_some();
    let (ca, cert) = (is_set(from, "MQTT_CERT"), is_set(from, "MQTT_CLIENT_CERT"));
    let key = is_set(from, "MQTT_CLIENT_KEY");
    if (cert || key) && !ca {
        from.wrong::<()>("MQTT_CLIENT_CERT", "is of use with TLS only, and MQTT_CERT is not set");
    }
    if cert != key {
        from.wrong::<()>("MQTT_CLIENT_CERT", "and MQTT_CLIENT_KEY go together, and one is not set");
    }
    ["MQTT_CERT", "MQTT_CLIENT_CERT", "MQTT_CLIENT_KEY"].map(|name| from.file(name))
}

/// The database: by its URL, by the original's five variables, or a file in the data folder.
fn target(from: &mut Reader<'_>, data_dir: &Path) -> Option<Target> {
    let user = from.text("TWIN_DB_USER");
    let password = from.secret("TWIN_DB_PASSWD").unwrap_or_default();
    let host = from.text("TWIN_DB_HOST");
    let port = from.optional_number("TWIN_DB_PORT", 1..=65_535).unwrap_or(3306);
    let schema = from.text("TWIN_DB_SCHEMA");
    let ca = from.file("TWIN_DB_CA");
    let url = from.secret("TWIN_DB_URL");
    if let Some(url) = url {
        let target = Target::parse(&url).and_then(|target| match &ca {
            Some(file) => target.with_ca(file),
            None => Ok(target),
        });
        return match target {
            Ok(target) => Some(target),
            Err(error) => from.wrong("TWIN_DB_URL", &error.to_string()),
        };
    }
    match (user, host, schema) {
        (None, None, None) => {
            let parts = [
                ("TWIN_DB_PASSWD", !password.is_empty()),
                ("TWIN_DB_PORT", from.is_given("TWIN_DB_PORT")),
                ("TWIN_DB_CA", ca.is_some()),
            ];
            for (name, _) in parts.into_iter().filter(|(_, is_set)| *is_set) {
                from.wrong::<()>(name, "is set, and neither TWIN_DB_URL nor TWIN_DB_HOST is");
            }
            Some(Target::Sqlite(data_dir.join("twins.sqlite")))
        }
        (Some(user), Some(host), Some(schema)) => {
            match Target::mysql(&user, &password, &host, port, &schema, ca.as_deref()) {
                Ok(target) => Some(target),
                Err(error) => from.wrong("TWIN_DB_HOST", &error.to_string()),
            }
        }
        (user, host, schema) => {
            let parts = [
                ("TWIN_DB_USER", user.is_some()),
                ("TWIN_DB_HOST", host.is_some()),
                ("TWIN_DB_SCHEMA", schema.is_some()),
            ];
            for (name, _) in parts.into_iter().filter(|(_, is_set)| !is_set) {
                from.wrong::<()>(name, "is not set, while others of the database's settings are");
            }
            None
        }
    }
}

fn store(from: &mut Reader<'_>, target: Option<Target>) -> Option<StoreSettings> {
    let batch_rows = from.number("TWIN_BATCH_ROWS", 1..=1000);
    let batch_bytes = from.number("TWIN_BATCH_BYTES", 1024..=(1 << 30));
    let commit_timeout = from.seconds("TWIN_COMMIT_TIMEOUT", 1);
    Some(StoreSettings {
        target: target?,
        batch_rows: batch_rows?,
        batch_bytes: batch_bytes?,
        commit_timeout,
    })
}

fn rules(from: &mut Reader<'_>) -> Rules {
    let default = Rules::default();
    Rules {
        twin_limit: from
            .number("TWIN_PAYLOAD_LIMIT", 1024..=(1 << 28))
            .unwrap_or(default.twin_limit),
        reboot: from.seconds("TWIN_REBOOT", 0),
        late_will: from.seconds("TWIN_LATE_WILL", 0),
        retry: from.seconds("TWIN_RETRY", 0),
        retries: from.number("TWIN_RETRIES", 0..=30).unwrap_or(default.retries),
    }
}

fn check_log(from: &mut Reader<'_>, level: &str) {
    if level.parse::<log::LevelFilter>().is_err() && level != "warning" && level != "critical" {
        from.wrong::<()>(
            "LOGLEVEL",
            &format!("{level:?} is none of off, error, warn, info, debug, trace"),
        );
    }
}
