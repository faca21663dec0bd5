//! A file that may not grow: as on a full disk, what is written ends halfway.

use std::{
    env,
    process::{self, Command},
};

use super::*;

/// Runs this test again in a process that outlives a file's limit; it is set and lifted from within.
#[test]
fn what_came_while_there_was_no_room_is_written_down_in_order_once_there_is() {
    if env::var_os("LIMITED").is_some() {
        return runs_out_of_room();
    }
    let name = "no_room::what_came_while_there_was_no_room_is_written_down_in_order_once_there_is";
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; LIMITED=1 exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", &format!("mqtt::inbox::tests::{name}"), "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn limit_files(bytes: &str) {
    let me = process::id().to_string();
    let limit = format!("--fsize={bytes}:");
    let limited = Command::new("prlimit").args([&limit, "--pid", &me]).status();
    assert!(limited.unwrap().success());
}

fn runs_out_of_room() {
    const COUNT: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let inbox = disk(&folder);
    limit_files("20000");
    (0..COUNT).for_each(|n| inbox.append(message(&format!("TNG/{n}/STATE/UPD"), 3000)));
    assert!(inbox.full(false).unwrap().starts_with("File too large"), "{:?}", inbox.full(false));
    inbox.tidy();
    assert!(inbox.full(false).is_some());
    limit_files("unlimited");
    inbox.tidy();
    assert_eq!((inbox.full(false), disk_left(&folder)), (None, COUNT));
    let wanted: Vec<_> = (0..COUNT).map(|n| format!("TNG/{n}/STATE/UPD")).collect();
    assert_eq!(topics(&inbox.read(99, 99, 1)), wanted);
    drop(inbox);
    let inbox = disk(&folder);
    assert_eq!(topics(&inbox.read(99, 99, 1)), wanted, "and so it is for the next life");
    assert!(!folder.path().join("inbox.damaged").exists());
}
