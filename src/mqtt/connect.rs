//! How a connection comes and goes.
//!
//! Each attempt has a paho client of its own. One that is used again keeps what it had in flight:
//! if the broker still has the session it sends that again by itself, if not it fails those tokens
//! but goes on sending what it had queued behind them, and the order is lost. A new one knows
//! nothing, so that the window alone decides what goes out again, and in which order.

use std::{
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use actix::prelude::*;
use actix_rt::time::timeout;
use paho_mqtt::{ConnectOptions, PropertyCode, ServerResponse};

use super::{
    Bridge, Fatal, Link, MqttError,
    backoff::Backoff,
    bridge::Phase,
    client::Client,
    options,
    trouble::{Trouble, broker, words},
};

/// A connection that stood this long was a good one: the waits begin anew.
const STABLE: Duration = Duration::from_secs(5);
/// How long paho may take to disconnect.
const DISCONNECT: Duration = Duration::from_secs(2);
/// How long a connection stands at least that is there for the sake of acknowledgements.
const DRAINING: Duration = Duration::from_secs(1);
/// Without anything done for so long, what is under way waits for the broker.
const REST: Duration = Duration::from_secs(2);

impl Bridge {
    /// Begins to connect, unless that is not wanted (any more).
    ///
    /// A thread waits for the outcome: it holds the client meanwhile, whatever becomes of this
    /// arbiter, and finding out why an attempt failed may take some seconds.
    pub(super) fn attempt(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Waiting) {
            return;
        }
        self.connection += 1;
        let (client, options) = match self.prepare(ctx) {
            Ok(prepared) => prepared,
            Err(error) => {
                return self.fail(&Trouble { line: error.to_string(), lasting: true }, ctx);
            }
        };
        self.phase = Phase::Connecting;
        let (bridge, access) = (ctx.address().downgrade(), self.settings.access.clone());
        let connecting = move || {
            let answer = client.connect(options);
            let answer = answer.map_err(|error| Trouble::of_connecting(&access, &error));
            if let Some(bridge) = bridge.upgrade() {
                bridge.do_send(Answered { client, answer });
            }
        };
        if let Err(error) = thread::Builder::new().name("mqtt-connect".into()).spawn(connecting) {
            self.fail(
                &Trouble { line: format!("a thread to connect on: {error}"), lasting: false },
                ctx,
            );
        }
    }

    /// A client whose callbacks are set: paho may call them as soon as it connects.
    fn prepare(&self, ctx: &Context<Self>) -> Result<(Client, ConnectOptions), MqttError> {
        let options = options::connect(&self.settings)?;
        let client = options::client(&self.settings.access, self.settings.window)?;
        let connection = self.connection;
        let intake = self.intake.clone();
        client.set_message_callback(move |_, message| {
            if let Some(message) = message {
                intake.take(&message, connection);
            }
        });
        let bridge = ctx.address().downgrade();
        let lost = move |why: String| {
            if let Some(bridge) = bridge.upgrade() {
                bridge.do_send(Lost { connection, why });
            }
        };
        let told = lost.clone();
        client.set_connection_lost_callback(move |_| {
            lost("it broke, or no sign of life came".into())
        });
        // paho calls only this one when the broker says why.
        client.set_disconnected_callback(move |_, _, code| told(words(code)));
        Ok((client.into(), options))
    }

    /// Connected: the session is known and told before anything of this connection is handed on.
    fn stand(&mut self, client: Client, response: &ServerResponse, ctx: &mut Context<Self>) {
        let kept = response.connect_response().is_some_and(|connected| connected.session_present);
        if !kept {
            self.intake.begin_session();
        }
        self.counters.reconnects += u64::from(self.told > 0);
        self.maximum_packet = response
            .properties()
            .get(PropertyCode::MaximumPacketSize)
            .and_then(|property| property.get_u32());
        let session = self.intake.session();
        self.to.link.do_send(Link::Up { session, maximum_packet: self.maximum_packet });
        let word = if kept { "kept" } else { "new" };
        log::info!("{}: connected, session {session} ({word})", broker(&self.settings.access));
        (self.told, self.since) = (self.connection, Instant::now());
        (self.trouble, self.said_on) = (None, false);
        self.backoff.ease();
        let client = Rc::new(client);
        self.subscribe(&client, self.settings.filters.clone(), ctx);
        // A loss before this line was not heard of: there was nothing to lose yet.
        let already_lost = !client.is_connected();
        self.phase = Phase::Up(client);
        if already_lost {
            return self.lose("it broke at once", ctx);
        }
        self.send_on(ctx);
        self.hand_on(ctx);
    }

    /// The present connection, if any, is of no more use.
    pub(super) fn lose(&mut self, why: &str, ctx: &mut Context<Self>) {
        if matches!(self.phase, Phase::Up(_)) && self.said_on {
            self.blame_first();
        }
        if self.leave(Phase::Waiting).is_some() {
            log::warn!("{}: connection lost: {why}; trying again", broker(&self.settings.access));
            if self.since.elapsed() >= STABLE {
                self.backoff = Backoff::default();
            }
            self.attempt_later(ctx);
        }
    }

    /// Takes the client of a standing connection; what it had not settled waits for the next one.
    fn leave(&mut self, next: Phase) -> Option<Rc<Client>> {
        match std::mem::replace(&mut self.phase, next) {
            Phase::Up(client) => {
                self.window.take_back();
                self.to.link.do_send(Link::Down);
                Some(client)
            }
            other @ (Phase::Waiting
            | Phase::Connecting
            | Phase::Pausing
            | Phase::Paused
            | Phase::Closed) => {
                self.phase = other;
                None
            }
        }
    }

    /// An attempt failed. Each reason is logged once, until there is another.
    fn fail(&mut self, trouble: &Trouble, ctx: &mut Context<Self>) {
        let Trouble { line, lasting } = trouble;
        if self.trouble.as_ref() != Some(line) {
            let level = if *lasting { log::Level::Error } else { log::Level::Warn };
            log::log!(level, "{line}; trying again");
            // A broker that has not been there yet may be the wrong one.
            if self.settings.fail_fast && (*lasting || self.told == 0) {
                self.to.fatal.do_send(Fatal(line.clone()));
            }
            self.trouble = Some(line.clone());
        }
        self.phase = Phase::Waiting;
        self.attempt_later(ctx);
    }

    fn attempt_later(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.backoff.next(), Self::attempt);
    }

    /// More has come than the inbox may hold: leaves the rest with the broker.
    pub(super) fn pause_if_full(&mut self, ctx: &mut Context<Self>) {
        self.is_draining &= !self.intake.inbox.is_drained();
        // What it is connected for takes a moment: else nothing would be acknowledged, and it would be for nothing.
        if self.is_draining && self.since.elapsed() < DRAINING {
            return;
        }
        let Some(reason) = self.intake.inbox.full(self.is_draining) else { return };
        if let Some(client) = self.leave(Phase::Pausing) {
            log::warn!(
                "{}: disconnected until the inbox has room, and the broker keeps what comes: {reason}",
                broker(&self.settings.access)
            );
            let bridge = ctx.address();
            actix::spawn(async move {
                disconnect(client).await;
                bridge.do_send(Disconnected);
            });
        }
    }

    /// Half of what the inbox may hold is over, or none of it can be without the broker: connects again.
    pub(super) fn resume_if_drained(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Paused) {
            return;
        }
        let is_drained = self.intake.inbox.is_drained();
        if is_drained || self.needs_the_broker() {
            self.is_draining = !is_drained;
            self.phase = Phase::Waiting;
            self.attempt(ctx);
        }
    }
}

impl Bridge {
    /// Whether all that could be done without a connection is done: what was published has to be acknowledged. What is
    /// under way may itself wait for that, so a time in which nothing is done, although the database is there, counts
    /// as well.
    /// Not while the disk has no room: what would come by that connection could not be kept.
    fn needs_the_broker(&self) -> bool {
        let waits = self.window.bytes();
        let rests = self.last_done.elapsed() >= REST && !self.intake.inbox.asks_first();
        waits > 0
            && !self.intake.inbox.is_in_trouble()
            && (rests
                || self.intake.inbox.load().under_way == 0
                || waits >= self.settings.outbox_bytes)
    }
}

/// Disconnects, and lets go of the client.
pub(super) async fn disconnect(client: Rc<Client>) {
    if timeout(DISCONNECT, client.disconnect()).await.is_err() {
        log::warn!("disconnecting takes more than {} s", DISCONNECT.as_secs());
    }
}

/// What came of an attempt to connect.
#[derive(Message)]
#[rtype(result = "()")]
struct Answered {
    client: Client,
    answer: Result<ServerResponse, Trouble>,
}

impl Handler<Answered> for Bridge {
    type Result = ();

    /// Only one attempt runs at a time; the bridge may have been closed meanwhile.
    fn handle(&mut self, Answered { client, answer }: Answered, ctx: &mut Self::Context) {
        if matches!(self.phase, Phase::Connecting) {
            match answer {
                Ok(response) => self.stand(client, &response, ctx),
                Err(trouble) => self.fail(&trouble, ctx),
            }
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

impl Handler<Lost> for Bridge {
    type Result = ();

    fn handle(&mut self, Lost { connection, why }: Lost, ctx: &mut Self::Context) {
        if connection == self.connection {
            self.lose(&why, ctx);
        }
    }
}

/// The connection that the inbox has no room for is closed.
#[derive(Message)]
#[rtype(result = "()")]
struct Disconnected;

impl Handler<Disconnected> for Bridge {
    type Result = ();

    fn handle(&mut self, Disconnected: Disconnected, ctx: &mut Self::Context) {
        if matches!(self.phase, Phase::Pausing) {
            self.phase = Phase::Paused;
            self.resume_if_drained(ctx);
        }
    }
}
