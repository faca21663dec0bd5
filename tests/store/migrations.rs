//! The tables through time: up, down and up again, and those of the original.

use diesel::{Connection, MysqlConnection, SqliteConnection};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use twinthing::store::{Row, Target, migrate};

use crate::bench::{Bench, Place, record, run};

crate::on_both! {
    the_original_s_tables_are_taken_over,
    migrating_twice_runs_nothing_twice,
    documents_survive_down_and_up_again,
    a_migration_that_does_not_run_is_named,
}

const ALL: [&str; 4] = [
    "0001_original_tables",
    "0002_what_the_rules_need",
    "0003_what_was_deleted",
    "0004_passwords_for_mosquitto",
];

/// The original's tables in MySQL, some rows in them.
const ORIGINAL: &str = "
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
  id int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, allow int(1) DEFAULT 1,
  ipaddr varchar(60) DEFAULT NULL, username varchar(100) DEFAULT NULL,
  clientid varchar(100) DEFAULT NULL, access int(2) NOT NULL,
  topic varchar(100) NOT NULL DEFAULT ''
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO mqtt_acl (clientid, access, topic) VALUES ('lamp', 3, 'GRP/kitchen');";

/// The same in SQLite.
const ORIGINAL_IN_SQLITE: &str = "
CREATE TABLE twin (clientId TEXT NOT NULL PRIMARY KEY, reported TEXT, reportedMeta TEXT,
  desired TEXT, desiredMeta TEXT, declined TEXT, declinedMeta TEXT);
CREATE TABLE mqtt_acl (id INTEGER PRIMARY KEY, allow INTEGER, ipaddr TEXT, username TEXT,
  clientid TEXT, access INTEGER NOT NULL, topic TEXT NOT NULL DEFAULT '');
INSERT INTO mqtt_acl (clientid, access, topic) VALUES ('lamp', 3, 'GRP/kitchen');";

const ROWS: &str = "
INSERT INTO twin (clientId, reported, desired, declined) VALUES ('lamp', '{\"on\":true}', '', NULL);
INSERT INTO twin (clientId, desired) VALUES ('fän', '{\"speed\":3}');";

fn the_original_s_tables_are_taken_over(place: &Place) {
    place.execute(if place.is_mariadb() { ORIGINAL } else { ORIGINAL_IN_SQLITE });
    place.execute(ROWS);
    run(async {
        let mut bench = Bench::start(place);
        assert_eq!(bench.opening.things, 2);
        assert_eq!(bench.unsettled(None, 9).await, ["fän", "lamp"]);
        let Row { record: lamp, untold, applied } = bench.load("lamp").await.unwrap();
        assert_eq!((lamp.version, lamp.revision, lamp.unsettled), (1, 1, true));
        assert_eq!((lamp.online, lamp.session, untold), (None, 0, false));
        assert_eq!((applied.epoch, applied.number), (0, 0));
        let documents = [lamp.reported, lamp.desired, lamp.declined, lamp.declined_meta, lamp.sent];
        assert_eq!(documents, [r#"{"on":true}"#, "{}", "{}", "{}", "{}"]);
        assert_eq!(bench.load("fän").await.unwrap().record.desired, r#"{"speed":3}"#);
        assert_eq!(bench.load("Lamp").await, None);
        bench.commit("Lamp", record(2));
        assert_eq!(bench.answer("Lamp", 2).await.refused, None);
    });
    assert_eq!(place.texts("SELECT topic AS text FROM mqtt_acl"), [Some("GRP/kitchen".into())]);
    assert!(place.texts("SELECT username AS text FROM mqtt_user").is_empty());
}

fn migrating_twice_runs_nothing_twice(place: &Place) {
    assert_eq!(migrate(&place.target).unwrap(), ALL);
    assert!(migrate(&place.target).unwrap().is_empty());
}

fn revert_all(target: &Target) {
    match target {
        Target::Sqlite(path) => {
            let mut db = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            let source = FileBasedMigrations::from_path("migrations/sqlite").unwrap();
            db.revert_all_migrations(source).unwrap();
        }
        Target::MySql(url) => {
            let mut db = MysqlConnection::establish(url).unwrap();
            let source = FileBasedMigrations::from_path("migrations/mysql").unwrap();
            db.revert_all_migrations(source).unwrap();
        }
    }
}

fn documents_survive_down_and_up_again(place: &Place) {
    let names = ["lamp", "Lamp", "fän", "fan"];
    run(async {
        let mut bench = Bench::start(place);
        for name in names {
            bench.commit(name, record(4));
        }
        bench.answer("fan", 4).await;
    });
    revert_all(&place.target);
    let ids = place.texts("SELECT clientId AS text FROM twin ORDER BY clientId");
    assert_eq!(ids, ["Lamp", "fan", "fän", "lamp"].map(|id| Some(id.into())));
    assert_eq!(migrate(&place.target).unwrap(), ALL);
    run(async {
        let bench = Bench::start(place);
        assert_eq!(bench.unsettled(None, 9).await, ["Lamp", "fan", "fän", "lamp"]);
        for name in names {
            let (now, then) = (bench.load(name).await.unwrap().record, record(4));
            assert_eq!((now.reported, now.reported_meta), (then.reported, then.reported_meta));
            assert_eq!((now.desired, now.desired_meta), (then.desired, then.desired_meta));
            assert_eq!((now.declined, now.declined_meta), (then.declined, then.declined_meta));
            assert_eq!((now.version, now.revision, now.unsettled), (1, 1, true));
        }
    });
}

fn a_migration_that_does_not_run_is_named(place: &Place) {
    place.execute("CREATE TABLE twin (name varchar(10)); CREATE TABLE twin_before (x int);");
    let error = migrate(&place.target).unwrap_err().to_string();
    let start = format!("{} could not be migrated: 0002_what_the_rules_need: ", place.target);
    assert!(error.starts_with(&start), "{error}");
}
