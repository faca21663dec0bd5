//! Who is a member of a group, by each layout of the broker's access table, as the program shows it.
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

use std::process::{Command, Output};

use support::database::{Database, Direct};
use tempfile::TempDir;

/// EMQX 4's table is there after migrating.
const FOUR: &str = "
    INSERT INTO mqtt_acl (id, allow, ipaddr, username, clientid, access, topic) VALUES
    (1, 1, NULL, '$all', NULL, 2, '#'),
    (2, 0, NULL, '$all', NULL, 1, '$SYS/#'),
    (3, 0, NULL, '$all', NULL, 1, 'eq #'),
    (4, 1, '127.0.0.1', NULL, NULL, 2, '$SYS/#'),
    (5, 0, NULL, NULL, 'late', 3, 'GRP/hall/TPC/#'),
    (10, 1, NULL, NULL, 'lamp', 1, 'GRP/hall/TPC/#'),
    (11, 1, NULL, 'user-lamp', '', 3, 'eq GRP/hall/TPC/#'),
    (12, 1, NULL, 'ignored', 'Lamp', 1, 'GRP/hall/TPC/#'),
    (13, 1, NULL, NULL, 'publisher', 2, 'GRP/hall/TPC/#'),
    (14, 1, NULL, NULL, 'late', 1, 'GRP/hall/TPC/#'),
    (15, 1, '10.0.0.1', NULL, NULL, 1, 'GRP/hall/TPC/#'),
    (16, 1, NULL, NULL, 'other', 1, 'GRP/Hall/TPC/#'),
    (17, 1, NULL, NULL, '50%', 1, 'GRP/it''s 100% \"_x\"/TPC/#'),
    (18, 0, NULL, NULL, 'known2', 1, 'GRP/everybody/TPC/#'),
    (19, 1, NULL, '$all', NULL, 1, 'GRP/everybody/TPC/#'),
    (20, 1, NULL, NULL, 'unknown', 1, 'GRP/everybody/TPC/#');";

const FIVE: &str = "
    DROP TABLE mqtt_acl;
    CREATE TABLE mqtt_acl (
      id int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
      ipaddress varchar(60) NOT NULL DEFAULT '',
      username varchar(255) NOT NULL DEFAULT '',
      clientid varchar(255) NOT NULL DEFAULT '',
      action enum('publish','subscribe','all') NOT NULL,
      permission enum('allow','deny') NOT NULL,
      topic varchar(255) NOT NULL DEFAULT '',
      qos tinyint(1), retain tinyint(1)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;";

const FIVE_ROWS: &str = "
    INSERT INTO mqtt_acl (id, ipaddress, username, clientid, action, permission, topic) VALUES
    (1, '', '$all', '', 'publish', 'allow', '#'),
    (3, '', '$all', '', 'subscribe', 'deny', 'eq #'),
    (4, '127.0.0.1', '', '', 'all', 'allow', '$SYS/#'),
    (5, '', '', 'late', 'all', 'deny', 'GRP/hall/TPC/#'),
    (10, '', '', 'lamp', 'subscribe', 'allow', 'GRP/hall/TPC/#'),
    (11, '', 'user-lamp', '', 'all', 'allow', 'eq GRP/hall/TPC/#'),
    (12, '', 'ignored', 'Lamp', 'subscribe', 'allow', 'GRP/hall/TPC/#'),
    (13, '', '', 'publisher', 'publish', 'allow', 'GRP/hall/TPC/#'),
    (14, '', '', 'late', 'subscribe', 'allow', 'GRP/hall/TPC/#'),
    (15, '10.0.0.1', '', '', 'subscribe', 'allow', 'GRP/hall/TPC/#'),
    (16, '', '', 'other', 'subscribe', 'allow', 'GRP/Hall/TPC/#'),
    (17, '', '', '50%', 'subscribe', 'allow', 'GRP/it''s 100% \"_x\"/TPC/#'),
    (18, '', '', 'known2', 'subscribe', 'deny', 'GRP/everybody/TPC/#'),
    (19, '', '$all', '', 'subscribe', 'allow', 'GRP/everybody/TPC/#'),
    (20, '', '', 'unknown', 'subscribe', 'allow', 'GRP/everybody/TPC/#');";

/// The other form that EMQX 5's pages show: users only.
const FIVE_WITHOUT_CLIENTS: &str = "
    DROP TABLE mqtt_acl;
    CREATE TABLE mqtt_acl (
      id int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
      username varchar(255) NOT NULL,
      permission varchar(5) NOT NULL,
      action varchar(9) NOT NULL,
      topic varchar(100) NOT NULL,
      qos tinyint(1), retain tinyint(1)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;";

const FIVE_WITHOUT_CLIENTS_ROWS: &str = "
    INSERT INTO mqtt_acl (id, username, permission, action, topic) VALUES
    (5, 'late', 'deny', 'all', 'GRP/hall/TPC/#'),
    (10, 'lamp', 'allow', 'subscribe', 'GRP/hall/TPC/#'),
    (11, 'user-lamp', 'allow', 'all', 'eq GRP/hall/TPC/#'),
    (12, 'Lamp', 'allow', 'subscribe', 'GRP/hall/TPC/#'),
    (13, 'publisher', 'allow', 'publish', 'GRP/hall/TPC/#'),
    (14, 'late', 'allow', 'subscribe', 'GRP/hall/TPC/#'),
    (15, '', 'allow', 'subscribe', 'GRP/hall/TPC/#'),
    (16, 'other', 'allow', 'subscribe', 'GRP/Hall/TPC/#'),
    (17, '50%', 'allow', 'subscribe', 'GRP/it''s 100% \"_x\"/TPC/#'),
    (18, 'known2', 'deny', 'subscribe', 'GRP/everybody/TPC/#'),
    (19, '$all', 'allow', 'subscribe', 'GRP/everybody/TPC/#'),
    (20, 'unknown', 'allow', 'subscribe', 'GRP/everybody/TPC/#');";

/// A migrated database with two twins, and what the program says of it.
struct Site {
    folder: TempDir,
    url: String,
}

impl Site {
    fn new(database: &Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database.fresh_url(folder.path());
        let site = Self { folder, url };
        assert!(site.run(&["migrate"]).status.success());
        site.execute("INSERT INTO twin (clientId) VALUES ('known1'), ('known2'), ('no/thing');");
        site
    }

    fn execute(&self, sql: &str) {
        Direct::to(&self.url).execute(sql, sql);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_twinmgr"))
            .args(arguments)
            .env_clear()
            .env("TWIN_DB_URL", &self.url)
            .env("TWIN_DATA_DIR", self.folder.path())
            .output()
            .unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn check(&self) {
        assert_eq!(
            self.says(&["groups"]),
            "Hall  1 thing\neverybody  2 things\nhall  3 things\nit's 100% \"_x\"  1 thing\n"
        );
        assert_eq!(self.says(&["members", "hall"]), "Lamp\nlamp\nuser-lamp\n");
        assert_eq!(self.says(&["members", "Hall"]), "other\n");
        assert_eq!(self.says(&["members", "everybody"]), "known1\nunknown\n");
        assert_eq!(self.says(&["members", "it's 100% \"_x\""]), "50%\n");
        for nobody in ["%", "h_ll", "x' OR '1'='1", "nothing"] {
            assert_eq!(self.says(&["members", nobody]), "", "{nobody}");
        }
        assert_eq!(
            self.says(&["members", "hall", "--explain"]),
            "Lamp  member  row 12 of mqtt_acl allows it\n\
             lamp  member  row 10 of mqtt_acl allows it\n\
             late  no member  row 5 of mqtt_acl denies it\n\
             user-lamp  member  row 11 of mqtt_acl allows it\n\
             row 15 of mqtt_acl is passed over: it names nobody\n"
        );
    }
}

#[test]
fn members_are_those_that_emqx_4_lets_subscribe_on_sqlite() {
    let site = Site::new(&Database::Sqlite);
    site.execute(FOUR);
    site.check();
}

#[test]
fn members_are_those_that_emqx_5_lets_subscribe_on_sqlite() {
    let site = Site::new(&Database::Sqlite);
    let in_sqlite = |table: &str| {
        table
            .replace("int(11) unsigned NOT NULL AUTO_INCREMENT", "INTEGER")
            .replace("enum('publish','subscribe','all')", "TEXT")
            .replace("enum('allow','deny')", "TEXT")
            .replace("ENGINE=InnoDB DEFAULT CHARSET=utf8mb4", "")
    };
    site.execute(&in_sqlite(FIVE));
    site.execute(FIVE_ROWS);
    site.check();
    site.execute(&in_sqlite(FIVE_WITHOUT_CLIENTS));
    site.execute(FIVE_WITHOUT_CLIENTS_ROWS);
    site.check();
}

#[test]
fn members_are_those_that_emqx_4_and_5_let_subscribe_on_mariadb() {
    let site = Site::new(&Database::SharedMariaDb);
    site.execute(FOUR);
    site.check();
    site.execute(FIVE);
    site.execute(FIVE_ROWS);
    site.check();
    site.execute(FIVE_WITHOUT_CLIENTS);
    site.execute(FIVE_WITHOUT_CLIENTS_ROWS);
    site.check();
}

#[test]
fn a_group_of_which_nothing_is_known_is_said_to_be_one() {
    let site = Site::new(&Database::Sqlite);
    let file = &site.url;
    assert_eq!(
        site.says(&["groups"]),
        format!("{file}: no row of mqtt_acl names a group (GRP/…/TPC/#)\n")
    );
    assert_eq!(
        site.says(&["members", "hall", "--explain"]),
        format!("{file}: no row of mqtt_acl is about GRP/hall/TPC/#\n")
    );
}

#[test]
fn a_table_that_is_neither_and_a_wrong_name_are_errors() {
    let site = Site::new(&Database::Sqlite);
    let error = |arguments: &[&str]| {
        let output = site.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = error(&["members", "a/b"]);
    assert_eq!(code, 64);
    assert!(said.contains("\"a/b\" holds '/'"), "{said}");
    site.execute("ALTER TABLE mqtt_acl RENAME COLUMN access TO may;");
    let (code, said) = error(&["members", "hall"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("mqtt_acl has neither id, allow, access, clientid, username and topic, as in EMQX 4, nor id, permission, action, username and topic, as in EMQX 5, but id, allow, ipaddr, username, clientid, may, topic"),
        "{said}"
    );
    site.execute("DROP TABLE mqtt_acl;");
    let (code, said) = error(&["groups"]);
    assert_eq!(code, 1);
    assert!(said.contains("there is no table mqtt_acl; twinmgr migrate makes it"), "{said}");
    std::fs::remove_file(site.url.strip_prefix("sqlite://").unwrap()).unwrap();
    let (code, said) = error(&["groups"]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot be opened"), "{said}");
    assert!(!std::path::Path::new(site.url.strip_prefix("sqlite://").unwrap()).exists());
}

#[test]
fn rows_that_say_nothing_sensible_are_passed_over_on_sqlite() {
    let site = Site::new(&Database::Sqlite);
    site.execute(
        "INSERT INTO mqtt_acl (id, allow, clientid, access, topic) VALUES
         (1, NULL, 'lamp', 1, 'GRP/hall/TPC/#'),
         (2, 'yes', 'lamp', 1, 'GRP/hall/TPC/#'),
         (3, 1, CAST(x'6cff' AS TEXT), 1, 'GRP/hall/TPC/#'),
         (4, 1, 'lamp', 1, CAST(x'ff' AS TEXT)),
         (5, 1, 'lamp', 1, 'GRP/hall/TPC/#');",
    );
    assert_eq!(
        site.says(&["members", "hall", "--explain"]),
        "lamp  member  row 5 of mqtt_acl allows it\n\
         row 1 of mqtt_acl is passed over: it neither allows nor denies\n\
         row 2 of mqtt_acl is passed over: it neither allows nor denies\n\
         row 3 of mqtt_acl is passed over: it names nobody\n"
    );
}
