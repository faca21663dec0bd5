//! How these commands are typed.

use std::{collections::BTreeSet, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use twinthing::{
    protocol::{GroupName, ThingId},
    rights::{Action, EVERYBODY, Hash, Role},
};

use super::{Access, Password};

const AFTER_USER: &str = "\
A user may connect to the broker; what it may do there is granted apart (twinmgr grant). A thing's user name is its \
id. This writes the table mqtt_user in the database that the settings name, as EMQX reads it, and beside it what \
mosquitto needs (twinmgr acl export mosquitto). The password is asked for twice on a terminal, and else read from \
standard input.

Exit codes: 0 done; 1 the database cannot be written; 64 wrong usage, or no such user.";

const AFTER_GRANT: &str = "\
This writes exactly the rows of mqtt_acl that the role needs by docs/protocol.md, all of them or none, and leaves \
those that are there. They are for a broker that denies what no row allows (docs/access.md). Things are named by \
client id, which the broker has to tie to the user name; managers and clients by user name.

Exit codes: 0 done; 1 the database cannot be written; 64 wrong usage.";

const AFTER_ACL: &str = "\
Exit codes: 0 done, or allowed; 1 denied, or a row was left out; 64 wrong usage.";

/// `user`, `grant`, `revoke` and `acl`.
pub(crate) fn commands() -> [Command; 4] {
    let grant = |name: &'static str, about: &'static str| {
        let dry = Arg::new("dry-run")
            .long("dry-run")
            .action(ArgAction::SetTrue)
            .global(true)
            .help("Says what would be done, and does nothing")
            .display_order(0);
        Command::new(name)
            .about(about)
            .after_help(AFTER_GRANT)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .arg(dry)
            .subcommands(roles())
    };
    [
        user(),
        grant("grant", "Lets somebody do at the broker what its role needs"),
        grant("revoke", "Takes that away again"),
        acl(),
    ]
}

fn roles() -> [Command; 4] {
    let list = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_delimiter(',').help(help).display_order(0)
    };
    let all = Arg::new("all-things")
        .long("all-things")
        .action(ArgAction::SetTrue)
        .help("All twins, now and later")
        .display_order(0);
    [
        Command::new("device").about("A thing").arg(id()),
        Command::new("member")
            .about("A thing as a member of a group")
            .arg(id())
            .arg(group().required(true)),
        Command::new("manager").about("The manager, its health and its check").arg(id()),
        Command::new("client")
            .about("An application that works with twins")
            .arg(id())
            .arg(
                list("groups", "GROUP,…", "The groups that it asks and sets")
                    .value_parser(value_parser!(GroupName)),
            )
            .arg(
                list("things", "ID,…", "The things whose twins it works with")
                    .value_parser(value_parser!(ThingId)),
            )
            .arg(all),
    ]
}

fn user() -> Command {
    let password = |command: Command| {
        let file = Arg::new("password-file")
            .long("password-file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Reads the password from a file; a line end behind it does not count")
            .display_order(0);
        let made = Arg::new("generate")
            .long("generate")
            .action(ArgAction::SetTrue)
            .conflicts_with("password-file")
            .help("Makes a password up, and shows it once")
            .display_order(0);
        let hash = Arg::new("hash")
            .long("hash")
            .value_name("HASH")
            .value_parser(value_parser!(Hash))
            .default_value("bcrypt")
            .help("How EMQX is told to verify it: bcrypt, sha256-prefix, sha256-suffix, pbkdf2-sha256 or pbkdf2-sha512")
            .display_order(0);
        command.arg(id()).arg(file).arg(made).arg(hash)
    };
    Command::new("user")
        .about("Deals with those who may connect to the broker")
        .after_help(AFTER_USER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(password(Command::new("add").about("Lets one connect")))
        .subcommand(password(Command::new("passwd").about("Changes a password")))
        .subcommand(
            Command::new("rm")
                .about("Lets one connect no more, and removes every row that names it")
                .arg(id()),
        )
        .subcommand(Command::new("ls").about("Lists them, with how many rows each has"))
}

fn acl() -> Command {
    let action = Arg::new("ACTION")
        .required(true)
        .value_parser(["publish", "subscribe"])
        .help("What it wants to do");
    let folder = Arg::new("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("Where the files acl and passwords go");
    Command::new("acl")
        .about("Looks at what the broker's access table allows, and writes it for other brokers")
        .after_help(AFTER_ACL)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("ls").about("Lists the rows, or those of one").arg(id().required(false)),
        )
        .subcommand(
            Command::new("explain")
                .about("Says whether somebody may do something, and by which row")
                .arg(id())
                .arg(action)
                .arg(
                    Arg::new("TOPIC")
                        .required(true)
                        .help("A topic, or for a subscription a filter"),
                ),
        )
        .subcommand(
            Command::new("export")
                .about("Writes users and rights for a broker without this database")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(
                    Command::new("mosquitto")
                        .about("Writes mosquitto's password_file and acl_file")
                        .arg(folder),
                )
                .subcommand(
                    Command::new("emqx-file").about("Prints the rows as EMQX 5's acl.conf"),
                ),
        )
}

fn id() -> Arg {
    let somebody = |text: &str| match text.parse::<ThingId>() {
        Ok(id) if id.as_str() == EVERYBODY => {
            Err("it stands for everybody, and is nobody's name".to_owned())
        }
        other => other.map_err(|error| error.to_string()),
    };
    Arg::new("ID").required(true).value_parser(somebody).help("The user name, and id")
}

fn group() -> Arg {
    Arg::new("GROUP")
        .value_parser(value_parser!(GroupName))
        .help("The group, as it stands in GRP/<group>/TPC/#")
}

/// What was typed, below one of these commands. clap has seen to it that all is there.
pub(crate) fn read<'a>(name: &str, matches: &'a ArgMatches) -> Option<(Access, &'a ArgMatches)> {
    let (inner, own) = matches.subcommand()?;
    let id = || own.try_get_one::<ThingId>("ID").ok().flatten().cloned();
    let access = match (name, inner) {
        ("user", "add") => Access::AddUser { id: id()?, password: password(own), hash: hash(own) },
        ("user", "passwd") => {
            Access::SetPassword { id: id()?, password: password(own), hash: hash(own) }
        }
        ("user", "rm") => Access::RemoveUser(id()?),
        ("user", _) => Access::Users,
        ("grant" | "revoke", role) => {
            let (id, role) = (id()?, role_of(role, own)?);
            let is_dry = own.get_flag("dry-run");
            match name {
                "grant" => Access::Grant { id, role, is_dry },
                _ => Access::Revoke { id, role, is_dry },
            }
        }
        ("acl", "explain") => Access::Explain {
            id: id()?,
            action: match own.get_one::<String>("ACTION")?.as_str() {
                "publish" => Action::Publish,
                _ => Action::Subscribe,
            },
            topic: own.get_one::<String>("TOPIC")?.clone(),
        },
        ("acl", "export") => match own.subcommand()? {
            ("mosquitto", own) => return Some((mosquitto(own)?, own)),
            (_, own) => return Some((Access::EmqxFile, own)),
        },
        _ => Access::Rows(id()),
    };
    Some((access, own))
}

fn mosquitto(own: &ArgMatches) -> Option<Access> {
    own.get_one::<PathBuf>("DIR").cloned().map(Access::Mosquitto)
}

fn password(own: &ArgMatches) -> Password {
    match own.get_one::<PathBuf>("password-file") {
        Some(file) => Password::File(file.clone()),
        None if own.get_flag("generate") => Password::Made,
        None => Password::Asked,
    }
}

fn hash(own: &ArgMatches) -> Hash {
    own.get_one::<Hash>("hash").copied().unwrap_or_default()
}

fn role_of(name: &str, own: &ArgMatches) -> Option<Role> {
    fn list<T: Clone + Ord + Send + Sync + 'static>(own: &ArgMatches, name: &str) -> BTreeSet<T> {
        own.get_many::<T>(name).into_iter().flatten().cloned().collect()
    }
    Some(match name {
        "device" => Role::Device,
        "member" => Role::Member(own.get_one::<GroupName>("GROUP")?.clone()),
        "manager" => Role::Manager,
        _ => Role::Client {
            groups: list(own, "groups"),
            things: list(own, "things"),
            all_things: own.get_flag("all-things"),
        },
    })
}
