//! The database goes away and comes back: nothing is lost.

use std::{collections::HashMap, time::Duration};

use actix::clock::timeout;
use diesel::{Connection, MysqlConnection, SqliteConnection, connection::SimpleConnection};
use tokio::sync::mpsc::unbounded_channel;
use twinthing::store::{Change, Health, StoreSettings, Target};

use crate::{
    bench::{Bench, Place, next, record, run},
    mariadb::MariaDb,
};

fn quick(place: &Place) -> StoreSettings {
    StoreSettings { commit_timeout: Duration::from_secs(1), ..place.settings() }
}

/// Commits revisions of some twins one after the other, and with each a twin that comes but once.
async fn churn(bench: &mut Bench, revisions: std::ops::RangeInclusive<u64>) {
    for revision in revisions {
        for thing in 0..50 {
            bench.commit(&format!("thing {thing}"), record(revision));
        }
        bench.commit(&format!("once {revision}"), record(1));
        // Lets the store commit between two revisions; without it, all would go in one batch.
        timeout(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
    }
}

/// Waits until every twin is committed up to this revision.
async fn all_committed(bench: &mut Bench, revision: u64) {
    let mut newest = HashMap::new();
    while newest.len() < 50 || newest.values().any(|&newest| newest < revision) {
        let answer = next(&mut bench.committed).await;
        assert_eq!(answer.refused, None);
        if !answer.id.as_str().starts_with("thing") {
            continue;
        }
        let before = newest.insert(answer.id, answer.revision);
        assert!(before <= Some(answer.revision), "an older answer after a newer one");
    }
}

async fn assert_rows(bench: &Bench, revision: u64) {
    for thing in 0..50 {
        let row = bench.load(&format!("thing {thing}")).await.unwrap();
        assert_eq!(row.record, record(revision));
    }
    for revision in 1..=revision {
        assert!(bench.load(&format!("once {revision}")).await.is_some(), "once {revision} is lost");
    }
}

#[test]
fn a_server_that_is_killed_under_commits_loses_nothing() {
    let mut server = MariaDb::start();
    let place = Place::in_schema(server.fresh_schema());
    run(async {
        let mut bench = Bench::start(&place);
        churn(&mut bench, 1..=20).await;
        server.stop();
        churn(&mut bench, 21..=40).await;
        assert!(matches!(next(&mut bench.health).await, Health::Away(_)));
        server.restart();
        churn(&mut bench, 41..=60).await;
        all_committed(&mut bench, 60).await;
        assert_eq!(next(&mut bench.health).await, Health::Here);
        assert_rows(&bench, 60).await;
        assert!(
            bench.health.try_recv().is_err(),
            "told once that it is away, once that it is here"
        );
    });
}

#[test]
fn an_idle_store_notices_that_the_server_goes_and_comes() {
    let mut server = MariaDb::start();
    let place = Place::in_schema(server.fresh_schema());
    run(async {
        let mut bench = Bench::start(&place);
        server.stop();
        assert!(matches!(next(&mut bench.health).await, Health::Away(_)));
        server.restart();
        assert_eq!(next(&mut bench.health).await, Health::Here);
        bench.commit("lamp", record(1));
        bench.answer("lamp", 1).await;
        assert!(bench.health.try_recv().is_err(), "a connection lost long ago is no news");
    });
}

#[test]
fn what_is_asked_while_the_server_is_away_is_answered_after() {
    let mut server = MariaDb::start();
    let place = Place::in_schema(server.fresh_schema());
    run(async {
        let mut bench = Bench::start(&place);
        bench.commit("lamp", record(2));
        bench.answer("lamp", 2).await;
        // Apart from the rest, so that it can be watched while the rest asks.
        let mut health = std::mem::replace(&mut bench.health, unbounded_channel().1);
        server.stop();
        let asked = async {
            let lists = bench.unsettled(None, 5);
            let (row, ids) = tokio::join!(bench.load("lamp"), lists);
            assert_eq!((row.unwrap().record, ids), (record(2), vec!["lamp".to_owned()]));
        };
        let restarts = async {
            assert!(matches!(next(&mut health).await, Health::Away(_)));
            server.restart();
        };
        tokio::join!(asked, restarts);
    });
}

#[test]
fn a_server_that_hangs_is_given_up_and_no_older_row_wins() {
    let server = MariaDb::start();
    let place = Place::in_schema(server.fresh_schema());
    run(async {
        let mut bench = Bench::with(quick(&place));
        bench.commit("deleted", record(1));
        bench.answer("deleted", 1).await;
        churn(&mut bench, 1..=10).await;
        bench.commit("deleted", record(2));
        server.freeze();
        churn(&mut bench, 11..=20).await;
        let Health::Away(reason) = next(&mut bench.health).await else { panic!("here") };
        assert!(reason.starts_with("no answer for 1."), "{reason}");
        bench.change("deleted", 3, Change::Delete);
        churn(&mut bench, 21..=30).await;
        server.thaw();
        all_committed(&mut bench, 30).await;
        assert_eq!(next(&mut bench.health).await, Health::Here);
        bench.commit("last", record(1));
        bench.answer("last", 1).await;
        assert_rows(&bench, 30).await;
        assert_eq!(bench.load("deleted").await, None);
    });
}

#[test]
fn a_file_that_another_program_locks_is_waited_for() {
    let place = Place::sqlite();
    run(async {
        let mut bench = Bench::with(quick(&place));
        let Target::Sqlite(path) = &place.target else { panic!("{}", place.target) };
        let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        other.batch_execute("BEGIN IMMEDIATE").unwrap();
        bench.commit("lamp", record(1));
        assert!(matches!(next(&mut bench.health).await, Health::Away(_)));
        bench.commit("lamp", record(2));
        assert!(bench.committed.try_recv().is_err());
        other.batch_execute("ROLLBACK").unwrap();
        assert_eq!(bench.answer("lamp", 1).await.revision, 2);
        assert_eq!(next(&mut bench.health).await, Health::Here);
        assert_eq!(bench.load("lamp").await.unwrap().record, record(2));
    });
}

#[test]
fn a_lock_that_another_took_meanwhile_is_said_and_waited_for() {
    const LOCK: &str = "CONCAT('twinmgr:', MD5(DATABASE()))";
    let place = Place::mariadb();
    run(async {
        let mut bench = Bench::start(&place);
        let Target::MySql(url) = &place.target else { panic!("{}", place.target) };
        let mut other = MysqlConnection::establish(url).unwrap();
        let ours = place.texts(&format!("SELECT CAST(IS_USED_LOCK({LOCK}) AS CHAR) AS text"));
        other.batch_execute(&format!("KILL {}", ours[0].as_ref().unwrap())).unwrap();
        other.batch_execute(&format!("SELECT GET_LOCK({LOCK}, 5)")).unwrap();
        bench.commit("lamp", record(1));
        let Health::Away(reason) = next(&mut bench.health).await else { panic!("here") };
        assert!(reason.contains(" is in use by another manager (connection "), "{reason}");
        drop(other);
        assert_eq!(bench.answer("lamp", 1).await.refused, None);
        assert_eq!(next(&mut bench.health).await, Health::Here);
    });
}
