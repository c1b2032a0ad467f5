//! Names batches that it never gives to more than a few.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{AuthoritySet, Batch, BatchId, BlockIndex, Message, Party, message::Offer};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct BatchWithholder {
    /// Own batches held back, with those who get them.
    withheld: BTreeMap<BatchId, AuthoritySet>,
    given: BTreeSet<BatchId>,
    /// What each worker last said that it holds.
    held: BTreeMap<Party, Vec<BlockIndex>>,
}

impl BatchWithholder {
    /// Who gets an own batch; none when everybody does.
    fn receivers(&mut self, wire: &mut Wire<'_>, from: Party, bytes: &[u8]) -> Option<AuthoritySet> {
        let batch: Batch = fresnel_types::decode(bytes).ok()?;
        let name = batch.seal().1;
        if batch.author != wire.me || self.given.contains(&name.id) {
            return None;
        }
        if let Some(receivers) = self.withheld.get(&name.id) {
            return Some(*receivers);
        }
        if wire.random.chance(GIVEN_PERMILLE) {
            self.given.insert(name.id);
            return None;
        }
        wire.did("batches named and not given");
        let receivers = wire.some_of_others();
        self.withheld.insert(name.id, receivers);
        // The worker would wait for a quorum of acknowledgements.
        let held =
            self.held.get(&from).cloned().unwrap_or_else(|| vec![BlockIndex(0); wire.rules.shards.count()]);
        let offer =
            Offer { shard: batch.shard, batches: vec![name], attestations: vec![], held, pending: true };
        wire.pass(Said::new(from, Party::Beacon(wire.me), Message::Offer(offer)));
        Some(receivers)
    }
}

impl Adversary for BatchWithholder {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        match (said.peer(), &said.content) {
            (Some(peer), Content::Message(Message::Batch(bytes))) => {
                let receivers = self.receivers(wire, said.from, bytes);
                if receivers.is_some_and(|receivers| !receivers.contains(peer)) {
                    wire.did("withheld batches");
                    return;
                }
            }
            (None, Content::Message(Message::Offer(offer))) => {
                self.held.insert(said.from, offer.held.clone());
            }
            _ => {}
        }
        wire.pass(said);
    }
}

const GIVEN_PERMILLE: u64 = 600;
