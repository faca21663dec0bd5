//! A small file system that only the program sees, in a folder of its own: a test can fill it, and make room again.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::program::Twinmgr;

/// The command that a program is started by to find an empty file system of so many MiB in this folder.
pub fn command(folder: &Path, mib: u32) -> Vec<String> {
    fs::create_dir_all(folder).unwrap();
    let mount = format!("mount -t tmpfs -o size={mib}m none \"$0\" && exec \"$@\"");
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let rights: &[&str] = if is_root { &[] } else { &["--map-root-user"] };
    let folder = folder.to_str().unwrap();
    let words = [&["unshare", "--mount"], rights, &["sh", "-c", &mount, folder]].concat();
    words.into_iter().map(str::to_owned).collect()
}

/// The file that takes all the room, as it is found from here.
fn filler(program: &Twinmgr, folder: &Path) -> PathBuf {
    let seen_by_it = PathBuf::from(format!("/proc/{}/root", program.pid()));
    seen_by_it.join(folder.strip_prefix("/").unwrap()).join("filler")
}

/// Takes all the room that is left in the folder.
pub fn fill(program: &Twinmgr, folder: &Path) {
    let path = filler(program, folder);
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    while file.write_all(&[b'x'; 4096]).is_ok() {}
}

/// Gives that room back.
pub fn make_room(program: &Twinmgr, folder: &Path) {
    fs::remove_file(filler(program, folder)).unwrap();
}
