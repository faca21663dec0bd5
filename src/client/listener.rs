//! Messages on topics, as they are.

use std::fmt;

use tokio::sync::mpsc;

use super::{Client, desk::Leave, listening::Note};

/// A message as it came, on a topic that is listened to.
///
/// ```no_run
/// use twinthing::client::{Client, ClientError, Message};
///
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let mut heard = client.listen(vec!["GRP/garden/TPC/#".to_owned()]).await?;
/// if let Some(Message { topic, payload, .. }) = heard.next().await {
///     println!("{topic}: {}", String::from_utf8_lossy(&payload));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it came.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it from earlier.
    pub retained: bool,
}

/// Messages as they come. For one who does not fetch them 10,000 are kept, and those that come then are left out.
///
/// ```no_run
/// # use twinthing::client::{Client, ClientError};
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let mut notes = client.listen(vec!["GRP/garden/TPC/NOTE".to_owned()]).await?;
/// let first = notes.next().await;
/// drop(notes); // and with it the subscription
/// # Ok(())
/// # }
/// ```
pub struct Listener {
    pub(super) told: mpsc::Receiver<Note>,
    pub(super) number: u64,
    pub(super) client: Client,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.number)
    }
}

impl Listener {
    /// The next one; none once the client is closed.
    ///
    /// ```no_run
    /// # use twinthing::client::{Client, ClientError};
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// # let mut listener = client.listen(Vec::new()).await?;
    /// while let Some(message) = listener.next().await {
    ///     println!("{}: {} bytes", message.topic, message.payload.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.told.recv().await? {
                Note::Gap => {}
                Note::Got(got) => {
                    let (topic, payload, retained) = (got.topic, got.payload, got.retained);
                    return Some(Message { topic, payload, retained });
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.client.handle.desk.do_send(Leave(self.number));
    }
}
