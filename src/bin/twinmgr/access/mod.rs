//! `twinmgr user`, `grant`, `revoke` and `acl`: who may connect to the broker, and what they may do there.

mod cli;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use twinthing::{
    protocol::ThingId,
    rights::{
        Action, Ask, Hash, HashError, Right, Role, Row, Verdict, acl_conf, acl_file, password_line,
        verdict,
    },
    store::{self, Changes, Target},
};

pub(crate) use self::cli::{commands, read};
use super::{Failure, poison::print};

/// What is asked of users and rights.
pub(crate) enum Access {
    /// Let one connect.
    AddUser { id: ThingId, password: Password, hash: Hash },
    /// Change a password.
    SetPassword { id: ThingId, password: Password, hash: Hash },
    /// Let one connect no more.
    RemoveUser(ThingId),
    /// Say who may connect.
    Users,
    /// Give a role.
    Grant { id: ThingId, role: Role, is_dry: bool },
    /// Take one away.
    Revoke { id: ThingId, role: Role, is_dry: bool },
    /// Say what rows there are, or those of one.
    Rows(Option<ThingId>),
    /// Say whether somebody may do something, and by which row.
    Explain { id: ThingId, action: Action, topic: String },
    /// Write the files for mosquitto into a folder.
    Mosquitto(PathBuf),
    /// Print EMQX 5's file of rules.
    EmqxFile,
}

/// Where a password comes from.
pub(crate) enum Password {
    /// It is asked for twice on a terminal, and else read from standard input.
    Asked,
    /// It is in a file.
    File(PathBuf),
    /// It is made up, and shown once.
    Made,
}

/// How long a password is that is made up: 24 letters and digits are 142 bits.
const MADE: usize = 24;
/// The letters of such a password: none that looks like another.
const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

pub(crate) fn deal_with(what: &Access, target: &Target) -> Result<ExitCode, Failure> {
    match what {
        Access::AddUser { id, password, hash } => put(target, id, password, *hash, true),
        Access::SetPassword { id, password, hash } => put(target, id, password, *hash, false),
        Access::RemoveUser(id) => remove(target, id),
        Access::Users => users(target),
        Access::Grant { id, role, is_dry } => {
            let changes = store::grant(target, id, role, *is_dry)?;
            granted(id, &changes, *is_dry)?;
            if !is_dry {
                held_back(target, id, role)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Access::Revoke { id, role, is_dry } => {
            let changes = store::revoke(target, id, role, *is_dry)?;
            revoked(id, &changes, *is_dry)
        }
        Access::Rows(id) => rows(target, id.as_ref()),
        Access::Explain { id, action, topic } => explain(target, id, *action, topic),
        Access::Mosquitto(folder) => mosquitto(target, folder),
        Access::EmqxFile => print(&acl_conf(&store::rows(target)?)).map(|()| ExitCode::SUCCESS),
    }
}

fn put(
    target: &Target,
    id: &ThingId,
    password: &Password,
    hash: Hash,
    is_new: bool,
) -> Result<ExitCode, Failure> {
    let wrong = |error: HashError| Failure::Usage(error.to_string());
    let text = given(id, password)?;
    let (hashed, for_mosquitto) =
        (hash.of(&text).map_err(wrong)?, Hash::for_mosquitto(&text).map_err(wrong)?);
    let put = if is_new { store::add_user } else { store::set_password };
    if !put(target, id, &hashed, &for_mosquitto)? {
        let why = if is_new {
            format!("{id} is a user already; twinmgr user passwd {id} changes the password")
        } else {
            format!("{id} is no user; twinmgr user add {id} makes one")
        };
        return Err(Failure::Usage(why));
    }
    let done = if is_new { "may connect" } else { "has a new password" };
    let made = match password {
        Password::Made => format!("its password, which is not shown again: {text}\n"),
        Password::Asked | Password::File(_) => String::new(),
    };
    print(&format!("{id} {done}; for an EMQX that verifies by {hash}\n{made}"))?;
    let others = store::others_hashes(target, id)?;
    if !others.is_empty() && !others.iter().any(|other| hash.may_be(other)) {
        let note = "the passwords of the other users are hashed in another way, and EMQX verifies all in one: see --hash";
        print(&format!("{note}\n"))?;
    }
    if is_new {
        print(&format!("what it may do: twinmgr grant device {id}, or another role\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn given(id: &ThingId, password: &Password) -> Result<String, Failure> {
    let text = match password {
        Password::File(path) => fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?,
        Password::Made => return made(),
        Password::Asked if io::stdin().is_terminal() => return asked(id),
        Password::Asked => {
            let mut line = String::new();
            io::stdin()
                .read_line(&mut line)
                .map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
            line
        }
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn asked(id: &ThingId) -> Result<String, Failure> {
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::Usage(format!("the terminal: {error}")))
    };
    let first = ask(format!("password for {id}: "))?;
    if ask("the same again: ".to_owned())? == first {
        Ok(first)
    } else {
        Err(Failure::Usage("the two are not the same; nothing was changed".to_owned()))
    }
}

fn made() -> Result<String, Failure> {
    let mut password = String::new();
    let mut random = fs::File::open("/dev/urandom")
        .map_err(|error| Failure::Start(format!("/dev/urandom: {error}")))?;
    while password.len() < MADE {
        let mut byte = [0_u8; 1];
        io::Read::read_exact(&mut random, &mut byte)
            .map_err(|error| Failure::Start(format!("/dev/urandom: {error}")))?;
        // Those above are left out, so that no letter comes more often than another.
        if let Some(letter) = LETTERS.get(usize::from(byte[0] & 63)) {
            password.push(char::from(*letter));
        }
    }
    Ok(password)
}

fn remove(target: &Target, id: &ThingId) -> Result<ExitCode, Failure> {
    let (had, rows) = store::remove_user(target, id)?;
    if !had && rows.is_empty() {
        return Err(Failure::Usage(format!("{id} is no user, and no row of mqtt_acl names it")));
    }
    let mut text = String::new();
    if had {
        text += &format!(
            "{id} may not connect any more; where it is connected, it stays so until it goes\n"
        );
    }
    text += &lines("removed", &rows);
    print(&text).map(|()| ExitCode::SUCCESS)
}

fn users(target: &Target) -> Result<ExitCode, Failure> {
    let mut counts = BTreeMap::<String, usize>::new();
    for row in store::rows(target)? {
        if let Some(name) = row.name() {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
    }
    let users = store::users(target)?;
    let width = users.iter().map(|user| user.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for user in &users {
        let rows = counts.get(&user.name).copied().unwrap_or(0);
        let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        text += &format!("{:width$}  {rows}", user.name);
        if user.is_superuser {
            text += "  superuser: no row holds it back";
        }
        if !user.is_for_mosquitto {
            text += "  no password for mosquitto: twinmgr user passwd makes one";
        }
        text.push('\n');
    }
    if users.is_empty() {
        text = format!("{target}: nobody may connect; twinmgr user add makes a user\n");
    }
    print(&text).map(|()| ExitCode::SUCCESS)
}

fn granted(id: &ThingId, changes: &Changes, is_dry: bool) -> Result<ExitCode, Failure> {
    let by = if changes.by_username { "user" } else { "client" };
    let line = |done: &str, right: &Right| {
        format!("{done}  allow {by} {id} {} {}\n", right.action.word(), right.topic)
    };
    let done = if is_dry { "would add" } else { "added" };
    let mut text: String = changes.added.iter().map(|right| line(done, right)).collect();
    text.extend(changes.kept.iter().map(|right| line("is there", right)));
    print(&text).map(|()| ExitCode::SUCCESS)
}

/// Says which of a role's rights a row before them denies all the same.
fn held_back(target: &Target, id: &ThingId, role: &Role) -> Result<(), Failure> {
    let rows = store::rows(target)?;
    for right in role.rights(id) {
        let ask = Ask {
            client_id: id.as_str(),
            username: id.as_str(),
            action: right.action,
            topic: &right.topic,
        };
        if let Verdict::Denied(row) = verdict(&rows, &ask) {
            print(&format!("denied all the same by row {}: {row}\n", row.id))?;
        }
    }
    Ok(())
}

fn revoked(id: &ThingId, changes: &Changes, is_dry: bool) -> Result<ExitCode, Failure> {
    if changes.removed.is_empty() {
        let text =
            format!("{id} has none of these rows; twinmgr acl ls {id} lists those that it has\n");
        return print(&text).map(|()| ExitCode::SUCCESS);
    }
    let done = if is_dry { "would remove" } else { "removed" };
    print(&lines(done, &changes.removed)).map(|()| ExitCode::SUCCESS)
}

fn lines(done: &str, rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{done}  row {}: {row}\n", row.id)).collect()
}

fn rows(target: &Target, id: Option<&ThingId>) -> Result<ExitCode, Failure> {
    let rows = store::rows(target)?;
    let is_of = |row: &&Row| id.is_none_or(|id| row.name() == Some(id.as_str()));
    let text: String =
        rows.iter().filter(is_of).map(|row| format!("{}  {row}\n", row.id)).collect();
    if text.is_empty() {
        let whom = id.map_or_else(|| "anybody".to_owned(), ToString::to_string);
        return print(&format!("no row of mqtt_acl names {whom}\n")).map(|()| ExitCode::SUCCESS);
    }
    print(&text).map(|()| ExitCode::SUCCESS)
}

/// Exit code 0 if it is allowed, 1 if it is not.
fn explain(
    target: &Target,
    id: &ThingId,
    action: Action,
    topic: &str,
) -> Result<ExitCode, Failure> {
    let rows = store::rows(target)?;
    let ask = Ask { client_id: id.as_str(), username: id.as_str(), action, topic };
    let is_super =
        store::users(target)?.iter().any(|user| user.is_superuser && user.name == id.as_str());
    if is_super {
        print(&format!(
            "allowed: {id} is a superuser, of whom EMQX asks no row; mosquitto knows none\n"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let verdict = verdict(&rows, &ask);
    let text = match &verdict {
        Verdict::Allowed(row) => format!("allowed by row {}: {row}\n", row.id),
        Verdict::Denied(row) => format!("denied by row {}: {row}\n", row.id),
        Verdict::Unknown => {
            format!(
                "denied: no row lets {id} {} {topic}, and what no row allows is denied\n",
                action.word()
            )
        }
    };
    print(&text)?;
    Ok(if verdict.is_allowed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes what mosquitto is to read. Each file is there whole, the old one or the new one.
fn mosquitto(target: &Target, folder: &Path) -> Result<ExitCode, Failure> {
    let (acl, left_out) = acl_file(&store::rows(target)?).map_err(|rows| {
        let rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
        let why = "nothing was written: mosquitto cannot be told to deny what these rows deny";
        Failure::Usage(format!("{why}\n{}", rows.join("\n")))
    })?;
    let (passwords, unwritable): (Vec<_>, Vec<_>) = store::mosquitto_passwords(target)?
        .into_iter()
        // It ends the name in that file.
        .partition(|(name, _)| !name.contains(':'));
    let known: BTreeSet<&str> = passwords.iter().map(|(name, _)| name.as_str()).collect();
    let users = store::users(target)?;
    let has_one =
        |name: &str| known.contains(name) || unwritable.iter().any(|(own, _)| own == name);
    let without = users.iter().filter(|user| !has_one(&user.name));
    let failed = |error: io::Error| Failure::Start(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let folder = &fs::canonicalize(folder).map_err(failed)?;
    let lines: String = passwords.iter().map(|(name, hash)| password_line(name, hash)).collect();
    let (acl_path, password_path) = (folder.join("acl"), folder.join("passwords"));
    replace(&password_path, &lines).map_err(failed)?;
    replace(&acl_path, &acl).map_err(failed)?;
    let mut text = format!(
        "wrote {} and {}: {} users\nin mosquitto.conf:\n\nallow_anonymous false\npassword_file {}\nacl_file {}\n\n\
         after each export: systemctl reload mosquitto, or SIGHUP to it\n",
        password_path.display(),
        acl_path.display(),
        passwords.len(),
        password_path.display(),
        acl_path.display(),
    );
    for user in without {
        text += &format!(
            "{}: has no password for mosquitto and cannot connect; twinmgr user passwd {} makes one\n",
            user.name, user.name
        );
    }
    for (name, _) in &unwritable {
        text += &format!(
            "left out: user {name}: mosquitto's password_file takes no name with a colon\n"
        );
    }
    for row in &left_out {
        text += &format!("not as it stands: {row}\n");
    }
    print(&text)?;
    let is_whole = left_out.is_empty() && unwritable.is_empty();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whoever could read the old one can read the new one, and nobody else: hashes of passwords are in one of them.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
    let folder = path.parent().unwrap_or(Path::new("."));
    let old = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let mode = old.as_ref().map_or(0o600, |old| old.mode() & 0o640);
    let owner = match old {
        Some(old) => old,
        None => fs::metadata(folder)?,
    };
    // A name that nobody can have prepared, and that is not followed.
    let new = folder.join(format!(".{:016x}.new", fastrand::u64(..)));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    let mut write = || {
        file.write_all(text.as_bytes())?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| {
        // It may be in place already.
        fs::remove_file(&new).unwrap_or_default();
    })
}
