//! A thread for the actors of those who have no actix: things and applications are used from any runtime, or none.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use actix_rt::{ArbiterHandle, System};

/// A thread for devices and clients: one of its own each, unless they are started on a common one. It ends when the
/// last copy of this, and the last device and client on it, is gone.
#[derive(Clone, Debug)]
pub struct Runner(Arc<Running>);

#[derive(Debug)]
struct Running {
    arbiter: ArbiterHandle,
    system: System,
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
            tell.send((System::current(), actix_rt::Arbiter::current())).unwrap_or_default();
            if let Err(error) = runner.run() {
                log::error!("the thread of a thing or an application ended: {error}");
            }
        };
        thread::Builder::new().name(name.chars().take(15).collect()).spawn(run)?;
        let (system, arbiter) = told.recv().map_err(io::Error::other)?;
        Ok(Self(Arc::new(Running { arbiter, system })))
    }

    /// Calls this on the thread, and waits for what it gives. Not to be called on that thread.
    ///
    /// # Errors
    /// If the thread has ended.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = mpsc::channel();
        self.0.arbiter.spawn_fn(move || {
            // Who asked waits for it.
            tell.send(call()).ok();
        });
        told.recv().map_err(io::Error::other)
    }
}
