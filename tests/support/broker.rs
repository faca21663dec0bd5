//! A mosquitto of the test's own.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{port::free_port, wait::wait_for};

/// How many ports are tried: another may take a free one first.
const PORTS: usize = 3;
/// The longest wait for a mosquitto that starts.
const PATIENCE: Duration = Duration::from_secs(5);

/// Killed when dropped.
pub struct Broker {
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl Broker {
    /// Starts mosquitto, which lets everybody do everything and persists on [`Broker::stop`].
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts mosquitto with more lines of configuration. In them, `{folder}` is its folder.
    pub fn start_with(config_lines: &str) -> Self {
        let mut broker = Self { process: None, port: 0, folder: tempfile::tempdir().unwrap() };
        let is_up = (0..PORTS).any(|_| {
            broker.port = free_port();
            broker.configure(config_lines);
            broker.comes_up()
        });
        assert!(is_up, "mosquitto has ended by itself on each of {PORTS} ports");
        broker
    }

    /// Starts mosquitto, which lets in nobody but these users with their passwords.
    pub fn start_guarded(users: &[(&str, &str)]) -> Self {
        let mut broker = Self::start();
        broker.stop();
        let file = broker.folder().join("passwords");
        let lines = users.iter().map(|(user, password)| format!("{user}:{password}\n"));
        fs::write(&file, lines.collect::<String>()).unwrap();
        let hashed = Command::new("mosquitto_passwd").arg("-U").arg(&file).output();
        assert!(hashed.expect("mosquitto_passwd comes with mosquitto").status.success());
        broker.configure("allow_anonymous false\npassword_file {folder}/passwords");
        broker.run();
        broker
    }

    /// The port that it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its configuration and of what it persists.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration that the next start reads.
    pub fn configure(&self, config_lines: &str) {
        let folder = self.folder.path().display();
        let anonymous =
            if config_lines.contains("allow_anonymous") { "" } else { "allow_anonymous true" };
        let config = format!(
            "user root\nlistener {} 127.0.0.1\nset_tcp_nodelay true\nmax_queued_messages 100000\n\
             persistence true\npersistence_location {folder}/\n{anonymous}\n{}\n",
            self.port,
            config_lines.replace("{folder}", &folder.to_string()),
        );
        fs::write(self.folder.path().join("mosquitto.conf"), config).unwrap();
    }

    /// Starts it on the same port, and waits until it listens.
    pub fn run(&mut self) {
        assert!(self.comes_up(), "mosquitto has ended by itself, on port {}", self.port);
    }

    /// Starts it: whether it listens, and has not ended instead.
    fn comes_up(&mut self) -> bool {
        let mut mosquitto = Command::new("mosquitto");
        mosquitto.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        mosquitto.stdout(Stdio::null()).stderr(Stdio::null());
        let process = mosquitto.spawn().expect("install mosquitto: apt-get install mosquitto");
        let process = self.process.insert(process);
        let port = self.port;
        let is_up = wait_for(&format!("mosquitto on port {port}"), PATIENCE, || {
            match process.try_wait().unwrap() {
                Some(_) => Some(false),
                None => listens(process.id(), port).then_some(true),
            }
        });
        if !is_up {
            self.process = None;
        }
        is_up
    }

    /// Ends it in order: it writes down what it persists.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.wait();
    }

    /// [`Broker::stop`] and [`Broker::run`].
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// Stops it in its tracks: connections stay and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Undoes [`Broker::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Has it read its access rules again.
    pub fn reload(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        if let Some(process) = &self.process {
            let command = format!("kill -{name} {}", process.id());
            assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        }
    }

    fn wait(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.wait().unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// Whether this process listens on this port: a connection could be answered by another.
fn listens(process: u32, port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let listening = sockets.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "0A";
        is_it.then(|| format!("socket:[{}]", fields[9]))
    });
    let Some(socket) = listening else { return false };
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
    let mut files = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    files.any(|file| file.as_os_str() == socket.as_str())
}

/// mosquitto's plugin that can refuse subscriptions.
pub fn dynamic_security() -> String {
    let name = "mosquitto_dynamic_security.so";
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found = folders.chain([Path::new("/usr/lib").to_owned()]).map(|folder| folder.join(name));
    found.into_iter().find(|path| path.exists()).unwrap().display().to_string()
}

/// A broker that refuses subscriptions to this filter.
pub fn broker_without(filter: &str) -> Broker {
    let roles = r#"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true,
        "subscribe": true, "unsubscribe": true}, "clients": [], "anonymousGroup": "all",
        "groups": [{"groupname": "all", "roles": [{"rolename": "some"}]}],
        "roles": [{"rolename": "some", "acls":
            [{"acltype": "subscribePattern", "topic": "<filter>", "allow": false}]}]}"#;
    let mut broker = Broker::start();
    broker.stop();
    fs::write(broker.folder().join("roles.json"), roles.replace("<filter>", filter)).unwrap();
    broker.configure(&format!(
        "plugin {}\nplugin_opt_config_file {{folder}}/roles.json",
        dynamic_security()
    ));
    broker.run();
    broker
}
