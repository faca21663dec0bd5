use std::{collections::HashMap, io, path::Path, time::Duration};

use super::*;
use crate::store::TargetError;

/// Flags, variables and files of a test. A file that is not named here is not there.
#[derive(Default)]
struct Given {
    flags: HashMap<&'static str, &'static str>,
    variables: HashMap<&'static str, &'static str>,
    files: HashMap<&'static str, &'static str>,
}

impl Source for Given {
    fn flag(&self, variable: &str) -> Option<String> {
        self.flags.get(variable).map(ToString::to_string)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(ToString::to_string)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let content = path.to_str().and_then(|path| self.files.get(path));
        content.map(ToString::to_string).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn variables<const N: usize>(variables: [(&'static str, &'static str); N]) -> Given {
    Given { variables: variables.into(), ..Given::default() }
}

fn read<const N: usize>(given: [(&'static str, &'static str); N]) -> Config {
    Config::read(&variables(given)).unwrap()
}

fn mistakes<const N: usize>(given: [(&'static str, &'static str); N]) -> Vec<String> {
    Config::read(&variables(given)).unwrap_err().lines
}

#[test]
fn without_any_setting_the_broker_is_here_and_the_database_a_file() {
    let config = read([]);
    let Access { client_id, user, password, host, port, version, .. } = &config.mqtt.access;
    assert_eq!(
        (client_id.as_str(), user, host.as_str(), *port),
        ("twinmgr", &None, "127.0.0.1", 1883)
    );
    assert!(password.is_none());
    assert_eq!(*version, Version::V5);
    assert_eq!(config.mqtt.session_expiry, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.store.target, Target::Sqlite("data/twins.sqlite".into()));
    assert_eq!(config.data_dir, PathBuf::from("data"));
    assert_eq!(config.manager.rules, Rules::default());
    assert_eq!(config.manager.payload_limit, 256 * 1024);
    assert_eq!(config.manager.idle, Duration::from_secs(15 * 60));
    assert_eq!(config.log, "info");
}

#[test]
fn a_flag_counts_before_its_variable_and_an_empty_variable_is_not_set() {
    let mut given = variables([("MQTT_HOST", "variable"), ("MQTT_PORT", ""), ("TWIN_DB_HOST", "")]);
    given.flags = [("MQTT_HOST", "flag")].into();
    let config = Config::read(&given).unwrap();
    assert_eq!((config.mqtt.access.host.as_str(), config.mqtt.access.port), ("flag", 1883));
    assert!(matches!(config.store.target, Target::Sqlite(_)));
}

#[test]
fn the_user_name_is_the_managers_id_too() {
    let config = read([("MQTT_USER", "boss"), ("MQTT_PASSWD", "secret")]);
    assert_eq!(config.mqtt.access.client_id.as_str(), "boss");
    assert_eq!(config.manager.id, config.mqtt.access.client_id);
    assert_eq!(config.mqtt.access.user.as_deref(), Some("boss"));
    assert_eq!(
        config.mqtt.access.password.map(|Secret(password)| password).as_deref(),
        Some("secret")
    );
    assert_eq!(
        mistakes([("MQTT_USER", "a/b")]),
        ["MQTT_USER: \"a/b\" holds '/'; an id is one topic level, without / + # and control \
          characters; it is the manager's id"]
    );
}

#[test]
fn every_mistake_is_said_at_once() {
    let found = mistakes([
        ("MQTT_USER", " "),
        ("MQTT_PORT", "70000"),
        ("MQTT_CERT", "/nowhere/ca.pem"),
        ("MQTT_CLIENT_KEY", "/nowhere/key.pem"),
        ("MQTT_VERSION", "3"),
        ("MQTT_KEEP_ALIVE", "1"),
        ("MQTT_WINDOW", "0"),
        ("TWIN_DB_URL", "postgres://db"),
        ("TWIN_FAIL_FAST", "perhaps"),
        ("TWIN_PAYLOAD_LIMIT", "a lot"),
        ("TWIN_RETRY", "soon"),
        ("TWIN_RETRIES", "31"),
        ("TWIN_RETRY_RATE", "0"),
        ("TWIN_RESTORES", "0"),
        ("TWIN_CACHE", "-1"),
        ("TWIN_IDLE", "-1"),
        ("TWIN_BATCH_ROWS", "1001"),
        ("TWIN_BATCH_BYTES", "1"),
        ("TWIN_COMMIT_TIMEOUT", "0"),
        ("TWIN_INBOX_BYTES", ""),
        ("TWIN_UNDER_WAY", "0"),
        ("LOGLEVEL", "loud"),
    ]);
    assert_eq!(
        found,
        [
            "TWIN_DB_URL: the database's URL begins with \"postgres\"; it begins with sqlite:// or mysql://",
            "MQTT_USER: \" \" begins or ends with a space; an id does not; it is the manager's id",
            "MQTT_VERSION: \"3\" is neither 5 nor 3.1.1",
            "MQTT_PORT: \"70000\": number too large to fit in target type",
            "MQTT_CLIENT_CERT: and MQTT_CLIENT_KEY go together, and one is not set",
            "MQTT_CERT: /nowhere/ca.pem: entity not found",
            "MQTT_CLIENT_KEY: /nowhere/key.pem: entity not found",
            "MQTT_KEEP_ALIVE: 1 is not from 5 to 65535",
            "MQTT_WINDOW: 0 is not from 1 to 60000",
            "TWIN_UNDER_WAY: 0 is not from 1 to 1000000",
            "TWIN_FAIL_FAST: \"perhaps\" is neither true nor false",
            "TWIN_PAYLOAD_LIMIT: \"a lot\": invalid digit found in string",
            "TWIN_RETRY: \"soon\" seconds: invalid float literal",
            "TWIN_RETRIES: 31 is not from 0 to 30",
            "TWIN_BATCH_ROWS: 1001 is not from 1 to 1000",
            "TWIN_BATCH_BYTES: 1 is not from 1024 to 1073741824",
            "TWIN_COMMIT_TIMEOUT: 0 s is not from 1 to 315360000 s",
            "LOGLEVEL: \"loud\" is none of off, error, warn, info, debug, trace",
            "TWIN_IDLE: -1 s is not from 0 to 315360000 s",
            "TWIN_CACHE: \"-1\": invalid digit found in string",
            "TWIN_RESTORES: 0 is not from 1 to 100000",
            "TWIN_RETRY_RATE: 0 is not from 1 to 100000",
        ]
    );
}

#[test]
fn the_least_and_the_most_of_a_range_are_in_it() {
    let config = read([
        ("MQTT_PORT", "65535"),
        ("MQTT_WINDOW", "60000"),
        ("TWIN_RETRIES", "0"),
        ("TWIN_RETRY", "0.25"),
        ("TWIN_IDLE", "0"),
        ("TWIN_BATCH_ROWS", "1"),
        ("TWIN_PAYLOAD_LIMIT", "1024"),
    ]);
    assert_eq!((config.mqtt.access.port, config.mqtt.window), (65_535, 60_000));
    assert_eq!(config.manager.rules.retry, Duration::from_millis(250));
    assert_eq!((config.manager.rules.retries, config.manager.idle), (0, Duration::ZERO));
    assert_eq!((config.store.batch_rows, config.manager.payload_limit), (1, 1024));
    for value in ["NaN", "inf", "-0.1", "1e300"] {
        let given = [("TWIN_RETRY", value)];
        assert_eq!(
            mistakes(given),
            [format!("TWIN_RETRY: {value} s is not from 0 to 315360000 s")]
        );
    }
}

#[test]
fn the_five_variables_of_the_original_name_a_server_and_a_url_counts_before_them() {
    let five = [
        ("TWIN_DB_USER", "manager"),
        ("TWIN_DB_PASSWD", "p@ss"),
        ("TWIN_DB_HOST", "db"),
        ("TWIN_DB_PORT", "3307"),
        ("TWIN_DB_SCHEMA", "twins"),
    ];
    let expected = Target::mysql("manager", "p@ss", "db", 3307, "twins", None);
    assert_eq!(Ok::<_, TargetError>(read(five).store.target), expected);
    let [user, password, host, port, schema] = five;
    let url = ("TWIN_DB_URL", "sqlite:///var/t.db");
    let config = read([user, password, host, port, schema, url]);
    assert_eq!(config.store.target, Target::Sqlite("/var/t.db".into()));
}

#[test]
fn parts_of_a_server_without_a_server_are_mistakes() {
    assert_eq!(
        mistakes([("TWIN_DB_PASSWD", "x"), ("TWIN_DB_PORT", "3306")]),
        [
            "TWIN_DB_PASSWD: is set, and neither TWIN_DB_URL nor TWIN_DB_HOST is",
            "TWIN_DB_PORT: is set, and neither TWIN_DB_URL nor TWIN_DB_HOST is",
        ]
    );
}

#[test]
fn a_ca_file_holds_for_a_server_however_it_is_named_and_for_no_file() {
    let with_ca = |url| {
        let mut given = variables([("TWIN_DB_CA", "/ca.pem"), ("TWIN_DB_URL", url)]);
        given.files = [("/ca.pem", "")].into();
        Config::read(&given)
    };
    let expected = Target::mysql("m", "p", "db", 3306, "t", Some("/ca.pem".as_ref()));
    let server = with_ca("mysql://m:p@db:3306/t").unwrap().store.target;
    assert_eq!(Ok::<_, TargetError>(server), expected);
    assert_eq!(
        with_ca("sqlite://t.db").unwrap_err().lines,
        ["TWIN_DB_URL: the database is a file; TWIN_DB_CA is for a server"]
    );
}

#[test]
fn a_server_that_is_named_in_part_is_a_mistake_for_each_part_that_is_missing() {
    assert_eq!(
        mistakes([("TWIN_DB_HOST", "db")]),
        [
            "TWIN_DB_USER: is not set, while others of the database's settings are",
            "TWIN_DB_SCHEMA: is not set, while others of the database's settings are",
        ]
    );
    assert_eq!(
        mistakes([("TWIN_DB_HOST", "db"), ("TWIN_DB_USER", "m"), ("TWIN_DB_SCHEMA", "a.b")]),
        [
            "TWIN_DB_HOST: schema \"a.b\" holds '.'; letters, digits, _, - and $ of ASCII may stand there"
        ]
    );
}

#[test]
fn a_secret_may_be_in_a_file_whose_last_line_end_does_not_count() {
    let mut given = variables([("MQTT_USER", "boss"), ("MQTT_PASSWD_FILE", "/run/secret")]);
    given.files = [("/run/secret", " with spaces \r\n")].into();
    let password = Config::read(&given).unwrap().mqtt.access.password;
    assert_eq!(password.map(|Secret(password)| password).as_deref(), Some(" with spaces "));
}

#[test]
fn a_secret_is_given_in_one_way_only_never_by_flag_and_is_not_shown() {
    assert_eq!(
        mistakes([("MQTT_USER", "m"), ("MQTT_PASSWD", "s3cret"), ("MQTT_PASSWD_FILE", "/run/s")]),
        ["MQTT_PASSWD: MQTT_PASSWD_FILE is set as well; one of them has to go"]
    );
    assert_eq!(
        mistakes([("TWIN_DB_URL_FILE", "/nowhere")]),
        ["TWIN_DB_URL_FILE: /nowhere: entity not found"]
    );
    assert_eq!(
        mistakes([("MQTT_PASSWD", "s3cret")]),
        ["MQTT_PASSWD: is set, and MQTT_USER is not"]
    );
    let mut given = variables([("MQTT_USER", "m")]);
    given.flags = [("MQTT_PASSWD", "by flag")].into();
    assert!(Config::read(&given).unwrap().mqtt.access.password.is_none());
    let shown = format!("{:?}", read([("MQTT_USER", "m"), ("MQTT_PASSWD", "s3cret")]));
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_level_of_the_log_may_be_named_as_python_names_it() {
    for (level, read_as) in [("WARNING", "warning"), ("CRITICAL", "critical"), ("Debug", "debug")] {
        assert_eq!(read([("LOGLEVEL", level)]).log, read_as);
    }
    let config = read([("LOGLEVEL", "warn"), ("RUST_LOG", "info,twinthing::mqtt=debug")]);
    assert_eq!(config.log, "info,twinthing::mqtt=debug");
}

#[test]
fn a_certificate_wants_its_key_and_both_want_tls() {
    let mut given = variables([("MQTT_CLIENT_CERT", "c.pem"), ("MQTT_CLIENT_KEY", "k.pem")]);
    given.files = [("c.pem", ""), ("k.pem", "")].into();
    assert_eq!(
        Config::read(&given).unwrap_err().lines,
        ["MQTT_CLIENT_CERT: is of use with TLS only, and MQTT_CERT is not set"]
    );
}

#[test]
fn every_setting_has_a_flag_of_its_own() {
    let mut flags: Vec<_> = SETTINGS.iter().map(Setting::flag).collect();
    flags.sort();
    let count = flags.len();
    flags.dedup();
    assert_eq!(flags.len(), count);
}
