//! Every command of `twinctl`, as a person or a script runs it.
#![cfg(feature = "manager")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    broker::{Broker, broker_without},
    client::Client,
    database::{Database, Direct},
    library::device,
    lines::Lines,
    port::free_port,
    site::{PATIENCE, Site},
    wait_for,
};
use tempfile::TempDir;
use twinthing::{
    client::block_on,
    device::{Device, Runner},
};

/// One who calls `twinctl`, with nothing in the environment but a home.
struct Caller {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// What a call has printed, and its exit code.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Caller {
    fn new(port: u16) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, variables: vec![("MQTT_PORT".to_owned(), port.to_string())] }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinctl"));
        command.args(arguments).env_clear().env("HOME", self.home.path());
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command.envs(variables).stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Calls, and looks at all of it: what is printed, with spaces at the ends of lines left out.
    #[track_caller]
    fn says(&self, arguments: &[&str], code: i32, out: &str) {
        let said = self.call(arguments);
        let lines: Vec<_> = said.out.lines().map(str::trim_end).collect();
        assert_eq!((lines.join("\n").as_str(), said.code), (out, code), "{}", said.err);
        assert_eq!(said.err, "");
    }

    /// Calls, and looks at what is wrong.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, err: &str) {
        let said = self.call(arguments);
        assert_eq!((said.err.trim_end(), said.code, said.out.as_str()), (err, code, ""));
    }

    /// Calls with nobody to read what is printed; `meanwhile` is done again and again until it ends by itself.
    fn unread(&self, arguments: &[&str], mut meanwhile: impl FnMut()) -> ExitStatus {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut process = self.command(arguments).stdout(writer).spawn().unwrap();
        let status = wait_for(&format!("the end of {arguments:?}"), PATIENCE, || {
            meanwhile();
            process.try_wait().unwrap()
        });
        process.wait().unwrap();
        status
    }

    fn start(&self, arguments: &[&str]) -> Lines {
        Lines::start(&mut self.command(arguments))
    }
}

/// A site with things, all members of `ALL` and `all`, that take everything but a level over 100.
struct Home {
    site: Site,
    devices: Vec<Device<Value>>,
    _runner: Runner,
}

fn home(names: &[&str]) -> (Home, Caller) {
    let mut site = Site::start(&Database::Sqlite, &[("TWIN_LATE_WILL", "0")]);
    let (runner, port) = (Runner::start("devices").unwrap(), site.broker.port());
    let devices = names.iter().map(|name| device(&runner, name, port)).collect();
    let mut tables = Direct::to(&site.url);
    tables.join("ALL", names);
    tables.join("all", names);
    for name in names {
        wait_for(&format!("{name} has a twin"), PATIENCE, || {
            (site.twin(name)["version"] == 1).then_some(())
        });
    }
    (Home { site, devices, _runner: runner }, Caller::new(port))
}

#[test]
fn a_twin_is_shown_asked_for_something_and_forgotten() {
    let (home, caller) = home(&["lamp"]);
    for version in ["5", "3.1.1"] {
        let caller = Caller::new(home.site.broker.port()).with("MQTT_VERSION", version);
        caller.says(
            &["set", "lamp", "on=true", "level=7", "--wait"],
            0,
            "lamp  taken  level=7 on=true",
        );
        caller.says(
            &["set", "lamp", "level=101", "rgb=[255,0,0]", "net.ip=10.0.0.7", "--wait=9"],
            1,
            "lamp  taken  net.ip=10.0.0.7 rgb=[255,0,0]\nlamp  declined  level=101",
        );
        caller.says(
            &["unset", "lamp", "rgb", "net", "--wait"],
            0,
            "lamp  taken  net=null rgb=null",
        );
        caller.says(&["set", "lamp", "on=true"], 0, "lamp  so already  on=true");
        caller.says(
            &["set", "lamp", "on=false", "level=1", "--wait"],
            0,
            "lamp  taken  level=1 on=false",
        );
    }
    let json: Value =
        serde_json::from_str(&caller.call(&["get", "lamp", "-o", "json"]).out).unwrap();
    assert_eq!((&json["reported"]["level"], &json["online"]), (&json!(1), &json!(true)));
    let version = json["version"].as_u64().unwrap();

    let mut piped = caller.command(&["set", "lamp", "--json", "-"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &json!({"level": 5})).unwrap();
    assert!(child.wait_with_output().unwrap().stdout.starts_with(b"lamp  asked  level=5"));
    caller.fails(
        &["set", "lamp", "level=6", "--if-version", &version.to_string()],
        65,
        &format!(
            "twinctl: TWIN/SET of lamp: the twin is at version {}, not {version} (409)",
            caller_version(&caller)
        ),
    );

    // A thing that is away is asked all the same, and its twin says so.
    block_on(home.devices[0].close());
    caller.says(&["set", "lamp", "level=9", "--wait=2"], 2, "lamp  open  level=9");
    let shown = caller.call(&["get", "lamp"]).out;
    let mut lines = shown.lines();
    let head = lines.next().unwrap();
    assert!(head.starts_with("lamp  offline  version "), "{shown}");
    assert_eq!(lines.next().unwrap(), "member  reported  since  desired  declined");
    let level = lines.next().unwrap();
    assert!(level.starts_with("level   5         ") && level.contains(" s "), "{shown}");
    assert!(level.trim_end().ends_with("9"), "{shown}");

    caller.says(&["rm", "lamp", "nobody"], 1, "lamp  forgotten\nnobody  there was no twin");
    caller.fails(
        &["get", "lamp"],
        1,
        "twinctl: lamp: there is no twin: no thing of this id has ever reported",
    );
}

/// The version of the lamp's twin, once nothing is asked of it.
fn caller_version(caller: &Caller) -> u64 {
    wait_for("the lamp has answered", PATIENCE, || {
        let twin = caller.call(&["get", "lamp", "-o", "json"]).out;
        let twin: Value = serde_json::from_str(&twin).unwrap();
        let is_settled = twin["desired"].as_object().unwrap().keys().all(|name| name == "trn");
        is_settled.then(|| twin["version"].as_u64().unwrap())
    })
}

#[test]
fn what_cannot_be_meant_is_said_and_nothing_is_sent() {
    // Nobody is there: it fails for what was typed.
    let caller = Caller::new(free_port());
    for (arguments, err) in [
        (
            &["set", "lamp", "on"][..],
            "twinctl: \"on\" wants a value: MEMBER=VALUE; twinctl unset removes a member",
        ),
        (&["set", "lamp", "--json", "[1]"], "twinctl: --json: [1] is no object"),
        (&["unset", "lamp", "a=1"], "twinctl: \"a=1\" is not the name of a member alone"),
        (&["group", "set", "g", "a=1", "a=2"], "twinctl: \"a=2\": that member is there already"),
        (
            &["ls", "--where", "reported.temp > 10 adn online = true"],
            "twinctl: --where: \"and\" or \"or\" is wanted here, not \"adn\"\n\
             twinctl:   reported.temp > 10 adn online = true\n\
             twinctl:                      ^",
        ),
    ] {
        caller.fails(arguments, 64, err);
    }
    for arguments in [&["frobnicate"][..], &["get", "a/b"], &["ls", "-o", "yaml"], &[], &["ping"]] {
        let said = caller.call(arguments);
        assert_eq!((said.code, said.out.as_str()), (64, ""), "{arguments:?}");
        assert!(!said.err.is_empty());
    }
}

#[test]
fn twins_are_listed_as_a_table_as_csv_and_as_json() {
    let (_home, caller) = home(&["attic", "hall"]);
    caller.says(&["set", "hall", "level=101", "--wait"], 1, "hall  declined  level=101");
    let table = "\
id     online  version  reported          desired  declined
attic  online  1        level=1 on=false
hall   online  3        level=1 on=false           level=101";
    caller.says(&["ls"], 0, table);
    caller.says(&["group", "get", "all"], 0, table);
    let hall = "id    declined.level\nhall  101";
    let condition = "declined.level >= 100 and not (id like \"att%\")";
    caller.says(&["ls", "--select", "id,declined.level", "--where", condition], 0, hall);
    caller.says(
        &["ls", "--group", "all", "--select", "clientId,reported.on,declined", "-o", "csv"],
        0,
        "clientId,reported.on,declined\nattic,false,{}\nhall,false,\"{\"\"level\"\":101}\"",
    );
    let json = caller.call(&["ls", "-o", "json", "--where", "clientId = 'attic'"]).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["clientId"], json.as_array().unwrap().len()), (&json!("attic"), 1));
    assert_eq!(json[0]["reported"]["level"], 1);

    let said = caller.call(&["ls", "--where", "version > 1000"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", "twinctl: none\n"));
    let said = caller.call(&["ls", "--group", "nobody"]);
    let err = "twinctl: no thing that may subscribe to GRP/nobody/TPC/# has a twin\n";
    assert_eq!((said.code, said.err.as_str()), (0, err));
    let said = caller.call(&["ls", "--select", "colour"]);
    assert_eq!(said.code, 65);
    assert!(said.err.starts_with("twinctl: TWIN/GET of group ALL: column \"colour\""), "{said:?}");
}

#[test]
fn a_group_is_asked_and_each_answer_said() {
    let (home, caller) = home(&["a", "b", "c"]);
    caller.says(
        &["group", "set", "all", "on=true", "level=50", "--wait"],
        0,
        "3 members: 3 taken, 0 declined, 0 overtaken, 0 open",
    );
    caller.says(&["group", "set", "all", "on=true"], 0, "3 members: 0 changed, 3 unchanged");
    caller.says(
        &["group", "set", "all", "level=200", "--from", "b", "--from", "x,y", "--wait"],
        1,
        "b  declined  level=200\nx  refused  no member, or its twin cannot take it\n\
         y  refused  no member, or its twin cannot take it\n\
         1 members: 0 taken, 1 declined, 0 overtaken, 0 open",
    );
    block_on(home.devices[2].close());
    caller.says(
        &["group", "unset", "all", "on", "--wait=3"],
        2,
        "c  open  on=null\n3 members: 2 taken, 0 declined, 0 overtaken, 1 open",
    );
    let said =
        caller.call(&["group", "set", "all", "level=2", "--from", "a", "--wait", "-o", "json"]);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    let expected = json!({
        "members": 1, "changed": ["a"], "unchanged": [], "refused": [],
        "things": {"a": {"taken": {"level": 2}, "declined": {}, "overtaken": {}, "open": {}}},
    });
    assert_eq!((json, said.code), (expected, 0));
    let said = caller.call(&["group", "set", "nobody", "x=1"]);
    assert_eq!(said.code, 65);
    assert!(said.err.starts_with("twinctl: TWIN/SET of group nobody: "), "{said:?}");
}

/// The line without its time.
fn without_time(line: &str) -> &str {
    line.split_once("  ").unwrap().1
}

#[test]
fn changes_are_watched_until_it_is_interrupted() {
    let (mut home, caller) = home(&["hall"]);
    let mut watch = caller.start(&["watch", "hall"]);
    let mut group = caller.start(&["watch", "--group", "all", "-o", "json"]);
    let mut all = caller.start(&["watch"]);
    // They watch as soon as they say anything.
    let mut number = 1000;
    for watching in [&mut watch, &mut group, &mut all] {
        wait_for("it watches", PATIENCE, || {
            number += 1;
            home.devices[0].update(|state| state["n"] = json!(number)).unwrap();
            watching.heard().is_some_and(|line| line.contains("hall")).then_some(())
        });
    }
    caller.says(
        &["set", "hall", "on=true", "level=300", "--wait"],
        1,
        "hall  taken  on=true\nhall  declined  level=300",
    );
    let asked = watch.until(PATIENCE, |line| line.contains("desired"));
    assert_eq!(without_time(&asked), "hall  desired level=300 on=true");
    assert_eq!(asked.split(':').count(), 3, "{asked} begins with a time");
    let settled = watch.until(PATIENCE, |line| line.contains("declined"));
    assert_eq!(without_time(&settled), "hall  reported on=true  declined level=300");
    let settled = group.until(PATIENCE, |line| line.contains(r#""declined":{"level":300}"#));
    let settled: Value = serde_json::from_str(&settled).unwrap();
    assert_eq!((&settled["id"], &settled["reported"]), (&json!("hall"), &json!({"on": true})));
    all.until(PATIENCE, |line| line.ends_with("hall  reported on=true  declined level=300"));

    // Who becomes a member is seen with the next look, however much there is to say of the others.
    let port = home.site.broker.port();
    home.devices.push(device(&home._runner, "attic", port));
    Direct::to(&home.site.url).join("all", &["attic"]);
    wait_for("the new member is watched", Duration::from_secs(30), || {
        number += 1;
        for device in &mut home.devices {
            device.update(|state| state["n"] = json!(number)).unwrap();
        }
        group.heard().is_some_and(|line| line.contains("attic")).then_some(())
    });
    block_on(home.devices[0].close());
    watch.until(PATIENCE, |line| without_time(line) == "hall  offline");
    caller.says(&["rm", "hall"], 0, "hall  forgotten");
    watch.until(PATIENCE, |line| without_time(line) == "hall  forgotten");
    all.until(PATIENCE, |line| without_time(line) == "hall  forgotten");
    let forgotten = group.until(PATIENCE, |line| line.contains(r#""version":0"#));
    assert!(forgotten.contains(r#""id":"hall""#), "{forgotten}");
    for watching in [watch, group, all] {
        let (status, lines) = watching.end_by("INT", PATIENCE);
        assert_eq!(status.code(), Some(0), "{lines:?}");
    }
}

/// Has both devices report this number, one after the other: how often a change of the first one is shown before that of
/// the second.
fn shown(home: &mut Home, group: &mut Lines, number: u64) -> usize {
    let is_of = |line: &str, id: &str| {
        let change: Value = serde_json::from_str(line).unwrap();
        change["id"] == id && change["reported"]["n"] == number
    };
    home.devices[0].update(|state| state["n"] = json!(number)).unwrap();
    wait_for("the manager knows", PATIENCE, || {
        (home.site.twin("hall")["reported"]["n"] == number).then_some(())
    });
    home.devices[1].update(|state| state["n"] = json!(number)).unwrap();
    let mut count = 0;
    wait_for("the member that stays is shown", PATIENCE, || {
        let line = group.heard()?;
        count += usize::from(is_of(&line, "hall"));
        is_of(&line, "attic").then_some(())
    });
    count
}

#[test]
fn who_leaves_a_group_and_comes_back_is_shown_once() {
    let (mut home, caller) = home(&["hall", "attic"]);
    let mut group = caller.start(&["watch", "--group", "all", "-o", "json"]);
    let mut number = 1000;
    wait_for("it watches", PATIENCE, || {
        number += 1;
        home.devices[1].update(|state| state["n"] = json!(number)).unwrap();
        group.heard()
    });
    let mut until = |home: &mut Home, group: &mut Lines, times: usize| {
        wait_for(&format!("hall is shown {times} times"), Duration::from_secs(30), || {
            number += 1;
            (shown(home, group, number) == times).then_some(())
        });
    };
    until(&mut home, &mut group, 1);
    let leave = "DELETE FROM mqtt_acl WHERE clientid = 'hall' AND topic = 'GRP/all/TPC/#'";
    Direct::to(&home.site.url).execute(leave, leave);
    until(&mut home, &mut group, 0);
    Direct::to(&home.site.url).join("all", &["hall"]);
    until(&mut home, &mut group, 1);
    until(&mut home, &mut group, 1);
    let (status, lines) = group.end_by("INT", PATIENCE);
    assert_eq!(status.code(), Some(0), "{lines:?}");
    let mut changes: Vec<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|change| (change["id"].to_string(), change["version"].to_string()))
        .collect();
    let all = changes.len();
    changes.sort_unstable();
    changes.dedup();
    assert_eq!(changes.len(), all, "{lines:?}");
}

#[test]
fn a_watch_says_when_the_broker_is_lost_and_goes_on() {
    let (mut home, caller) = home(&["hall"]);
    let mut watch = caller.start(&["watch", "hall"]);
    let mut number = 0;
    wait_for("it watches", PATIENCE, || {
        number += 1;
        home.devices[0].update(|state| state["n"] = json!(number)).unwrap();
        watch.heard()
    });
    home.site.broker.restart();
    watch.until(PATIENCE, |line| {
        line.starts_with("twinctl: broker 127.0.0.1:") && line.contains("connection lost")
    });
    home.devices[0].update(|state| state["n"] = json!("last")).unwrap();
    watch.until(Duration::from_secs(30), |line| line.ends_with("reported n=last"));
    // In colours, where they are wanted.
    let coloured = caller.with("CLICOLOR_FORCE", "1");
    let said = coloured.call(&["ls", "--select", "id"]);
    assert_eq!(said.out.lines().nth(1), Some("\u{1b}[1mhall\u{1b}[0m"));
}

#[test]
fn all_that_is_said_is_heard() {
    let (mut home, caller) = home(&["hall"]);
    let mut listen = caller.start(&["listen"]);
    let mut json = caller.start(&["listen", "-o", "json", "TNG/+/TPC/#", "other/#"]);
    let coloured = Caller::new(home.site.broker.port()).with("CLICOLOR_FORCE", "1");
    let mut coloured = coloured.start(&["listen", "TNG/+/TPC/#", "other/#"]);
    let said = |home: &mut Home, listening: &mut Lines| {
        wait_for("it listens", PATIENCE, || {
            home.site.say("hall", "TPC/NOTE", &json!("x"));
            listening.heard()
        });
    };
    said(&mut home, &mut listen);
    said(&mut home, &mut json);
    said(&mut home, &mut coloured);
    home.site.set("hall", &json!({"on": true}));
    let ends = |line: &str, with: &str| line.ends_with(with);
    listen.until(PATIENCE, |line| ends(line, "  hall  TWIN/SET  set on=true"));
    listen.until(PATIENCE, |line| line.contains("  hall  STATE/SET  delta on=true trn="));
    listen.until(PATIENCE, |line| line.contains("  hall  STATE/UPD  delta on=true trn="));
    listen.until(PATIENCE, |line| line.contains("  online  reported level=1 on=true"));
    home.site.client.publish("other/door", "\u{1b}[2J".as_bytes());
    let line = json.until(PATIENCE, |line| line.contains("other/door"));
    let heard: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(heard["payload"], "\u{1b}[2J");
    // In colours, and nothing that is not ours.
    let line = coloured.until(PATIENCE, |line| line.contains("other/door"));
    assert!(line.contains("\u{1b}[2m"), "{line:?}");
    assert!(line.ends_with(r"  \u{1b}[2J") && !line.contains("\u{1b}[2J"), "{line:?}");
    for listening in [listen, json, coloured] {
        let (status, lines) = listening.end_by("INT", PATIENCE);
        assert_eq!(status.code(), Some(0), "{lines:?}");
    }
}

#[test]
fn nothing_that_a_thing_says_speaks_to_the_terminal() {
    let (mut home, caller) = home(&["hall"]);
    let (id, shown) = ("odd\u{202e}id", r"odd\u{202e}id");
    let text = "\u{1b}]0;title and \u{7f}\u{9b}\u{202e}\u{61c} more";
    Direct::to(&home.site.url).join("ALL", &[id]);
    home.site.report(id, &json!({"a": text}));
    wait_for("the manager knows", PATIENCE, || (home.site.twin(id)["version"] == 1).then_some(()));
    let mut watch = caller.start(&["watch", "-o", "json", id]);
    let mut number = 0;
    let line = wait_for("it watches", PATIENCE, || {
        number += 1;
        home.site.report(id, &json!({"a": text, "b": format!("{text} {number}")}));
        watch.heard()
    });
    let is_plain = |said: &str| {
        let speaks =
            |sign: char| sign.is_control() && sign != '\n' || "\u{202e}\u{61c}".contains(sign);
        assert!(!said.contains(speaks), "{said:?}");
    };
    is_plain(&line);
    let change: Value = serde_json::from_str(&line).unwrap();
    assert!(change["id"] == id && change["reported"]["b"].as_str().unwrap().starts_with(text));
    let only = format!("id = '{id}'");
    for arguments in [
        &["get", id, "-o", "json"][..],
        &["ls", "-o", "json", "--where", &only],
        &["ls", "--where", &only],
        &["ls", "--where", &only, "--select", "id,reported.\u{202e}"],
        &["get", id],
        &["set", id, "a=1"],
        &["ping", id, "-c", "1", "-W", "0.1"],
    ] {
        let said = caller.call(arguments);
        is_plain(&said.out);
        if arguments.contains(&"json") {
            let json: Value = serde_json::from_str(&said.out).unwrap();
            let twin = json.get(0).unwrap_or(&json);
            assert_eq!(twin["reported"]["a"], text, "{arguments:?}");
        } else {
            assert!(said.out.contains(shown), "{arguments:?}: {}", said.out);
        }
    }
    // A file has what was reported.
    let csv = caller.call(&["ls", "-o", "csv", "--select", "id,reported.a", "--where", &only]).out;
    assert_eq!(csv, format!("clientId,reported.a\n{id},{text}\n"));
    caller.says(&["rm", id], 0, &format!("{shown}  forgotten"));
    caller.fails(
        &["get", id],
        1,
        &format!("twinctl: {shown}: there is no twin: no thing of this id has ever reported"),
    );
}

#[test]
fn what_the_broker_allows_no_more_is_said_while_it_goes_on() {
    let mut broker = broker_without("nothing/#");
    let mut listen = Caller::new(broker.port()).start(&["listen", "other/#"]);
    let mut client = Client::connect(broker.port());
    wait_for("it listens", PATIENCE, || {
        client.publish("other/door", "open");
        listen.heard()
    });
    drop(client);
    broker.stop();
    let roles = broker.folder().join("roles.json");
    let text = fs::read_to_string(&roles).unwrap();
    fs::write(&roles, text.replace("nothing/#", "other/#")).unwrap();
    broker.run();
    listen.until(Duration::from_secs(30), |line| {
        line.starts_with("twinctl: broker 127.0.0.1:") && line.contains("other/#")
    });
}

#[test]
fn pings_go_round_as_those_of_ping_do() {
    let (home, caller) = home(&["attic", "hall"]);
    let said = caller.call(&["ping", "hall", "-c", "3", "-i", "0.1"]);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[4], said.code), (7, "PING hall", "--- hall ---", 0));
    for (number, line) in lines[1..4].iter().enumerate() {
        let begin = format!("hall: seq={} time=", number + 1);
        assert!(line.starts_with(&begin) && line.ends_with(" ms"), "{line}");
    }
    assert!(lines[5].starts_with("3 sent, 3 answered, 0% lost, time "), "{}", lines[5]);
    assert!(lines[6].starts_with("rtt min/avg/max/mdev = "), "{}", lines[6]);

    block_on(home.devices[0].close());
    let said = caller.call(&["ping", "attic", "-c", "2", "-i", "0.1", "-W", "2"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("\n2 sent, 0 answered, 100% lost, time "), "{}", said.out);
    let said = caller.call(&["ping", "--all", "-W", "2"]);
    assert_eq!(said.code, 0);
    // The manager is a thing as well.
    assert!(said.out.contains("\n1 sent, 2 answers of 2 things, time "), "{}", said.out);
    assert_eq!(said.out.lines().last(), Some("no answer from attic"));

    let mut endless = caller.start(&["ping", "hall", "-i", "0.1"]);
    endless.until_begins(PATIENCE, "hall: seq=2 ");
    let (status, lines) = endless.end_by("INT", PATIENCE);
    assert_eq!(status.code(), Some(0));
    assert!(lines.last().unwrap().starts_with("rtt "), "{lines:?}");
}

#[test]
fn brokers_have_names_in_a_file() {
    let (home, caller) = home(&["hall"]);
    let port = home.site.broker.port();
    let nowhere = free_port();
    let caller = Caller { home: caller.home, variables: Vec::new() };
    let folder = caller.home.path().join(".config");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("twinctl.toml");
    let text = format!(
        "default = \"home\"\n[broker.home]\nhost = \"127.0.0.1\"\nport = {port}\nid = \"me\"\n\
         [broker.away]\nport = \"{nowhere}\"\n[broker.wrong]\nprot = 1\n[broker.bad]\nport = 0\n"
    );
    fs::write(&file, text).unwrap();
    caller.says(&["ls", "--select", "id"], 0, "id\nhall");
    caller.says(&["-b", "home", "ls", "--select", "id"], 0, "id\nhall");
    let shown = file.display();
    let away = |port| {
        format!(
            "twinctl: broker 127.0.0.1:{port} is not reached: Connection refused (os error 111); check MQTT_HOST, \
             MQTT_PORT and that the broker runs"
        )
    };
    caller.fails(&["ls", "--broker", "away"], 69, &away(nowhere));
    caller.fails(
        &["ls", "-b", "wrong"],
        64,
        &format!(
            "twinctl: {shown}: broker wrong: \"prot\" is none of host, port, user, passwd, passwd_file, cert, \
             client_cert, client_key, version, keep_alive, id"
        ),
    );
    caller.fails(
        &["ls", "-b", "bad"],
        64,
        &format!("twinctl: {shown}: broker bad: MQTT_PORT: 0 is not from 1 to 65535"),
    );
    caller.fails(
        &["ls", "-b", "other"],
        64,
        &format!("twinctl: {shown}: there is no broker \"other\"; there is away, bad, home, wrong"),
    );
    // What the environment or a flag says goes before the file's default, and is not mixed with it.
    caller.fails(&["ls", "--mqtt-port", &nowhere.to_string()], 69, &away(nowhere));
    let caller = caller.with("MQTT_PORT", &nowhere.to_string());
    caller.fails(&["ls"], 69, &away(nowhere));
    // A broker that is named goes before the environment.
    caller.says(&["ls", "-b", "home", "--select", "id"], 0, "id\nhall");
    let caller = caller.with("TWINCTL_BROKER", "home");
    caller.says(&["ls", "--select", "id"], 0, "id\nhall");
}

/// One who has a file with a default broker on this port, and nothing in the environment.
fn with_file(port: u16) -> (Caller, String) {
    let caller = Caller { variables: Vec::new(), ..Caller::new(port) };
    let folder = caller.home.path().join(".config");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("twinctl.toml");
    let text = format!("default = \"home\"\n[broker.home]\nport = {port}\nid = \"a/b\"\n");
    fs::write(&file, text).unwrap();
    (caller, file.display().to_string())
}

#[test]
fn flags_and_the_environment_are_not_mixed_with_a_broker_of_the_file() {
    let (home, _) = home(&["hall"]);
    let port = home.site.broker.port();
    let (caller, file) = with_file(port);
    // The id: a flag, the environment, the file.
    let wrong = "\"a/b\" holds '/'; an id is one topic level, without / + # and control characters";
    caller.fails(&["ls"], 64, &format!("twinctl: {file}: broker home: the client id: {wrong}"));
    let ls = ["ls", "--select", "id"];
    caller.says(&[&ls[..], &["--id", "me"]].concat(), 0, "id\nhall");
    let caller = caller.with("TWINCTL_ID", "me");
    for named in [&[][..], &["-b", "home"]] {
        caller.says(&[&ls[..], named].concat(), 0, "id\nhall");
        let err = format!("twinctl: the client id: {wrong}");
        caller.fails(&[&ls[..], named, &["--id", "a/b"]].concat(), 64, &err);
    }
    // What says not where the broker is goes before one setting.
    caller.says(&[&ls[..], &["--mqtt-version", "3.1.1"]].concat(), 0, "id\nhall");
    let err = "twinctl: MQTT_VERSION: \"4\" is neither 5 nor 3.1.1";
    caller.fails(&["ls", "--mqtt-version", "4"], 64, err);
    let mut caller = caller.with("MQTT_USER", "somebody");
    caller.fails(&["ls", "--mqtt-version", "4"], 64, err);
    caller.says(&[&ls[..], &["-b", "home"]].concat(), 0, "id\nhall");
    // What says where it is does not go with another that is named.
    for (flag, value) in [("--mqtt-host", "127.0.0.1"), ("--mqtt-port", "1883")] {
        let err = format!("twinctl: --broker and {flag} do not go together");
        caller.fails(&["ls", "-b", "home", flag, value], 64, &err);
    }
    caller = caller.with("TWINCTL_BROKER", "home");
    let err = "twinctl: TWINCTL_BROKER and --mqtt-port do not go together";
    caller.fails(&["ls", "--mqtt-port", &port.to_string()], 64, err);
    // A broker that is named is somewhere.
    caller.variables.clear();
    let mut homeless = caller.command(&["ls", "-b", "home"]);
    let output = homeless.env_remove("HOME").output().unwrap();
    let err = "twinctl: no file names brokers: neither HOME nor XDG_CONFIG_HOME is set\n";
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(64), err.as_bytes()));
}

#[test]
fn a_file_that_is_none_is_passed_over_and_one_that_is_wrong_is_not_repeated() {
    let (caller, file) = with_file(free_port());
    for (text, why) in [
        ("[broker.home\n", "line 1, column 13: "),
        ("[broker.home]\nhost = \"é\" passwd = \"a very secret word\"\n", "line 2, column 12: "),
        ("[broker.home]\npasswd = a very secret word\n", "line 2, column "),
        ("[broker.home]\npasswd = \"a very secret word\n", "line 2, column "),
        ("[broker]\npasswd = \"a very secret word\"\n", "broker.passwd is no table: "),
        ("broker = \"a very secret word\"\n", "broker is no table: "),
        ("default = [\"a very secret word\"]\n", "default is not the name of a broker"),
        ("passwd = \"a very secret word\"\n", "\"passwd\" is none of default, broker"),
        ("[broker.home]\npasswd = [\"a very secret word\"]\n", ""),
    ] {
        fs::write(&file, text).unwrap();
        let said = caller.call(&["ls", "-b", "home"]);
        assert_eq!(said.code, 64, "{said:?}");
        assert!(said.err.starts_with(&format!("twinctl: {file}: {why}")), "{said:?}");
        assert!(!said.err.contains("secret") && said.err.lines().count() == 1, "{said:?}");
    }
    // No folder, no file.
    fs::remove_dir_all(Path::new(&file).parent().unwrap()).unwrap();
    fs::write(Path::new(&file).parent().unwrap(), "").unwrap();
    let nowhere = free_port();
    let said = caller.call(&["ls", "--mqtt-port", &nowhere.to_string()]);
    assert_eq!(said.code, 69, "{said:?}");
    let said = caller.call(&["ls", "--config", &file]);
    assert_eq!(said.code, 64, "{said:?}");
}

#[test]
fn who_does_not_answer_and_who_forbids_it_are_told_apart() {
    let broker = Broker::start();
    let caller = Caller::new(broker.port());
    let from = Instant::now();
    caller.fails(
        &["get", "lamp", "--timeout", "2"],
        69,
        "twinctl: no answer to TWIN/GET of lamp within 2 s: is a manager at work there, by MQTT 5 as well, and \
         may it answer?",
    );
    assert!(from.elapsed() < PATIENCE);
    caller.fails(
        &["listen", "TNG/#/UPD"],
        64,
        "twinctl: \"TNG/#/UPD\" is no MQTT filter: + is a whole level, # the whole last one, and all of it 1 to 65535 \
         bytes",
    );
    let guarded = Broker::start_guarded(&[("me", "secret")]);
    let caller = Caller::new(guarded.port()).with("MQTT_USER", "me").with("MQTT_PASSWD", "wrong");
    let said = caller.call(&["get", "lamp"]);
    assert_eq!(said.code, 77);
    assert!(said.err.contains("refused user \"me\""), "{said:?}");
    let deaf = broker_without("TNG/#");
    let said = Caller::new(deaf.port()).call(&["get", "lamp"]);
    assert_eq!(said.code, 77);
    assert!(said.err.contains("TPC/RES/TWIN"), "{said:?}");
}

#[test]
fn whoever_stops_reading_ends_it_without_a_word_and_what_was_begun_is_done() {
    let (home, caller) = home(&["attic", "hall"]);
    let program = env!("CARGO_BIN_EXE_twinctl");
    let script = format!(
        "{program} ls -o json | true; echo ${{PIPESTATUS[0]}}; {program} ls >/dev/full; echo $?"
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env_clear().env("HOME", caller.home.path());
    shell.env("PATH", "/usr/bin:/bin");
    shell.envs(caller.variables.iter().map(|(name, value)| (name, value)));
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n74\n");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(err, "twinctl: writing: No space left on device (os error 28)\n");

    let unasked = |arguments: &[&str]| caller.unread(arguments, || {}).code();
    assert_eq!(unasked(&["set", "hall", "level=300", "--wait"]), Some(1));
    assert_eq!(unasked(&["set", "hall", "level=30", "--wait"]), Some(0));
    assert_eq!(unasked(&["completions", "bash"]), Some(0));
    // What goes on for ever ends with the next thing that there is to say.
    let mut number = 0;
    for (arguments, code) in [
        (&["watch"][..], 0),
        (&["watch", "--group", "all", "-o", "json"], 0),
        (&["listen"], 0),
        // Nobody was asked.
        (&["ping", "hall", "-i", "0.1"], 1),
    ] {
        let status = caller.unread(arguments, || {
            number += 1;
            home.devices[1].update(|state| state["n"] = json!(number)).unwrap();
        });
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    for device in &home.devices {
        block_on(device.close());
    }
    assert_eq!(unasked(&["rm", "attic", "hall", "nobody"]), Some(1));
    for id in ["attic", "hall"] {
        assert_eq!(caller.call(&["get", id]).code, 1, "{id}");
    }
}

#[test]
fn what_is_installed_everybody_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install.sh");
    let mut install = Command::new("sh");
    install.args(["-c", "umask 077; exec \"$0\"", script]);
    install.env("DESTDIR", folder.path()).env("PROGRAM", env!("CARGO_BIN_EXE_twinmgr"));
    let output = install.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut left: Vec<_> = ["usr", "etc"].map(|name| folder.path().join(name)).into();
    let mut files = 0;
    while let Some(path) = left.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let needed = if path.is_dir() { 0o055 } else { 0o044 };
        assert_eq!(mode & needed, needed, "{} has {mode:o}", path.display());
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files += 1;
        }
    }
    assert!(files > 10, "{files}");
}

/// All commands, by what is typed for them.
const COMMANDS: [&[&str]; 14] = [
    &[],
    &["get"],
    &["set"],
    &["unset"],
    &["rm"],
    &["ls"],
    &["group"],
    &["group", "get"],
    &["group", "set"],
    &["group", "unset"],
    &["watch"],
    &["ping"],
    &["listen"],
    &["completions"],
];

#[test]
fn the_help_of_each_command_fits_into_80_columns_and_the_page_knows_it() {
    let caller = Caller::new(free_port());
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/twinctl.md")).unwrap();
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let said = caller.call(&[command, &[flag]].concat());
            assert_eq!((said.code, said.err.as_str()), (0, ""), "{command:?}");
            let wide = said.out.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{command:?}");
            assert_eq!(said.out.contains("--mqtt-host"), flag == "--help", "{command:?} {flag}");
        }
        let typed = format!("twinctl {}", command.join(" "));
        assert!(page.contains(typed.trim_end()), "docs/twinctl.md does not have {typed:?}");
    }
    for code in ["64", "65", "69", "74", "77"] {
        assert!(page.contains(&format!("| {code} |")), "docs/twinctl.md does not have {code}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(caller.call(&["completions", shell]).out.contains("twinctl"));
    }
}
