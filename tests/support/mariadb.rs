//! A MariaDB of the tests' own, on a free port and in a folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use diesel::{Connection, MysqlConnection, connection::SimpleConnection};

use super::{port::free_port, wait::wait_for};

/// The longest wait for a server that starts.
const PATIENCE: Duration = Duration::from_secs(30);
const MISSING: &str = "mariadb must be installed: apt-get install mariadb-server";

/// Runs the server, and ends it when its own input ends: however the tests end, it does.
const SUPERVISOR: &str = r#"folder=$1; shift
"$@" >"$folder/log" 2>&1 & server=$!
echo $server
read word
kill -KILL $server
wait $server
[ "$word" = keep ] || rm -rf "$folder""#;

/// A running server. Dropping it ends it and takes its folder away.
pub struct MariaDb {
    port: u16,
    folder: PathBuf,
    options: Vec<String>,
    process: Option<Process>,
}

struct Process {
    supervisor: Child,
    id: u32,
}

impl MariaDb {
    /// Starts a server and waits, at most 30 s, until it answers.
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// Starts a server with more options.
    pub fn start_with(options: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        // Its temporary tables have the same names as those of another that runs at the same time.
        let installed = Command::new("mariadb-install-db")
            .env("TMPDIR", &folder)
            .args(["--no-defaults", "--user=root", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!("--datadir={}", folder.join("data").display()))
            .output()
            .expect(MISSING);
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let grant = "CREATE USER IF NOT EXISTS 'manager'@'%' IDENTIFIED BY 'p@ss:/word'; \
                     GRANT ALL ON *.* TO 'manager'@'%';";
        fs::write(folder.join("init.sql"), grant.replace("; ", ";\n")).unwrap();
        let mut server = Self { port: free_port(), folder, options, process: None };
        server.restart();
        server
    }

    /// The server that tests share which do it no harm.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Where its own tables are.
    pub fn url(&self) -> String {
        self.url_of("mysql")
    }

    /// A schema of it, as this user sees it.
    pub fn url_as(&self, user: &str, password: &str, schema: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{schema}", self.port)
    }

    /// Its socket, by which root comes in without a password.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Makes an empty schema: where it is.
    pub fn fresh_schema(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("twins_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut db = MysqlConnection::establish(&self.url()).unwrap();
        db.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        self.url_of(&name)
    }

    /// Kills it, as if its machine had gone down.
    pub fn stop(&mut self) {
        self.end("keep\n");
    }

    /// Starts it again on the same port and the same rows, after [`Self::stop`].
    pub fn restart(&mut self) {
        self.end("keep\n");
        let mut supervisor = self.command().spawn().expect(MISSING);
        let mut id = String::new();
        BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut id).unwrap();
        self.process = Some(Process { supervisor, id: id.trim().parse().unwrap() });
        wait_for("mariadbd", PATIENCE, || MysqlConnection::establish(&self.url()).ok());
    }

    /// Halts it: its connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn url_of(&self, schema: &str) -> String {
        format!("mysql://manager:p%40ss%3A%2Fword@127.0.0.1:{}/{schema}", self.port)
    }

    fn command(&self) -> Command {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new("sh");
        command.env("TMPDIR", &self.folder);
        command.args(["-c", SUPERVISOR, "sh"]).arg(&self.folder);
        command.args(["mariadbd", "--no-defaults", "--user=root", "--skip-name-resolve"]);
        command.args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=16M"]);
        command.args(["--innodb-log-file-size=8M", "--performance-schema=OFF"]);
        command.arg(format!("--port={}", self.port));
        command.arg(format!("--datadir={}", file("data")));
        command.arg(format!("--socket={}", file("socket")));
        command.arg(format!("--init-file={}", file("init.sql")));
        command.args(&self.options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id.to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn end(&mut self, word: &str) {
        if let Some(Process { mut supervisor, .. }) = self.process.take() {
            supervisor.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
            supervisor.wait().unwrap();
            assert!(TcpStream::connect(("127.0.0.1", self.port)).is_err());
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("--- mariadbd said ---\n{log}--- end ---");
        }
        self.end("\n");
    }
}
