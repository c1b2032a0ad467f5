//! Answers that never go back, whichever authority gives them: who has seen a block of a shard is not shown an earlier one.

use std::collections::BTreeMap;

use fresnel_types::{
    Address, BlockIndex, ShardId,
    frame::Role,
    leaves::Account,
    status::{Answer, Progress, Query},
};

use crate::{Client, ClientError};

/// What one user has seen so far. Each read goes through a connection of the caller's choice.
#[derive(Clone, Debug, Default)]
pub struct Session {
    seen: BTreeMap<ShardId, BlockIndex>,
}

impl Session {
    /// The account of `address` after the block that is given with it, as executed by the asked authority and not
    /// necessarily final; never of an earlier block than anything seen of the shard before.
    ///
    /// # Errors
    /// [`ClientError::Behind`] when the asked worker has not come that far: ask again soon, or another one.
    pub async fn account(
        &mut self,
        client: &mut Client,
        shard: ShardId,
        address: Address,
    ) -> Result<(BlockIndex, Option<Account>), ClientError> {
        let wanted = self.seen(shard);
        match client.query(Role::Worker(shard), Query::AccountFrom(address, wanted)).await? {
            Answer::Account { block, account } if block >= wanted => {
                self.note(shard, block);
                Ok((block, account))
            }
            Answer::Behind(executed) => Err(ClientError::Behind { executed, wanted }),
            _ => Err(ClientError::WrongAnswer),
        }
    }

    /// Notes news of a transaction that was sent to `shard`: what it did is seen by later reads.
    pub fn heard(&mut self, shard: ShardId, news: &Progress) {
        if news.outcome.is_some() {
            self.note(shard, news.block);
        }
    }

    /// The last block seen of a shard.
    pub fn seen(&self, shard: ShardId) -> BlockIndex {
        self.seen.get(&shard).copied().unwrap_or_default()
    }

    fn note(&mut self, shard: ShardId, block: BlockIndex) {
        let seen = self.seen.entry(shard).or_default();
        *seen = block.max(*seen);
    }
}
