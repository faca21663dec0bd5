//! The connection of a thing or an application: it comes and goes, and nothing is kept for it.
//!
//! What the broker had not taken when a connection ended is the sender's to send again: a thing merges it with what
//! changed since, an application repeats its requests. So there is no inbox here, and only a bounded number of
//! publishes is with paho at once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use actix::prelude::*;
use actix_rt::time::timeout;
use paho_mqtt::{
    ConnectOptions, Error, Message as Packet, PropertyCode, ReasonCode, ServerResponse,
};

use super::{
    Access, MqttError,
    backoff::Backoff,
    client::Client,
    options,
    send::say_farewell,
    subscribe::refusal as refused,
    trouble::{Trouble, broker, refusal, refused_filter, user, words},
};

/// How many publishes are unacknowledged at once: paho slows down above some hundreds.
pub(super) const WINDOW: usize = 100;
/// A connection that stood this long was a good one: the waits begin anew.
const STABLE: Duration = Duration::from_secs(5);
/// How long the broker may take to answer a subscription.
const ANSWER: Duration = Duration::from_secs(30);
/// How long after a refusal it is subscribed again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long a disconnection may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// The largest packet that MQTT can write down.
const LARGEST: usize = 268_435_460;

/// Who is at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A thing: LC/OFF is its will.
    Thing,
    /// An application.
    Client,
}

/// What goes out, at QoS 1 and not retained.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Letter {
    /// By this number its sender hears what became of it.
    pub(crate) number: u64,
    /// Where it goes.
    pub(crate) topic: String,
    /// What it says.
    pub(crate) payload: Vec<u8>,
    /// The topic that wants the answer as well, and the correlation data to go with it: by MQTT 5 only.
    pub(crate) answer_to: Option<(String, Vec<u8>)>,
}

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    /// Where it came.
    pub(crate) topic: String,
    /// What it says.
    pub(crate) payload: Vec<u8>,
    /// What an answer is known by.
    pub(crate) correlation: Option<Vec<u8>>,
    /// Whether the broker kept it from earlier.
    pub(crate) retained: bool,
}

/// What the owner of a wire hears, in order.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Heard {
    /// Connected, and subscribed as far as the broker grants it.
    Up {
        /// Whether the broker still has our session, and so what came meanwhile.
        kept: bool,
        /// The subscriptions that are refused, each with a line that says why; they are tried again.
        refused: Vec<(String, String)>,
    },
    /// The connection is lost; what was not taken is not with the broker.
    Down,
    /// A message.
    Got(Got),
    /// The broker has taken the letter of this number.
    Taken(u64),
    /// The broker will never take the letter of this number, and why: a line.
    Refused(u64, String),
    /// The subscriptions of this number are answered: each that is refused, with a line that says why. Under 0 it is
    /// those that were refused before and were tried again.
    Subscribed(u64, Vec<(String, String)>),
    /// Why there is no connection.
    Trouble {
        /// A line.
        line: String,
        /// Whether trying again does not mend it: the broker refuses us.
        lasting: bool,
    },
}

/// Subscribes to these as well, now and on each connection to come.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Subscribe {
    /// By this number its sender hears of the answer.
    pub(crate) number: u64,
    /// To what.
    pub(crate) filters: Vec<String>,
}

/// Takes back a letter that is not on its way.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Withdraw(pub(crate) u64);

/// Ends these subscriptions.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Unsubscribe(pub(crate) Vec<String>);

/// Disconnects for good, a thing with LC/OFF, and answers when that is done.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct HangUp;

/// The actor that holds the connection.
pub(crate) struct Wire {
    access: Access,
    role: Role,
    owner: Recipient<Heard>,
    filters: BTreeSet<String>,
    phase: Phase,
    /// The number of the present attempt to connect, or of what came of it.
    connection: u64,
    since: Instant,
    backoff: Backoff,
    /// The line that was told last about why there is no connection.
    trouble: Option<String>,
    maximum_packet: usize,
    queue: VecDeque<Letter>,
    /// The numbers of what is with paho.
    sent: BTreeSet<u64>,
    /// Whether `Up` has been told of the present connection.
    is_told: bool,
    /// What came before that.
    early: Vec<Got>,
    was_up: bool,
}

enum Phase {
    Waiting,
    Connecting,
    Up(Rc<Client>),
    Closed,
}

/// Finds what no attempt to connect or to subscribe could get past.
pub(crate) fn check_access(access: &Access, filters: &[String]) -> Result<(), MqttError> {
    options::check(access)?;
    options::check_filters(filters)
}

/// Finds what no broker takes for a filter.
pub(crate) fn check_filters(filters: &[String]) -> Result<(), MqttError> {
    options::check_filters(filters)
}

/// Finds what no broker takes for a topic.
pub(crate) fn check_topic(topic: &str) -> Result<(), MqttError> {
    options::check_topic(topic)
}

impl Wire {
    /// Starts the actor, and its first attempt to connect. [`check_access`] has found the settings to be well.
    pub(crate) fn open(
        access: Access,
        role: Role,
        filters: Vec<String>,
        owner: Recipient<Heard>,
    ) -> Addr<Self> {
        let wire = Self {
            access,
            role,
            owner,
            filters: filters.into_iter().collect(),
            phase: Phase::Waiting,
            connection: 0,
            since: Instant::now(),
            backoff: Backoff::default(),
            trouble: None,
            maximum_packet: LARGEST,
            queue: VecDeque::new(),
            sent: BTreeSet::new(),
            is_told: false,
            early: Vec::new(),
            was_up: false,
        };
        wire.start()
    }

    /// Begins to connect, on a thread: it holds the client meanwhile, and finding out why it failed may take seconds.
    fn attempt(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Waiting) {
            return;
        }
        self.connection += 1;
        let (client, options) = match self.prepare(ctx) {
            Ok(prepared) => prepared,
            Err(error) => return self.fail(error.to_string(), false, ctx),
        };
        self.phase = Phase::Connecting;
        let (wire, access) = (ctx.address().downgrade(), self.access.clone());
        let connecting = move || {
            let answer = client.connect(options);
            let answer = answer.map_err(|error| Trouble::of_connecting(&access, &error));
            if let Some(wire) = wire.upgrade() {
                wire.do_send(Answered { client, answer });
            }
        };
        if let Err(error) = thread::Builder::new().name("mqtt-connect".into()).spawn(connecting) {
            self.fail(format!("a thread to connect on: {error}"), false, ctx);
        }
    }

    fn prepare(&self, ctx: &Context<Self>) -> Result<(Client, ConnectOptions), MqttError> {
        let options = options::connect_as(self.role, &self.access, !self.was_up)?;
        let client = options::client(&self.access, WINDOW)?;
        let (wire, connection) = (ctx.address().downgrade(), self.connection);
        let to = wire.clone();
        client.set_message_callback(move |_, packet| {
            // paho panics on a topic that is not UTF-8; a panic that left its thread would abort.
            let got =
                packet.and_then(|packet| catch_unwind(AssertUnwindSafe(|| got(&packet))).ok());
            if let (Some(got), Some(wire)) = (got, to.upgrade()) {
                wire.do_send(Came { connection, got });
            }
        });
        let lost = move |why: String| {
            if let Some(wire) = wire.upgrade() {
                wire.do_send(Lost { connection, why });
            }
        };
        let told = lost.clone();
        client.set_connection_lost_callback(move |_| {
            lost("it broke, or no sign of life came".into())
        });
        client.set_disconnected_callback(move |_, _, code| told(words(code)));
        Ok((client.into(), options))
    }

    fn stand(&mut self, client: Client, response: &ServerResponse, ctx: &mut Context<Self>) {
        let kept = response.connect_response().is_some_and(|connected| connected.session_present);
        let maximum = response
            .properties()
            .get(PropertyCode::MaximumPacketSize)
            .and_then(|property| property.get_u32());
        self.maximum_packet = maximum.and_then(|max| usize::try_from(max).ok()).unwrap_or(LARGEST);
        log::info!("{}: connected as {}", broker(&self.access), self.access.client_id);
        (self.since, self.trouble, self.was_up, self.is_told) = (Instant::now(), None, true, false);
        self.backoff.ease();
        if self.role == Role::Thing {
            self.early.clear();
        }
        let client = Rc::new(client);
        let already_lost = !client.is_connected();
        self.phase = Phase::Up(Rc::clone(&client));
        if already_lost {
            return self.lose("it broke at once", ctx);
        }
        let filters: Vec<_> = self.filters.iter().cloned().collect();
        if filters.is_empty() {
            return self.tell_up(kept, Vec::new());
        }
        self.ask_for(&client, filters, Wanted::ToBegin { kept }, ctx);
    }

    fn tell_up(&mut self, kept: bool, refused: Vec<(String, String)>) {
        self.is_told = true;
        self.owner.do_send(Heard::Up { kept, refused });
        for got in self.early.drain(..) {
            self.owner.do_send(Heard::Got(got));
        }
    }

    /// The present connection, if any, is of no more use. What it did not settle is its sender's.
    fn lose(&mut self, why: &str, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Up(_)) {
            return;
        }
        self.phase = Phase::Waiting;
        let line = format!("{}: connection lost: {why}", broker(&self.access));
        log::warn!("{line}; trying again");
        self.queue.clear();
        self.sent.clear();
        if std::mem::take(&mut self.is_told) {
            self.owner.do_send(Heard::Down);
        } else {
            // Some brokers end a connection that subscribes to what is not allowed.
            self.owner.do_send(Heard::Trouble { line, lasting: false });
        }
        if self.since.elapsed() >= STABLE {
            self.backoff = Backoff::default();
        }
        ctx.run_later(self.backoff.next(), Self::attempt);
    }

    /// An attempt failed. Each reason is told once, until there is another.
    fn fail(&mut self, line: String, lasting: bool, ctx: &mut Context<Self>) {
        if self.trouble.as_ref() != Some(&line) {
            log::warn!("{line}; trying again");
            self.owner.do_send(Heard::Trouble { line: line.clone(), lasting });
            self.trouble = Some(line);
        }
        self.phase = Phase::Waiting;
        ctx.run_later(self.backoff.next(), Self::attempt);
    }

    /// Sends what the window lets out.
    fn send_on(&mut self, ctx: &mut Context<Self>) {
        let Phase::Up(client) = &self.phase else { return };
        let client = Rc::clone(client);
        while self.sent.len() < WINDOW
            && let Some(letter) = self.queue.pop_front()
        {
            let number = letter.number;
            let packet = options::letter(&letter, self.access.version);
            if options::packet_size(&packet, self.access.version) > self.maximum_packet {
                let line = format!(
                    "{}: a publish to {} is larger than the broker's maximum packet size of {} bytes",
                    broker(&self.access),
                    letter.topic,
                    self.maximum_packet
                );
                self.owner.do_send(Heard::Refused(number, line));
                continue;
            }
            self.sent.insert(number);
            let (wire, connection) = (ctx.address().downgrade(), self.connection);
            client.publish(packet, move |result| {
                if let Some(wire) = wire.upgrade() {
                    wire.do_send(Sent { connection, number, topic: letter.topic, result });
                }
            });
        }
    }

    fn refuse(&self, number: u64, topic: &str, why: &str) {
        let mut line = format!("{} refused a publish to {topic}: {why}", broker(&self.access));
        if why == words(ReasonCode::NotAuthorized) {
            let user = user(&self.access);
            line.push_str(&format!("; {user} must be allowed to publish to it"));
        }
        log::error!("{line}");
        self.owner.do_send(Heard::Refused(number, line));
    }

    fn ask_for(
        &self,
        client: &Client,
        filters: Vec<String>,
        wanted: Wanted,
        ctx: &mut Context<Self>,
    ) {
        let token = client.subscribe(&filters);
        let (wire, connection) = (ctx.address().downgrade(), self.connection);
        actix::spawn(async move {
            let answer = match timeout(ANSWER, token).await {
                Ok(Ok(response)) => Ok(response.subscribe_many_response().unwrap_or_default()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::Timeout),
            };
            if let Some(wire) = wire.upgrade() {
                wire.do_send(Subscribed { connection, filters, wanted, answer });
            }
        });
    }
}

fn got(packet: &Packet) -> Got {
    Got {
        topic: packet.topic().to_owned(),
        payload: packet.payload().to_vec(),
        correlation: packet.properties().get_binary(PropertyCode::CorrelationData),
        retained: packet.retained(),
    }
}

impl Actor for Wire {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.attempt(ctx);
    }
}

/// What a subscription is for.
#[derive(Clone, Copy)]
enum Wanted {
    /// The first of a connection.
    ToBegin { kept: bool },
    /// The owner's of this number.
    Later(u64),
    /// What was refused, once more.
    Again,
}

/// What came of an attempt to connect.
#[derive(Message)]
#[rtype(result = "()")]
struct Answered {
    client: Client,
    answer: Result<ServerResponse, Trouble>,
}

impl Handler<Answered> for Wire {
    type Result = ();

    fn handle(&mut self, Answered { client, answer }: Answered, ctx: &mut Self::Context) {
        if matches!(self.phase, Phase::Connecting) {
            match answer {
                Ok(response) => self.stand(client, &response, ctx),
                Err(Trouble { line, lasting }) => self.fail(line, lasting, ctx),
            }
        }
    }
}

/// A message has come.
#[derive(Message)]
#[rtype(result = "()")]
struct Came {
    connection: u64,
    got: Got,
}

impl Handler<Came> for Wire {
    type Result = ();

    /// A thing hears nothing before `Up`, nor from a connection that is over: what it says to it would be lost.
    fn handle(&mut self, Came { connection, got }: Came, _: &mut Self::Context) {
        if self.role == Role::Thing && connection != self.connection {
            return;
        }
        if self.is_told {
            self.owner.do_send(Heard::Got(got));
        } else {
            self.early.push(got);
        }
    }
}

/// paho has lost a connection.
#[derive(Message)]
#[rtype(result = "()")]
struct Lost {
    connection: u64,
    why: String,
}

impl Handler<Lost> for Wire {
    type Result = ();

    fn handle(&mut self, Lost { connection, why }: Lost, ctx: &mut Self::Context) {
        if connection == self.connection {
            self.lose(&why, ctx);
        }
    }
}

/// The answer to a publish, or the end of the wait for it.
#[derive(Message)]
#[rtype(result = "()")]
struct Sent {
    connection: u64,
    number: u64,
    topic: String,
    result: paho_mqtt::Result<()>,
}

impl Handler<Sent> for Wire {
    type Result = ();

    fn handle(&mut self, sent: Sent, ctx: &mut Self::Context) {
        if sent.connection != self.connection || !self.sent.remove(&sent.number) {
            return;
        }
        match sent.result {
            Ok(()) => self.owner.do_send(Heard::Taken(sent.number)),
            Err(error) => match refusal(&error) {
                Some(why) => self.refuse(sent.number, &sent.topic, &why),
                None => self.lose(&error.to_string().to_lowercase(), ctx),
            },
        }
        self.send_on(ctx);
    }
}

/// The broker's answer to a subscription: a code for each filter.
#[derive(Message)]
#[rtype(result = "()")]
struct Subscribed {
    connection: u64,
    filters: Vec<String>,
    wanted: Wanted,
    answer: Result<Vec<i32>, Error>,
}

impl Handler<Subscribed> for Wire {
    type Result = ();

    fn handle(&mut self, subscribed: Subscribed, ctx: &mut Self::Context) {
        let Subscribed { connection, filters, wanted, answer } = subscribed;
        if connection != self.connection || !matches!(self.phase, Phase::Up(_)) {
            return;
        }
        let codes = match answer {
            Ok(codes) => codes,
            // paho makes an error of a refusal if there was one filter only.
            Err(Error::ReasonCode(code, _)) if filters.len() == 1 => vec![code as i32],
            Err(Error::Failure) if filters.len() == 1 => {
                vec![ReasonCode::UnspecifiedError as i32]
            }
            Err(error) => return self.lose(&format!("subscribing: {error}").to_lowercase(), ctx),
        };
        let mut refusals = BTreeMap::new();
        for (filter, code) in filters.into_iter().zip(codes) {
            if let Some(why) = refused(code) {
                let line = refused_filter(&self.access, &filter, &why);
                refusals.insert(filter, line);
            }
        }
        self.look_after(&refusals, wanted, ctx);
        let refused = refusals.into_iter().collect();
        match wanted {
            Wanted::ToBegin { kept } => self.tell_up(kept, refused),
            Wanted::Later(number) => self.owner.do_send(Heard::Subscribed(number, refused)),
            Wanted::Again => self.owner.do_send(Heard::Subscribed(0, refused)),
        }
    }
}

impl Wire {
    /// What a thing lives by is asked for again; an application hears of it, and does not keep it.
    fn look_after(
        &mut self,
        refusals: &BTreeMap<String, String>,
        wanted: Wanted,
        ctx: &mut Context<Self>,
    ) {
        if refusals.is_empty() {
            return;
        }
        if matches!(wanted, Wanted::Later(_)) {
            self.filters.retain(|filter| !refusals.contains_key(filter));
            return;
        }
        if !matches!(wanted, Wanted::Again) {
            for line in refusals.values() {
                log::error!("{line}; trying again");
                // An application hears of it with `Up`, for each may miss another one.
                if self.role == Role::Thing {
                    self.owner.do_send(Heard::Trouble { line: line.clone(), lasting: true });
                }
            }
        }
        let (mut filters, connection) =
            (refusals.keys().cloned().collect::<Vec<_>>(), self.connection);
        ctx.run_later(AGAIN, move |wire, ctx| {
            filters.retain(|filter| wire.filters.contains(filter));
            if let Phase::Up(client) = &wire.phase
                && connection == wire.connection
                && !filters.is_empty()
            {
                wire.ask_for(&Rc::clone(client), filters, Wanted::Again, ctx);
            }
        });
    }
}

impl Handler<Letter> for Wire {
    type Result = ();

    /// Without a connection it is not taken: its sender sends again when it hears `Up`.
    fn handle(&mut self, letter: Letter, ctx: &mut Self::Context) {
        if self.is_told && matches!(self.phase, Phase::Up(_)) {
            self.queue.push_back(letter);
            self.send_on(ctx);
        }
    }
}

impl Handler<Withdraw> for Wire {
    type Result = ();

    fn handle(&mut self, Withdraw(number): Withdraw, _: &mut Self::Context) {
        self.queue.retain(|letter| letter.number != number);
    }
}

impl Handler<Subscribe> for Wire {
    type Result = ();

    fn handle(&mut self, Subscribe { number, filters }: Subscribe, ctx: &mut Self::Context) {
        self.filters.extend(filters.iter().cloned());
        if let Phase::Up(client) = &self.phase {
            self.ask_for(&Rc::clone(client), filters, Wanted::Later(number), ctx);
        }
    }
}

impl Handler<Unsubscribe> for Wire {
    type Result = ();

    fn handle(&mut self, Unsubscribe(filters): Unsubscribe, _: &mut Self::Context) {
        self.filters.retain(|filter| !filters.contains(filter));
        if let Phase::Up(client) = &self.phase {
            let token = client.unsubscribe(&filters);
            // Whatever comes of it: nobody looks at what comes there any more.
            actix::spawn(async move { drop(token.await) });
        }
    }
}

impl Handler<HangUp> for Wire {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, HangUp: HangUp, ctx: &mut Self::Context) -> Self::Result {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        ctx.stop();
        let Phase::Up(client) = phase else { return Box::pin(std::future::ready(())) };
        let (role, access) = (self.role, self.access.clone());
        Box::pin(async move {
            match role {
                Role::Thing => say_farewell(client, access.client_id).await,
                Role::Client => {
                    let farewell = client.disconnect_with(options::leave(access.version));
                    drop(timeout(FAREWELL, farewell).await);
                }
            }
        })
    }
}
