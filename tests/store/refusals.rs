//! What the database does not take.

use std::{
    env,
    process::{self, Command},
};

use twinthing::store::Health;

use crate::bench::{Bench, Place, next, record, run};

crate::on_both! {
    a_twin_that_is_refused_alone_stops_no_other,
    several_refused_twins_are_each_found,
}

const REFUSES: [&str; 2] = [
    "CREATE TRIGGER refuses BEFORE INSERT ON twin WHEN NEW.clientId LIKE 'bad%'
     BEGIN SELECT RAISE(ABORT, 'no bad ones'); END",
    "CREATE TRIGGER refuses BEFORE INSERT ON twin FOR EACH ROW
     IF NEW.clientId LIKE 'bad%' THEN
       SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no bad ones';
     END IF",
];

fn a_twin_that_is_refused_alone_stops_no_other(place: &Place) {
    refuse(place, &[37]);
}

fn several_refused_twins_are_each_found(place: &Place) {
    refuse(place, &[0, 1, 50, 99, 150]);
}

fn refuse(place: &Place, bad: &[usize]) {
    run(async {
        let mut bench = Bench::start(place);
        place.execute(REFUSES[usize::from(place.is_mariadb())]);
        let name = |n| if bad.contains(&n) { format!("bad {n}") } else { format!("good {n}") };
        (0..200).for_each(|n| bench.commit(&name(n), record(1)));
        for _ in 0..200 {
            let answer = next(&mut bench.committed).await;
            let expected = answer.id.as_str().starts_with("bad").then_some("no bad ones");
            assert_eq!(answer.refused.as_deref(), expected, "{}", answer.id);
        }
        for n in 0..200 {
            assert_eq!(bench.load(&name(n)).await.is_some(), !bad.contains(&n));
        }
        assert!(bench.health.try_recv().is_err(), "the database was never away");
    });
}

#[test]
fn a_twin_larger_than_the_server_s_packet_is_refused_and_others_are_not() {
    run(async {
        let mut bench = Bench::start(&Place::mariadb());
        let mut large = record(1);
        large.reported = format!("{{\"n\":{}}}", "9".repeat(17 << 20));
        bench.commit("large", large);
        bench.commit("lamp", record(1));
        assert_eq!(bench.answer("lamp", 1).await.refused, None);
        bench.commit("lamp", record(2));
        assert_eq!(bench.answer("lamp", 2).await.refused, None);
        assert_eq!(bench.load("large").await, None);
        assert!(bench.health.try_recv().is_err(), "the database was never away");
    });
}

/// A trigger stands for the full disk: it refuses whatever is written, in the words of a full one.
const FULL: &str = "
CREATE TRIGGER full_twin BEFORE INSERT ON twin
BEGIN SELECT RAISE(ABORT, 'some words that nobody knows'); END;
CREATE TRIGGER full_manager BEFORE INSERT ON twin_manager
BEGIN SELECT RAISE(ABORT, 'some words that nobody knows'); END;";

#[test]
fn a_database_that_takes_nothing_is_away_and_no_twin_is_refused() {
    let place = Place::sqlite();
    run(async {
        let mut bench = Bench::start(&place);
        place.execute(FULL);
        (0..20).for_each(|n| bench.commit(&format!("thing {n}"), record(1)));
        let reason = Health::Away("some words that nobody knows".into());
        assert_eq!(next(&mut bench.health).await, reason);
        place.execute("DROP TRIGGER full_twin; DROP TRIGGER full_manager");
        assert_eq!(next(&mut bench.health).await, Health::Here);
        for _ in 0..20 {
            assert_eq!(next(&mut bench.committed).await.refused, None);
        }
    });
}

/// Runs this test again in a process whose files may have 2 MB, and lifts the limit from within.
#[test]
fn a_file_that_cannot_grow_is_waited_for() {
    if env::var_os("LIMITED").is_some() {
        return run(grows_beyond_its_limit(&Place::sqlite()));
    }
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 4096; LIMITED=1 exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "refusals::a_file_that_cannot_grow_is_waited_for", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

async fn grows_beyond_its_limit(place: &Place) {
    let mut bench = Bench::start(place);
    let mut large = record(1);
    large.reported = format!("{{\"n\":{}}}", "9".repeat(200_000));
    (0..20).for_each(|n| bench.commit(&format!("thing {n}"), large.clone()));
    let Health::Away(reason) = next(&mut bench.health).await else { panic!("here") };
    assert!(reason.contains("disk"), "{reason}");
    assert!(bench.committed.try_recv().is_err());
    let me = process::id().to_string();
    let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &me]).status();
    assert!(lifted.unwrap().success());
    assert_eq!(next(&mut bench.health).await, Health::Here);
    for n in 0..20 {
        assert_eq!(bench.load(&format!("thing {n}")).await.unwrap().record, large);
    }
}
