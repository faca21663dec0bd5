//! What `twinmgr health` finds: a manager that is well, degraded or stuck, and that it does no harm.
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
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use serde_json::json;
use support::{
    broker::Broker,
    client::Client,
    database::{Database, sqlite_url},
    on_both_databases,
    port::free_port,
    program::{MANAGER, Twinmgr},
    proxy::Proxy,
    site::{PATIENCE, Site},
    wait_for,
};

on_both_databases!(a_manager_at_work_is_alive_and_hardly_notices);

const ALIVE: &str = "alive: mgr answers in # ms, and from its database in # ms\n";
const AWAY: &str =
    "degraded: mgr answers in # ms, and says that its database is away; see its log\n";
const SILENT: &str =
    "degraded: mgr answers in # ms, but not from its database within 1 s; see its log\n";
const STUCK: &str = "stuck: mgr answers nothing within 1 s; it hangs, does not run or cannot start yet: see its log\n";
/// With `--timeout 1`: as long as it may take however many others want the machine's time.
const BOUND: Duration = Duration::from_secs(6);

/// What a look at a manager found.
struct Look {
    code: i32,
    /// The line, with `#` for milliseconds.
    line: String,
    /// Those.
    ms: Vec<u128>,
    took: Duration,
}

/// Has the program look at the manager whose settings these are.
fn look(program: &Twinmgr, arguments: &[&str], extra: &[(&str, &str)]) -> Look {
    let from = Instant::now();
    let output = program.call(&[&["health"], arguments].concat(), extra);
    let took = from.elapsed();
    assert!(output.stderr.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let mut words: Vec<_> = said.split(' ').map(str::to_owned).collect();
    let mut ms = Vec::new();
    for at in 1..words.len() {
        if words[at].starts_with("ms")
            && let Ok(number) = words[at - 1].parse()
        {
            ms.push(number);
            "#".clone_into(&mut words[at - 1]);
        }
    }
    Look { code: output.status.code().unwrap(), line: words.join(" "), ms, took }
}

/// Looks until it finds this.
fn wait_for_line(program: &Twinmgr, line: &str) {
    let is_found = || look(program, &["--timeout=1"], &[]).line == line;
    wait_for(line, PATIENCE, || is_found().then_some(()));
}

fn a_manager_at_work_is_alive_and_hardly_notices(database: &Database) {
    let mut site = Site::start(database, &[]);
    site.report("lamp", &json!({"on": true}));
    site.said("lamp");
    let before = site.own_state();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let Look { code, line, ms, took } = look(&site.program, &[], &[]);
        assert_eq!((code, line.as_str()), (0, ALIVE));
        assert!(ms.iter().all(|ms| (1..=took.as_millis()).contains(ms)), "{ms:?} of {took:?}");
        let said = site.quiet(Duration::from_millis(200));
        let id = said[0].0.split('/').nth(1).unwrap().to_owned();
        assert!(id.starts_with("mgr-health-") && id.len() == "mgr-health-".len() + 8, "{id}");
        let unknown = json!({"desired": {}, "desiredMeta": {}, "reported": {},
            "reportedMeta": {}, "declined": {}, "declinedMeta": {},
            "version": 0, "online": null});
        let (asked, told) =
            ((format!("TNG/{id}/TWIN/GET"), json!({})), (format!("TNG/{id}/TWIN/UPD"), unknown));
        assert_eq!(said, [asked, told], "no life cycle, and nothing of a thing");
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    let after = site.own_state();
    assert_eq!((&after["things"], &after["trn"]), (&before["things"], &before["trn"]));
    let log = site.program.output();
    assert_eq!(log.matches(": connected, session ").count(), 1, "{log}");
    assert_eq!(site.twin("lamp")["version"], 1);
    site.restart();
    assert_eq!(site.own_state()["things"], 1);
}

#[test]
fn a_manager_with_a_long_name_on_mqtt_3_1_1_is_alive() {
    let name = "m".repeat(80);
    let site = Site::start(&Database::Sqlite, &[("MQTT_USER", &name), ("MQTT_VERSION", "3.1.1")]);
    let Look { code, line, .. } = look(&site.program, &[], &[]);
    assert_eq!((code, line), (0, ALIVE.replace("mgr", &name)));
}

#[test]
fn nothing_of_it_stays_at_the_broker() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    for version in ["5", "3.1.1"] {
        let found = look(&site.program, &["--mqtt-version", version], &[]);
        assert_eq!((found.code, found.line.as_str()), (0, ALIVE));
    }
    site.broker.stop();
    let kept = fs::read(site.broker.folder().join("mosquitto.db")).unwrap();
    let keeps = |text: &str| kept.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(keeps("TNG/mgr/TPC/PING"), "the manager's session");
    assert!(!keeps("health"));
}

#[test]
fn a_manager_whose_server_is_gone_or_hangs_is_degraded_until_it_is_back() {
    let Database::MariaDb(mut server) = Database::mariadb() else { unreachable!() };
    let url = server.fresh_schema();
    let site = Site::start(&Database::Sqlite, &[("TWIN_DB_URL", url.as_str())]);
    let found = |arguments: &[&str]| {
        let Look { code, line, took, .. } = look(&site.program, arguments, &[]);
        assert!(took < PATIENCE, "{took:?}");
        (code, line)
    };
    server.freeze();
    assert_eq!(found(&["--timeout=1"]), (69, SILENT.to_owned()));
    assert_eq!(found(&["--timeout=8"]), (69, AWAY.to_owned()));
    server.thaw();
    wait_for_line(&site.program, ALIVE);
    server.stop();
    assert_eq!(found(&[]), (69, AWAY.to_owned()));
    server.restart();
    wait_for_line(&site.program, ALIVE);
}

#[test]
fn a_manager_whose_file_cannot_be_written_is_degraded_until_it_can() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    let path = site.url.strip_prefix("sqlite://").unwrap();
    let mut other = SqliteConnection::establish(path).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    assert_eq!(look(&site.program, &[], &[]).line, ALIVE, "nothing wants to be written");
    site.report("lamp", &json!({"on": true}));
    wait_for_line(&site.program, AWAY);
    other.batch_execute("ROLLBACK").unwrap();
    wait_for_line(&site.program, ALIVE);
    assert_eq!(site.twin("lamp")["version"], 1);
}

#[test]
fn a_manager_whose_broker_is_gone_or_hangs_is_degraded() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    let port = site.broker.port();
    site.broker.freeze();
    let frozen = look(&site.program, &["--timeout=1"], &[]);
    site.broker.thaw();
    let line = format!(
        "degraded: broker 127.0.0.1:{port} does not answer within 1 s; check that it is a broker and is well\n"
    );
    assert_eq!((frozen.code, frozen.line), (69, line));
    assert!(frozen.took < BOUND, "{:?}", frozen.took);
    site.broker.stop();
    let stopped = look(&site.program, &[], &[]);
    let line = format!(
        "degraded: broker 127.0.0.1:{port} is not reached: Connection refused (os error 111); check MQTT_HOST, MQTT_PORT and that the broker runs\n"
    );
    assert_eq!((stopped.code, stopped.line), (69, line));
    assert!(stopped.took < BOUND, "{:?}", stopped.took);
    site.broker.run();
    wait_for_line(&site.program, ALIVE);
}

#[test]
fn a_connection_that_breaks_while_the_answer_is_awaited_is_the_brokers() {
    let site = Site::start(&Database::Sqlite, &[]);
    let proxy = Proxy::start(site.broker.port());
    let port = proxy.port().to_string();
    let mut listener = Client::connect(site.broker.port());
    listener.subscribe(&["TNG/mgr/TPC/PING"]);
    site.program.freeze();
    let found = thread::scope(|scope| {
        let looking = scope.spawn(|| look(&site.program, &[], &[("MQTT_PORT", &port)]));
        listener.recv(PATIENCE).expect("the manager is asked");
        proxy.cut();
        looking.join().unwrap()
    });
    let line = format!(
        "degraded: broker 127.0.0.1:{port}: connection lost: it broke; see the broker's log\n"
    );
    assert_eq!((found.code, found.line), (69, line));
    assert!(found.took < PATIENCE, "{:?}", found.took);
}

#[test]
fn what_takes_a_connection_and_says_nothing_is_not_waited_for_longer_than_asked() {
    let site = Site::start(&Database::Sqlite, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = |name: &str| site.program.folder().join(name).display().to_string();
    let (ca, key) = (file("ca.pem"), file("ca.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca"])
        .args(["-keyout", &key, "-out", &ca])
        .output();
    assert!(made.expect("openssl must be installed: apt-get install openssl").status.success());
    for cert in ["", &ca] {
        let settings = [("MQTT_PORT", port.to_string()), ("MQTT_CERT", cert.to_owned())];
        let extra = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let found = look(&site.program, &["--timeout=0.5"], &extra);
        let line = format!(
            "degraded: broker 127.0.0.1:{port} does not answer within 0.5 s; check that it is a broker and is well\n"
        );
        assert_eq!((found.code, found.line), (69, line));
        assert!(found.took < BOUND, "{:?}", found.took);
    }
}

#[test]
fn a_manager_that_hangs_is_stuck_until_it_goes_on() {
    let site = Site::start(&Database::Sqlite, &[]);
    site.program.freeze();
    let Look { code, line, took, .. } = look(&site.program, &["--timeout=1"], &[]);
    assert_eq!((code, line.as_str()), (70, STUCK));
    assert!((Duration::from_secs(1)..BOUND).contains(&took), "{took:?}");
    site.program.thaw();
    wait_for_line(&site.program, ALIVE);
}

#[test]
fn a_manager_that_does_not_run_is_stuck_and_is_not_asked_once_it_does() {
    let mut site = Site::start(&Database::Sqlite, &[]);
    site.end();
    let Look { code, line, .. } = look(&site.program, &["--timeout=1"], &[]);
    assert_eq!((code, line.as_str()), (70, STUCK));
    // Its session does keep what others ask meanwhile.
    site.client.publish("TNG/mgr/TPC/PING", "kept");
    site.client.quiet(Duration::ZERO);
    site.program.start_again();
    site.ready();
    let said = site.client.quiet(Duration::from_millis(200));
    let pongs = said.iter().filter(|message| message.topic == "TNG/mgr/TPC/PONG");
    let pongs: Vec<_> = pongs.map(|message| message.text()).collect();
    assert_eq!(pongs[0], "kept");
    assert!(pongs.iter().all(|pong| !pong.starts_with("mgr-health-")), "{pongs:?}");
    assert!(said.iter().all(|message| !message.topic.ends_with("/TWIN/UPD")), "{said:?}");
}

#[test]
fn a_broker_that_refuses_the_manager_is_told_with_its_name() {
    let broker = Broker::start_guarded(&[(MANAGER, "right-one")]);
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(folder.path());
    let right = [("MQTT_PASSWD", "right-one")];
    let program = Twinmgr::start_in(folder, broker.port(), &url, &right);
    wait_for_line(&program, ALIVE);
    let found = look(&program, &[], &[("MQTT_PASSWD", "wrong-one")]);
    let line = format!(
        "degraded: broker 127.0.0.1:{} refused user \"mgr\": not authorized; check MQTT_USER and MQTT_PASSWD\n",
        broker.port()
    );
    assert_eq!((found.code, found.line), (69, line));
}

#[test]
fn a_manager_that_no_ping_reaches_is_degraded_and_one_that_nothing_reaches_is_stuck() {
    let mut broker = Broker::start();
    broker.stop();
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(folder.path());
    let program = Twinmgr::start_in(folder, broker.port(), &url, &[]);
    let line = "degraded: mgr answers TWIN/GET, but no PING within 1 s; check that the broker lets TNG/mgr/TPC/PING and PONG through\n";
    for (denied, line) in [("TNG/mgr/TPC/PING", line), ("#", STUCK)] {
        let rules = format!("user mgr\ntopic deny {denied}\ntopic readwrite #\n");
        fs::write(broker.folder().join("acl"), rules).unwrap();
        broker.configure("acl_file {folder}/acl");
        broker.restart();
        wait_for_line(&program, line);
    }
}

#[test]
fn a_broker_that_takes_the_user_name_for_the_client_id_is_told_and_the_session_stays() {
    // Such a listener wants user names of all, which the test's own clients do not have.
    let port = free_port().to_string();
    let broker =
        Broker::start_with(&format!("listener {port} 127.0.0.1\nuse_username_as_clientid true"));
    let mut site = Site::start_at(broker, &Database::Sqlite, &[("MQTT_PORT", &port)]);
    site.report("lamp", &json!({"on": true}));
    let found = look(&site.program, &[], &[]);
    let line = format!(
        "degraded: broker 127.0.0.1:{port} takes the user name for the client id, and so the asker for mgr, which has to connect anew; do not ask there\n"
    );
    assert_eq!((found.code, found.line), (69, line));
    let connected = || site.program.output().matches(": connected, session ").count();
    wait_for("the manager's return", PATIENCE, || (connected() == 2).then_some(()));
    assert_eq!(site.program.output().matches(" (kept)\n").count(), 1);
    assert_eq!(site.twin("lamp")["online"], true);
}

#[test]
fn wrong_settings_are_wrong_usage() {
    let site = Site::start(&Database::Sqlite, &[]);
    for timeout in ["0", "0.09", "3601", "-1", "NaN", "soon", ""] {
        let output = site.program.call(&["health", &format!("--timeout={timeout}")], &[]);
        assert_eq!(output.status.code(), Some(64), "{timeout}: {output:?}");
    }
    let output = site.program.call(&["health"], &[("MQTT_PORT", "0")]);
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(output.stderr, b"twinmgr: MQTT_PORT: 0 is not from 1 to 65535\n");
}

#[test]
fn its_help_says_what_the_exit_codes_mean() {
    let site = Site::start(&Database::Sqlite, &[]);
    let output = site.program.call(&["health", "--help"], &[]);
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    let codes = help.split("Exit codes:").nth(1).unwrap();
    for code in [" 0 alive:", " 64 wrong settings;", " 69 degraded:", " 70 stuck:"] {
        assert!(codes.replace('\n', " ").contains(code), "{code}");
    }
    assert!(help.contains("--timeout <SECONDS>") && help.contains("[default: 5]"), "{help}");
}
