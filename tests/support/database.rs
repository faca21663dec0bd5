//! The databases that a system test runs on, as one thing to ask for an empty one.

use std::path::Path;

use diesel::{
    Connection, MysqlConnection, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_query,
    sql_types::{Nullable, Text},
};

use super::mariadb::MariaDb;

/// A kind of database, ready to give empty ones.
pub enum Database {
    /// A file in the program's own folder.
    Sqlite,
    /// A schema on a server that the test started.
    MariaDb(MariaDb),
    /// A schema on the server that all tests of the file share.
    SharedMariaDb,
}

impl Database {
    /// A server of the test's own.
    pub fn mariadb() -> Self {
        Self::MariaDb(MariaDb::start())
    }

    /// The URL of an empty database; a file lies in `folder`.
    pub fn fresh_url(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite => sqlite_url(folder),
            Self::MariaDb(server) => server.fresh_schema(),
            Self::SharedMariaDb => MariaDb::shared().fresh_schema(),
        }
    }
}

/// The URL of the database file in this folder, an absolute path.
pub fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("twins.sqlite").display())
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Document {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

/// A connection of the test's own to either database.
pub enum Direct {
    Sqlite(SqliteConnection),
    MariaDb(MysqlConnection),
}

impl Direct {
    /// Connects to the database of this URL.
    pub fn to(url: &str) -> Self {
        match url.strip_prefix("sqlite://") {
            Some(path) => {
                let mut db = SqliteConnection::establish(path).unwrap();
                db.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
                Self::Sqlite(db)
            }
            None => Self::MariaDb(MysqlConnection::establish(url).unwrap()),
        }
    }

    /// Does one thing on SQLite, or another on MariaDB.
    pub fn execute(&mut self, on_sqlite: &str, on_mariadb: &str) {
        match self {
            Self::Sqlite(db) => db.batch_execute(on_sqlite).unwrap(),
            Self::MariaDb(db) => db.batch_execute(on_mariadb).unwrap(),
        }
    }

    /// Has these be members of a group, by rows as EMQX 4 has them.
    pub fn join(&mut self, group: &str, members: &[impl AsRef<str>]) {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let topic = quoted(&format!("GRP/{group}/TPC/#"));
        for members in members.chunks(1000) {
            let row = |id: &str| format!("(1, {}, 1, {topic})", quoted(id));
            let rows: Vec<_> = members.iter().map(|id| row(id.as_ref())).collect();
            let insert = "INSERT INTO mqtt_acl (allow, clientid, access, topic) VALUES";
            let sql = format!("{insert} {}", rows.join(", "));
            self.execute(&sql, &sql);
        }
    }

    /// The rows of a table as text, by these columns, in the order of the first.
    pub fn rows(&mut self, table: &str, columns: &str) -> String {
        let each: Vec<_> =
            columns.split(", ").map(|column| format!("COALESCE({column}, 'NULL')")).collect();
        let order = columns.split(',').next().unwrap_or_default();
        let on_sqlite =
            format!("SELECT {} AS line FROM {table} ORDER BY {order}", each.join(" || '|' || "));
        let on_mariadb = format!(
            "SELECT CONCAT_WS('|', {}) AS line FROM {table} ORDER BY {order}",
            each.join(", ")
        );
        let lines: Vec<Line> = match self {
            Self::Sqlite(db) => sql_query(on_sqlite).load(db).unwrap(),
            Self::MariaDb(db) => sql_query(on_mariadb).load(db).unwrap(),
        };
        lines.into_iter().map(|line| line.line).collect::<Vec<_>>().join("\n")
    }

    /// Has the database hand over id and reported document of all twins, in order of id, and counts them.
    pub fn documents(&mut self) -> usize {
        const READ: &str = "SELECT clientId AS id, reported AS line FROM twin ORDER BY clientId";
        let documents: Vec<Document> = match self {
            Self::Sqlite(db) => sql_query(READ).load(db).unwrap(),
            Self::MariaDb(db) => sql_query(READ).load(db).unwrap(),
        };
        documents
            .iter()
            .filter(|document| !document.id.is_empty() && document.line.is_some())
            .count()
    }

    /// Lets nobody else write, for as long as this connection lives.
    pub fn hold(mut self) -> Self {
        self.execute("BEGIN IMMEDIATE", "LOCK TABLES twin READ");
        self
    }
}
