//! The command line: a flag for each setting that is no secret.

use std::{io, path::Path, process::ExitCode, time::Duration};

use super::access::{self, Access};
use clap::{Arg, ArgAction, ArgMatches, Command};
use twinthing::{
    config::{Kind, SETTINGS, Setting, Source},
    protocol::GroupName,
};

/// What the program is asked to do.
pub(crate) enum Called {
    /// Run the manager.
    Run,
    /// Bring the database's tables up to date, and end.
    Migrate,
    /// Ask the running manager how it is, with so much patience, and end.
    Health(Duration),
    /// Look whether the manager would find what it needs, with so much patience for each answer, and end.
    Check(Duration),
    /// Deal with messages that were set aside, and end.
    Poison(Poison),
    /// Deal with users and rights at the broker, and end.
    Access(Access),
    /// Say which groups there are, and end.
    Groups,
    /// Say who is a member of a group, and end.
    Members {
        /// The group.
        group: GroupName,
        /// Whether to say which row made or unmade each member.
        explains: bool,
    },
}

/// What is to be done with messages that were set aside.
pub(crate) enum Poison {
    /// Say which there are.
    List,
    /// Show one.
    Show(String),
    /// Have these tried again, or all of them.
    Retry(Vec<String>),
    /// Drop these, or all of them.
    Drop(Vec<String>),
}

/// The flags that were given, and the process's environment.
pub(crate) struct Given(ArgMatches);

const AFTER: &str = "\
Each setting is an environment variable too, named in brackets; a flag goes first. A secret is
a variable only, or NAME_FILE names a file with it:
";

const EXIT_CODES: &str = "
Exit codes: 0 ended as asked; 1 could not start; 64 wrong settings; 69 and 70, see health --help;
70 a fault of the program, which can be started again; 75 another manager is at work on this data
folder or database; 78 broker or database not there at the start, or refusing, under --fail-fast.";

const AFTER_HEALTH: &str = "\
It takes the manager's own settings, connects to the broker under a client id of its own, and sends
a PING and a TWIN/GET. It touches neither the data folder nor the database. Do not use it where the
broker makes the user name the client id (mosquitto's use_username_as_clientid): it would take the
manager's place for a moment.

Exit codes: 0 alive: it answers, and from its database; 64 wrong settings; 69 degraded: its broker
or its database is away or refuses; 70 stuck: the broker is there, and the manager does not answer.";

const AFTER_CHECK: &str = "\
It takes the manager's own settings and looks at the data folder, the database and the broker, beside a
manager that may be running: by a client id of its own, so that what the broker allows to the manager's
client id alone, and not to its user, is not seen. It publishes where nobody can be, and on the
manager's own TPC/PONG.

Exit codes: 0 all that the manager needs is there; 64 wrong settings; 69 something is missing.";

const AFTER_POISON: &str = "\
They lie in the folder poison of the data folder, so give the manager's --data-dir. What is to be
tried again is taken by the manager that runs there, within a second, or by the next one.

Exit codes: 0 done; 1 the folder cannot be read or written; 64 wrong usage, or no such message.";

const AFTER_GROUPS: &str = "\
The members of a group are the things that the broker lets subscribe to GRP/<group>/TPC/#. This reads
the table mqtt_acl in the database that the settings name, in EMQX's 4.x or 5.x layout, beside a
manager that may be running, and changes nothing.

Exit codes: 0 done; 1 the database cannot be read; 64 wrong settings or usage.";

/// Reads the command line; `Err` is how the program ends where it asks for help or is wrong.
pub(crate) fn parse() -> Result<(Called, Given), ExitCode> {
    match command().try_get_matches() {
        Ok(matches) => Ok(match matches.subcommand() {
            Some(("migrate", matches)) => (Called::Migrate, Given(matches.clone())),
            Some(("health", matches)) => {
                let patience = matches.get_one("timeout").copied().unwrap_or_default();
                (Called::Health(patience), Given(matches.clone()))
            }
            Some(("check", matches)) => {
                let patience = matches.get_one("timeout").copied().unwrap_or_default();
                (Called::Check(patience), Given(matches.clone()))
            }
            Some(("poison", matches)) => poison(matches),
            Some(("groups", matches)) => (Called::Groups, Given(matches.clone())),
            Some(("members", matches)) => members(matches)?,
            Some((name @ ("user" | "grant" | "revoke" | "acl"), matches)) => {
                let (what, matches) = access::read(name, matches).ok_or(ExitCode::from(64))?;
                (Called::Access(what), Given(matches.clone()))
            }
            _ => (Called::Run, Given(matches)),
        }),
        Err(error) => {
            let wrong = error.use_stderr();
            // Nothing is left to be told where the terminal itself is gone.
            error.print().unwrap_or_default();
            Err(if wrong { ExitCode::from(64) } else { ExitCode::SUCCESS })
        }
    }
}

/// clap has seen to it that there is a group.
fn members(matches: &ArgMatches) -> Result<(Called, Given), ExitCode> {
    let group = matches.get_one::<GroupName>("GROUP").cloned().ok_or(ExitCode::from(64))?;
    let explains = matches.get_flag("explain");
    Ok((Called::Members { group, explains }, Given(matches.clone())))
}

/// `poison` and its own command; clap has seen to it that there is one, with all that it needs.
fn poison(matches: &ArgMatches) -> (Called, Given) {
    let (name, matches) = matches.subcommand().unwrap_or(("ls", matches));
    let ids = || -> Vec<String> { matches.get_many("ID").into_iter().flatten().cloned().collect() };
    let poison = match name {
        "show" => Poison::Show(ids().concat()),
        "retry" => Poison::Retry(ids()),
        "drop" => Poison::Drop(ids()),
        _ => Poison::List,
    };
    (Called::Poison(poison), Given(matches.clone()))
}

fn command() -> Command {
    let secrets: String = SETTINGS
        .iter()
        .filter(|setting| setting.kind == Kind::Secret)
        .map(|setting| format!("  {:<16} {}\n", setting.variable, setting.help))
        .collect();
    Command::new("twinmgr")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps digital twins of things that speak MQTT")
        .after_help(format!("{AFTER}{secrets}{EXIT_CODES}"))
        .args(SETTINGS.iter().filter_map(arg))
        .subcommand(
            Command::new("migrate").about("Brings the database's tables up to date, and ends"),
        )
        .subcommand(
            Command::new("health")
                .about("Asks the running manager how it is, says so in one line, and ends")
                .after_help(AFTER_HEALTH)
                .arg(timeout()),
        )
        .subcommand(
            Command::new("check")
                .about("Looks whether broker, database and disk are as the manager needs them, and ends")
                .after_help(AFTER_CHECK)
                .arg(timeout()),
        )
        .subcommand(poison_command())
        .subcommand(
            Command::new("groups")
                .about("Lists the groups that the broker's access table knows, and ends")
                .after_help(AFTER_GROUPS),
        )
        .subcommand(members_command())
        .subcommands(access::commands())
}

fn poison_command() -> Command {
    let id = || Arg::new("ID").help("The message, as poison ls names it");
    let all = || {
        let help = "All of them";
        Arg::new("all").long("all").action(ArgAction::SetTrue).help(help).display_order(0)
    };
    let some = |name: &'static str, about: &'static str| {
        let ids = id().action(ArgAction::Append).num_args(1..).required_unless_present("all");
        Command::new(name).about(about).arg(ids).arg(all().conflicts_with("ID"))
    };
    Command::new("poison")
        .about("Deals with messages that were set aside because the manager has a fault with them")
        .after_help(AFTER_POISON)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("ls").about("Lists them, oldest first"))
        .subcommand(
            Command::new("show").about("Shows one, payload and all").arg(id().required(true)),
        )
        .subcommand(some("retry", "Has them tried again, as if they had just come"))
        .subcommand(some("drop", "Drops them for good"))
}

fn members_command() -> Command {
    let group = Arg::new("GROUP")
        .help("The group, as it stands in GRP/<group>/TPC/#")
        .required(true)
        .value_parser(clap::value_parser!(GroupName));
    let explain = Arg::new("explain")
        .long("explain")
        .action(ArgAction::SetTrue)
        .help("Says of each thing that a row names which row decided")
        .display_order(0);
    Command::new("members")
        .about("Lists the members of a group, and ends")
        .after_help(AFTER_GROUPS)
        .arg(group)
        .arg(explain)
}

fn timeout() -> Arg {
    let help = "How long each answer of the broker, and then of the manager, may take, in seconds, 0.1 to 3600";
    let seconds = |text: &str| match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err("it is not from 0.1 to 3600".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    Arg::new("timeout")
        .long("timeout")
        .display_order(SETTINGS.len() + 1)
        .value_name("SECONDS")
        .default_value("5")
        .value_parser(seconds)
        .help(help)
}

fn arg(setting: &Setting) -> Option<Arg> {
    let help = match setting.default {
        "" => format!("{} [{}]", setting.help, setting.variable),
        default => format!("{} [{}={default}]", setting.help, setting.variable),
    };
    let arg = Arg::new(setting.variable).long(setting.flag()).help(help).global(true);
    match setting.kind {
        Kind::Value => Some(arg.value_name("VALUE").action(ArgAction::Set)),
        Kind::Switch => Some(arg.action(ArgAction::SetTrue)),
        Kind::Secret => None,
    }
}

impl Source for Given {
    fn flag(&self, variable: &str) -> Option<String> {
        let setting = SETTINGS.iter().find(|setting| setting.variable == variable)?;
        match setting.kind {
            Kind::Value => self.0.get_one::<String>(variable).cloned(),
            Kind::Switch => self.0.get_flag(variable).then(|| "true".to_owned()),
            Kind::Secret => None,
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        // What is no text is no right value either: it is named as a mistake, not overlooked.
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}
