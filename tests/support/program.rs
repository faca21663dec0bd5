//! The built program as a process: started with nothing but the settings that a test gives it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{broker::Broker, client::Client, wait_for};

/// The manager's id unless the test's settings say otherwise.
pub const MANAGER: &str = "mgr";
/// The longest wait for the first PONG after a start.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// The longest wait for the end after SIGTERM.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// How much of the program's output a failed test shows, in bytes from its end.
const SHOWN_BYTES: usize = 20_000;

/// A running `twinmgr`. It ends with this value; if the test fails, its output is shown.
pub struct Twinmgr {
    /// What starts it, if not we ourselves.
    starter: Vec<String>,
    settings: Vec<(String, String)>,
    folder: TempDir,
    process: Option<Child>,
}

impl Twinmgr {
    /// Starts the program on this broker and database, with an empty data folder.
    ///
    /// `extra` comes on top of the settings, and wins over them.
    pub fn start(broker: &Broker, database_url: &str, extra: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, broker.port(), database_url, extra)
    }

    /// Starts the program on a port, such as that of a proxy, with its data and output in this folder.
    pub fn start_in(
        folder: TempDir,
        port: u16,
        database_url: &str,
        extra: &[(&str, &str)],
    ) -> Self {
        Self::start_by(Vec::new(), folder, port, database_url, extra)
    }

    /// Starts the program by a command, which is given the program as its last words and must become it.
    pub fn start_by(
        starter: Vec<String>,
        folder: TempDir,
        port: u16,
        database_url: &str,
        extra: &[(&str, &str)],
    ) -> Self {
        let data = folder.path().join("data").display().to_string();
        let port = port.to_string();
        let base = [
            ("MQTT_HOST", "127.0.0.1"),
            ("MQTT_PORT", port.as_str()),
            ("MQTT_USER", MANAGER),
            ("TWIN_DB_URL", database_url),
            ("TWIN_DATA_DIR", &data),
            ("LOGLEVEL", "debug"),
        ];
        let settings = base.iter().chain(extra);
        let settings = settings.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut program = Self { starter, settings, folder, process: None };
        program.start_again();
        program
    }

    /// Starts the program once more, as it was: same settings, data folder and database.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "twinmgr still runs: terminate or kill it first");
        let output = File::options().create(true).append(true).open(self.output_path()).unwrap();
        let program = env!("CARGO_BIN_EXE_twinmgr").to_owned();
        let words: Vec<_> = self.starter.iter().chain([&program]).collect();
        let process = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("the built program starts");
        self.process = Some(process);
    }

    /// Runs the program once more and to its end, beside the running one: with these arguments, the
    /// same settings, and `extra` on top of them.
    pub fn call(&self, arguments: &[&str], extra: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_twinmgr"))
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .envs(extra.iter().copied())
            .current_dir(self.folder.path())
            .output()
            .expect("the built program starts")
    }

    /// The manager's id.
    pub fn id(&self) -> &str {
        let named = |(name, _): &&(String, String)| name == "MQTT_USER";
        self.settings.iter().rev().find(named).map_or(MANAGER, |(_, value)| value)
    }

    /// The folder that data and output lie in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("twinmgr runs").id()
    }

    /// Waits until the manager answers a PING; fails after 20 s, or at once when the program has ended.
    pub fn ready(&mut self, client: &mut Client) {
        let id = self.id().to_owned();
        client.subscribe(&[&format!("TNG/{id}/TPC/PONG")]);
        let deadline = Instant::now() + START_PATIENCE;
        while !client.ping(&id, Duration::from_millis(100)) {
            let process = self.process.as_mut().expect("twinmgr runs");
            if let Some(status) = process.try_wait().unwrap() {
                panic!("twinmgr ended instead of answering a PING: {status}");
            }
            assert!(
                Instant::now() < deadline,
                "twinmgr answers no PING {START_PATIENCE:?} after its start"
            );
        }
    }

    /// Sends SIGTERM, waits at most 10 s for the end, and gives the exit code.
    pub fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        self.wait(END_PATIENCE).code().expect("twinmgr exits by itself on SIGTERM")
    }

    /// Ends the program the hard way (SIGKILL): it gets no say.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait(END_PATIENCE);
    }

    /// Stops the program in its tracks (SIGSTOP), until [`Twinmgr::thaw`].
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen program go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Sends a signal by name, without `SIG`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill is there");
        assert!(status.success(), "kill -s {name} {pid}: {status}");
    }

    /// How it has ended by itself, if it has; then it can be started again.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let ended = self.process.as_mut()?.try_wait().unwrap();
        if ended.is_some() {
            self.process = None;
        }
        ended
    }

    /// Waits for the end, and gives how it ended.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let mut process = self.process.take().expect("twinmgr runs");
        let ended = wait_for_end(&mut process, patience);
        if ended.is_none() {
            self.process = Some(process);
        }
        ended.unwrap_or_else(|| panic!("twinmgr has not ended within {patience:?}"))
    }

    /// The memory that the process holds, in KiB (VmRSS).
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the program has written so far, over all its lives.
    pub fn output(&self) -> String {
        std::fs::read(self.output_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The end of what the program has written, framed, for the message of a failed test.
    pub fn last_words(&self) -> String {
        let bytes = std::fs::read(self.output_path()).unwrap_or_default();
        let end = &bytes[bytes.len().saturating_sub(SHOWN_BYTES)..];
        format!("--- twinmgr said ---\n{}--- end ---", String::from_utf8_lossy(end))
    }

    fn output_path(&self) -> PathBuf {
        self.folder.path().join("twinmgr.log")
    }
}

impl Drop for Twinmgr {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
    }
}

fn wait_for_end(process: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    wait_for("a look at twinmgr", patience * 2, || match process.try_wait().unwrap() {
        Some(status) => Some(Some(status)),
        None => (Instant::now() > deadline).then_some(None),
    })
}
