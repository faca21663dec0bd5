//! Each public item of the modules that others build on has an example, which is a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What can be public, as it is declared.
const KINDS: [&str; 8] = ["fn", "async fn", "const fn", "struct", "enum", "trait", "const", "type"];

#[test]
fn every_public_item_of_protocol_device_and_client_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut without = Vec::new();
    let mut count = 0;
    for module in ["protocol", "device", "client"] {
        for file in sources(&root.join(module)) {
            let shown = file.strip_prefix(&root).unwrap().display().to_string();
            for (line, name, has_example) in items(&fs::read_to_string(&file).unwrap()) {
                count += 1;
                if !has_example {
                    without.push(format!("src/{shown}:{line} {name}"));
                }
            }
        }
    }
    assert!(count > 150, "only {count} items are found: the test does not see them");
    assert!(without.is_empty(), "{} without an example:\n{}", without.len(), without.join("\n"));
}

#[test]
fn an_item_without_an_example_is_found() {
    let source = "/// Says.\npub struct A;\n/// Says.\n/// ```\n/// ```\n#[derive(X)]\npub enum B {}\n\
                  impl A {\n    /// Says.\n    pub async fn c() {}\n    pub(crate) fn d() {}\n}\n\
                  #[cfg(test)]\nmod tests {\n    pub fn e() {}\n}\n";
    let found = items(source);
    let found: Vec<_> =
        found.iter().map(|(line, name, has)| (*line, name.as_str(), *has)).collect();
    assert_eq!(found, [(2, "A", false), (7, "B", true), (10, "c", false)]);
}

/// The public items of a file, as far as its tests: line, name, and whether there is an example in its words.
fn items(source: &str) -> Vec<(usize, String, bool)> {
    let mut found = Vec::new();
    let mut has_example = false;
    for (number, line) in source.lines().enumerate() {
        let line = line.trim();
        if line == "mod tests {" {
            break;
        }
        if line.starts_with("///") {
            has_example |= line.contains("```");
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            let name = KINDS.iter().find_map(|kind| {
                let rest = line.strip_prefix("pub ")?.strip_prefix(kind)?.strip_prefix(' ')?;
                rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
            });
            // A macro names it, and has its words where it is called.
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                found.push((number + 1, name.to_owned(), has_example));
            }
            has_example = false;
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_source = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".rs") && name != "tests.rs"
    };
    let own = files.into_iter().filter(is_source);
    own.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}
