//! The list of settings.

/// The manager's id where nobody gives it a user name.
pub(super) const DEFAULT_NAME: &str = "twinmgr";

/// One setting: how it is named, and what `--help` says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// What it is, with unit and range; a sentence without a full stop.
    pub help: &'static str,
    /// What counts if it is not set; empty if nothing does.
    pub default: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// How a setting is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By variable or flag.
    Value,
    /// By variable or file, never by flag.
    Secret,
    /// By variable (1, true, yes) or a flag without a value.
    Switch,
}

impl Setting {
    /// The name of the flag: `MQTT_HOST` is `--mqtt-host`, and `TWIN_IDLE` is `--idle`.
    #[must_use]
    pub fn flag(&self) -> String {
        let name = self.variable.strip_prefix("TWIN_").unwrap_or(self.variable);
        name.to_lowercase().replace('_', "-")
    }
}

const fn value(variable: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { variable, help, default, kind: Kind::Value }
}

const fn secret(variable: &'static str, help: &'static str) -> Setting {
    Setting { variable, help, default: "", kind: Kind::Secret }
}

/// Every setting, in the order of `--help`.
pub const SETTINGS: &[Setting] = &[
    value("MQTT_HOST", "127.0.0.1", "The broker's name or address"),
    value("MQTT_PORT", "1883", "The broker's port"),
    value(
        "MQTT_USER",
        "",
        "The manager's user name at the broker, its client id, and its id as a thing [twinmgr, and no user name, if not set]",
    ),
    secret("MQTT_PASSWD", "The password that goes with MQTT_USER"),
    value("MQTT_CERT", "", "PEM file with the CA certificates to trust; turns TLS on"),
    value("MQTT_CLIENT_CERT", "", "PEM file with the manager's own certificate"),
    value("MQTT_CLIENT_KEY", "", "PEM file with the key of that certificate"),
    value("MQTT_VERSION", "5", "The version of MQTT: 5 or 3.1.1"),
    value("MQTT_KEEP_ALIVE", "30", "How often the connection is checked, in seconds, 5 to 65535"),
    value(
        "MQTT_SESSION_EXPIRY",
        "604800",
        "How long the broker keeps what comes while the manager is away, in seconds; MQTT 5 only",
    ),
    value("MQTT_WINDOW", "200", "The most publishes that may be unacknowledged, 1 to 60000"),
    secret(
        "TWIN_DB_URL",
        "The database: sqlite://FILE or mysql://USER:PASSWORD@HOST:PORT/SCHEMA [twins.sqlite in the data folder, if no TWIN_DB_ variable is set]",
    ),
    value("TWIN_DB_USER", "", "MySQL's or MariaDB's user, instead of a URL"),
    secret("TWIN_DB_PASSWD", "The password that goes with TWIN_DB_USER"),
    value("TWIN_DB_HOST", "", "The database server's name or address"),
    value("TWIN_DB_PORT", "3306", "The database server's port"),
    value("TWIN_DB_SCHEMA", "", "The schema that holds the tables"),
    value(
        "TWIN_DB_CA",
        "",
        "PEM file with the CA certificates to trust; turns TLS to the database on",
    ),
    value("TWIN_DATA_DIR", "data", "The folder for what the manager keeps"),
    value(
        "LOGLEVEL",
        "info",
        "What is logged: off, error, warn, info, debug or trace; RUST_LOG is heeded as well, and goes first",
    ),
    Setting {
        variable: "TWIN_FAIL_FAST",
        help: "End with exit code 78, instead of trying again, if broker or database are not there at the start, or refuse the credentials or a subscription",
        default: "",
        kind: Kind::Switch,
    },
    value(
        "TWIN_PAYLOAD_LIMIT",
        "262144",
        "The most bytes of a payload, and of a twin, 1024 to 268435456",
    ),
    value(
        "TWIN_RETRY",
        "30",
        "How long a delta waits for its answer before it is sent again, in seconds; the wait doubles each time",
    ),
    value(
        "TWIN_RETRIES",
        "5",
        "How often a delta is sent again, 0 to 30; after that it waits for the thing's return",
    ),
    value("TWIN_RETRY_RATE", "1000", "The most deltas sent again in a second"),
    value(
        "TWIN_REBOOT",
        "5",
        "How long after its return a thing's state below the restored trn is taken for the defaults of a reboot, in seconds",
    ),
    value(
        "TWIN_LATE_WILL",
        "5",
        "How long after its return a thing's LC/OFF may be the will of the connection before, in seconds",
    ),
    value("TWIN_RESTORES", "200", "The most returning things that are restored at once"),
    value(
        "TWIN_THING_RATE",
        "1000",
        "How often a thing may report in a second, ten times that at once; above it its reports wait and are merged",
    ),
    value("TWIN_IDLE", "900", "How long a twin that nobody asks for stays in memory, in seconds"),
    value(
        "TWIN_STATS",
        "60",
        "How often counters are published, if anything moved, in seconds, from 1",
    ),
    value("TWIN_CACHE", "100000", "The most twins in memory"),
    value("TWIN_UNDER_WAY", "2000", "The most messages that are worked on at once"),
    value(
        "TWIN_INBOX",
        "disk",
        "Where messages are kept until they are dealt with: disk, or memory, where those that the broker counts as delivered are lost when the process is killed",
    ),
    value(
        "TWIN_INBOX_SYNC",
        "never",
        "Whether each message is flushed to the device before it is acknowledged: never, or always, which survives a loss of power and costs a flush for each",
    ),
    value(
        "TWIN_INBOX_BYTES",
        "1073741824",
        "The most bytes in the inbox, from 1048576; above it the broker holds the rest [268435456 in memory]",
    ),
    value(
        "TWIN_OUTBOX_BYTES",
        "67108864",
        "The most bytes that wait to go out; above it what comes in waits",
    ),
    value("TWIN_BATCH_ROWS", "500", "The most twins in one transaction, 1 to 1000"),
    value(
        "TWIN_BATCH_BYTES",
        "4194304",
        "The most bytes in one transaction, from 1024; below the server's max_allowed_packet",
    ),
    value(
        "TWIN_COMMIT_TIMEOUT",
        "10",
        "When a transaction is given up and tried again on another connection, in seconds, from 1",
    ),
];
