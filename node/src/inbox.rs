//! A machine's inbox: the one bounded queue by which everything reaches it.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use fresnel_types::Input;
use tokio::sync::OwnedSemaphorePermit;

use crate::limits::INBOX_INPUTS_MAX;

/// What is in an inbox.
#[derive(Debug)]
pub(crate) enum Item {
    /// For the machine, with the share of its connection's bytes that is given back once it is handled.
    Input(Box<Input>, Option<OwnedSemaphorePermit>),
    /// Handle what came before, then stop.
    Stop,
}

/// The sending end of an inbox.
#[derive(Clone, Debug)]
pub(crate) struct Inbox(Sender<Item>);

/// There is no room.
#[derive(Debug)]
pub(crate) struct Full;

impl Inbox {
    /// An inbox and its receiving end.
    pub(crate) fn new() -> (Self, Receiver<Item>) {
        let (sender, receiver) = bounded(INBOX_INPUTS_MAX);
        (Self(sender), receiver)
    }

    /// Waits for room. For threads that own no machine. Without effect once the machine has stopped.
    pub(crate) fn put(&self, input: Input, share: Option<OwnedSemaphorePermit>) {
        // The receiving end is gone only when the process stops.
        let _ = self.0.send(Item::Input(Box::new(input), share));
    }

    /// Lets the machine handle what it was given so far and stop.
    pub(crate) fn stop(&self) {
        // As in `put`.
        let _ = self.0.send(Item::Stop);
    }

    /// Does not wait.
    pub(crate) fn offer(&self, input: Input) -> Result<(), Full> {
        match self.0.try_send(Item::Input(Box::new(input), None)) {
            Err(TrySendError::Full(_)) => Err(Full),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    /// How many inputs wait.
    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether an [`Inbox::offer`] by a machine would probably find room.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < INBOX_INPUTS_MAX / 2
    }

    /// Waits for room without holding up a thread.
    pub(crate) async fn deliver(&self, input: Input) {
        while self.offer(input.clone()).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
