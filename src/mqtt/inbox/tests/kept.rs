//! What of an entry stays in memory while it is not over, and what is read from disk again.

use super::*;

#[test]
fn what_is_parked_or_done_is_not_in_memory_and_can_still_be_had_until_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    (0..5).for_each(|n| inbox.append(set(n)));
    let read = inbox.read(9, 9, 1);
    // The first is over and still there: the others' places in the file count from it.
    inbox.done(1);
    inbox.park(3);
    inbox.hold(4);
    inbox.done(4);
    let seen: Vec<_> = read.iter().map(Arc::downgrade).collect();
    let parked = Entry { oldest: Place { epoch: 1, number: 1 }, ..(*read[2]).clone() };
    drop(read);
    let in_memory: Vec<bool> = seen.iter().map(|entry| entry.upgrade().is_some()).collect();
    assert_eq!(in_memory, [false, true, false, false, true]);
    let again = inbox.under_way(3).unwrap().unwrap();
    assert_eq!((again.place, &again.message.topic), (parked.place, &parked.message.topic));
    assert_eq!(again.message.payload, parked.message.payload);
    assert_eq!(inbox.under_way(2).unwrap().unwrap().message.topic, "TNG/1/TWIN/SET");
    for number in [1, 4, 6] {
        assert!(inbox.under_way(number).unwrap().is_none(), "{number} is done, or never came");
    }
    assert!(inbox.done(3) && inbox.under_way(3).unwrap().is_none());
}

#[test]
fn an_inbox_in_memory_keeps_what_is_parked() {
    let inbox = memory();
    inbox.append(set(0));
    drop(inbox.read(9, 9, 1));
    inbox.park(1);
    assert_eq!(inbox.under_way(1).unwrap().unwrap().message.topic, "TNG/0/TWIN/SET");
    assert!(inbox.done(1) && inbox.under_way(1).unwrap().is_none());
}
