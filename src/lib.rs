//! Digital twins for things that speak MQTT.
//!
//! A **thing** reports what it is; a **client** asks it to be otherwise; both talk to the thing's
//! **twin**, which the manager, the program `twinmgr`, keeps in a database. This crate is that
//! program's library.
//!
//! # The map
//!
//! | module | what it is | who else may be named there |
//! |---|---|---|
//! | [`protocol`] | the wire: ids, topics and payloads as types | nobody |
//! | [`twin`] | the rules of a twin; pure | `protocol` |
//! | `tls` | whether a server is the one that is meant | nobody |
//! | [`mqtt`] | the broker: the only place that names paho | `protocol`, `tls` |
//! | [store](store/index.html) | the database: the only place that names diesel | `protocol`, `twin`, `tls` |
//! | [manager](manager/index.html) | the service: a router, and an actor for each thing | all above |
//! | [config](config/index.html) | the settings, from environment and flags | all above |
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
//! Still to come: libraries for those who build things and clients.
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
pub mod store;
