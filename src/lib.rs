//! Digital twins for things that speak MQTT.
//!
//! A **thing** reports what it is; a **client** asks it to be otherwise; both talk to the thing's **twin**, which the
//! manager, the program `twinmgr`, keeps in a database. With this crate you build things and clients; it is also
//! the library of the manager itself.
//!
//! # A thing, and one who asks it for something
//!
//! Have a broker and a manager: `make run` in the repository starts both. Then, in a project of your own, with
//!
//! ```toml
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! serde_json = "1"
//! # A clone of the repository; without the manager, and so without a database.
//! twinthing = { path = "../twinthing", default-features = false }
//! ```
//!
//! this is a lamp, whole:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use twinthing::device::{Access, Device};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Lamp {
//!     on: bool,
//!     brightness: u8,
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let access = Access::new("lamp", "127.0.0.1")?;
//!     let lamp = Device::build(access, Lamp { on: false, brightness: 40 })
//!         .filter(|now, wanted| if wanted.brightness > 100 { wanted.brightness = now.brightness })
//!         .on_change(|change| println!("on: {}", change.state.on))
//!         .start()?;
//!     for _ in std::io::stdin().lines() {
//!         lamp.update(|lamp| lamp.on = !lamp.on)?; // the switch
//!     }
//!     lamp.close_blocking();
//!     Ok(())
//! }
//! ```
//!
//! It connects when it can, for ever; says that it is there, and by its will that it is gone; does what it is asked, as
//! far as the filter lets it; reports what changed, also what changed while the broker was away; and is given back what
//! it was when it starts anew. [`device`] has the rest: callbacks or `async`, topics of your own, intervals, TLS.
//!
//! An application never waits for a thing. It asks the twin:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use serde_json::json;
//! use twinthing::client::{Access, Ask, Client, block_on};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(Access::new("app", "127.0.0.1")?)?;
//!     let lamp = "lamp".parse()?;
//!     block_on(async {
//!         // The manager has it: the lamp is told now, or when it is back.
//!         client.set(&lamp, json!({"on": true})).await?;
//!         // Or wait what the lamp makes of it.
//!         let settled = client.set(&lamp, json!({"brightness": 200})).settled(Duration::from_secs(5)).await?;
//!         println!("taken {:?}, declined {:?}, open {:?}", settled.taken, settled.declined, settled.open);
//!         // All lamps that are on, of a group.
//!         let on = json!({"column": "reported.on", "op": "=", "value": true});
//!         let lights = client.group(&"lights".parse().expect("a name"));
//!         println!("{}", lights.query(&Ask::new().select(["clientId"]).only(on)).await?);
//!         Ok(())
//!     })
//! }
//! ```
//!
//! [`client`] has the rest: [`watch`](client::Client::watch) for changes as a stream, groups, versions. To look at twins
//! by hand there is `twinctl`; to see how a fleet behaves, `examples/fleet.rs`.
//!
//! # The map
//!
//! | module | what it is | who else may be named there |
//! |---|---|---|
//! | [`protocol`] | the wire: ids, topics and payloads as types | nobody |
//! | [`twin`] | the rules of a twin; pure | `protocol` |
//! | `tls` | whether a server is the one that is meant | nobody |
//! | [`mqtt`] | the broker: the only place that names paho | `protocol`, `tls` |
//! | [`device`] | for those who build things | `protocol`, `mqtt` |
//! | [`client`] | for those who build applications | `protocol`, `mqtt` |
//! | [store](store/index.html) | the database: the only place that names diesel | `protocol`, `twin`, `tls`, `rights` |
//! | [manager](manager/index.html) | the service: a router, and an actor for each thing | `protocol`, `twin`, `mqtt`, `store` |
//! | [rights](rights/index.html) | who may do what at the broker; pure | `protocol` |
//! | [config](config/index.html) | the settings, from environment and flags | what the manager is made of |
//!
//! The last three come with the feature `manager`, which is on by default; without it there is no
//! diesel. `tests/layering.rs` holds the third column.
//!
//! # The way of one message
//!
//! 1. paho's receive thread puts it into the [`mqtt::Inbox`] under a number that only rises. What may change
//!    something is on disk when that returns, and the broker gets its acknowledgement.
//! 2. The [`mqtt::Bridge`] reads the inbox in order (a PING need not wait for its turn, and while the
//!    database is away nor does a GET), makes a [`protocol::Topic`] of the topic, and hands it on as
//!    [`mqtt::Arrived`].
//! 3. The router makes a [`twin::Event`] of the payload and gives it to the thing's actor, which is
//!    started, and loads its twin, if it is not there. What is wrong by its form alone is answered here.
//! 4. The actor calls [`twin::Twin::apply`], gives the new twin to the store, keeps what is to be told,
//!    and takes the next event.
//! 5. The store gathers what comes while a transaction runs, the newest of each twin, into the next.
//! 6. Committed: the actor tells what it kept, in order, and the inbox entry is done.
//! 7. The bridge publishes within a window; what a lost connection left unacknowledged goes out again. With the
//!    last acknowledgement the entry is over, and gives its room back.
//!
//! After a crash the inbox is read again from the first entry that is not over. A row knows the last entry in it, so
//! that none counts twice, and whether it may not have been told, so that it is told again.
//!
//! A SET of a group is one message that takes its place in the queues of all its members at once, before the next is
//! looked at; it is done when the last of them has told. A query of a group is asked of the database, beside all this.
//!
//! Things and applications have no inbox: what the broker has not taken they say again. Their end of the wire is in
//! `mqtt/wire.rs`.
//!
//! # The rules, read as a test
//!
//! ```
//! use twinthing::{
//!     protocol::{Report, Timestamp},
//!     twin::{Event, Moment, Rules, Twin},
//! };
//!
//! let rules = Rules::default();
//! let moment = Moment { now: Timestamp(1), session: 1, rules: &rules };
//! let report = Report::parse(br#"{"state":{"trn":1,"on":false}}"#, 1024)?;
//! let (twin, outcome) = Twin::new().apply(Event::Reported(report), &moment)?;
//! assert_eq!(twin.version(), 1);
//! assert!(outcome.commit.is_some(), "it is committed before anybody is told");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading on
//!
//! In the repository: `docs/concepts.md` has the words, `docs/protocol.md` the contract on the wire with
//! examples that a test plays, `docs/architecture.md` the map and three walkthroughs, `docs/decisions/`
//! the reasons, `CONTRIBUTING.md` the style.

pub mod client;
pub mod device;
pub mod mqtt;
pub mod protocol;
mod tls;
pub mod twin;

#[cfg(feature = "manager")]
pub mod config;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "manager")]
pub mod rights;
#[cfg(feature = "manager")]
pub mod store;
