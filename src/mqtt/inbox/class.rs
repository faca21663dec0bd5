//! What becomes of a message by its topic: whether it is kept on disk, and whether it waits for its turn.

use super::Incoming;

/// What a message does, as far as its turn depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It may change something, keeps its turn, and is on disk.
    Change,
    /// It asks for something, after what came before it.
    Ask,
    /// It asks for a sign of life, which has to do with nothing else.
    Ping,
}

impl Class {
    pub(super) fn of(topic: &str) -> Self {
        const CHANGES: [&str; 5] = ["/LC/ON", "/LC/OFF", "/STATE/UPD", "/TWIN/SET", "/TWIN/DEL"];
        if topic.ends_with("/TPC/PING") {
            Self::Ping
        } else if CHANGES.iter().any(|end| topic.ends_with(end)) {
            Self::Change
        } else {
            Self::Ask
        }
    }
}

/// What an entry takes in memory, in bytes; what it takes besides its texts is rounded.
pub(super) fn bytes(message: &Incoming) -> usize {
    const ENTRY: usize = 160;
    let correlation = message.correlation.as_ref().map_or(0, Vec::len);
    let response_topic = message.response_topic.as_ref().map_or(0, String::len);
    ENTRY + message.topic.len() + message.payload.len() + correlation + response_topic
}
