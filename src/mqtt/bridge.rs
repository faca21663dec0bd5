//! The actor between the broker and the others: what it holds, and what it is asked.

use std::{
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{
    Arrived, AsksFirst, Close, Count, Counters, Done, Entry, HandOnAgain, Inbox, IsWorking,
    Listeners, MqttSettings, Parked, Poison, Publish, Quiesce, Replayed, Respond, backoff::Backoff,
    client::Client, intake::Intake, now, poison::Poisoned, send, trouble::OncePerMinute,
    window::Window,
};

/// The most entries that are read from the inbox in one go.
const PORTION: usize = 256;

/// How often is tried again what is not told by anybody: whether there is room on the disk again, and
/// whether somebody has a message retried that was set aside.
const TICK: Duration = Duration::from_secs(1);

/// Without anything done for so long, although there is something to do and nothing is missing, it does not work.
const STUCK: Duration = Duration::from_secs(60);

/// How often is told how far the messages of an earlier life are gone through.
const PROGRESS: Duration = Duration::from_secs(5);

/// Hands on what the broker sends, and sends what the others publish.
pub struct Bridge {
    pub(super) settings: MqttSettings,
    pub(super) to: Listeners,
    pub(super) intake: Arc<Intake>,
    pub(super) phase: Phase,
    /// The number of the present attempt to connect, or of what came of it.
    pub(super) connection: u64,
    /// The last connection of which `Link::Up` was told: what came by later ones waits.
    pub(super) told: u64,
    /// Since when the present connection stands.
    pub(super) since: Instant,
    pub(super) backoff: Backoff,
    /// The line that was logged last about why there is no connection.
    pub(super) trouble: Option<String>,
    /// The filters that the broker refuses, as far as we know.
    pub(super) refused: BTreeSet<String>,
    /// Whether LC/ON has been said on this connection.
    pub(super) said_on: bool,
    pub(super) window: Window,
    /// The largest packet that the broker takes, in bytes.
    pub(super) maximum_packet: Option<u32>,
    pub(super) refusals: OncePerMinute,
    pub(super) counters: Counters,
    pub(super) epoch: i64,
    /// Whether it is connected although the inbox is full: what is done of it waits for the broker.
    pub(super) is_draining: bool,
    /// When an entry was last dealt with.
    pub(super) last_done: Instant,
    /// When there was last nothing to do, or something missing without which it cannot be done.
    was_fine: Instant,
    replay: Replay,
    poisoned: Poisoned,
    quiescing: Vec<Quiescing>,
}

/// How far the messages of an earlier life are gone through.
enum Replay {
    /// So many were left.
    Of(usize),
    Over,
}

/// Who waits for what has come so far.
struct Quiescing {
    /// The last entry that counts.
    entry: u64,
    /// How many publishes had been queued when that was done.
    publishes: Option<u64>,
    tell: oneshot::Sender<()>,
}

/// Where the connection stands.
pub(super) enum Phase {
    /// A timer will start the next attempt.
    Waiting,
    /// An attempt is under way.
    Connecting,
    /// Connected.
    Up(Rc<Client>),
    /// The inbox is full; the connection is being closed.
    Pausing,
    /// The inbox is full; there is no connection until half of it is done.
    Paused,
    /// Closed for good.
    Closed,
}

impl Bridge {
    /// Starts the actor, and its first attempt to connect.
    pub(super) fn start_with(
        settings: MqttSettings,
        inbox: Inbox,
        epoch: i64,
        session: i64,
        to: Listeners,
    ) -> Addr<Self> {
        Self::create(|ctx| {
            let bridge = ctx.address().downgrade();
            inbox.begin(epoch, move || {
                if let Some(bridge) = bridge.upgrade() {
                    bridge.do_send(Look);
                }
            });
            Self {
                window: Window::new(settings.window.clamp(1, 60_000)),
                epoch,
                is_draining: false,
                last_done: Instant::now(),
                was_fine: Instant::now(),
                replay: Replay::Of(inbox.left()),
                poisoned: Poisoned::new(settings.poison.clone()),
                intake: Arc::new(Intake::new(inbox, session)),
                settings,
                to,
                phase: Phase::Waiting,
                connection: 0,
                told: 0,
                since: Instant::now(),
                backoff: Backoff::default(),
                trouble: None,
                refused: BTreeSet::new(),
                said_on: false,
                maximum_packet: None,
                refusals: OncePerMinute::default(),
                counters: Counters::default(),
                quiescing: Vec::new(),
            }
        })
    }

    /// Hands on what has come in, as long as few enough entries are under way, and little enough
    /// that goes out: a short request may be answered at length.
    pub(super) fn hand_on(&mut self, ctx: &mut Context<Self>) {
        if self.window.bytes() >= self.settings.outbox_bytes {
            return;
        }
        let entries = self.intake.inbox.read(PORTION, self.settings.under_way, self.told);
        if entries.len() == PORTION {
            // What these are answered comes before the next portion.
            ctx.notify(Look);
        }
        for entry in entries {
            self.hand_on_one(&entry);
        }
    }

    /// An entry is dealt with, or what was published for one is acknowledged: others may follow.
    pub(super) fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.hand_on(ctx);
        self.resume_if_drained(ctx);
        self.tell_if_replayed();
        self.tell_if_quiet();
    }

    fn tell_if_replayed(&mut self) {
        if let Replay::Of(left) = self.replay
            && self.intake.inbox.still_left() == 0
        {
            // They have to be out of the file before anybody forgets what they did.
            self.intake.inbox.tidy();
            if left > 0 {
                log::info!("the {left} messages that were left are dealt with");
            }
            self.replay = Replay::Over;
            self.to.replayed.do_send(Replayed);
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.misses_something() || self.intake.inbox.load().under_way == 0 {
            self.was_fine = Instant::now();
        }
        self.intake.inbox.tidy();
        for number in self.poisoned.try_again(&self.intake.inbox) {
            self.intake.inbox.done(number);
        }
        let (session, connection) = (self.intake.session(), self.told);
        self.poisoned.take_retried(&self.intake.inbox, (now(), session, connection));
        self.go_on(ctx);
        self.pause_if_full(ctx);
    }

    /// Whether the broker or the database is away.
    fn misses_something(&self) -> bool {
        !matches!(self.phase, Phase::Up(_)) || self.intake.inbox.asks_first()
    }

    fn tell_progress(&self) {
        if let Replay::Of(left) = self.replay {
            let still = self.intake.inbox.still_left();
            log::info!("{} of the {left} messages that were left are dealt with", left - still);
        }
    }

    fn hand_on_one(&mut self, entry: &Entry) {
        let (place, message) = (entry.place, &entry.message);
        if place.epoch < self.epoch {
            self.counters.replayed += 1;
        } else {
            self.counters.received += 1;
        }
        match message.topic.parse() {
            Ok(topic) => {
                let respond = self.respond(message.response_topic.as_deref(), &message.correlation);
                let (payload, at, session) =
                    (Arc::clone(&message.payload), message.at, message.session);
                self.to.router.do_send(Arrived { place, topic, payload, respond, at, session });
            }
            Err(error) => {
                log::debug!("ignored: {error}");
                self.counters.ignored_topic += 1;
                self.intake.inbox.done(place.number);
            }
        }
    }

    fn respond(&mut self, topic: Option<&str>, correlation: &Option<Vec<u8>>) -> Option<Respond> {
        match topic?.parse() {
            Ok(topic) => Some(Respond { topic, correlation: correlation.clone() }),
            Err(error) => {
                log::debug!("ignored: {error}");
                self.counters.ignored_response_topic += 1;
                None
            }
        }
    }

    /// Tells those who wait for it that nothing is left to do of what they wait for.
    pub(super) fn tell_if_quiet(&mut self) {
        let closed = matches!(self.phase, Phase::Closed);
        for mut waiting in std::mem::take(&mut self.quiescing) {
            if waiting.publishes.is_none() && self.intake.inbox.is_done_up_to(waiting.entry) {
                waiting.publishes = Some(self.window.pushed());
            }
            let told = |publishes| closed || self.window.settled() >= publishes;
            if waiting.publishes.is_some_and(told) {
                // Who no longer waits needs no answer.
                waiting.tell.send(()).ok();
            } else {
                self.quiescing.push(waiting);
            }
        }
    }
}

impl Actor for Bridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Replay::Of(left @ 1..) = self.replay {
            log::info!("{left} messages were left in the inbox, and are dealt with first");
        }
        ctx.run_interval(TICK, Self::tick);
        ctx.run_interval(PROGRESS, |bridge, _| bridge.tell_progress());
        ctx.notify(Look);
        self.attempt(ctx);
    }
}

/// Something has come into the inbox.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Look;

impl Handler<Look> for Bridge {
    type Result = ();

    fn handle(&mut self, Look: Look, ctx: &mut Self::Context) {
        self.intake.inbox.rest();
        self.go_on(ctx);
        self.pause_if_full(ctx);
    }
}

impl Handler<Done> for Bridge {
    type Result = ();

    fn handle(&mut self, Done(number): Done, ctx: &mut Self::Context) {
        if self.intake.inbox.done(number) {
            self.last_done = Instant::now();
            self.go_on(ctx);
        }
    }
}

impl Handler<Poison> for Bridge {
    type Result = ();

    /// It stays in the inbox until it is set aside.
    fn handle(&mut self, poison: Poison, ctx: &mut Self::Context) {
        let number = poison.number;
        if self.poisoned.take(poison, &self.intake.inbox) {
            self.intake.inbox.done(number);
        } else {
            self.intake.inbox.park(number);
        }
        self.go_on(ctx);
    }
}

impl Handler<Parked> for Bridge {
    type Result = ();

    fn handle(&mut self, Parked(number): Parked, ctx: &mut Self::Context) {
        self.intake.inbox.park(number);
        self.hand_on(ctx);
    }
}

impl Handler<HandOnAgain> for Bridge {
    type Result = ();

    fn handle(&mut self, HandOnAgain(numbers): HandOnAgain, _: &mut Self::Context) {
        for number in numbers {
            match self.intake.inbox.under_way(number) {
                Ok(Some(entry)) => self.hand_on_one(&entry),
                Ok(None) => {}
                // It stays in the inbox: the next start hands it on.
                Err(error) => log::error!("entry {number} of the inbox cannot be read: {error}"),
            }
        }
    }
}

impl Handler<AsksFirst> for Bridge {
    type Result = ();

    fn handle(&mut self, AsksFirst(asks_first): AsksFirst, ctx: &mut Self::Context) {
        self.intake.inbox.put_asks_first(asks_first);
        self.hand_on(ctx);
    }
}

impl Handler<Publish> for Bridge {
    type Result = ();

    fn handle(&mut self, publish: Publish, ctx: &mut Self::Context) {
        if let Some(number) = publish.entry {
            self.intake.inbox.hold(number);
        }
        self.window.push(publish);
        self.send_on(ctx);
    }
}

impl Handler<IsWorking> for Bridge {
    type Result = bool;

    fn handle(&mut self, IsWorking: IsWorking, _: &mut Self::Context) -> bool {
        self.misses_something() || self.last_done.max(self.was_fine).elapsed() < STUCK
    }
}

impl Handler<Quiesce> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Quiesce: Quiesce, _: &mut Self::Context) -> Self::Result {
        let (tell, told) = oneshot::channel();
        let entry = self.intake.inbox.newest();
        self.quiescing.push(Quiescing { entry, publishes: None, tell });
        self.tell_if_quiet();
        Box::pin(async move { drop(told.await) })
    }
}

impl Handler<Close> for Bridge {
    type Result = ResponseFuture<()>;

    /// Without a connection there is nobody to say LC/OFF to: the will has said it.
    fn handle(&mut self, Close: Close, _: &mut Self::Context) -> Self::Result {
        match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Up(client) => {
                Box::pin(send::say_farewell(client, self.settings.access.client_id.clone()))
            }
            Phase::Waiting | Phase::Connecting | Phase::Pausing | Phase::Paused | Phase::Closed => {
                Box::pin(std::future::ready(()))
            }
        }
    }
}

impl Handler<Count> for Bridge {
    type Result = Counters;

    fn handle(&mut self, Count: Count, _: &mut Self::Context) -> Counters {
        let unreadable = self.intake.unreadable();
        let load = self.intake.inbox.load();
        let age = load.oldest.map_or(Duration::ZERO, |oldest| now().since(oldest));
        Counters {
            received: self.counters.received + unreadable,
            ignored_topic: self.counters.ignored_topic + unreadable,
            ignored_retained: self.intake.retained(),
            inbox_entries: (load.unread + load.under_way) as u64,
            inbox_bytes: load.bytes,
            inbox_age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            ..self.counters
        }
    }
}
