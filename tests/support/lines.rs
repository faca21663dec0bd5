//! Another program that is talked with line by line.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use super::wait_for;

/// A running program, and what it has printed on both of its outputs. It is killed with this value.
pub struct Lines {
    name: String,
    process: Child,
    input: Option<ChildStdin>,
    told: Receiver<String>,
    heard: Vec<String>,
    /// How many of the lines have been waited for.
    seen: usize,
}

impl Lines {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (tell, told) = mpsc::channel();
        pass_on(process.stdout.take().unwrap(), tell.clone());
        pass_on(process.stderr.take().unwrap(), tell);
        let input = process.stdin.take();
        Self { name, process, input, told, heard: Vec::new(), seen: 0 }
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line, if there is one already.
    pub fn heard(&mut self) -> Option<String> {
        self.heard.extend(self.told.try_iter());
        let line = self.heard.get(self.seen).cloned();
        self.seen += usize::from(line.is_some());
        line
    }

    /// The next line like this one; those before it are passed over.
    pub fn until(&mut self, patience: Duration, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(place) = self.heard.iter().skip(self.seen).position(|line| is_it(line)) {
                self.seen += place + 1;
                return self.heard[self.seen - 1].clone();
            }
            self.seen = self.heard.len();
            match self.told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("nothing for {patience:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail("it ended"),
            }
        }
    }

    /// The next line that begins so.
    pub fn until_begins(&mut self, patience: Duration, with: &str) -> String {
        self.until(patience, |line| line.starts_with(with))
    }

    /// Ends it by this signal, and waits for that.
    pub fn end_by(self, signal: &str, patience: Duration) -> (ExitStatus, Vec<String>) {
        self.signal(signal);
        self.end(patience)
    }

    /// Sends it a signal, by its name.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Closes its input, and waits for its end: how it ended, and all it has printed.
    pub fn end(mut self, patience: Duration) -> (ExitStatus, Vec<String>) {
        drop(self.input.take());
        let status = wait_for(&format!("the end of {}", self.name), patience, || {
            self.process.try_wait().unwrap()
        });
        self.heard.extend(self.told.iter());
        (status, std::mem::take(&mut self.heard))
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}; it has said:\n{}", self.name, self.heard.join("\n"))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().unwrap_or_default();
        self.process.wait().unwrap();
    }
}

fn pass_on(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                break;
            }
        }
    });
}
