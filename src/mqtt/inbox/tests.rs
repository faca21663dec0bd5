//! The inbox in memory and on disk, over more than one life.

mod kept;
mod no_room;

use std::{
    collections::{HashSet, VecDeque},
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::AtomicUsize,
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::protocol::Timestamp;

fn message(topic: &str, size: usize) -> Incoming {
    Incoming {
        topic: topic.to_owned(),
        payload: vec![b'x'; size].into(),
        response_topic: None,
        correlation: None,
        at: Timestamp(5),
        session: 3,
        connection: 1,
    }
}

fn set(n: usize) -> Incoming {
    message(&format!("TNG/{n}/TWIN/SET"), 10)
}

fn memory() -> Inbox {
    opened(&InboxSettings { folder: None, sync: false, bytes: 1 << 20 })
}

fn disk(folder: &TempDir) -> Inbox {
    opened(&on_disk(folder))
}

fn on_disk(folder: &TempDir) -> InboxSettings {
    InboxSettings { folder: Some(folder.path().into()), sync: false, bytes: 1 << 30 }
}

fn opened(settings: &InboxSettings) -> Inbox {
    let inbox = Inbox::open(settings).unwrap();
    inbox.begin(inbox.last_epoch() + 1, || {});
    inbox
}

/// Reads the next ones, and has them be done.
fn finish(inbox: &Inbox, entries: usize) {
    for entry in inbox.read(entries, usize::MAX, 1) {
        assert!(inbox.done(entry.place.number));
    }
}

fn topics(entries: &[Arc<Entry>]) -> Vec<&str> {
    entries.iter().map(|entry| entry.message.topic.as_str()).collect()
}

fn places(entries: &[Arc<Entry>]) -> Vec<(i64, u64)> {
    entries.iter().map(|entry| (entry.place.epoch, entry.place.number)).collect()
}

#[test]
fn entries_come_in_order_under_rising_numbers_and_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    for inbox in [memory(), disk(&folder)] {
        (0..5).for_each(|n| inbox.append(set(n)));
        assert_eq!(places(&inbox.read(2, 9, 1)), [(1, 1), (1, 2)]);
        assert_eq!(places(&inbox.read(9, 9, 1)), [(1, 3), (1, 4), (1, 5)]);
        assert!(inbox.read(9, 9, 1).is_empty());
    }
}

#[test]
fn asks_keep_their_turn_unless_they_go_first_and_pings_never_wait() {
    let folder = tempfile::tempdir().unwrap();
    for inbox in [memory(), disk(&folder)] {
        for topic in ["a/TWIN/SET", "a/GET", "b/TWIN/SET", "m/TPC/PING", "b/GET", "c/TWIN/SET"] {
            inbox.append(message(topic, 0));
        }
        let read = |most, limit| inbox.read(most, limit, 1);
        assert_eq!(topics(&read(9, 3)), ["m/TPC/PING", "a/TWIN/SET", "a/GET"]);
        assert!(read(9, 3).is_empty());
        inbox.put_asks_first(true);
        assert_eq!(topics(&read(9, 3)), ["b/GET"]);
        inbox.put_asks_first(false);
        assert_eq!(topics(&read(9, 9)), ["b/TWIN/SET", "c/TWIN/SET"]);
        assert!(!inbox.is_done_up_to(1));
    }
}

#[test]
fn what_came_by_a_connection_not_told_yet_waits() {
    let inbox = memory();
    inbox.append(set(1));
    inbox.append(Incoming { connection: 2, ..set(2) });
    assert_eq!(inbox.read(9, 9, 1).len(), 1);
    assert!(inbox.read(9, 9, 1).is_empty());
    assert_eq!(inbox.read(9, 9, 2).len(), 1);
}

#[test]
fn bytes_count_until_done_and_done_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    for inbox in [memory(), disk(&folder)] {
        let empty = inbox.load().bytes;
        (0..2).for_each(|n| inbox.append(set(n)));
        let full = inbox.load();
        assert!(full.bytes > empty && full.unread == 2 && full.oldest == Some(Timestamp(5)));
        inbox.read(1, 9, 1);
        assert_eq!(inbox.load(), Load { unread: 1, under_way: 1, ..full });
        assert!(!inbox.done(2), "it has not been read");
        assert!(inbox.done(1));
        assert!(!inbox.done(1));
        assert_eq!(inbox.load().under_way, 0);
        inbox.read(1, 9, 1);
        inbox.done(2);
        assert_eq!(inbox.load().bytes, empty);
    }
}

#[test]
fn what_comes_later_does_not_keep_what_came_before_from_being_done() {
    let folder = tempfile::tempdir().unwrap();
    for inbox in [memory(), disk(&folder)] {
        assert!(inbox.is_done_up_to(inbox.newest()));
        (0..2).for_each(|n| inbox.append(set(n)));
        let last = inbox.newest();
        inbox.append(set(2));
        assert!(!inbox.is_done_up_to(last), "nothing has been read");
        inbox.read(3, 9, 1);
        inbox.done(2);
        assert!(!inbox.is_done_up_to(last), "the first is under way");
        inbox.done(1);
        assert!(inbox.is_done_up_to(last));
        assert!(!inbox.is_done_up_to(inbox.newest()));
    }
}

#[test]
fn what_is_parked_keeps_no_other_and_is_still_to_be_done() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    (0..3).for_each(|n| inbox.append(set(n)));
    assert_eq!(inbox.read(9, 1, 1).len(), 1);
    inbox.park(1);
    inbox.park(1);
    assert_eq!(places(&inbox.read(9, 1, 1)), [(1, 2)]);
    assert!(inbox.done(2) && !inbox.is_done_up_to(1));
    assert_eq!(inbox.read(9, 1, 1).len(), 1);
    assert!(inbox.read(9, 1, 1).is_empty());
    assert!(inbox.done(1) && inbox.is_done_up_to(2));
}

#[test]
fn one_wake_at_most_is_pending() {
    let wakes = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox::open(&InboxSettings { folder: None, sync: false, bytes: 1 }).unwrap();
    inbox.begin(1, {
        let wakes = Arc::clone(&wakes);
        move || {
            wakes.fetch_add(1, Ordering::Relaxed);
        }
    });
    (0..2).for_each(|n| inbox.append(set(n)));
    assert_eq!(wakes.load(Ordering::Relaxed), 1);
    inbox.rest();
    inbox.append(set(2));
    assert_eq!(wakes.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_not_over_is_there_in_the_next_life_and_requests_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    for topic in ["TNG/a/LC/ON", "TNG/a/TWIN/GET", "TNG/a/STATE/UPD", "TNG/m/TPC/PING"] {
        inbox.append(message(topic, 3));
    }
    let whole = Incoming {
        response_topic: Some("TNG/c/TPC/RES/1".to_owned()),
        correlation: Some(vec![0, 255]),
        ..set(1)
    };
    inbox.append(whole.clone());
    inbox.append(message("GRP/g/TWIN/SET", 3));
    let read = inbox.read(9, 9, 1);
    inbox.done(read[1].place.number);
    drop(inbox);
    let inbox = disk(&folder);
    assert_eq!((inbox.left(), inbox.last_epoch(), inbox.last_session()), (3, 1, 3));
    inbox.append(set(9));
    let left = inbox.read(9, 9, 0);
    assert_eq!(topics(&left), ["TNG/a/STATE/UPD", "TNG/1/TWIN/SET", "GRP/g/TWIN/SET"]);
    assert_eq!(*left[1].message, Incoming { connection: 0, ..whole });
    let new = inbox.read(9, 9, 1);
    assert!(new[0].place.epoch == 2 && new[0].place.number > left[2].place.number);
    for entry in left {
        assert!(inbox.still_left() > 0);
        inbox.done(entry.place.number);
    }
    assert_eq!(inbox.still_left(), 0);
}

#[test]
fn an_entry_is_over_when_it_is_done_and_all_published_for_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    (0..2).for_each(|n| inbox.append(set(n)));
    inbox.read(9, 9, 1);
    inbox.hold(1);
    inbox.hold(1);
    inbox.done(1);
    inbox.done(2);
    inbox.let_go(1);
    assert_eq!(disk_left(&folder), 2, "the second lies behind the first");
    inbox.let_go(1);
    assert_eq!(disk_left(&folder), 0);
}

/// How many entries another would find there now: as after a kill.
fn disk_left(folder: &TempDir) -> usize {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("inbox"), copy.path().join("inbox")).unwrap();
    Inbox::open(&on_disk(&copy)).unwrap().left()
}

#[test]
fn an_entry_is_on_disk_when_append_returns() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    for n in 0..50 {
        inbox.append(set(n));
        assert_eq!(disk_left(&folder), n + 1);
    }
}

#[test]
fn more_than_memory_holds_waits_on_disk_and_comes_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    const COUNT: u64 = 2500;
    for n in 0..COUNT {
        inbox.append(message(&format!("TNG/{n}/STATE/UPD"), 10_000));
        if n == COUNT / 2 {
            finish(&inbox, 10);
        }
    }
    let load = inbox.load();
    assert!(load.bytes > 24_000_000, "{load:?}");
    let mut next = 11;
    loop {
        let read = inbox.read(100, 100, 1);
        if read.is_empty() {
            break;
        }
        for entry in read {
            assert_eq!(entry.place.number, next);
            assert_eq!(entry.message.topic, format!("TNG/{}/STATE/UPD", next - 1));
            inbox.done(entry.place.number);
            next += 1;
        }
    }
    assert_eq!(next, COUNT + 1);
    let length = fs::metadata(folder.path().join("inbox")).unwrap().len();
    assert!(length < 10_000_000, "room is given back: {length}");
}

#[test]
fn it_is_full_above_its_limit_and_drained_at_half_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for place in [None, Some(folder.path().into())] {
        let inbox = opened(&InboxSettings { folder: place, sync: false, bytes: 100_000 });
        let mut appended = 0;
        while inbox.full(false).is_none() {
            inbox.append(message("TNG/a/STATE/UPD", 1000));
            appended += 1;
        }
        assert!((70..100).contains(&appended), "{appended}");
        assert!(inbox.full(false).unwrap().ends_with(" bytes of 100000"));
        for number in 1..=appended {
            let is_half = number > appended * 2 / 3;
            assert!(!is_half || inbox.is_drained(), "{number} of {appended}");
            inbox.read(1, 9, 1);
            inbox.done(number);
        }
        assert!(inbox.is_drained());
    }
}

/// Damages the file in many places: whatever is whole and not over is gone on with.
#[test]
fn a_torn_tail_is_cut_off_and_what_is_before_it_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    (0..90).for_each(|n| inbox.append(set(n)));
    finish(&inbox, 30);
    (90..100).for_each(|n| inbox.append(set(n)));
    drop(inbox);
    let file = folder.path().join("inbox");
    let whole = fs::read(&file).unwrap();
    let starts: Vec<_> =
        (0..whole.len()).filter(|at| Entry::from_bytes(&whole[*at..]).is_ok()).collect();
    // Within an entry, in the element around it, and before those that came when the first 30 were over: what is
    // left does not say so, and they come again.
    let cuts = [(starts[99] + 99, 30, 99), (starts[99] - 11, 30, 99), (starts[90] + 99, 0, 90)];
    for (cut, first, end) in cuts.into_iter().chain([(starts[31] + 99, 0, 31)]) {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&file, torn).unwrap();
        let inbox = disk(&folder);
        assert_eq!(inbox.left(), end - first, "torn at {cut}");
        let left = inbox.read(1000, 1000, 0);
        let wanted: Vec<_> = (first..end).map(|n| format!("TNG/{n}/TWIN/SET")).collect();
        assert_eq!(topics(&left), wanted);
        inbox.append(set(500));
        assert_eq!(topics(&inbox.read(9, 1000, 1)), ["TNG/500/TWIN/SET"]);
        assert!(folder.path().join("inbox.damaged").exists());
    }
}

#[test]
fn an_entry_across_the_end_of_the_file_is_found_in_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    let size = 900_000;
    // The ring has 8 MiB: the tenth lies across its end once the first ones are over.
    for n in 0..12 {
        inbox.append(message(&format!("TNG/{n}/STATE/UPD"), size));
        if n == 8 {
            finish(&inbox, 8);
            inbox.append(message("TNG/8b/STATE/UPD", 1));
        }
    }
    drop(inbox);
    let file = folder.path().join("inbox");
    let mut damaged = fs::read(&file).unwrap();
    // Both of its heads.
    damaged[..60].fill(0xff);
    damaged[4096..4156].fill(0xff);
    fs::write(&file, damaged).unwrap();
    let inbox = disk(&folder);
    let left = inbox.read(99, 99, 0);
    let wanted = [
        "TNG/8/STATE/UPD",
        "TNG/8b/STATE/UPD",
        "TNG/9/STATE/UPD",
        "TNG/10/STATE/UPD",
        "TNG/11/STATE/UPD",
    ];
    assert_eq!(topics(&left)[left.len() - 5..], wanted);
}

/// The file as a copy may have it that was made while it grew: longer already, and nothing moved there yet.
#[test]
fn an_entry_across_a_former_end_of_a_file_that_grew_is_found() {
    // Its payload lies across the end; all but the first byte of its mark does, and all but the last.
    for before_end in [500_000, 1, 7, 20] {
        let folder = tempfile::tempdir().unwrap();
        let inbox = disk(&folder);
        let size = |inbox: &Inbox| usize::try_from(inbox.load().bytes).unwrap();
        inbox.append(message("TNG/0/STATE/UPD", 900_000));
        inbox.append(message("TNG/1/STATE/UPD", 0));
        let overhead = size(&inbox) - 8192 - 900_000 - (size(&inbox) - 8192 - 900_000) / 2;
        let left = (8 << 20) - size(&inbox) - overhead - 28 - before_end;
        inbox.append(message("TNG/2/STATE/UPD", left));
        assert_eq!((8 << 20) - size(&inbox), 28 + before_end);
        finish(&inbox, 2);
        inbox.append(message("TNG/3/STATE/UPD", 600_000));
        drop(inbox);
        let file = folder.path().join("inbox");
        let mut grown = fs::read(&file).unwrap();
        assert_eq!(grown.len(), 8 << 20, "it has not grown by itself");
        grown.resize(16 << 20, 0);
        grown[..8192].fill(0);
        fs::write(&file, grown).unwrap();
        let inbox = disk(&folder);
        let left = inbox.read(99, 99, 0);
        assert_eq!(topics(&left).last(), Some(&"TNG/3/STATE/UPD"), "{before_end}");
    }
}

/// A copy may have its head from before, and its entries from after the ring went around.
#[test]
fn entries_that_do_not_lie_in_the_order_of_their_places_are_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    let empty = inbox.load().bytes;
    inbox.append(message("TNG/xxx/STATE/UPD", 0));
    // 22 of them fill the ring, so that each one lies where another lay before.
    let size = ((8 << 20) - 8192) / 22 - (inbox.load().bytes - empty);
    finish(&inbox, 1);
    let append = |n: usize| {
        inbox.append(message(&format!("TNG/{n:03}/STATE/UPD"), usize::try_from(size).unwrap()));
    };
    let file = folder.path().join("inbox");
    (0..20).for_each(append);
    let head = fs::read(&file).unwrap()[..8192].to_vec();
    finish(&inbox, 12);
    inbox.tidy();
    (20..26).for_each(append);
    drop(inbox);
    let mut copy = fs::read(&file).unwrap();
    copy[..8192].copy_from_slice(&head);
    fs::write(&file, copy).unwrap();
    let inbox = disk(&folder);
    let left = inbox.read(99, 99, 0);
    let wanted: Vec<_> = (12..26).map(|n| format!("TNG/{n:03}/STATE/UPD")).collect();
    assert_eq!(topics(&left), wanted);
}

/// A copy that is slow: while it goes from the file's beginning to its end, entries come and are over, the ring goes
/// around, grows and shrinks. Whatever was there when it began and is not over when it ends is in it.
#[test]
fn a_copy_that_is_made_while_the_inbox_is_written_lacks_nothing() {
    let (mut around, mut grown, mut lengths) = (0, 0, HashSet::new());
    for round in 0..16 {
        let folder = tempfile::tempdir().unwrap();
        let (inbox, file) = (disk(&folder), folder.path().join("inbox"));
        let (most, step) = (fastrand::usize(1 << 10..1 << 19), fastrand::usize(1 << 16..1 << 20));
        let held = fastrand::u64(1 << 20..12 << 20);
        let mut live = VecDeque::new();
        let work = |live: &mut VecDeque<u64>| {
            let size = fastrand::usize(..most);
            inbox.append(message("TNG/x/STATE/UPD", size));
            live.push_back(inbox.newest());
            let all = round % 4 == 0 && fastrand::u8(..) == 0;
            while all && !live.is_empty() || inbox.load().bytes > held {
                finish(&inbox, 1);
                inbox.tidy();
                live.pop_front();
            }
        };
        (0..fastrand::usize(..24 << 20) / most).for_each(|_| work(&mut live));
        let (before, from) = (inbox.newest(), fs::metadata(&file).unwrap().len());
        let (mut copy, mut first) = (vec![0; 8192], None);
        let source = fs::File::open(&file).unwrap();
        loop {
            let mut part = vec![0; step];
            let read = source.read_at(&mut part, copy.len() as u64).unwrap();
            if read == 0 {
                break;
            }
            copy.extend(&part[..read]);
            first = first.or(live.front().copied());
            (0..fastrand::usize(..2 + (step << 1) / most)).for_each(|_| work(&mut live));
        }
        around += usize::from(live.front() > Some(&before));
        grown += usize::from(copy.len() as u64 > from);
        lengths.insert(copy.len());
        let restored = tempfile::tempdir().unwrap();
        fs::write(restored.path().join("inbox"), copy).unwrap();
        let again = disk(&restored);
        let numbers: Vec<_> = std::iter::from_fn(|| again.read(1, usize::MAX, 0).pop())
            .inspect(|entry| assert!(again.done(entry.place.number)))
            .map(|entry| entry.place.number)
            .collect();
        assert!(numbers.is_sorted());
        for number in live.into_iter().filter(|number| *number <= before) {
            assert!(numbers.contains(&number), "{number} of {first:?} to {before}, in {numbers:?}");
        }
    }
    println!("all were over in {around} copies; {grown} grew; lengths {lengths:?}");
}

#[test]
fn a_payload_that_looks_like_an_entry_is_none_in_a_damaged_file() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    let place = Place { epoch: i64::MAX, number: 7 };
    let planted = Entry { place, oldest: place, message: Arc::new(set(666)) };
    inbox.append(Incoming { payload: planted.to_bytes().into(), ..set(1) });
    inbox.append(set(2));
    drop(inbox);
    let file = folder.path().join("inbox");
    let mut damaged = fs::read(&file).unwrap();
    damaged[..8192].fill(0);
    fs::write(&file, damaged).unwrap();
    let left = disk(&folder).read(9, 9, 0);
    assert_eq!(topics(&left), ["TNG/1/TWIN/SET", "TNG/2/TWIN/SET"]);
}

#[test]
fn a_file_that_is_something_else_gives_way_to_an_empty_inbox() {
    for content in
        [&b""[..], b"x", b"not an inbox, but a text of some length that goes on", &[0; 20_000]]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("inbox"), content).unwrap();
        let inbox = disk(&folder);
        assert_eq!(inbox.left(), 0);
        inbox.append(set(1));
        assert_eq!(inbox.read(9, 9, 1).len(), 1);
        assert_eq!(fs::read(folder.path().join("inbox.damaged")).unwrap(), content);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let settings = InboxSettings { folder: Some(file.clone()), sync: false, bytes: 1 << 20 };
    let error = Inbox::open(&settings).unwrap_err().to_string();
    let expected = format!(
        "inbox {}: File exists (os error 17); its folder must be writable and have room",
        file.join("inbox").display()
    );
    assert_eq!(error, expected);
}

#[test]
fn flushed_entries_are_there_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = opened(&InboxSettings { sync: true, ..on_disk(&folder) });
    (0..10).for_each(|n| inbox.append(set(n)));
    assert_eq!(disk_left(&folder), 10);
}

#[test]
fn what_was_set_aside_can_be_listed_tried_again_and_dropped() {
    use crate::mqtt::{Poison, PoisonFolder, poison::Poisoned};
    let folder = tempfile::tempdir().unwrap();
    let poison = PoisonFolder(folder.path().join("poison"));
    let inbox = memory();
    (0..2).for_each(|n| inbox.append(set(n)));
    inbox.read(9, 9, 1);
    let mut poisoned = Poisoned::new(Some(poison.clone()));
    for number in [1, 2] {
        assert!(poisoned.take(Poison { number, reason: "two\nlines".to_owned() }, &inbox));
    }
    let found = poison.list().unwrap();
    assert_eq!(found.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["1-1", "1-2"]);
    assert_eq!((found[0].reason.as_str(), &found[0].message.topic), ("two lines", &set(0).topic));
    poison.drop("1-1").unwrap();
    poison.retry("1-2").unwrap();
    assert!(poison.list().unwrap()[0].is_retried);
    for wrong in ["1-1", "1-2", "", "../inbox", "9-9"] {
        assert!(poison.drop(wrong).is_err() && poison.retry(wrong).is_err(), "{wrong}");
    }
    poisoned.take_retried(&inbox, (Timestamp(9), 4, 2));
    poisoned.take_retried(&inbox, (Timestamp(9), 4, 2));
    let again = inbox.read(9, 9, 2);
    assert_eq!(topics(&again), [set(1).topic.as_str()]);
    assert_eq!((again[0].message.at, again[0].message.session), (Timestamp(9), 4));
    assert!(poison.list().unwrap().is_empty());
    assert!(Path::new(&poison.0).exists());
}

#[test]
fn what_cannot_be_set_aside_is_tried_again() {
    use crate::mqtt::{Poison, PoisonFolder, poison::Poisoned};
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("poison");
    fs::write(&in_the_way, "").unwrap();
    let inbox = memory();
    inbox.append(set(1));
    inbox.read(9, 9, 1);
    let mut poisoned = Poisoned::new(Some(PoisonFolder(in_the_way.clone())));
    assert!(!poisoned.take(Poison { number: 1, reason: String::new() }, &inbox));
    assert!(poisoned.try_again(&inbox).is_empty());
    fs::remove_file(&in_the_way).unwrap();
    assert_eq!(poisoned.try_again(&inbox), [1]);
    assert!(poisoned.try_again(&inbox).is_empty());
}

#[test]
fn an_append_costs_microseconds() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    let from = std::time::Instant::now();
    const COUNT: u32 = 10_000;
    for n in 0..COUNT {
        inbox.append(set(n as usize));
        inbox.read(1, 9, 1);
        inbox.done(u64::from(n) + 1);
    }
    let each = from.elapsed() / COUNT;
    println!("an entry takes {each:?} from append to done");
    assert!(each < Duration::from_millis(5), "{each:?}");
}
