//! The kit of the system tests: a broker, a database, the built program, a client to talk with.
//!
//! A test takes what it needs and lets it fall: whatever was started ends with its value.
#![allow(dead_code, reason = "each test file uses a part of the kit")]

pub mod attack;
pub mod broker;
pub mod certs;
pub mod client;
pub mod conformance;
pub mod database;
pub mod hostile;
pub mod json;
pub mod library;
pub mod lines;
pub mod load;
pub mod mariadb;
pub mod port;
pub mod program;
pub mod proxy;
pub mod site;
pub mod tell;
pub mod tmpfs;
pub mod values;
pub mod wait;

#[allow(unused_imports, reason = "each test file uses a part of the kit")]
pub use wait::wait_for;

/// Runs each test on SQLite and on MariaDB: a function that is given the database.
#[allow(unused_macros, reason = "each test file uses a part of the kit")]
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::$test(&$crate::support::database::Database::Sqlite);
            })+
        }
        mod on_mariadb {
            $(#[test]
            fn $test() {
                super::$test(&$crate::support::database::Database::SharedMariaDb);
            })+
        }
    };
}
#[allow(unused_imports, reason = "each test file uses a part of the kit")]
pub(crate) use on_both_databases;
