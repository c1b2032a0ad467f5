//! Asks the processes of a cluster for their records and commits, a page at a time, and only for what is new.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use fresnel_client::Client;
use fresnel_types::{
    AuthorityIndex, BlockIndex, ChainId, CommitIndex, ShardId,
    frame::Role,
    status::{Answer, ExecutionCounts, Query, WorkerStatus},
};

use super::Evidence;
use crate::cluster::Endpoint;

/// What was collected so far.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    evidence: Evidence,
    /// Per shard, the highest block that any worker had executed when first asked, and since.
    executed: BTreeMap<ShardId, (BlockIndex, BlockIndex)>,
    /// How each worker executed, of those that tell.
    execution: BTreeMap<(AuthorityIndex, ShardId), ExecutionCounts>,
}

impl Collector {
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Whether every shard executed blocks between the first time it was asked and the last.
    pub(crate) fn is_moving(&self) -> bool {
        !self.executed.is_empty() && self.executed.values().all(|(first, last)| last > first)
    }

    /// How the workers of each shard executed, all authorities together; the threads are those of one worker.
    pub(crate) fn execution(&self) -> BTreeMap<ShardId, ExecutionCounts> {
        let mut shards: BTreeMap<ShardId, ExecutionCounts> = BTreeMap::new();
        for ((_, shard), one) in &self.execution {
            let sum = shards.entry(*shard).or_default();
            sum.threads = sum.threads.max(one.threads);
            sum.serial += one.serial;
            sum.speculative += one.speculative;
            sum.ahead += one.ahead;
            sum.reexecuted += one.reexecuted;
            sum.switches += one.switches;
        }
        shards
    }

    /// Takes what is new at the machines of one process.
    pub(crate) async fn visit(&mut self, endpoint: &Endpoint, chain: ChainId) -> Result<()> {
        let mut client = Client::connect(endpoint.address, chain).await?;
        for &role in &endpoint.roles {
            match role {
                Role::Worker(shard) => self.records(&mut client, endpoint.authority, shard).await?,
                Role::Beacon => self.commits(&mut client, endpoint.authority).await?,
                Role::Client => {}
            }
        }
        Ok(())
    }

    async fn records(
        &mut self,
        client: &mut Client,
        authority: AuthorityIndex,
        shard: ShardId,
    ) -> Result<()> {
        let role = Role::Worker(shard);
        let status = match client.query(role, Query::Status).await? {
            Answer::Worker(status) => status,
            other => bail!("a worker told {other:?} when asked where it is"),
        };
        self.note(authority, shard, &status);
        if let Answer::Counts(counts) = client.query(role, Query::Counts).await? {
            self.execution.insert((authority, shard), counts.execution);
        }
        let records = self.evidence.records.entry((authority, shard)).or_default();
        loop {
            let next = records.last().map_or(BlockIndex(0), |record| record.block.next());
            let page = match client.query(role, Query::Records(next)).await? {
                Answer::Records(page) => page,
                other => bail!("a worker told {other:?} when asked for records"),
            };
            let ascends = page.is_sorted_by(|a, b| a.block < b.block)
                && page.first().is_none_or(|record| record.block >= next);
            if !ascends || page.iter().any(|record| record.shard != shard) {
                bail!(
                    "worker {shard} of authority {authority} gave records out of order or of another shard"
                );
            }
            let done = page.last().is_none_or(|record| record.block >= status.executed);
            records.extend(page);
            if done {
                return Ok(());
            }
        }
    }

    async fn commits(&mut self, client: &mut Client, authority: AuthorityIndex) -> Result<()> {
        let end = match client.query(Role::Beacon, Query::Status).await? {
            Answer::Beacon(status) => status.commit,
            other => bail!("a beacon told {other:?} when asked where it is"),
        };
        let commits = self.evidence.commits.entry(authority).or_default();
        loop {
            let next = commits.last().map_or(CommitIndex(1), |(index, _)| index.next());
            if next > end {
                return Ok(());
            }
            let page = match client.query(Role::Beacon, Query::Commits(next)).await? {
                Answer::Commits(page) => page,
                other => bail!("a beacon told {other:?} when asked for commits"),
            };
            let first = page.first().context("a beacon has fewer commits than it said")?;
            if first.0 < next || !page.is_sorted_by(|a, b| a.0 < b.0) {
                bail!("the beacon of authority {authority} gave commits out of order");
            }
            commits.extend(page);
        }
    }

    fn note(&mut self, authority: AuthorityIndex, shard: ShardId, status: &WorkerStatus) {
        let (_, last) = self.executed.entry(shard).or_insert((status.executed, status.executed));
        *last = (*last).max(status.executed);
        if status.diverged.is_some() && !self.evidence.diverged.contains(&(authority, shard)) {
            self.evidence.diverged.push((authority, shard));
        }
    }
}
