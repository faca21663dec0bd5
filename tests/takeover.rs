//! A database of TwinThingPyMQTT's TwinMgr is taken over as it stands, on MariaDB as in the field.
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

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{
    broker::Broker,
    database::{Database, Direct},
    program::Twinmgr,
    site::{PATIENCE, Site},
    wait_for,
};

/// The tables as TwinMgr and EMQX 4 made them: ids in three-byte UTF-8, compared without case.
const TABLES: &str = "
CREATE TABLE twin (
  clientId     varchar(80) NOT NULL PRIMARY KEY,
  reported     longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  reportedMeta longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  desired      longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  desiredMeta  longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  declined     longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  declinedMeta longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE mqtt_acl (
  id       int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  allow    int(1) DEFAULT 1,
  ipaddr   varchar(60) DEFAULT NULL,
  username varchar(100) DEFAULT NULL,
  clientid varchar(100) DEFAULT NULL,
  access   int(2) NOT NULL,
  topic    varchar(100) NOT NULL DEFAULT '',
  KEY (ipaddr), KEY (username), KEY (clientid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO mqtt_acl (clientid, access, topic) VALUES
  ('settled', 1, 'GRP/hall/TPC/#'), ('pending', 3, 'GRP/hall/TPC/#');
";

/// Documents as text, or NULL: reported, its times, desired, its times, declined, its times.
type Documents = [Option<&'static str>; 6];

const META: &str =
    r#"{"timestamp":1700000000000000000,"trn":1700000000000000000,"on":1700000000000000000}"#;

/// What lies in the table, by id.
const ROWS: [(&str, Documents); 9] = [
    (
        "settled",
        [
            Some(r#"{"trn": 4, "on": true, "temp": 21.5, "net": {"ip": "::1"}}"#),
            Some(META),
            Some(r#"{"trn": 4}"#),
            Some(r#"{"timestamp":1,"trn":1}"#),
            Some("{}"),
            Some(r#"{"timestamp":1}"#),
        ],
    ),
    (
        "pending",
        [
            Some(r#"{"trn": 6, "on": false}"#),
            Some(META),
            Some(r#"{"trn": 7, "on": true}"#),
            Some(META),
            None,
            None,
        ],
    ),
    (
        "declined",
        [
            Some(r#"{"trn": 2, "on": false}"#),
            Some(META),
            None,
            None,
            Some(r#"{"on": true}"#),
            Some(META),
        ],
    ),
    ("Case", [Some(r#"{"trn": 1, "on": true}"#), None, None, None, None, None]),
    (
        "fän 50%",
        [Some(r#"{"trn": 1, "on": true}"#), Some(""), Some(""), Some(""), Some(""), Some("")],
    ),
    ("nothing", [None; 6]),
    ("json null", [Some("null"); 6]),
    ("broken", [Some(r#"{"trn": 1, "on":"#), None, None, None, None, None]),
    ("a list", [Some("[1, 2]"), None, None, None, None, None]),
];

/// A database as TwinMgr left it.
fn database() -> (Database, String) {
    let database = Database::mariadb();
    let folder = tempfile::tempdir().unwrap();
    let url = database.fresh_url(folder.path());
    let mut direct = Direct::to(&url);
    direct.execute(TABLES, TABLES);
    for (id, documents) in ROWS {
        let text = |document: Option<&str>| match document {
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            None => "NULL".to_owned(),
        };
        let values = documents.map(text).join(", ");
        let insert = format!("INSERT INTO twin VALUES ('{id}', {values})");
        direct.execute(&insert, &insert);
    }
    (database, url)
}

/// The seven columns that TwinMgr knows.
fn rows(url: &str) -> String {
    let columns = "clientId, reported, reportedMeta, desired, desiredMeta, declined, declinedMeta";
    Direct::to(url).rows("twin", columns)
}

fn start(url: &str) -> Site {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let program = Twinmgr::start_in(folder, broker.port(), url, &[]);
    Site::of(broker, program, url.to_owned())
}

#[test]
fn every_twin_answers_as_it_was_and_nothing_in_the_table_changes() {
    let (_database, url) = database();
    let before = rows(&url);
    let mut site = start(&url);
    let twin = |site: &mut Site, id: &str| site.twin(id);
    let settled = twin(&mut site, "settled");
    assert_eq!(
        settled["reported"],
        json!({"trn": 4, "on": true, "temp": 21.5, "net": {"ip": "::1"}})
    );
    assert_eq!(settled["reportedMeta"]["on"], json!(1_700_000_000_000_000_000_u64));
    assert_eq!(settled["desired"], json!({"trn": 4}));
    assert_eq!((&settled["version"], &settled["online"]), (&json!(1), &Value::Null));
    let declined = twin(&mut site, "declined");
    assert_eq!((&declined["declined"], &declined["desired"]), (&json!({"on": true}), &json!({})));
    for id in ["nothing", "json null"] {
        let twin = twin(&mut site, id);
        for document in ["reported", "desired", "declined"] {
            assert_eq!(twin[document], json!({}), "{id}: {twin}");
        }
        assert_eq!(twin["version"], 1, "{id}");
    }
    assert_eq!(twin(&mut site, "fän 50%")["reported"], json!({"trn": 1, "on": true}));
    assert_eq!(twin(&mut site, "Case")["reported"], json!({"trn": 1, "on": true}));
    assert_eq!(twin(&mut site, "case")["version"], 0, "another thing from here on");
    let members = json!({"select": ["clientId"], "orient": "values"});
    site.client.publish_json("GRP/hall/TWIN/GET", &members);
    let answer = site.client.expect("GRP/hall/TWIN/RES", PATIENCE).json();
    assert_eq!(answer["res"], json!([["pending"], ["settled"]]));
    for (id, column) in [("broken", "reported"), ("a list", "reported")] {
        site.client.publish(&format!("TNG/{id}/TWIN/GET"), "{}");
        let answer = site.client.expect(&format!("TNG/{id}/TWIN/RES"), PATIENCE).json();
        assert_eq!(answer["error"]["code"], 503, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(column), "{answer}");
    }
    site.end();
    // What was pending is not any more; the order is another one, as ids compare byte by byte now.
    let others = |rows: &str| {
        let others = rows.lines().filter(|row| !row.starts_with("pending|")).map(str::to_owned);
        others.collect::<BTreeSet<_>>()
    };
    assert_eq!(others(&rows(&url)), others(&before));
    assert_eq!(others(&before).len(), ROWS.len() - 1);
}

#[test]
fn what_was_pending_is_delivered_and_settled() {
    let (_database, url) = database();
    let mut site = start(&url);
    let delta = site.client.expect("TNG/pending/STATE/SET", PATIENCE).json();
    let trn = delta["delta"]["trn"].as_u64().unwrap();
    assert_eq!(delta["delta"]["on"], true);
    assert!(trn > 6, "above what the thing has seen: {delta}");
    site.say("pending", "LC/ON", &json!({"online": 1}));
    let state = site.client.expect("TNG/pending/STATE/SET", PATIENCE).json();
    assert_eq!(state, json!({"state": {"trn": 6, "on": false}}));
    let delta = site.client.expect("TNG/pending/STATE/SET", PATIENCE).json();
    site.say("pending", "STATE/UPD", &json!({"delta": delta["delta"]}));
    let twin = site.twin("pending");
    assert_eq!((&twin["reported"]["on"], &twin["desired"]["on"]), (&json!(true), &Value::Null));
}

#[test]
fn rows_that_cannot_be_read_are_named_when_the_tables_are_taken_over() {
    let (_database, url) = database();
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &[]);
    program.ready(&mut support::client::Client::connect(broker.port()));
    let said = wait_for("a line about them", PATIENCE, || {
        let said = program.output();
        said.contains("twins cannot be read").then_some(said)
    });
    assert!(said.contains("2 twins cannot be read") && said.contains("a list, broken"), "{said}");
}

#[test]
fn twinmgr_of_old_could_go_on_with_the_table() {
    let (_database, url) = database();
    let mut site = start(&url);
    site.report("new", &json!({"trn": 1, "on": true}));
    site.twin("new");
    site.end();
    let mut direct = Direct::to(&url);
    // What it does: all columns that it knows, and no others.
    let insert = "INSERT INTO twin (clientId, reported, reportedMeta, desired, desiredMeta, declined, declinedMeta)
        VALUES ('by the old one', '{\"trn\": 1, \"n\": 1}', '{}', '{}', '{}', '{}', '{}')";
    direct.execute(insert, insert);
    let update = "UPDATE twin SET reported = '{\"trn\": 2, \"on\": false}' WHERE clientId = 'new'";
    direct.execute(update, update);
    assert!(rows(&url).contains("new|{\"trn\": 2, \"on\": false}|"));
    site.program.start_again();
    site.ready();
    assert_eq!(site.twin("by the old one")["reported"], json!({"trn": 1, "n": 1}));
    assert_eq!(site.twin("new")["reported"], json!({"trn": 2, "on": false}));
}
