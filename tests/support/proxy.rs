//! A TCP proxy that a test can cut, stop without a word, or have swallow what goes over it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

/// What is not handed on.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    /// What the broker says.
    Answers,
    All,
}

/// Stands between a client and `127.0.0.1:<port>`.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    streams: Mutex<Vec<TcpStream>>,
    refusing: AtomicBool,
    held: Mutex<Held>,
    let_go: Condvar,
    connections: AtomicU32,
    /// Connections with a lower number are swallowed.
    swallows_below: AtomicU32,
    /// How often a client said something: one that waits for each answer makes so many journeys.
    said: AtomicU32,
}

impl Proxy {
    /// Listens on a free port and hands everything on to this one.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !theirs.refusing.load(Ordering::Relaxed)
                    && let Ok(server) = TcpStream::connect(("127.0.0.1", to))
                {
                    theirs.join(client, server);
                }
            }
        });
        Self { port, shared }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often a client has said something.
    pub fn said(&self) -> u32 {
        self.shared.said.load(Ordering::SeqCst)
    }

    /// Breaks every connection, and closes new ones at once.
    pub fn cut(&self) {
        self.shared.refusing.store(true, Ordering::Relaxed);
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Undoes [`Proxy::cut`] for new connections.
    pub fn mend(&self) {
        self.shared.refusing.store(false, Ordering::Relaxed);
    }

    /// Hands nothing on any more, and keeps every connection open.
    pub fn hold(&self) {
        *self.shared.held.lock().unwrap() = Held::All;
    }

    /// The same for what the broker says only: what is said to it still arrives.
    pub fn hold_answers(&self) {
        *self.shared.held.lock().unwrap() = Held::Answers;
    }

    /// Undoes [`Proxy::hold`].
    pub fn let_go(&self) {
        *self.shared.held.lock().unwrap() = Held::Nothing;
        self.shared.let_go.notify_all();
    }

    /// Swallows what goes over the connections that there are, and neither side hears of it; new ones work.
    pub fn swallow(&self) {
        let connections = self.shared.connections.load(Ordering::SeqCst);
        self.shared.swallows_below.store(connections, Ordering::SeqCst);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let mut streams = self.streams.lock().unwrap();
        streams.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        drop(streams);
        for (from, to, stops) in [
            (client.try_clone().unwrap(), server.try_clone().unwrap(), Held::All),
            (server, client, Held::Answers),
        ] {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.copy(number, from, to, stops));
        }
    }

    /// `stops`: what has to be held for this direction to be.
    fn copy(&self, number: u32, mut from: TcpStream, mut to: TcpStream, stops: Held) {
        let mut buffer = [0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            if stops == Held::All && read > 0 {
                self.said.fetch_add(1, Ordering::SeqCst);
            }
            drop(
                self.let_go
                    .wait_while(self.held.lock().unwrap(), |held| {
                        *held == stops || *held == Held::All
                    })
                    .unwrap(),
            );
            if number < self.swallows_below.load(Ordering::SeqCst) {
                if read == 0 {
                    return;
                }
            } else if read == 0 || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
        from.shutdown(Shutdown::Both).ok();
    }
}
