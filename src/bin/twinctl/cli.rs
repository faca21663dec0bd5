//! What can be typed.

use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};
use twinthing::protocol::{GroupName, ThingId};

use super::{brokers::KEYS, files, ping};

const AFTER: &str = "\
Each command says more: twinctl help COMMAND. The broker is 127.0.0.1, unless a flag, the \
environment (MQTT_HOST and the others that twinmgr has as well, with MQTT_PASSWD or \
MQTT_PASSWD_FILE for the password), or ~/.config/twinctl.toml says otherwise; --help shows the \
flags.

Exit codes: 0 done; 1 it is not so: no such twin, declined, no answer to a ping; 2 things have not \
answered in time; 64 wrong usage or settings; 65 the manager refuses what is asked; 69 no broker \
or no manager; 74 the output cannot be written; 77 the broker does not allow it.";

const MEMBERS: &str = "\
VALUE is JSON, or, if it is none, a string:
  on=true  level=40  name=hall  rgb='[255,0,0]'  version='\"5\"'
A dot in a name goes a level down: net.ip=10.0.0.7 asks for {\"net\":{\"ip\":\"10.0.0.7\"}}. For a \
dot that is none type \\. instead.";

const WAIT: &str = "\
Without --wait it ends when the manager has it: the thing is told whenever it is there. With \
--wait it says what the thing made of it, and ends with 0 if all was taken, 1 if some was declined \
or is something else by now, 2 if the thing has not answered in time.";

const ROWS: &str = "\
COLUMNS are clientId (or id), online, version, and reported, desired, declined, reportedMeta, \
desiredMeta, declinedMeta, each alone or with a path into it, as reported.net.ip.

CONDITION compares columns with values:
  reported.temp > 10 and clientId like 'pico%'
  not (online = true or reported.name in ('hall', 'attic'))
  desired.level is not null
There are = != < <= > >=, like, not like, in, not in, is null, is not null; and, or, not, and \
parentheses. Values are numbers, true, false, and texts in quotes.";

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("twinctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Looks at digital twins, and asks things for something")
        .after_help(AFTER)
        .max_term_width(80)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_flag(true)
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .global(true)
                .display_order(1000)
                .help("Shows this; --help also the flags for the broker"),
        )
        .args(broker_flags())
        .subcommand(
            Command::new("get")
                .about("Shows the twin of a thing")
                .arg(id())
                .arg(format(&["table", "json"])),
        )
        .subcommand(
            Command::new("set")
                .about("Asks a thing for something")
                .after_help(format!("{MEMBERS}\n\n{WAIT}"))
                .arg(id())
                .arg(members())
                .arg(json())
                .arg(if_version())
                .arg(wait()),
        )
        .subcommand(
            Command::new("unset")
                .about("Asks a thing to remove members")
                .after_help(WAIT)
                .arg(id())
                .arg(names())
                .arg(if_version())
                .arg(wait()),
        )
        .subcommand(
            Command::new("rm")
                .about("Has the manager forget twins; a later report starts one anew")
                .arg(id().num_args(1..).action(ArgAction::Append)),
        )
        .subcommand(list("ls").arg(group_flag().help(
            "The things in this group [ALL: the things that may subscribe to GRP/ALL/TPC/#]",
        )))
        .subcommand(group())
        .subcommand(
            Command::new("watch")
                .about("Shows each change of twins as it happens, until Ctrl-C")
                .after_help(
                    "Without ID and --group it is all things, if the broker allows that.\n\
                     What is asked is shown until the thing has answered: taken, it is reported.",
                )
                .arg(id().required(false).num_args(0..).action(ArgAction::Append))
                .arg(group_flag().help("The things in this group").conflicts_with("ID"))
                .arg(format(&["text", "json"])),
        )
        .subcommand(ping::command())
        .subcommand(
            Command::new("listen")
                .about("Shows all that goes over the broker for twins, until Ctrl-C")
                .arg(
                    Arg::new("FILTER")
                        .num_args(0..)
                        .action(ArgAction::Append)
                        .help("Topics, as MQTT filters [TNG/# GRP/#]"),
                )
                .arg(
                    Arg::new("full")
                        .long("full")
                        .action(ArgAction::SetTrue)
                        .help("Cuts no line to the width of the terminal"),
                )
                .arg(format(&["text", "json"])),
        )
        .subcommands(files::commands())
}

fn group() -> Command {
    let from = Arg::new("from")
        .long("from")
        .value_name("ID,…")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .value_parser(value_parser!(ThingId))
        .help("Only these of the members; it may be given several times");
    let name = || {
        Arg::new("group")
            .value_name("GROUP")
            .required(true)
            .value_parser(value_parser!(GroupName))
            .help("The group, as it stands in GRP/<group>/TPC/#")
    };
    Command::new("group")
        .about("Asks the members of a group")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(list("get").about("Lists the twins of the members").arg(name()))
        .subcommand(
            Command::new("set")
                .about("Asks each member for something")
                .after_help(format!("{MEMBERS}\n\n{WAIT}"))
                .arg(name())
                .arg(members())
                .arg(json())
                .arg(from.clone())
                .arg(wait())
                .arg(format(&["text", "json"])),
        )
        .subcommand(
            Command::new("unset")
                .about("Asks each member to remove members of its state")
                .after_help(WAIT)
                .arg(name())
                .arg(names())
                .arg(from)
                .arg(wait())
                .arg(format(&["text", "json"])),
        )
}

fn list(name: &'static str) -> Command {
    Command::new(name)
        .about("Lists twins: all, or those of which a condition holds")
        .after_help(ROWS)
        .arg(
            Arg::new("select")
                .long("select")
                .value_name("COLUMNS")
                .help("The columns, with commas between them"),
        )
        .arg(
            Arg::new("where")
                .long("where")
                .value_name("CONDITION")
                .help("Only the twins of which this holds"),
        )
        .arg(format(&["table", "json", "csv"]))
}

fn id() -> Arg {
    Arg::new("ID").required(true).value_parser(value_parser!(ThingId)).help("The thing's id")
}

fn members() -> Arg {
    Arg::new("MEMBER=VALUE")
        .num_args(1..)
        .action(ArgAction::Append)
        .required_unless_present("json")
        .help("What is asked for")
}

fn names() -> Arg {
    Arg::new("MEMBER")
        .num_args(1..)
        .action(ArgAction::Append)
        .required(true)
        .help("What is to be gone; a dot goes a level down")
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .value_name("OBJECT")
        .conflicts_with("MEMBER=VALUE")
        .help("What is asked for as one JSON object; - reads it from standard input")
}

fn if_version() -> Arg {
    Arg::new("if-version")
        .long("if-version")
        .value_name("VERSION")
        .value_parser(value_parser!(u64))
        .help("Only if the twin is at this version; else exit code 65")
}

fn wait() -> Arg {
    Arg::new("wait")
        .long("wait")
        .value_name("SECONDS")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("10")
        .value_parser(seconds)
        .help("Waits until the thing has answered, but no longer than this [10]")
}

fn group_flag() -> Arg {
    Arg::new("group").long("group").value_name("GROUP").value_parser(value_parser!(GroupName))
}

fn format(formats: &'static [&'static str]) -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name("FORMAT")
        .value_parser(clap::builder::PossibleValuesParser::new(formats))
        .default_value(formats.first().copied().unwrap_or_default())
        .help("How it is shown")
}

/// A time on the command line.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err("it is not from 0.1 to 86400 seconds".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn broker_flags() -> Vec<Arg> {
    let flag = |id: &'static str, long: String, value: &'static str, help: String| {
        Arg::new(id)
            .long(long)
            .value_name(value)
            .help(help)
            .global(true)
            .hide_short_help(true)
            .help_heading("Broker")
    };
    let mut flags = vec![
        flag(
            "broker",
            "broker".to_owned(),
            "NAME",
            "A broker that twinctl.toml names; MQTT_ variables then say nothing [TWINCTL_BROKER]"
                .to_owned(),
        )
        .short('b'),
        flag(
            "config",
            "config".to_owned(),
            "FILE",
            "That file [TWINCTL_CONFIG, ~/.config/twinctl.toml]".to_owned(),
        ),
    ];
    for (key, variable) in KEYS {
        let (long, help) = match key {
            "host" => ("mqtt-host", "Its name or address [MQTT_HOST=127.0.0.1]"),
            "port" => ("mqtt-port", "Its port [MQTT_PORT=1883]"),
            "user" => ("mqtt-user", "Your user name there [MQTT_USER]"),
            "cert" => (
                "mqtt-cert",
                "PEM file with the CA certificates to trust; turns TLS on [MQTT_CERT]",
            ),
            "client_cert" => {
                ("mqtt-client-cert", "PEM file with your own certificate [MQTT_CLIENT_CERT]")
            }
            "client_key" => ("mqtt-client-key", "PEM file with the key of that [MQTT_CLIENT_KEY]"),
            "version" => ("mqtt-version", "The version of MQTT: 5 or 3.1.1 [MQTT_VERSION=5]"),
            "keep_alive" => (
                "mqtt-keep-alive",
                "How often the connection is checked, in seconds [MQTT_KEEP_ALIVE=30]",
            ),
            "id" => ("id", "The client id [TWINCTL_ID, a new one for each call]"),
            // Secrets are no flags: everybody on the machine could read them.
            _ => continue,
        };
        flags.push(flag(variable, long.to_owned(), "VALUE", help.to_owned()));
    }
    flags.push(
        flag(
            "timeout",
            "timeout".to_owned(),
            "SECONDS",
            "How long broker and manager may take to answer [10]".to_owned(),
        )
        .value_parser(seconds),
    );
    flags
}
