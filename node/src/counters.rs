//! What a process counts, and the lines it writes about connections that it gave up.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use fresnel_types::{Message, Party, RejectionCode, ShardId};

use crate::{clock::Clock, limits::REPORTS_PER_SECOND_MAX, space::Space};

macro_rules! counters {
    ($(#[doc = $help:literal] $name:ident),* $(,)?) => {
        /// Counts since the start of the process.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(#[doc = $help] pub(crate) $name: AtomicU64,)*
            /// Room on the disk, which is no count.
            pub(crate) space: Space,
            /// Transactions that workers refused, by shard and reason.
            pub(crate) rejections: Rejections,
        }

        impl Counters {
            /// Every name with what it counts.
            pub(crate) const DESCRIPTIONS: &[(&str, &str)] = &[$((stringify!($name), $help),)*];

            /// Every name with its count.
            pub(crate) fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// Inputs that machines took.
    inputs,
    /// Rounds of machines: inputs taken together.
    rounds,
    /// Entries appended to logs.
    log_entries,
    /// Syncs of logs.
    log_syncs,
    /// Bytes of logs that were deleted because no restart needs them.
    log_bytes_deleted,
    /// Checkpoints stored.
    checkpoints,
    /// Bytes written for checkpoints.
    checkpoint_bytes,
    /// Microseconds that storing checkpoints took.
    checkpoint_micros,
    /// Bytes of checkpoints that are no longer on the disk, because later ones replaced them.
    checkpoint_bytes_deleted,
    /// Checkpoints that were given up at the start because they were damaged.
    checkpoints_rejected,
    /// Frames handed to links.
    link_frames_out,
    /// Bytes handed to links.
    link_bytes_out,
    /// Frames that came in over links.
    link_frames_in,
    /// Bytes that came in over links.
    link_bytes_in,
    /// Links that were established.
    links_established,
    /// Handshakes and links that failed.
    links_failed,
    /// Bulk frames dropped because a link was full.
    bulk_dropped,
    /// Frames dropped because there was no link.
    unlinked_dropped,
    /// Control links closed because they were full.
    control_overflows,
    /// Messages between machines of this process dropped because an inbox was full.
    inbox_overflows,
    /// Messages of peers and clients that were refused.
    bad_messages,
    /// Clients that connected.
    clients,
    /// Clients that were disconnected because they did not read.
    client_overflows,
    /// Clients that were disconnected because they were idle and others wanted in.
    clients_evicted,
    /// Clients that were turned away because no place was free.
    clients_turned_away,
    /// Transactions that clients submitted.
    submitted,
    /// Of these, those refused for overload before anything was checked.
    refused_early,
    /// Transactions of clients whose signatures were checked.
    transactions_checked,
    /// Times that some were checked together.
    transaction_checks,
    /// Messages of peers that were checked.
    peer_messages_checked,
    /// Times that some were checked together.
    peer_checks,
    /// Frames of clients that a verify thread took.
    client_frames,
    /// Microseconds that these waited for it, all together.
    client_frames_waited_micros,
}

/// Transactions that workers refused, by shard and reason.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<BTreeMap<(ShardId, RejectionCode), u64>>);

impl Rejections {
    /// A worker answers a submission.
    pub(crate) fn count(&self, from: Party, message: &Message) {
        let (Party::Worker(_, shard), Message::Admission { results, .. }) = (from, message) else { return };
        // Most submissions are admitted as a whole, and then there is nothing to lock.
        let mut refused = results.iter().flatten().peekable();
        if refused.peek().is_some() {
            let mut counts = self.0.lock().expect("nobody panics with the lock held");
            refused.for_each(|code| *counts.entry((shard, *code)).or_default() += 1);
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<(ShardId, RejectionCode), u64> {
        self.0.lock().expect("nobody panics with the lock held").clone()
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds many.
pub(crate) fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Relaxed);
}

/// Writes lines about connections, a bounded number per second: whoever causes them shall not fill the disk.
#[derive(Debug)]
pub(crate) struct Reports {
    clock: Clock,
    second: AtomicU64,
    written: AtomicU64,
}

impl Reports {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, second: AtomicU64::new(0), written: AtomicU64::new(0) }
    }

    /// A line that says who was given up and why.
    pub(crate) fn gave_up(&self, whom: &str, error: &dyn std::error::Error) {
        let second = self.clock.now().0 / 1_000_000;
        if self.second.swap(second, Relaxed) != second {
            self.written.store(0, Relaxed);
        }
        if self.written.fetch_add(1, Relaxed) < REPORTS_PER_SECOND_MAX {
            let mut reason = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                reason = format!("{reason}: {cause}");
                source = cause.source();
            }
            tracing::warn!(%whom, %reason, "gave up a connection");
        }
    }
}
