//! Which workers of this process said that they have too much. Until the time that they named is over, what clients
//! submit to them is refused where it comes in, before anybody checks a signature: an overload must not cost what it
//! lacks. A worker that still takes a part keeps its gate open. Peers' batches never meet one.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use fresnel_types::{Message, Party, RejectionCode, ShardId};

use crate::clock::monotonic_nanos;

/// One gate per worker of the process.
#[derive(Debug, Default)]
pub(crate) struct Gates(BTreeMap<ShardId, AtomicU64>);

impl Gates {
    /// Open ones.
    pub(crate) fn new(machines: impl Iterator<Item = Party>) -> Self {
        let shard = |party| match party {
            Party::Worker(_, shard) => Some((shard, AtomicU64::new(0))),
            Party::Beacon(_) | Party::Client(_) => None,
        };
        Self(machines.filter_map(shard).collect())
    }

    /// Hears what a worker says to a client.
    pub(crate) fn hear(&self, worker: Party, message: &Message) {
        if let (Party::Worker(_, shard), Message::Admission { results, retry_after, .. }) = (worker, message)
            && results.contains(&Some(RejectionCode::Overloaded))
            && !results.contains(&None)
            && let Some(gate) = self.0.get(&shard)
        {
            gate.store(monotonic_nanos() / 1_000 + retry_after, Relaxed);
        }
    }

    /// Microseconds for which the worker of `shard` wants to be left alone; none when it takes what comes.
    pub(crate) fn shut(&self, shard: ShardId) -> Option<u64> {
        let until = self.0.get(&shard)?.load(Relaxed);
        until.checked_sub(monotonic_nanos() / 1_000).filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{AuthorityIndex, ClientId};

    use super::*;

    #[test]
    fn a_gate_is_shut_for_as_long_as_its_worker_says() {
        let worker = |shard| Party::Worker(AuthorityIndex(0), ShardId(shard));
        let gates = Gates::new([worker(0), worker(1), Party::Beacon(AuthorityIndex(0))].into_iter());
        let admission = |code, retry_after| {
            let results = vec![Some(code); 2];
            Message::Admission { request: 0, results, retry_after }
        };
        gates.hear(worker(0), &admission(RejectionCode::Quota, 60_000_000));
        gates.hear(Party::Client(ClientId(0)), &admission(RejectionCode::Overloaded, 60_000_000));
        assert_eq!((gates.shut(ShardId(0)), gates.shut(ShardId(1))), (None, None), "a quota is one client's");
        let part = vec![None, Some(RejectionCode::Overloaded)];
        let part = Message::Admission { request: 0, results: part, retry_after: 60_000_000 };
        gates.hear(worker(0), &part);
        assert_eq!(gates.shut(ShardId(0)), None, "it still takes a part");
        gates.hear(worker(0), &admission(RejectionCode::Overloaded, 60_000_000));
        assert!(gates.shut(ShardId(0)).is_some_and(|left| left > 50_000_000));
        assert_eq!((gates.shut(ShardId(1)), gates.shut(ShardId(7))), (None, None), "another worker's");
        gates.hear(worker(0), &admission(RejectionCode::Overloaded, 0));
        assert_eq!(gates.shut(ShardId(0)), None, "the last word counts");
    }
}
