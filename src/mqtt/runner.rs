//! A thread for the actors of those who have no actix: things and applications are used from any runtime, or none.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, ThreadId},
};

use actix_rt::{ArbiterHandle, System};

/// A thread for devices and clients: one of its own each, unless they are started on a common one. It ends when the
/// last copy of this, and the last device and client on it, is gone.
///
/// ```
/// use twinthing::device::{Access, Device, Runner};
///
/// let runner = Runner::start("lights")?;
/// let mut lamps = Vec::new();
/// for name in ["hall", "attic"] {
///     let mut access = Access::new(name, "127.0.0.1")?;
///     # access.port = 1;
///     let state = serde_json::json!({"on": false});
///     lamps.push(Device::build(access, state).start_on(&runner)?);
/// }
/// assert_eq!(lamps[1].state()["on"], false);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Runner(Arc<Running>);

#[derive(Debug)]
struct Running {
    arbiter: ArbiterHandle,
    system: System,
    thread: ThreadId,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.system.stop();
    }
}

impl Runner {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn start(name: &str) -> io::Result<Self> {
        let (tell, told) = mpsc::channel();
        let run = move || {
            let runner = System::new();
            let here = (System::current(), actix_rt::Arbiter::current(), thread::current().id());
            tell.send(here).unwrap_or_default();
            if let Err(error) = runner.run() {
                log::error!("the thread of a thing or an application ended: {error}");
            }
        };
        // The system shows no more of it, and takes no NUL.
        let name = name.chars().filter(|letter| *letter != '\0').take(15).collect();
        thread::Builder::new().name(name).spawn(run)?;
        let (system, arbiter, thread) = told.recv().map_err(io::Error::other)?;
        Ok(Self(Arc::new(Running { arbiter, system, thread })))
    }

    /// Calls this on the thread, and waits for what it gives.
    ///
    /// # Errors
    /// If the thread has ended, or is the one that calls.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        if thread::current().id() == self.0.thread {
            let why = "it cannot be waited for on the thread that it would run on: start it from another one";
            return Err(io::Error::new(io::ErrorKind::Deadlock, why));
        }
        let (tell, told) = mpsc::channel();
        self.0.arbiter.spawn_fn(move || {
            // Who asked waits for it.
            tell.send(call()).ok();
        });
        told.recv().map_err(io::Error::other)
    }
}
