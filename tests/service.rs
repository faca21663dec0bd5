//! The manager as a service: what systemd is told, what is installed, and the site of compose.yaml as far as it can be tried
//! without containers.
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
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use support::{
    broker::Broker,
    client::Client,
    database::{Database, Direct},
    mariadb::MariaDb,
    on_both_databases,
    program::Twinmgr,
    site::PATIENCE,
    tell::tell,
};

on_both_databases!(systemd_hears_that_it_is_up_that_it_works_and_that_it_ends);

/// The next that systemd is told.
fn next(systemd: &UnixDatagram) -> String {
    let mut buffer = [0; 200];
    let length = systemd.recv(&mut buffer).expect("systemd is told something");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn systemd_hears_that_it_is_up_that_it_works_and_that_it_ends(database: &Database) {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = database.fresh_url(folder.path());
    let settings = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &settings);
    assert_eq!(next(&systemd), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(next(&systemd), "WATCHDOG=1\n");
    }
    program.ready(&mut Client::connect(broker.port()));
    // A broker that is away is no reason to be started again.
    broker.freeze();
    let frozen = Instant::now();
    while frozen.elapsed() < Duration::from_secs(2) {
        assert_eq!(next(&systemd), "WATCHDOG=1\n");
    }
    broker.thaw();
    program.signal("TERM");
    let mut last = next(&systemd);
    while last == "WATCHDOG=1\n" {
        last = next(&systemd);
    }
    assert_eq!(last, "STOPPING=1\nEXTEND_TIMEOUT_USEC=9500000\n");
    program.wait(PATIENCE);
}

#[test]
fn a_manager_that_hangs_does_not_feed_the_watchdog() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = Database::Sqlite.fresh_url(folder.path());
    let settings = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    let program = Twinmgr::start_in(folder, broker.port(), &url, &settings);
    assert_eq!((next(&systemd).as_str(), next(&systemd).as_str()), ("READY=1\n", "WATCHDOG=1\n"));
    program.freeze();
    systemd.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // What it had said before may still come.
    let mut buffer = [0; 200];
    let heard = (0..10).take_while(|_| systemd.recv(&mut buffer).is_ok()).count();
    assert!(heard < 3, "{heard} signs of life from one that hangs");
    program.thaw();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(next(&systemd), "WATCHDOG=1\n");
}

/// Runs a script of the repository with these variables.
fn script(path: &str, arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn what_is_installed_is_a_good_unit_and_goes_again_and_settings_stay() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_twinmgr"));
    let variables =
        [("DESTDIR", folder.path()), ("PREFIX", Path::new("/usr")), ("PROGRAM", program)];
    script("scripts/install.sh", &[], &variables);
    let in_folder = |path: &str| folder.path().join(path);
    let (bin, unit) =
        (in_folder("usr/bin/twinmgr"), in_folder("etc/systemd/system/twinmgr.service"));
    let version = Command::new(&bin).arg("--version").output().unwrap();
    assert!(version.status.success());
    let client = in_folder("usr/bin/twinctl");
    assert!(Command::new(&client).arg("--version").output().unwrap().status.success());
    let pages = in_folder("usr/share/man/man1");
    let beside = [
        (in_folder("usr/share/bash-completion/completions/twinctl"), "complete -F _twinctl"),
        (in_folder("usr/share/zsh/site-functions/_twinctl"), "#compdef twinctl"),
        (in_folder("usr/share/fish/vendor_completions.d/twinctl.fish"), "complete -c twinctl"),
        (pages.join("twinctl.1"), ".TH twinctl 1"),
        (pages.join("twinctl-ls.1"), "CONDITION"),
        (pages.join("twinctl-group-set.1"), "MEMBER=VALUE"),
    ];
    for (file, with) in &beside {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(with), "{}: {text}", file.display());
    }
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains("ExecStart=/usr/bin/twinmgr\n") && !text.contains("@PREFIX@"), "{text}");
    let settings = in_folder("etc/twinmgr/twinmgr.env");
    fs::write(&settings, "MQTT_HOST=broker\n").unwrap();
    script("scripts/install.sh", &[], &variables);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "MQTT_HOST=broker\n");
    // systemd looks whether the program is there.
    let here = text.replace("/usr/bin/twinmgr", bin.to_str().unwrap());
    fs::write(&unit, here).unwrap();
    for arguments in [&["verify"][..], &["security", "--offline=true", "--threshold=15"]] {
        match Command::new("systemd-analyze").args(arguments).arg(&unit).output() {
            Ok(output) => assert!(
                output.status.success(),
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            // A container has none; the unit is for where there is one.
            Err(error) => tell(&format!("the unit is not looked at, for want of systemd: {error}")),
        }
    }
    script("scripts/install.sh", &["uninstall"], &variables);
    assert!(!bin.exists() && !client.exists() && !unit.exists() && settings.exists());
    let left: Vec<_> = beside.iter().filter(|(file, _)| file.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_tables_of_the_compose_site_are_emqx_s_and_the_manager_s() {
    let server = MariaDb::start();
    Direct::to(&server.url())
        .execute("", "CREATE DATABASE twins CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    let folder = tempfile::tempdir().unwrap();
    let secrets = ["mysql-twinmgr", "mysql-emqx", "mqtt-twinmgr", "mqtt-lamp"];
    for name in secrets {
        fs::write(folder.path().join(name), format!("secret-{name}")).unwrap();
    }
    fs::write(folder.path().join("mysql-root"), "").unwrap();
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose/mysql/site.sql.in");
    let socket = server.socket();
    let variables = [
        ("SECRETS", folder.path()),
        ("TABLES", tables.as_path()),
        ("MYSQL_SOCKET", socket.as_path()),
    ];
    script("deploy/compose/mysql/10-site.sh", &[], &variables);
    let url = server.url_as("twinmgr", "secret-mysql-twinmgr", "twins");
    let mut direct = Direct::to(&url);
    let hashes = "(SELECT username, password_hash = SHA2(CONCAT('secret-mqtt-', username, salt), 256) AS is_good \
                  FROM mqtt_user) AS hashes";
    let hashes = direct.rows(hashes, "username, is_good");
    assert_eq!(hashes, "lamp|1\ntwinmgr|1");
    let broker = Broker::start();
    let mut program = Twinmgr::start_in(folder, broker.port(), &url, &[("MQTT_USER", "twinmgr")]);
    program.ready(&mut Client::connect(broker.port()));
    let members = program.call(&["members", "hall"], &[]);
    assert_eq!(String::from_utf8(members.stdout).unwrap(), "lamp\n");
    let emqx = server.url_as("emqx", "secret-mysql-emqx", "twins");
    let mut emqx = Direct::to(&emqx);
    // The two questions of deploy/compose/emqx.conf.
    let acl = "(SELECT permission, action, topic FROM mqtt_acl WHERE clientid = 'lamp' OR username = 'lamp' OR \
               username = '$all' ORDER BY id) AS rules";
    assert_eq!(emqx.rows(acl, "permission, action, topic").lines().count(), 7);
    let user = "(SELECT password_hash, salt, is_superuser FROM mqtt_user WHERE username = 'lamp' LIMIT 1) AS found";
    assert_eq!(emqx.rows(user, "is_superuser"), "0");
}
