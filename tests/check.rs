//! `twinmgr check`: what is well is said, and what is missing is named with what to do about it.
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

use std::fs;

use serde_json::json;
use support::{
    broker::{Broker, dynamic_security},
    database::{Database, Direct},
    mariadb::MariaDb,
    on_both_databases,
    program::Twinmgr,
    site::{PATIENCE, Site},
    wait_for,
};

on_both_databases!(
    beside_a_manager_at_work_all_is_there_and_nothing_changes,
    a_database_that_is_not_up_to_date_or_has_another_table_says_so,
);

/// Exit code and lines of a check with more settings.
fn check(program: &Twinmgr, extra: &[(&str, &str)]) -> (i32, Vec<String>) {
    let output = program.call(&["check"], extra);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

fn faults(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("FAULT  ")).collect()
}

fn beside_a_manager_at_work_all_is_there_and_nothing_changes(database: &Database) {
    let mut site = Site::start(database, &[]);
    site.report("lamp", &json!({"trn": 1, "on": true}));
    let before = site.twin("lamp");
    Direct::to(&site.url).join("hall", &["lamp"]);
    for version in ["5", "3.1.1"] {
        let (code, lines) = check(&site.program, &[("MQTT_VERSION", version)]);
        assert_eq!((code, faults(&lines)), (0, vec![]), "{lines:#?}");
        let has = |text: &str| {
            lines.iter().any(|line| line.starts_with("ok     ") && line.contains(text))
        };
        for text in [
            "can be written",
            "lets us in; it is ",
            "its tables are up to date; 1 twins are in it",
            "we may write to them",
            "the access table can be read; it knows 1 groups",
            "it grants all 12 subscriptions",
            "it is mosquitto version 2",
        ] {
            assert!(has(text), "{text:?} in {lines:#?}");
        }
        assert_eq!(has("it lets the manager publish on all 7 kinds of topics"), version == "5");
        assert_eq!(
            has("MQTT 3.1.1 has no way to say whether it lets the manager publish"),
            version == "3.1.1"
        );
        assert_eq!(has("its clock and ours agree"), matches!(database, Database::SharedMariaDb));
        assert_eq!(lines.last().unwrap(), "all that the manager needs is there");
    }
    assert_eq!(site.twin("lamp"), before);
    site.end();
    assert!(!site.program.output().contains("ERROR"), "{}", site.program.output());
}

fn a_database_that_is_not_up_to_date_or_has_another_table_says_so(database: &Database) {
    let mut site = Site::start(database, &[]);
    let sql = "ALTER TABLE mqtt_acl RENAME COLUMN topic TO filter";
    Direct::to(&site.url).execute(sql, sql);
    let (code, lines) = check(&site.program, &[]);
    assert_eq!(code, 69);
    let found = faults(&lines);
    assert!(
        found.len() == 1 && found[0].starts_with("groups cannot be read: mqtt_acl has neither"),
        "{found:?}"
    );
    assert_eq!(lines.last().unwrap(), "1 thing is missing");
    site.end();
    let sql = "DELETE FROM __diesel_schema_migrations WHERE version = '0003'";
    Direct::to(&site.url).execute(sql, sql);
    let (_, lines) = check(&site.program, &[]);
    let pending = "its tables are not up to date: the next start, or twinmgr migrate, runs 0003_what_was_deleted; that \
                   takes CREATE and ALTER";
    assert!(lines.iter().any(|line| line.contains(pending)), "{lines:#?}");
}

#[test]
fn what_the_broker_refuses_is_named_one_by_one() {
    let roles = r#"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true,
        "subscribe": true, "unsubscribe": true}, "clients": [], "anonymousGroup": "all",
        "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
        "roles": [{"rolename": "some", "acls": [
            {"acltype": "subscribePattern", "topic": "GRP/+/TWIN/SET", "allow": false},
            {"acltype": "publishClientSend", "topic": "TNG/+/STATE/SET", "allow": false},
            {"acltype": "publishClientSend", "topic": "TNG/+/TPC/RES/#", "allow": false}]}]}"#;
    let mut broker = Broker::start();
    broker.stop();
    fs::write(broker.folder().join("roles.json"), roles).unwrap();
    let plugin = dynamic_security();
    broker.configure(&format!("plugin {plugin}\nplugin_opt_config_file {{folder}}/roles.json"));
    broker.run();
    let folder = tempfile::tempdir().unwrap();
    let url = Database::Sqlite.fresh_url(folder.path());
    // The plugin knows no users, and lets in who has no name.
    let program = Twinmgr::start_in(folder, broker.port(), &url, &[("MQTT_USER", "")]);
    let (code, lines) = check(&program, &[]);
    let (port, who) = (broker.port(), "client \"twinmgr\" without a user name must be allowed to");
    let refused = format!("broker 127.0.0.1:{port} refused");
    assert_eq!(
        (code, faults(&lines)),
        (
            69,
            vec![
                format!("{refused} the subscription to GRP/+/TWIN/SET: not authorized; {who} subscribe to it").as_str(),
                format!("{refused} a publish: not authorized; {who} publish to TNG/+/STATE/SET").as_str(),
                format!("{refused} a publish: not authorized; {who} publish to TNG/+/TPC/RES/#").as_str(),
            ]
        )
    );
    assert_eq!(lines.last().unwrap(), "3 things are missing");
    assert!(lines.iter().any(|line| line.contains("we are client \"twinmgr-check-")), "{lines:#?}");
}

#[test]
fn limits_that_lose_messages_are_faults() {
    let broker = Broker::start_with("max_packet_size 5000\npersistent_client_expiration 1h\n");
    let site = Site::start_at(broker, &Database::Sqlite, &[]);
    let (code, lines) = check(&site.program, &[]);
    let port = site.broker.port();
    assert_eq!(
        (code, faults(&lines)),
        (
            69,
            vec![
                format!(
                    "broker 127.0.0.1:{port} takes packets of 5000 bytes, and twins may have 262144; raise its limit, \
                     or lower TWIN_PAYLOAD_LIMIT"
                )
                .as_str()
            ]
        )
    );
    let (code, _) = check(&site.program, &[("TWIN_PAYLOAD_LIMIT", "4000")]);
    assert_eq!(code, 0);
}

#[test]
fn who_is_not_there_is_said_for_each_and_the_others_are_looked_at_all_the_same() {
    let server = MariaDb::start_with(vec!["--max-allowed-packet=1048576".to_owned()]);
    let database = Database::MariaDb(server);
    let mut site = Site::start(&database, &[]);
    let packet = "takes statements of 1048576 bytes, and a transaction may have 4194304; raise max_allowed_packet, or \
                  lower TWIN_BATCH_BYTES";
    let (code, lines) = check(&site.program, &[]);
    assert!(
        code == 69 && faults(&lines).len() == 1 && lines.iter().any(|line| line.contains(packet)),
        "{lines:#?}"
    );
    site.program.kill();
    let port = support::port::free_port().to_string();
    let gone = format!("mysql://m:p@127.0.0.1:{port}/twins");
    let (code, lines) = check(
        &site.program,
        &[("MQTT_PORT", &port), ("TWIN_DB_URL", &gone), ("TWIN_DATA_DIR", "/proc/1")],
    );
    assert_eq!(code, 69);
    let found = faults(&lines);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("data folder /proc/1: "), "{}", found[0]);
    assert!(found[1].contains(" does not answer: "), "{}", found[1]);
    assert!(found[2].contains(" is not reached: "), "{}", found[2]);
    let wrong = site.program.call(&["check"], &[("MQTT_VERSION", "4")]);
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn where_it_takes_the_managers_place_it_stops_and_says_so_and_the_manager_comes_back_to_its_session()
 {
    // Such a listener wants user names of all, which the test's own clients do not have.
    let port = support::port::free_port().to_string();
    let broker =
        Broker::start_with(&format!("listener {port} 127.0.0.1\nuse_username_as_clientid true"));
    let mut site = Site::start_at(broker, &Database::Sqlite, &[("MQTT_PORT", &port)]);
    site.report("lamp", &json!({"on": true}));
    let (code, lines) = check(&site.program, &[]);
    let line = format!(
        "broker 127.0.0.1:{port} takes the user name for the client id, and took us for the manager, which has to connect \
         anew; do not check there"
    );
    assert_eq!((code, faults(&lines)), (69, vec![line.as_str()]));
    let connected = || site.program.output().matches(": connected, session ").count();
    wait_for("the manager's return", PATIENCE, || (connected() == 2).then_some(()));
    assert_eq!(site.program.output().matches(" (kept)\n").count(), 1);
    assert_eq!(site.twin("lamp")["online"], true);
}
