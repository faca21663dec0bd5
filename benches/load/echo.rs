//! The tool in the manager's place: it says as many messages as the manager would, as large, and does nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::time::Instant;

use crate::wire::Stage;

/// How large the manager's messages are, in bytes: what the echo says is as large.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A TWIN/UPD.
    pub update: usize,
    /// A STATE/SET with a delta.
    pub delta: usize,
    /// A STATE/SET with a state.
    pub state: usize,
}

/// A thread that answers below ECH and ECG as the manager does below TNG and GRP.
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts it. A group has `members` things.
    pub fn start(port: u16, sizes: Sizes, members: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let thread = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                actix_rt::System::new().block_on(play(port, sizes, members, &stop, &ready));
            })
        };
        is_ready.recv().expect("the echo connects");
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn play(
    port: u16,
    sizes: Sizes,
    members: usize,
    stop: &AtomicBool,
    ready: &mpsc::Sender<()>,
) {
    let filters = ["ECH/+/STATE/UPD", "ECH/+/TWIN/SET", "ECH/+/LC/ON", "ECG/+/TWIN/SET"];
    let mut stage = Stage::connect(port, &[&filters]).await;
    ready.send(()).unwrap();
    let [update, delta, state] =
        [sizes.update, sizes.delta, sizes.state].map(|size| vec![b'x'; size]);
    while !stop.load(Ordering::Relaxed) {
        let Some(heard) = stage.hear_until(Instant::now() + Duration::from_millis(50)).await else {
            continue;
        };
        let id = heard.topic.split('/').nth(1).unwrap();
        let to = |levels: &str| format!("ECH/{id}/{levels}");
        match heard.about().1 {
            "STATE/UPD" => stage.say(0, to("TWIN/UPD"), update.clone()),
            "TWIN/SET" if heard.topic.starts_with("ECG") => {
                for member in 0..members {
                    let to = |levels: &str| format!("ECH/n{member:07}/{levels}");
                    stage.say(0, to("TWIN/UPD"), update.clone());
                    stage.say(0, to("STATE/SET"), delta.clone());
                }
            }
            "TWIN/SET" => {
                stage.say(0, to("TWIN/UPD"), update.clone());
                stage.say(0, to("STATE/SET"), delta.clone());
            }
            _ => {
                stage.say(0, to("STATE/SET"), state.clone());
                stage.say(0, to("STATE/SET"), delta.clone());
            }
        }
    }
}
