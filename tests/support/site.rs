//! All that a test of the whole needs: a broker, a database, the program, and one who listens.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    broker::Broker,
    client::{Client, Message},
    database::Database,
    program::Twinmgr,
    wait_for,
};

/// The longest wait for anything that the manager says.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing may come before that counts as all.
const QUIET: Duration = Duration::from_millis(200);
/// Where the answers go that show how far the manager has come.
const BARRIER: &str = "TNG/barrier/TPC/RES/1";

/// A manager at work. Its client hears all that others than itself publish.
pub struct Site {
    /// Speaks for things and applications, and listens to all.
    pub client: Client,
    /// The manager.
    pub program: Twinmgr,
    /// The broker of both.
    pub broker: Broker,
    /// Where the database is.
    pub url: String,
}

impl Site {
    /// Starts all of it, with more settings for the program.
    pub fn start(database: &Database, extra: &[(&str, &str)]) -> Self {
        Self::start_at(Broker::start(), database, extra)
    }

    /// The same at a broker that runs.
    pub fn start_at(broker: Broker, database: &Database, extra: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database.fresh_url(folder.path());
        let program = Twinmgr::start_in(folder, broker.port(), &url, extra);
        Self::of(broker, program, url)
    }

    /// The same with a program that was started already.
    pub fn of(broker: Broker, program: Twinmgr, url: String) -> Self {
        let client = Client::connect(broker.port());
        let mut site = Self { client, program, broker, url };
        site.client.subscribe_to_others();
        site.ready();
        site
    }

    /// Connects and listens anew, to a broker that was away.
    pub fn reconnect(&mut self) {
        self.client = Client::connect(self.broker.port());
        self.client.subscribe_to_others();
    }

    /// Waits until the manager answers.
    pub fn ready(&mut self) {
        self.program.ready(&mut Client::connect(self.broker.port()));
    }

    /// Ends the manager by SIGTERM, which takes at most 10 s and gives exit code 0.
    pub fn end(&mut self) {
        let from = Instant::now();
        assert_eq!(self.program.terminate(), 0);
        assert!(from.elapsed() < Duration::from_secs(10), "it took {:?}", from.elapsed());
    }

    /// Ends the manager and starts it again on the same database.
    pub fn restart(&mut self) {
        self.end();
        self.program.start_again();
        self.ready();
    }

    /// Says something for a thing or to its twin, by the last two levels of the topic.
    pub fn say(&mut self, id: &str, levels: &str, payload: &Value) {
        self.client.publish_json(&format!("TNG/{id}/{levels}"), payload);
    }

    /// Has a thing report these members.
    pub fn report(&mut self, id: &str, state: &Value) {
        self.say(id, "STATE/UPD", &json!({"state": state}));
    }

    /// Asks a thing's twin for something.
    pub fn set(&mut self, id: &str, members: &Value) {
        self.say(id, "TWIN/SET", &json!({"set": members}));
    }

    /// All that is said of things until the manager has come to the end with this one, and a short
    /// while after: topic and payload, without the manager's own affairs.
    pub fn said(&mut self, id: &str) -> Vec<(String, Value)> {
        self.asked(id, QUIET).0
    }

    /// The twin as it is now; what is said before it is passed over.
    pub fn twin(&mut self, id: &str) -> Value {
        self.asked(id, Duration::ZERO).1
    }

    /// What is said before the twin and until nothing is said for so long after it, and the twin.
    fn asked(&mut self, id: &str, span: Duration) -> (Vec<(String, Value)>, Value) {
        self.client.request(&format!("TNG/{id}/TWIN/GET"), "{}", BARRIER, b"");
        let mut messages = self.client.drain_until(PATIENCE, |message| message.topic == BARRIER);
        let twin = messages.pop().unwrap().json();
        // The answer itself goes to the twin's own topic, right before its copy.
        let answer = messages.iter().rposition(|message| message.topic.ends_with("/TWIN/UPD"));
        assert_eq!(messages.remove(answer.unwrap()).json(), twin);
        messages.extend(self.client.quiet(span));
        (self.of_things(messages), twin)
    }

    /// What comes for a short while, without the manager's own affairs.
    pub fn quiet(&mut self, span: Duration) -> Vec<(String, Value)> {
        let messages = self.client.quiet(span);
        self.of_things(messages)
    }

    fn of_things(&self, messages: Vec<Message>) -> Vec<(String, Value)> {
        let own = format!("TNG/{}/", self.program.id());
        let of_things = messages.into_iter().filter(|message| !message.topic.starts_with(&own));
        of_things.map(|message| (message.topic.clone(), message.json())).collect()
    }

    /// The manager's own state.
    pub fn own_state(&mut self) -> Value {
        let mut asker = Client::connect(self.broker.port());
        let id = self.program.id();
        asker.subscribe(&[&format!("TNG/{id}/STATE/UPD")]);
        asker.publish(&format!("TNG/{id}/STATE/GET"), "{}");
        asker.recv(PATIENCE).expect("the manager tells its state").json()["state"].clone()
    }

    /// Waits until the manager has so many twins in memory.
    pub fn wait_for_cache(&mut self, twins: u64) {
        wait_for(&format!("{twins} twins in memory"), PATIENCE, || {
            (self.own_state()["cache"] == twins).then_some(())
        });
    }
}

/// A topic and what is said on it.
pub fn pair(topic: &str, payload: Value) -> (String, Value) {
    (topic.to_owned(), payload)
}

/// The topics alone.
pub fn topics(said: &[(String, Value)]) -> Vec<&str> {
    said.iter().map(|(topic, _)| topic.as_str()).collect()
}
