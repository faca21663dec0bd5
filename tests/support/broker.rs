//! A mosquitto of the test's own.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

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
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut broker = Self { process: None, port, folder };
        broker.configure(config_lines);
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

    /// Starts it on the same port, and waits until it takes connections.
    pub fn run(&mut self) {
        self.process = Some(
            Command::new("mosquitto")
                .arg("-c")
                .arg(self.folder.path().join("mosquitto.conf"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("mosquitto must be installed: apt-get install mosquitto"),
        );
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto did not open port {} in 5 s", self.port);
            pause();
        }
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

#[expect(clippy::disallowed_methods, reason = "the one place that waits between two looks")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
