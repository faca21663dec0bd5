//! Who may name whom: the map in `docs/architecture.md` as a table, held by reading the sources.
//!
//! Paths are found by their text, in `use` trees and in code, in tests within `src` too. Macros that make up paths
//! would escape; there are none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each module, and the modules of this crate that it may name besides itself.
const MODULES: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("protocol", &[]),
    ("twin", &["protocol"]),
    ("tls", &[]),
    ("rights", &["protocol"]),
    ("store", &["protocol", "tls", "twin", "rights"]),
    ("mqtt", &["protocol", "tls"]),
    ("manager", &["protocol", "twin", "store", "mqtt"]),
    ("device", &["protocol", "mqtt"]),
    ("client", &["protocol", "mqtt"]),
    ("config", &["protocol", "twin", "store", "mqtt", "manager"]),
    (
        "bin",
        &["protocol", "twin", "rights", "store", "mqtt", "manager", "device", "client", "config"],
    ),
];

const ANYWHERE: &[&str] = &[
    "protocol", "twin", "rights", "store", "mqtt", "manager", "device", "client", "config", "bin",
];
/// The modules with actors in them, and who starts those.
const ACTORS: &[&str] = &["store", "mqtt", "manager", "device", "client", "bin"];

/// Each crate we depend on, and the modules that may name it. A new dependency needs a row.
const CRATES: &[(&str, &[&str])] = &[
    ("actix", ACTORS),
    ("actix_rt", ACTORS),
    ("anstream", &["bin"]),
    ("anstyle", &["bin"]),
    ("bcrypt", &["rights"]),
    ("clap", &["config", "bin"]),
    ("clap_complete", &["bin"]),
    ("clap_mangen", &["bin"]),
    ("csv", &["bin"]),
    ("diesel", &["store"]),
    ("diesel_migrations", &["store"]),
    ("env_logger", &["bin"]),
    ("crc32fast", &["mqtt"]),
    ("fastrand", &["mqtt", "store", "manager", "device", "client", "bin"]),
    ("futures_core", &["client", "bin"]),
    ("jiff", &["bin"]),
    ("libsqlite3_sys", &[]),
    ("log", &["store", "mqtt", "manager", "device", "client", "config", "bin"]),
    ("lru", &["manager"]),
    ("memchr", &["mqtt"]),
    ("mimalloc", &["bin"]),
    ("openssl", &["tls", "rights"]),
    ("paho_mqtt", &["mqtt"]),
    ("pollster", &["device", "client"]),
    ("queue_file", &["mqtt"]),
    ("rpassword", &["bin"]),
    ("rustix", &["bin"]),
    ("sd_notify", &["bin"]),
    ("serde", ANYWHERE),
    ("serde_json", ANYWHERE),
    ("terminal_size", &["bin"]),
    ("thiserror", ANYWHERE),
    ("tokio", ACTORS),
    ("toml", &["bin"]),
    ("unicode_width", &["bin"]),
    ("url", &["store", "config"]),
];

/// Parts of the standard library that only some may name: everything else is an effect, or a clock.
const STANDARD: &[(&str, &[&str])] = &[
    ("env", &["bin"]),
    ("fs", &["tls", "store", "mqtt", "manager", "config", "bin"]),
    ("net", &["tls", "store", "mqtt", "manager", "config", "bin"]),
    ("process", &["bin"]),
    ("thread", &["store", "mqtt", "manager", "bin"]),
    ("time::Instant", ACTORS),
    ("time::SystemTime", &["mqtt", "bin"]),
];

/// What a test may name besides: one that needs a process of its own runs itself once more.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    ("mqtt/inbox/tests/no_room.rs", &["std::env", "std::process"]),
    // A device's state is tested beside a twin.
    ("device/tests.rs", &["twin"]),
];

#[test]
fn every_module_names_only_what_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for file in sources(&root) {
        let within = file.strip_prefix(&root).unwrap();
        let excepted = EXCEPTIONS.iter().find(|(excepted, _)| Path::new(excepted) == within);
        let is_excepted = |fault: &str| {
            excepted.is_some_and(|(_, names)| names.iter().any(|name| fault.ends_with(name)))
        };
        for fault in faults_of(within, &fs::read_to_string(&file).unwrap()) {
            if is_excepted(&fault) {
                continue;
            }
            faults.push(format!("src/{}: {fault}", within.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_dependency_has_a_row() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names =
        lines.filter_map(|line| line.split_once(" = ")).filter(|(name, _)| !name.contains('#'));
    let has_row = |name: &str| CRATES.iter().any(|(known, _)| *known == name);
    let without: Vec<_> =
        names.map(|(name, _)| name.replace('-', "_")).filter(|name| !has_row(name)).collect();
    assert!(without.is_empty(), "no row in the table of crates: {without:?}");
}

#[test]
fn a_source_that_breaks_a_rule_is_caught() {
    for (file, source, fault) in [
        ("twin/merge.rs", "use diesel::prelude::*;", "diesel"),
        ("twin/mod.rs", "fn f() { log::warn!(\"x\"); }", "log"),
        ("protocol/topic.rs", "use {std::fmt, actix::prelude::*};", "actix"),
        ("protocol/topic.rs", "use crate::{protocol::ids, twin::{self, Twin}};", "crate::twin"),
        ("manager/router.rs", "struct R { c: paho_mqtt::AsyncClient }", "paho_mqtt"),
        ("manager/mod.rs", "#[derive(diesel::Queryable)] struct R;", "diesel"),
        ("mqtt/mod.rs", "use super::store::Commit;", "crate::store"),
        ("mqtt/bridge.rs", "use super::super::manager;", "crate::manager"),
        (
            "mqtt/bridge.rs",
            "mod tests { use super::super::super::manager::Router; }",
            "crate::manager",
        ),
        ("store/mod.rs", "pub(in crate::mqtt) fn f() {}", "crate::mqtt"),
        ("config.rs", "fn f() { std::env::var(\"X\"); }", "std::env"),
        ("twin/mod.rs", "use std::{time::{Duration, Instant}, fmt};", "std::time::Instant"),
        ("twin/mod.rs", "use ::log as l;", "log"),
        ("lib.rs", "pub use crate::twin::Twin;", "crate::twin"),
        ("surprise.rs", "", "has no row"),
    ] {
        let faults = faults_of(Path::new(file), source);
        assert!(
            faults.len() == 1 && faults[0].contains(fault),
            "{file}: {source}: {faults:?} should name {fault}"
        );
    }
}

#[test]
fn a_source_that_keeps_the_rules_passes() {
    for (file, source) in [
        ("twin/merge.rs", "use crate::{protocol::{ThingId, Timestamp}, twin::Record};"),
        ("twin/merge.rs", "// use diesel::prelude::*;\n/* log::warn!() /* actix::x */ */"),
        (
            "twin/merge.rs",
            "const A: &str = \"diesel::x\"; const B: &str = r#\"log::\" x\"#; const C: char = '\"';",
        ),
        (
            "twin/merge.rs",
            "fn f<'a>(log: &'a str) { self.log::<u8>(); let diesel = log; x.diesel(); }",
        ),
        ("twin/merge.rs", "mod tests { use super::*; use super::super::Record; }"),
        ("twin/mod.rs", "mod a { mod b { use super::super::record; use self::c; } }"),
        ("twin/mod.rs", "use std::time::Duration; use my::log::diesel::x;"),
        ("store/twins.rs", "use diesel::prelude::*; use super::rows; use crate::twin::Record;"),
        (
            "bin/twinmgr.rs",
            "use twinthing::{config, manager}; use anyhow::Context; fn f() { std::env::args(); }",
        ),
        ("lib.rs", "//! use diesel::x;\npub mod protocol; pub mod twin;"),
    ] {
        assert_eq!(faults_of(Path::new(file), source), Vec::<String>::new(), "{file}: {source}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust =
        files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    rust.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// What the source of a file, named from `src`, names and may not.
fn faults_of(file: &Path, source: &str) -> Vec<String> {
    let home = home(file);
    let Some((module, others)) = MODULES.iter().find(|(module, _)| *module == home[0]) else {
        return vec![format!("module {} has no row in the table of modules", home[0])];
    };
    let may = |row: &[&str]| row.contains(module);
    let mut faults = BTreeSet::new();
    for path in paths(source, &home) {
        let step = |index: usize| path.get(index).map_or("", String::as_str);
        match step(0) {
            "crate" | "twinthing" => {
                let target = step(1);
                let known = MODULES.iter().any(|(name, _)| *name == target);
                if known && target != *module && !others.contains(&target) {
                    faults.insert(format!("{module} may not name crate::{target}"));
                }
            }
            "std" | "core" => {
                let rest = path[1..].join("::");
                let under = |part: &str| rest == part || rest.starts_with(&format!("{part}::"));
                for (part, allowed) in STANDARD {
                    if under(part) && !may(allowed) {
                        faults.insert(format!("{module} may not name std::{part}"));
                    }
                }
            }
            name => {
                let row = CRATES.iter().find(|(known, _)| *known == name);
                if row.is_some_and(|(_, allowed)| !may(allowed)) {
                    faults.insert(format!("{module} may not name {name}"));
                }
            }
        }
    }
    faults.into_iter().collect()
}

/// The module that a file makes, from the crate's root: `twin/merge.rs` is twin, merge.
fn home(file: &Path) -> Vec<String> {
    let mut steps: Vec<_> =
        file.with_extension("").iter().map(|step| step.to_str().unwrap().to_owned()).collect();
    if steps.last().is_some_and(|step| step == "mod") {
        steps.pop();
    }
    steps
}

/// Every path of two steps or more, and every `use`, with `self` and `super` resolved from `home`.
fn paths(source: &str, home: &[String]) -> Vec<Vec<String>> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut inline: Vec<Option<String>> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (token, next) = (tokens[at].as_str(), tokens.get(at + 1).map_or("", String::as_str));
        let mut here = home.to_vec();
        here.extend(inline.iter().flatten().cloned());
        match token {
            "mod" if tokens.get(at + 2).is_some_and(|brace| brace == "{") => {
                inline.push(Some(next.to_owned()));
                at += 3;
            }
            "{" => {
                inline.push(None);
                at += 1;
            }
            "}" => {
                inline.pop();
                at += 1;
            }
            "use" => {
                at += 1;
                let mut tree = Vec::new();
                use_tree(&tokens, &mut at, &Vec::new(), &mut tree);
                found.extend(tree.into_iter().map(|path| resolved(path, &here)));
            }
            _ if is_name(token)
                && next == "::"
                && (at == 0 || !["::", "."].contains(&tokens[at - 1].as_str())) =>
            {
                let mut path = vec![token.to_owned()];
                at += 1;
                while tokens.get(at).is_some_and(|t| t == "::")
                    && tokens.get(at + 1).is_some_and(|t| is_name(t))
                {
                    path.push(tokens[at + 1].clone());
                    at += 2;
                }
                found.push(resolved(path, &here));
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads a `use` tree at `at` and adds each of its paths, below `prefix`.
fn use_tree(tokens: &[String], at: &mut usize, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*at) {
        match token.as_str() {
            "::" => *at += 1,
            "{" => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    use_tree(tokens, at, &path, found);
                    if tokens.get(*at).is_some_and(|token| token == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "," | "}" | ";" => break,
            "as" => *at += 2,
            name => {
                path.push(name.to_owned());
                *at += 1;
            }
        }
    }
    found.push(path);
}

/// A path that begins at the crate's root, at a crate, or at a name of the module's own.
fn resolved(path: Vec<String>, here: &[String]) -> Vec<String> {
    let mut base = here.to_vec();
    let mut steps = path.iter().peekable();
    let mut relative = false;
    while let Some(step) = steps.next_if(|step| ["self", "super"].contains(&step.as_str())) {
        relative = true;
        if step == "super" {
            base.pop();
        }
    }
    if !relative {
        return path;
    }
    let root = ["crate".to_owned()];
    root.into_iter().chain(base).chain(steps.cloned()).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single signs; comments, strings and characters are left out.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest);
        if skipped > 0 {
            rest = &rest[skipped..];
            continue;
        }
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_part(first) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    tokens
}

/// The length of the space, comment, string, character or lifetime that the text begins with; else 0.
fn skipped(text: &str) -> usize {
    let hashes =
        text.strip_prefix(['r']).map_or(0, |rest| rest.len() - rest.trim_start_matches('#').len());
    let raw = text.strip_prefix('r').is_some_and(|rest| rest[hashes..].starts_with('"'));
    match text.as_bytes() {
        [space, ..] if space.is_ascii_whitespace() => 1,
        [b'/', b'/', ..] => text.find('\n').unwrap_or(text.len()),
        [b'/', b'*', ..] => block_comment(text),
        [b'r', ..] if raw => {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = hashes + 2;
            text[from..].find(&end).map_or(text.len(), |at| from + at + end.len())
        }
        [b'"', ..] => quoted(text, '"'),
        [b'\'', b'\\', ..] => quoted(text, '\''),
        [b'\'', ..] => {
            let mut chars = text.char_indices().skip(2);
            match chars.next() {
                Some((at, '\'')) => at + 1,
                _ => 1,
            }
        }
        _ => 0,
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + quote.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}
