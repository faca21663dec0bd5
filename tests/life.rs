//! How the program is started, told what it should know, and ended, as a person meets it.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    broker::Broker,
    certs::Authority,
    client::Client,
    database::{Database, sqlite_url},
    mariadb::MariaDb,
    on_both_databases,
    program::Twinmgr,
    site::{PATIENCE, Site, pair},
    wait_for,
};
use twinthing::config::{Kind, SETTINGS};

on_both_databases!(
    a_second_manager_on_the_same_database_is_told_so_and_the_first_goes_on,
    migrate_says_what_it_ran_and_then_that_all_is_up_to_date,
);

/// The password at the broker, which nobody may ever see.
const PASSWORD: &str = "s3cret-at-the-broker";

/// Runs the program to its end with these arguments and variables, and no others.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinmgr"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Exit code and standard error of a run that ends by itself.
fn fails(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), arguments, variables);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_mistake_in_the_settings_is_told_at_once() {
    let variables = [
        ("MQTT_PORT", "0"),
        ("MQTT_PASSWD", PASSWORD),
        ("MQTT_CERT", "/nowhere/ca.pem"),
        ("TWIN_DB_HOST", "db"),
        ("LOGLEVEL", "loud"),
    ];
    let (code, said) = fails(&["--retries", "many", "--cache=0"], &variables);
    assert_eq!(code, 64);
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "twinmgr: TWIN_DB_USER: is not set, while others of the database's settings are",
            "twinmgr: TWIN_DB_SCHEMA: is not set, while others of the database's settings are",
            "twinmgr: MQTT_PASSWD: is set, and MQTT_USER is not",
            "twinmgr: MQTT_PORT: 0 is not from 1 to 65535",
            "twinmgr: MQTT_CERT: /nowhere/ca.pem: No such file or directory (os error 2)",
            "twinmgr: TWIN_RETRIES: \"many\": invalid digit found in string",
            "twinmgr: LOGLEVEL: \"loud\" is none of off, error, warn, info, debug, trace",
            "twinmgr: TWIN_CACHE: 0 is not from 1 to 10000000",
        ]
    );
}

#[test]
fn an_unknown_flag_is_wrong_usage_and_so_is_a_secret_as_a_flag() {
    for flag in ["--nonsense", "--mqtt-passwd=x", "--db-url=sqlite://x", "nonsense"] {
        let (code, said) = fails(&[flag], &[]);
        assert_eq!(code, 64, "{flag}");
        assert!(said.starts_with("error: un"), "{said}");
    }
}

#[test]
fn help_lists_every_setting_within_a_hundred_columns_and_no_value_of_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secrets =
        [("MQTT_PASSWD", PASSWORD), ("TWIN_DB_URL", PASSWORD), ("MQTT_HOST", "elsewhere")];
    let output = run(folder.path(), &["--help"], &secrets);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(!help.contains(PASSWORD) && !help.contains("elsewhere"), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    let flowing = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in SETTINGS {
        let (name, flag) = (setting.variable, format!("--{} ", setting.flag()));
        match (setting.kind, setting.default) {
            (Kind::Secret, _) => assert!(help.contains(name) && !help.contains(&flag), "{name}"),
            (_, "") => assert!(flowing.contains(&format!("[{name}]")), "{name}"),
            (_, default) => assert!(flowing.contains(&format!("[{name}={default}]")), "{name}"),
        }
        assert!(setting.kind == Kind::Secret || flowing.contains(&flag), "{name}");
    }
    for code in ["0 ", "1 ", "64 ", "69 ", "70", "75 ", "78 "] {
        assert!(help.split("Exit codes:").nth(1).unwrap().contains(code), "{code}");
    }
}

#[test]
fn a_secret_in_a_variable_and_in_a_file_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, PASSWORD).unwrap();
    let file = file.display().to_string();
    let variables = [("MQTT_USER", "m"), ("MQTT_PASSWD", "other"), ("MQTT_PASSWD_FILE", &file)];
    let expected = "twinmgr: MQTT_PASSWD: MQTT_PASSWD_FILE is set as well; one of them has to go\n";
    assert_eq!(fails(&[], &variables), (64, expected.to_owned()));
}

/// A broker that lets in nobody but `mgr` with its password, and `test` with none to hide.
fn guarded_broker() -> Broker {
    Broker::start_guarded(&[("mgr", PASSWORD), ("test", "test")])
}

fn connect(broker: &Broker) -> Client {
    Client::connect_with(broker.port(), "test", |options| {
        options.set_credentials("test", "test");
    })
}

#[test]
fn bad_credentials_are_told_in_one_line_and_tried_on() {
    let mut broker = guarded_broker();
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(folder.path());
    let extra = [("MQTT_PASSWD", "wrong-one"), ("MQTT_KEEP_ALIVE", "5")];
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &extra);
    let line = format!(
        "ERROR broker 127.0.0.1:{} refused user \"mgr\": not authorized; check MQTT_USER and MQTT_PASSWD; trying again\n",
        broker.port()
    );
    wait_for("a line", PATIENCE, || program.output().contains(&line).then_some(()));
    // Long enough for more attempts; they are not told again.
    connect(&broker).quiet(Duration::from_secs(2));
    assert_eq!(program.output().matches("refused user").count(), 1, "{}", program.output());
    assert!(!program.output().contains("wrong-one"));
    broker.configure("allow_anonymous true");
    broker.restart();
    program.ready(&mut Client::connect(broker.port()));
    assert_eq!(program.terminate(), 0);
}

#[test]
fn bad_credentials_end_it_under_fail_fast() {
    let broker = guarded_broker();
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(folder.path());
    let extra = [("MQTT_PASSWD", "wrong-one"), ("TWIN_FAIL_FAST", "yes")];
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &extra);
    assert_eq!(program.wait(PATIENCE).code(), Some(78));
    let last = format!(
        "twinmgr: broker 127.0.0.1:{} refused user \"mgr\": not authorized; check MQTT_USER and MQTT_PASSWD\n",
        broker.port()
    );
    assert!(program.output().ends_with(&last), "{}", program.output());
}

/// A report, a SET, and its answer; gives the last version.
fn converse(client: &mut Client, id: &str) {
    client.subscribe(&[&format!("TNG/{id}/TWIN/UPD"), &format!("TNG/{id}/STATE/SET")]);
    let said = [
        ("STATE/UPD", json!({"state": {"trn": 1, "word": "unspeakable"}})),
        ("TWIN/SET", json!({"set": {"word": "unspeakable-too"}})),
        ("STATE/UPD", json!({"delta": {"trn": 2, "word": "unspeakable-too"}})),
        ("TWIN/SET", json!({"set": {"word": 3}, "version": 99})),
        ("STATE/UPD", json!({"state": "unspeakable-nonsense"})),
    ];
    for (levels, payload) in said {
        client.publish_json(&format!("TNG/{id}/{levels}"), &payload);
    }
    let topic = format!("TNG/{id}/TWIN/UPD");
    let told: Vec<_> = (0..3).map(|_| client.expect(&topic, PATIENCE).json()).collect();
    assert_eq!(told[2]["version"], 3);
    assert_eq!(told[2]["desired"], json!({"trn": 2}));
    let sent = client.expect(&format!("TNG/{id}/STATE/SET"), PATIENCE).json();
    assert_eq!(sent, json!({"delta": {"trn": 2, "word": "unspeakable-too"}}));
}

#[test]
fn no_password_is_ever_in_the_output_and_no_payload_at_info() {
    let broker = guarded_broker();
    let url = MariaDb::shared().fresh_schema();
    for level in ["trace", "info"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        let file = file.display().to_string();
        let extra = [("MQTT_PASSWD_FILE", file.as_str()), ("LOGLEVEL", level)];
        let mut program = Twinmgr::start_in(folder, broker.port(), &url, &extra);
        let mut client = connect(&broker);
        program.ready(&mut client);
        converse(&mut client, level);
        assert_eq!(program.terminate(), 0);
        let output = program.output();
        for secret in [PASSWORD, "p@ss", "p%40ss", "%2Fword"] {
            assert!(!output.contains(secret), "{secret} at {level}");
        }
        assert!(!output.contains("unspeakable"), "a payload at {level}");
        assert!(output.contains("ended"), "{output}");
    }
}

#[test]
fn a_whole_conversation_goes_over_mqtt_3_1_1_chosen_by_flag() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let (url, port) = (sqlite_url(folder.path()), broker.port().to_string());
    // The flags win over variables that would lead nowhere.
    let mut program = Command::new(env!("CARGO_BIN_EXE_twinmgr"))
        .args(["--mqtt-version=3.1.1", "--mqtt-port", &port, "--mqtt-user=old", "--loglevel=off"])
        .env_clear()
        .envs([("MQTT_PORT", "1"), ("MQTT_USER", "nobody"), ("TWIN_DB_URL", &url)])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    let mut client = Client::connect(broker.port());
    client.subscribe(&["TNG/old/TPC/PONG"]);
    wait_for("a PONG", PATIENCE, || client.ping("old", Duration::from_millis(100)).then_some(()));
    converse(&mut client, "lamp");
    let pid = program.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let status = wait_for("the end", PATIENCE, || program.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "SIGINT ends it in order as well");
}

#[test]
fn the_five_variables_lead_to_a_server() {
    let url = MariaDb::shared().fresh_schema();
    let (place, schema) = url.rsplit_once('/').unwrap();
    let port = place.rsplit_once(':').unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "p@ss:/word\n").unwrap();
    let broker = Broker::start();
    let extra = [
        ("TWIN_DB_URL", ""),
        ("TWIN_DB_USER", "manager"),
        ("TWIN_DB_PASSWD_FILE", file.to_str().unwrap()),
        ("TWIN_DB_HOST", "127.0.0.1"),
        ("TWIN_DB_PORT", port),
        ("TWIN_DB_SCHEMA", schema),
    ];
    let mut program = Twinmgr::start_in(folder, broker.port(), "", &extra);
    let mut client = Client::connect(broker.port());
    program.ready(&mut client);
    converse(&mut client, "lamp");
    assert_eq!(program.terminate(), 0);
    assert!(program.output().contains(&format!("database mysql://127.0.0.1:{port}/{schema}\n")));
}

#[test]
fn a_second_manager_on_the_same_data_folder_is_told_so_and_the_first_goes_on() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    let folder = site.program.folder().join("data").display().to_string();
    let (code, said) = fails(&[], &[("TWIN_DATA_DIR", &folder)]);
    assert_eq!(
        (code, said),
        (
            75,
            format!(
                "twinmgr: another manager is at work on data folder {folder}; end it, or give this one its own by TWIN_DATA_DIR\n"
            )
        )
    );
    site.report("a", &json!({"n": 1}));
    assert_eq!(site.twin("a")["version"], 1);
}

fn a_second_manager_on_the_same_database_is_told_so_and_the_first_goes_on(database: &Database) {
    let mut site = Site::start(database, &[]);
    let (code, said) = fails(&["--loglevel=error"], &[("TWIN_DB_URL", &site.url)]);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains(" is in use by another manager ("), "{said}");
    assert!(said.ends_with("); stop that one first\n") && said.lines().count() == 1, "{said}");
    assert!(!said.contains("word"), "{said}");
    site.report("a", &json!({"n": 1}));
    let told = site.said("a");
    assert_eq!(told, [pair("TNG/a/TWIN/UPD", site.twin("a"))]);
    site.end();
    site.program.start_again();
    site.ready();
}

fn migrate_says_what_it_ran_and_then_that_all_is_up_to_date(database: &Database) {
    let folder = tempfile::tempdir().unwrap();
    let url = database.fresh_url(folder.path());
    let place = url.split_once('@').map_or(url.clone(), |(_, place)| format!("mysql://{place}"));
    let said = |output: Output| {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        String::from_utf8(output.stdout).unwrap()
    };
    let migrate = || said(run(folder.path(), &["migrate"], &[("TWIN_DB_URL", &url)]));
    let first = migrate();
    let lines: Vec<_> = first.lines().collect();
    assert_eq!(lines.len(), 4, "{first}");
    assert!(lines[0].starts_with(&format!("{place}: ran 0001_original_tables")), "{first}");
    assert!(lines[1].starts_with(&format!("{place}: ran 0002_what_the_rules_need")), "{first}");
    assert!(lines[2].starts_with(&format!("{place}: ran 0003_what_was_deleted")), "{first}");
    assert!(lines[3].starts_with(&format!("{place}: ran 0004_passwords_for_mosquitto")), "{first}");
    assert_eq!(migrate(), format!("{place}: is up to date\n"));
}

#[test]
fn a_flag_before_a_command_counts_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--data-dir", "elsewhere", "migrate"], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(folder.path().join("elsewhere/twins.sqlite").exists(), "{output:?}");
}

#[test]
fn a_signal_before_the_broker_is_there_ends_it_at_once() {
    for signal in ["TERM", "INT"] {
        let mut broker = Broker::start();
        broker.stop();
        let folder = tempfile::tempdir().unwrap();
        let url = sqlite_url(folder.path());
        let mut program = Twinmgr::start_in(folder, broker.port(), &url, &[]);
        let is_started = |program: &Twinmgr| program.output().contains("is not reached");
        wait_for("an attempt", PATIENCE, || is_started(&program).then_some(()));
        let from = Instant::now();
        program.signal(signal);
        assert_eq!(program.wait(PATIENCE).code(), Some(0), "SIG{signal}");
        assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
    }
}

#[test]
fn tls_files_that_cannot_be_what_they_should_be_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    let (one, two) = (ca.issue("one", "DNS:one", 2), ca.issue("two", "DNS:two", 2));
    let text = folder.path().join("text.pem");
    fs::write(&text, "no certificate").unwrap();
    let refusal = |ca: &Path, cert: &Path, key: &Path| {
        let [ca, cert, key] = [ca, cert, key].map(|path| path.to_str().unwrap());
        let port = support::port::free_port().to_string();
        let variables = [
            ("MQTT_CERT", ca),
            ("MQTT_CLIENT_CERT", cert),
            ("MQTT_CLIENT_KEY", key),
            ("MQTT_PORT", port.as_str()),
            ("TWIN_FAIL_FAST", "1"),
        ];
        fails(&[], &variables)
    };
    let none = |path: &Path| format!("{}: it holds no certificate in PEM form", path.display());
    for ((ca, cert, key), line) in [
        ((&text, &one.cert, &one.key), none(&text)),
        ((&ca.pem(), &text, &one.key), none(&text)),
        (
            (&ca.pem(), &one.cert, &text),
            format!("{}: it holds no key in PEM form, or one with a passphrase", text.display()),
        ),
        (
            (&ca.pem(), &one.cert, &two.key),
            format!("{}: it is not the key of the certificate", two.key.display()),
        ),
    ] {
        let (code, said) = refusal(ca, cert, key);
        assert_eq!(code, 64, "{said}");
        assert!(said.contains(&line), "{said}");
    }
    let (code, said) = refusal(&ca.pem(), &one.cert, &one.key);
    assert_eq!(code, 78, "nothing is wrong with these, and there is no broker: {said}");
}

#[test]
fn the_data_folder_is_made_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["migrate"], &[("TWIN_DATA_DIR", "some/where")]);
    assert!(output.status.success(), "{output:?}");
    let mode = fs::metadata(folder.path().join("some/where")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn every_setting_is_in_the_page_for_operators_with_its_flag_and_default() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let section = page.split("## Settings").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), SETTINGS.len());
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    for (row, setting) in rows.iter().zip(SETTINGS) {
        let flag = if setting.kind == Kind::Secret {
            String::new()
        } else {
            code(&format!("--{}", setting.flag()))
        };
        let start = format!("| {} | {flag} | {} | ", code(setting.variable), code(setting.default));
        let help = setting.help.split(" [").next().unwrap();
        assert!(row.starts_with(&start) && row.contains(help), "{row} is not {start}{help}");
    }
}
