//! One manager for one database, and what a start says that goes wrong.

use actix::prelude::*;
use twinthing::store::{Health, StoreError, StoreSettings, Target, migrate, start};

use crate::{
    bench::{Bench, Place, record, run, until},
    mariadb::MariaDb,
};

crate::on_both! {
    a_second_manager_is_locked_out,
    a_manager_that_has_ended_locks_nobody_out,
}

struct Deaf;

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<Health> for Deaf {
    type Result = ();

    fn handle(&mut self, _: Health, _: &mut Context<Self>) {}
}

fn refusal(settings: StoreSettings) -> StoreError {
    start(settings, 1, Deaf.start().recipient()).expect_err("it started")
}

fn refusal_of(target: Target) -> String {
    migrate(&target).unwrap_err().to_string()
}

fn a_second_manager_is_locked_out(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        let error = refusal(place.settings());
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        let start = format!("{} is in use by another manager (", place.target);
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().ends_with("); stop that one first"), "{error}");
        assert!(matches!(migrate(&place.target), Err(StoreError::Locked { .. })));
        bench.commit("lamp", record(1));
        assert_eq!(bench.answer("lamp", 1).await.refused, None);
    });
}

fn a_manager_that_has_ended_locks_nobody_out(place: &Place) {
    for _ in 0..3 {
        run(async { drop(Bench::start(place)) });
    }
}

#[test]
fn managers_of_different_schemas_do_not_meet() {
    run(async {
        let (one, other) = (Place::mariadb(), Place::mariadb());
        let _benches = (Bench::start(&one), Bench::start(&other));
    });
}

#[test]
fn a_store_without_addresses_ends_once_all_is_committed() {
    let place = Place::sqlite();
    run(async {
        let mut bench = Bench::start(&place);
        bench.commit("lamp", record(1));
        let Bench { store, .. } = &mut bench;
        let weak = store.downgrade();
        let mut committed = bench.committed;
        drop(bench.store);
        assert_eq!(crate::bench::next(&mut committed).await.revision, 1);
        until("the store has ended", || weak.upgrade().is_none()).await;
    });
    assert_eq!(place.texts("SELECT clientId AS text FROM twin"), [Some("lamp".into())]);
}

#[test]
fn what_goes_wrong_at_the_start_is_said() {
    let url = MariaDb::shared().fresh_schema();
    let place = url.split_once('@').unwrap().1.to_owned();
    let server = place.split_once('/').unwrap().0.to_owned();
    let with = |url: String| refusal_of(Target::parse(&url).unwrap());
    assert_eq!(
        with(format!("mysql://manager:secret@{place}")),
        format!(
            "mysql://{place} does not let us in: Access denied for user 'manager'@'127.0.0.1' \
             (using password: YES); correct user, password or grants"
        )
    );
    let unknown = with(url.replace("twins_", "unknown_"));
    let text = "; create the schema, or correct its name";
    assert!(unknown.contains(" is not there: Unknown database ") && unknown.ends_with(text));
    let nobody = with(url.replace(&server, "127.0.0.1:1"));
    let text = "; start the database, or correct its address";
    assert!(nobody.contains(" does not answer: ") && nobody.ends_with(text), "{nobody}");
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/twins.db");
    let error = refusal_of(Target::Sqlite(path.clone()));
    assert!(error.starts_with(&format!("sqlite://{} cannot be opened: ", path.display())));
    assert!(error.ends_with("; its folder and the file must be writable"), "{error}");
}
