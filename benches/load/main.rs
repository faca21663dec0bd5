//! Plays many things and their clients against the manager, and measures it beside an echo of the same messages.
//!
//! `cargo bench --bench load` runs all cases on both databases; `-- --help` says how to run some of them.
//! docs/performance.md says what the cases are, and what they came to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    unreachable_pub,
    missing_docs,
    reason = "a benchmark fails by panicking, and is nobody's library"
)]

mod echo;
mod figures;
mod ground;
mod group;
mod growth;
mod plot;
mod rest;
mod set;
mod storm;
#[path = "../../tests/support/mod.rs"]
mod support;
mod update;
mod wire;

use std::{
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use clap::{Arg, ArgAction, Command, value_parser};
use figures::Line;
use growth::Along;
use serde_json::Value;
use support::{database::Database, mariadb::MariaDb};

/// How a case is run.
#[derive(Clone)]
pub struct Plan {
    pub database: Rc<Database>,
    /// How often each side has its turn.
    pub rounds: usize,
    /// How long a turn takes, where it is a matter of time.
    pub span: Duration,
}

impl Plan {
    pub fn is_sqlite(&self) -> bool {
        matches!(*self.database, Database::Sqlite)
    }

    pub fn name(&self) -> &'static str {
        if self.is_sqlite() { "SQLite" } else { "MariaDB" }
    }
}

/// The cases by name, and what each is.
const CASES: &[(&str, &str)] = &[
    ("update", "reports in a closed loop: 100, 1,000 and 10,000 things, 100 in flight"),
    ("paced", "reports at 50 and at 1,000 in a second"),
    ("set", "SET of a thing until its delta, and until it is settled: 1 and 20 in flight"),
    ("group-set", "SET of a group of 1,000 and 10,000, until the last delta"),
    ("group-get", "a query with a condition over 1,000, 10,000 and 100,000 members"),
    ("storm", "1,000 and 10,000 things come back at once, and each has missed something"),
    ("memory", "a twin's memory at 10,000 and 100,000 twins, and after they have gone"),
    ("start", "the first answer after a start, with 1,000,000 twins stored"),
    ("growth", "updates a second against things, members, and twins stored"),
];

fn main() {
    let given = command().get_matches();
    let cases: Vec<&String> = given.get_many("case").unwrap_or_default().collect();
    let is_wanted = |case: &str| cases.is_empty() || cases.iter().any(|wanted| *wanted == case);
    let folder: &PathBuf = given.get_one("out").unwrap();
    let databases: &String = given.get_one("on").unwrap();
    let mut results = Results::new(folder);
    println!("{}", Line::head());
    for name in databases.split(',') {
        let database = match name {
            "sqlite" => Database::Sqlite,
            // Sized as it is by default, which the tests' is not.
            "mariadb" => Database::MariaDb(MariaDb::start_with(vec![
                "--innodb-buffer-pool-size=128M".to_owned(),
                "--innodb-log-file-size=96M".to_owned(),
            ])),
            _ => panic!("--on takes sqlite and mariadb, not {name}"),
        };
        let rounds = usize::from(*given.get_one::<u8>("rounds").unwrap());
        let span = Duration::from_secs(u64::from(*given.get_one::<u8>("seconds").unwrap()));
        let plan = Plan { database: Rc::new(database), rounds, span };
        for (case, _) in CASES.iter().filter(|(case, _)| is_wanted(case)) {
            run(&plan, case, &mut results);
        }
    }
    results.draw();
}

fn command() -> Command {
    let cases = CASES
        .iter()
        .map(|(name, what)| format!("  {name:<10} {what}"))
        .collect::<Vec<_>>()
        .join("\n");
    Command::new("load")
        .about("Measures the manager beside an echo of the same messages")
        .after_help(format!("Cases, all of them if none is named:\n{cases}"))
        .arg(
            Arg::new("case")
                .num_args(0..)
                .value_parser(CASES.iter().map(|(name, _)| *name).collect::<Vec<_>>())
                .hide_possible_values(true)
                .help("The cases to run"),
        )
        .arg(Arg::new("on").long("on").default_value("sqlite,mariadb").help("The databases"))
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .default_value("3")
                .value_parser(value_parser!(u8).range(1..))
                .help("How often each side has its turn, at least: short cases have more"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .default_value("3")
                .value_parser(value_parser!(u8).range(1..))
                .help("How long a turn takes; at most 3 for growth"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .default_value(concat!(env!("CARGO_MANIFEST_DIR"), "/target/load"))
                .value_parser(value_parser!(PathBuf))
                .help("The folder for load.jsonl and growth.svg"),
        )
        // cargo bench says so.
        .arg(Arg::new("bench").long("bench").action(ArgAction::SetTrue).hide(true))
}

/// Runs a case on one database.
fn run(plan: &Plan, case: &str, results: &mut Results) {
    actix_rt::System::new().block_on(async {
        match case {
            "update" => {
                for things in [100, 1_000, 10_000] {
                    results.add(update::throughput(plan, things).await);
                }
            }
            "paced" => {
                for rate in [50, 1_000] {
                    results.add(update::latency(plan, rate).await);
                }
            }
            "set" => {
                for in_flight in [1, 20] {
                    set::asked(plan, in_flight)
                        .await
                        .into_iter()
                        .for_each(|line| results.add(line));
                }
            }
            "group-set" => {
                for members in [1_000, 10_000] {
                    results.add(group::set(plan, members).await);
                }
            }
            "group-get" => {
                for members in [1_000, 10_000, 100_000] {
                    results.add(group::get(plan, members).await);
                }
            }
            "storm" => {
                for things in [1_000, 10_000] {
                    results.add(storm::storm(plan, things, false).await);
                    results.add(storm::storm(plan, things, true).await);
                }
            }
            "memory" => {
                for things in [10_000, 100_000] {
                    results.add(rest::memory(plan, things).await);
                }
            }
            "start" => results.add(rest::start(plan, 1_000_000).await),
            _ => {
                for along in Along::ALL {
                    for size in along.sizes() {
                        results.add(growth::point(plan, along, *size).await);
                    }
                }
            }
        }
    });
}

/// What the cases came to so far.
struct Results {
    folder: PathBuf,
    lines: Vec<String>,
}

impl Results {
    fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        Self { folder: folder.to_owned(), lines: Vec::new() }
    }

    /// Tells a line, and keeps it in the file: a run may be ended early.
    fn add(&mut self, line: Line) {
        println!("{}", line.text());
        self.lines.push(line.json_line());
        let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.folder.join("load.jsonl"), text).unwrap();
    }

    fn draw(&self) {
        println!("as JSON lines: {}", self.folder.join("load.jsonl").display());
        let values: Vec<Value> =
            self.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        if values.iter().any(|line| line["along"].is_string()) {
            let picture = self.folder.join("growth.svg");
            plot::growth(&values, &picture).unwrap();
            println!("as a picture: {}", picture.display());
        }
    }
}
