//! The one shape of every machine: inputs in, an ordered list of effects out, no clock, no IO.
//!
//! A driver handles all waiting inputs, appends everything to be persisted, syncs once, and then releases the sends in
//! order; so whatever a send tells the world is durable before it leaves.

use crate::{
    AuthorityIndex, BlockIndex, Checkpoint, ClientId, EntryNumber, LogEntry, Message, RejectionCode, ShardId,
    SignedTransaction, Timestamp, Verified,
    snapshot::{SnapshotResult, SnapshotTask},
};

/// Who sends or receives a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The beacon of an authority.
    Beacon(AuthorityIndex),
    /// The worker of an authority for a shard.
    Worker(AuthorityIndex, ShardId),
    /// A client of the process that hosts the machine.
    Client(ClientId),
}

impl Party {
    /// The authority it belongs to; none for a client.
    pub fn authority(&self) -> Option<AuthorityIndex> {
        match *self {
            Self::Beacon(authority) | Self::Worker(authority, _) => Some(authority),
            Self::Client(_) => None,
        }
    }
}

/// What a machine takes.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every input is a message; a box would cost each an allocation"
)]
pub enum Input {
    /// The deadline that the machine asked for has come.
    Tick,
    /// A link to the party was established (again): what it was told before may be lost.
    Connected(Party),
    /// A message whose signatures and form were checked.
    Message {
        /// Who sent it; the link proved it.
        from: Party,
        /// What it says.
        message: Verified<Message>,
    },
    /// A client's transactions, each checked for itself. Workers only.
    Submit {
        /// Who submits.
        client: ClientId,
        /// The client's number for this submission, given back with the results.
        request: u64,
        /// In the client's order: checked, or why not.
        transactions: Vec<Result<Verified<SignedTransaction>, RejectionCode>>,
    },
    /// The client's connection is gone; nothing can be sent to it any more.
    Disconnected(ClientId),
    /// The store has taken over the checkpoint of this block: a restart begins with it. Workers only.
    Checkpointed(BlockIndex),
    /// The entry that [`Effect::Recall`] asked for; none when the log has forgotten it.
    Recalled(EntryNumber, Option<Box<LogEntry>>),
    /// What came of an [`Effect::Snapshot`]. Workers only.
    Snapshot(SnapshotResult),
}

/// What a machine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Must be durable before any later send leaves.
    Persist(LogEntry),
    /// To each of `to`, which never holds the machine itself. May be lost; machines send again.
    Send {
        /// Receivers.
        to: Vec<Party>,
        /// What to say.
        message: Message,
    },
    /// For the machine's checkpoint store, in its own time; [`Input::Checkpointed`] says when it is done. There is
    /// never a second one before that.
    Checkpoint(Box<Checkpoint>),
    /// Entries of the log before this one are no longer needed to restore the machine.
    Forget(EntryNumber),
    /// Give the machine this entry of its log once more, by [`Input::Recalled`]: what the log has need not be in memory.
    Recall(EntryNumber),
    /// For the machine's checkpoint store; [`Input::Snapshot`] says what came of it.
    Snapshot(SnapshotTask),
}

/// A machine as its driver sees it: beacons and workers.
pub trait Machine {
    /// Takes one input at `now` and appends what must follow, in order. Never blocks, reads no clock.
    fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>);

    /// When `handle` must next be called with [`Input::Tick`], if ever.
    fn deadline(&self) -> Option<Timestamp>;
}
