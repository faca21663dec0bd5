//! What is put in comes out, and the newest revision stays.

use std::time::{Duration, Instant};

use twinthing::store::{Applied, Change, Finish, ForgetBefore, Row, SaveSession};

use crate::bench::{Bench, Place, id, record, run};

crate::on_both! {
    a_twin_comes_out_as_it_went_in,
    ids_compare_byte_by_byte,
    a_million_nines_are_kept,
    many_twins_are_committed_and_loaded,
    a_newer_revision_replaces_and_an_equal_or_lower_one_does_not,
    the_newest_commit_answers_for_those_before_it,
    a_deleted_twin_is_gone_and_can_come_again,
    an_older_delete_deletes_nothing,
    the_unsettled_come_in_pages,
    the_session_is_kept,
    what_is_told_need_not_be_told_again_unless_it_changed_since,
    what_is_told_is_written_down_within_seconds_of_silence,
    each_start_has_an_epoch_above_all_before,
    what_deleted_a_twin_is_known_until_it_is_forgotten,
}

fn row(revision: u64) -> Row {
    Row { record: record(revision), applied: Applied { epoch: 7, number: revision }, untold: true }
}

fn a_twin_comes_out_as_it_went_in(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        assert_eq!(bench.load("lamp").await, None);
        for revision in 1..=3 {
            bench.commit("lamp", record(revision));
            assert_eq!(bench.answer("lamp", revision).await.refused, None);
            assert_eq!(bench.load("lamp").await, Some(row(revision)));
        }
    });
}

fn ids_compare_byte_by_byte(place: &Place) {
    let eighty = ["a".repeat(80), "é".repeat(40), format!("{}b", "a".repeat(79))];
    let mut names = vec!["lamp", "Lamp", "LAMP", "é", "e\u{301}", "e", "ß", "ss", "😀", "😁"];
    names.extend(["100%", "1 0", "it's", "\"x\"", "back\\slash", "_", "%", "`"]);
    names.extend(eighty.iter().map(String::as_str));
    run(async {
        let mut bench = Bench::start(place);
        for (number, name) in names.iter().enumerate() {
            bench.commit(name, record(100 + number as u64));
        }
        bench.answer(names[names.len() - 1], 0).await;
        for (number, name) in names.iter().enumerate() {
            assert_eq!(bench.load(name).await, Some(row(100 + number as u64)), "{name}");
        }
    });
}

fn a_million_nines_are_kept(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        let mut large = record(1);
        large.reported = format!("{{\"n\":{}}}", "9".repeat(1_000_000));
        bench.commit("counter", large.clone());
        bench.answer("counter", 1).await;
        assert_eq!(bench.load("counter").await.unwrap().record, large);
    });
}

fn many_twins_are_committed_and_loaded(place: &Place) {
    run(async {
        let mut settings = place.settings();
        settings.batch_rows = 2500;
        let mut bench = Bench::with(settings);
        for number in 0..2600_u64 {
            bench.commit(&format!("thing {number}"), record(number + 1));
        }
        for number in 0..2600_u64 {
            bench.answer(&format!("thing {number}"), 1).await;
        }
        let loads = (0..2600_u64).map(|number| (number, format!("thing {number}")));
        for (number, name) in loads {
            assert_eq!(bench.load(&name).await, Some(row(number + 1)));
        }
    });
    run(async { assert_eq!(Bench::start(place).opening.things, 2600) });
}

fn a_newer_revision_replaces_and_an_equal_or_lower_one_does_not(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        bench.commit("lamp", record(5));
        bench.answer("lamp", 5).await;
        for revision in [4, 5] {
            let mut other = record(revision);
            other.reported = r#"{"from":"the past"}"#.into();
            other.unsettled = true;
            bench.commit("lamp", other);
            bench.commit("other", record(revision));
            bench.answer("other", revision).await;
            assert_eq!(bench.load("lamp").await, Some(row(5)));
        }
        bench.commit("lamp", record(6));
        bench.answer("lamp", 6).await;
        assert_eq!(bench.load("lamp").await, Some(row(6)));
    });
}

fn the_newest_commit_answers_for_those_before_it(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        for revision in 1..=500 {
            bench.commit("lamp", record(revision));
        }
        let mut answers = 1;
        while bench.answer("lamp", 1).await.revision < 500 {
            answers += 1;
        }
        assert!(answers < 500, "500 changes at once took {answers} transactions");
        assert_eq!(bench.load("lamp").await, Some(row(500)));
    });
}

fn a_deleted_twin_is_gone_and_can_come_again(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        bench.commit("lamp", record(1));
        bench.commit("Lamp", record(1));
        bench.answer("Lamp", 1).await;
        bench.change("lamp", 2, Change::Delete);
        bench.answer("lamp", 2).await;
        assert_eq!(bench.load("lamp").await, None);
        assert_eq!(bench.load("Lamp").await, Some(row(1)));
        bench.commit("lamp", record(3));
        bench.answer("lamp", 3).await;
        assert_eq!(bench.load("lamp").await, Some(row(3)));
    });
}

fn an_older_delete_deletes_nothing(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        bench.commit("lamp", record(5));
        bench.answer("lamp", 5).await;
        bench.change("lamp", 5, Change::Delete);
        bench.answer("lamp", 5).await;
        assert_eq!(bench.load("lamp").await, Some(row(5)));
    });
}

fn the_unsettled_come_in_pages(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        for name in ["a", "B", "b", "é", "z"] {
            bench.commit(name, record(2));
        }
        bench.commit("c", record(3));
        bench.answer("c", 3).await;
        place.execute("INSERT INTO twin (clientId) VALUES ('bb/not an id')");
        assert_eq!(bench.unsettled(None, 2).await, ["B", "a"]);
        assert_eq!(bench.unsettled(Some("a"), 1).await, ["b"]);
        assert_eq!(bench.unsettled(Some("b"), 1).await, ["z"]);
        assert_eq!(bench.unsettled(Some("z"), 2).await, ["é"]);
        assert!(bench.unsettled(Some(id("é").as_str()), 2).await.is_empty());
    });
}

fn the_session_is_kept(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        assert_eq!(bench.opening.session, 0);
        bench.store.do_send(SaveSession(41));
        bench.store.do_send(SaveSession(42));
        bench.commit("lamp", record(1));
        bench.answer("lamp", 1).await;
    });
    run(async {
        let bench = Bench::start(place);
        assert_eq!((bench.opening.session, bench.opening.things), (42, 1));
    });
}

fn what_is_told_need_not_be_told_again_unless_it_changed_since(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        assert!(bench.opening.untold.is_empty());
        for name in ["a", "b", "c"] {
            bench.commit(name, record(2));
            bench.answer(name, 2).await;
        }
        bench.told("a", 2);
        bench.told("b", 1);
        bench.told("c", 2);
        bench.commit("c", record(3));
        bench.store.send(Finish).await.unwrap();
        let untold = |name| {
            let load = bench.load(name);
            async { load.await.unwrap().untold }
        };
        assert_eq!((untold("a").await, untold("b").await, untold("c").await), (false, true, true));
    });
    run(async {
        let bench = Bench::start(place);
        assert_eq!(bench.opening.untold, [id("b"), id("c")]);
    });
}

fn what_is_told_is_written_down_within_seconds_of_silence(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        bench.commit("a", record(1));
        bench.answer("a", 1).await;
        bench.told("a", 1);
        let deadline = Instant::now() + Duration::from_secs(10);
        while bench.load("a").await.unwrap().untold {
            assert!(Instant::now() < deadline, "it is not written down");
        }
    });
}

fn each_start_has_an_epoch_above_all_before(place: &Place) {
    let epoch = |at_least| {
        let mut found = 0;
        run(async { found = Bench::at(place, at_least).opening.epoch });
        found
    };
    assert_eq!(epoch(5), 5);
    assert_eq!(epoch(100), 100);
    assert_eq!(epoch(7), 101, "the clock may have jumped back");
}

fn what_deleted_a_twin_is_known_until_it_is_forgotten(place: &Place) {
    run(async {
        let mut bench = Bench::start(place);
        for name in ["a", "b"] {
            bench.commit(name, record(1));
            bench.change(name, 2, Change::Delete);
            bench.answer(name, 2).await;
        }
        let applied = Applied { epoch: 7, number: 2 };
        assert_eq!(bench.loaded("a").await.deleted, Some(applied));
        bench.commit("a", record(3));
        bench.answer("a", 3).await;
        assert!(bench.loaded("a").await.row.is_some());
        bench.store.do_send(ForgetBefore(7));
        bench.store.send(Finish).await.unwrap();
        assert_eq!(bench.loaded("b").await.deleted, Some(applied), "7 may come again");
        bench.store.do_send(ForgetBefore(8));
        bench.store.send(Finish).await.unwrap();
        assert_eq!(bench.loaded("b").await.deleted, None);
    });
}
