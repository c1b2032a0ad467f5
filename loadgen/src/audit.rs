//! The audit: judges a run from the records and commits that its authorities hold, and from nothing that they say about
//! individual transactions.
//!
//! [`judge`] is pure. Value is conserved (X1) when each shard's balances, what it burned, and what the records of both
//! ends of each pair show to be on its way, make the genesis' supply. That no transaction was executed twice or left
//! out (E3) shows in what was burned: each pays its fee once.

mod collect;

use std::collections::BTreeMap;

use fresnel_types::{
    Amount, AuthorityIndex, CommitDigest, CommitIndex, Genesis, Record, RecordDigest, ShardId,
    genesis::Allocation, record::Pair,
};

pub(crate) use self::collect::Collector;
use crate::report::Audit;

/// What authorities hold.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Records of each worker, ascending; maybe without the earliest.
    pub records: BTreeMap<(AuthorityIndex, ShardId), Vec<Record>>,
    /// Commits of each beacon, ascending; maybe without the earliest.
    pub commits: BTreeMap<AuthorityIndex, Vec<(CommitIndex, CommitDigest)>>,
    /// Workers that stopped because their own record differs from the certified one.
    pub diverged: Vec<(AuthorityIndex, ShardId)>,
}

/// What a load paid, as far as the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    /// Fees of transactions known to be executed.
    pub least: Amount,
    /// Fees of all that may have been executed.
    pub most: Amount,
    /// News that contradicted earlier news.
    pub contradictions: u64,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// For the report.
    pub audit: Audit,
    /// Whether all workers of each shard hold the same last record and nothing is in flight.
    pub quiet: bool,
    /// What is wrong, in a sentence each.
    pub reasons: Vec<String>,
}

/// Judges what was found.
pub fn judge(genesis: &Genesis, evidence: &Evidence, paid: Paid) -> Judgement {
    let mut reasons = Vec::new();
    for (authority, shard) in &evidence.diverged {
        reasons.push(format!(
            "worker {shard} of authority {authority} stopped: its record is not the certified one"
        ));
    }
    let records_agree = records_agree(evidence, &mut reasons) && evidence.diverged.is_empty();
    let commits_agree = commits_agree(evidence, &mut reasons);
    let last = last_common(genesis, evidence);
    let totals = Totals::of(genesis, &last);
    let supply_conserved = totals.supply == genesis.supply().0;
    if !supply_conserved {
        reasons.push(format!(
            "balances, what is in flight and what is burned make {}, the genesis gave {}",
            totals.supply,
            genesis.supply()
        ));
    }
    let every_final_once = (paid.least.0..=paid.most.0).contains(&totals.burned) && paid.contradictions == 0;
    if paid.contradictions > 0 {
        reasons.push(format!("{} news contradict earlier ones", paid.contradictions));
    } else if !every_final_once {
        let (least, most) = (paid.least, paid.most);
        reasons.push(format!("the shards burned {}, the load's fees are {least} to {most}", totals.burned));
    }
    let behind: Vec<String> = evidence
        .records
        .iter()
        .filter(|((_, shard), records)| {
            let position = records.last().map(|record| record.position);
            position < newest(evidence, *shard)
        })
        .map(|((authority, shard), _)| format!("worker {shard} of authority {authority} is behind"))
        .collect();
    let quiet = behind.is_empty() && totals.in_flight == 0;
    reasons.extend(behind);
    let audit = Audit {
        supply_conserved,
        records_agree,
        commits_agree,
        every_final_once,
        in_flight: totals.in_flight,
    };
    Judgement { audit, quiet, reasons }
}

fn records_agree(evidence: &Evidence, reasons: &mut Vec<String>) -> bool {
    let mut known: BTreeMap<(ShardId, u64), (AuthorityIndex, RecordDigest)> = BTreeMap::new();
    let before = reasons.len();
    for ((authority, shard), records) in &evidence.records {
        // Positions count records, so that a record too many or too few shows in the next.
        let different = records.iter().find_map(|record| {
            let digest = record.digest();
            let (other, first) = *known.entry((*shard, record.position)).or_insert((*authority, digest));
            (first != digest).then_some((record.block, other))
        });
        if let Some((block, other)) = different {
            reasons.push(format!(
                "authorities {other} and {authority} have different records of shard {shard} at block {block}"
            ));
        }
    }
    reasons.len() == before
}

fn commits_agree(evidence: &Evidence, reasons: &mut Vec<String>) -> bool {
    let mut known: BTreeMap<CommitIndex, (AuthorityIndex, CommitDigest)> = BTreeMap::new();
    let before = reasons.len();
    for (authority, commits) in &evidence.commits {
        let different = commits.iter().find_map(|&(index, digest)| {
            let (other, first) = *known.entry(index).or_insert((*authority, digest));
            (first != digest).then_some((index, other))
        });
        if let Some((index, other)) = different {
            reasons.push(format!("authorities {other} and {authority} have different commits {index}"));
        }
    }
    reasons.len() == before
}

/// The position of the newest record of a shard anywhere.
fn newest(evidence: &Evidence, shard: ShardId) -> Option<u64> {
    evidence
        .records
        .iter()
        .filter(|((_, of), _)| *of == shard)
        .filter_map(|(_, records)| Some(records.last()?.position))
        .max()
}

/// Per shard, the last record that all its workers hold; none where a shard had no input.
fn last_common<'a>(genesis: &Genesis, evidence: &'a Evidence) -> Vec<Option<&'a Record>> {
    let common = |shard| {
        let holders = || evidence.records.iter().filter(move |((_, of), _)| *of == shard);
        let (_, behind) =
            holders().min_by_key(|(_, records)| records.last().map(|record| record.position))?;
        behind.last()
    };
    genesis.shards.iter().map(common).collect()
}

struct Totals {
    /// Balances, in flight and burned.
    supply: u64,
    burned: u64,
    in_flight: u64,
}

impl Totals {
    /// Sums over one record per shard. For values it does not matter whether the records are of the same instant, since
    /// what one shard sent and another did not yet consume is in flight. Counts of receipts say what is in flight only
    /// when they are.
    fn of(genesis: &Genesis, last: &[Option<&Record>]) -> Self {
        let mut totals = Self { supply: 0, burned: 0, in_flight: 0 };
        let pair = |of: ShardId, with: ShardId| -> Pair {
            last[of.index()].and_then(|record| record.pairs.get(with.index())).copied().unwrap_or_default()
        };
        for shard in genesis.shards.iter() {
            let (balances, burned) = last[shard.index()]
                .map_or_else(|| (funds(genesis, shard), 0), |record| (record.supply.0, record.burned.0));
            totals.supply = totals.supply.wrapping_add(balances).wrapping_add(burned);
            totals.burned = totals.burned.wrapping_add(burned);
            for other in genesis.shards.iter().filter(|other| *other != shard) {
                // What left towards the other shard, less what the other shard did with it.
                let Pair { sent, returned, .. } = pair(shard, other);
                let Pair { consumed, bounced, .. } = pair(other, shard);
                let requests = sent.value.wrapping_sub(consumed.value);
                let bounces = bounced.value.wrapping_sub(returned.value);
                totals.supply = totals.supply.wrapping_add(requests).wrapping_add(bounces);
                totals.in_flight +=
                    sent.count.saturating_sub(consumed.count) + bounced.count.saturating_sub(returned.count);
            }
        }
        totals
    }
}

/// What the genesis gave the accounts of a shard.
fn funds(genesis: &Genesis, shard: ShardId) -> u64 {
    let home = |account: &&Allocation| genesis.shards.of_prefix(account.address.prefix()) == shard;
    genesis.accounts.iter().filter(home).map(|account| account.amount.0).sum()
}

#[cfg(test)]
mod tests;
