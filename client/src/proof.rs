//! Checking proofs of accounts without trusting whoever gave them.

use fresnel_state::Proof;
use fresnel_types::{
    Address, BlockIndex, Shards, codec, commit::Certified, leaves::Account, status::AccountProof,
};

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The records are of another shard than the address.
    #[error("the record is not of the shard of the address")]
    Shard,
    /// The path is unreadable or does not lead from the account to the state root.
    #[error("the account is not in the state of the record")]
    Path,
    /// The certified record does not commit to the record of the proof.
    #[error("the certified record does not commit to the record of the proof")]
    Chain,
}

/// Checks that `proof` ties the account of `address` to a record, and gives the block after which the account was so and
/// the record that must be certified for it. Whether that one is, a proof cannot say: compare it with what more than f
/// authorities say, as `fresnel account --proof` does.
///
/// # Errors
/// The first link that does not hold.
pub fn check_account(
    shards: Shards,
    address: &Address,
    proof: &AccountProof,
) -> Result<(BlockIndex, Certified), ProofError> {
    let shard = shards.of_prefix(address.prefix());
    let head = proof.head.as_ref().unwrap_or(&proof.record);
    if proof.record.shard != shard || head.shard != shard {
        return Err(ProofError::Shard);
    }
    let path: Proof = codec::decode(&proof.path).map_err(|_| ProofError::Path)?;
    let leaf = proof.account.map(|account| account.to_bytes());
    if !path.verify(shards, &proof.record.state, &Account::key(address), leaf.as_deref()) {
        return Err(ProofError::Path);
    }
    if proof.head.is_some() {
        let mut range = proof.range.clone();
        for record in std::iter::once(&proof.record.digest()).chain(&proof.between) {
            if !range.is_whole() {
                return Err(ProofError::Chain);
            }
            range.append_record(record);
        }
        if range.root() != head.earlier || range.count() != head.position {
            return Err(ProofError::Chain);
        }
    } else if !proof.between.is_empty() {
        return Err(ProofError::Chain);
    }
    Ok((proof.record.block, proof.certified()))
}

#[cfg(test)]
mod tests {
    use fresnel_state::Tree;
    use fresnel_types::{
        Amount, Epoch, LogDigest, Record, RecordDigest, ShardId, StateRoot, WriteSet, hash::Root, mmr::Mmr,
    };

    use super::*;

    const SHARD: ShardId = ShardId(1);

    fn shards() -> Shards {
        Shards::new(2).expect("a power of two")
    }

    /// In shard 1.
    fn address(number: u8) -> Address {
        let mut address = Address([number; 32]);
        address.0[0] = 0x80 | number;
        address
    }

    fn account(number: u8) -> Account {
        Account { balance: Amount(u64::from(number)), nonce_base: 1, nonce_bits: 4 }
    }

    fn record(block: u64, range: &Mmr, state: StateRoot) -> Record {
        Record {
            epoch: Epoch(0),
            shard: SHARD,
            block: BlockIndex(block),
            log: LogDigest([0; 32]),
            position: range.count(),
            earlier: range.root(),
            state,
            outbox: Root::default(),
            results: Root::default(),
            supply: Amount(0),
            burned: Amount(0),
            pairs: vec![],
        }
    }

    /// A shard with accounts 1 to 20 and a proof about one of them, `between` records before the certified one.
    fn proof(number: u8, between: Option<u64>) -> AccountProof {
        let mut keys: Vec<(Address, Account)> =
            (1..=20).map(|number| (address(number), account(number))).collect();
        keys.sort_by_key(|(address, _)| Account::key(address));
        let mut writes = WriteSet::default();
        for (address, account) in keys {
            writes.push(Account::key(&address), Some(&account.to_bytes()));
        }
        let mut tree = Tree::new(shards(), SHARD);
        let state = tree.apply(&writes);
        let mut range = Mmr::default();
        for block in 0..5 {
            range.append_record(&RecordDigest([block; 32]));
        }
        let own = record(9, &range, state);
        let mut later = range.clone();
        later.append_record(&own.digest());
        let mut digests = Vec::new();
        for block in 0..between.unwrap_or(0) {
            digests.push(RecordDigest([100 + block as u8; 32]));
            later.append_record(&digests[block as usize]);
        }
        AccountProof {
            account: (number <= 20).then(|| account(number)),
            path: codec::encode(&tree.prove(&Account::key(&address(number)))),
            record: own,
            range,
            between: digests,
            head: between.map(|between| record(20 + between, &later, StateRoot([7; 32]))),
        }
    }

    fn check(number: u8, proof: &AccountProof) -> Result<(BlockIndex, Certified), ProofError> {
        check_account(shards(), &address(number), proof)
    }

    #[test]
    fn accounts_there_and_not_there_are_proven_at_any_distance() {
        for number in [1, 7, 20, 21, 99] {
            for between in [None, Some(0), Some(1), Some(9)] {
                let proof = proof(number, between);
                let (block, certified) = check(number, &proof).expect("an honest proof");
                let head = between.map_or(9, |between| 20 + between);
                assert_eq!((block, certified.block), (BlockIndex(9), BlockIndex(head)));
                assert_eq!(certified.record, proof.head.as_ref().unwrap_or(&proof.record).digest());
            }
        }
    }

    #[test]
    fn whatever_is_altered_proves_nothing_or_names_another_record() {
        let whole = proof(7, Some(3));
        let (_, certified) = check(7, &whole).expect("an honest proof");
        let altered = |alter: &dyn Fn(&mut AccountProof)| {
            let mut proof = whole.clone();
            alter(&mut proof);
            check(7, &proof)
        };
        let (path, chain, shard) = (Err(ProofError::Path), Err(ProofError::Chain), Err(ProofError::Shard));
        assert_eq!(altered(&|proof| proof.account = None), path);
        assert_eq!(altered(&|proof| proof.account = Some(account(8))), path);
        assert_eq!(altered(&|proof| proof.path = self::proof(8, None).path), path);
        for place in 0..whole.path.len() {
            assert_eq!(altered(&|proof| proof.path[place] ^= 1), path, "byte {place}");
        }
        assert_eq!(altered(&|proof| proof.path.truncate(9)), path);
        assert_eq!(altered(&|proof| proof.record.state.0[3] ^= 1), path);
        assert_eq!(altered(&|proof| proof.record.block = BlockIndex(10)), chain);
        assert_eq!(altered(&|proof| proof.record.supply = Amount(1)), chain);
        assert_eq!(altered(&|proof| proof.range = Mmr::default()), chain);
        assert_eq!(altered(&|proof| proof.between[1].0[0] ^= 1), chain);
        assert_eq!(altered(&|proof| proof.between.truncate(2)), chain);
        assert_eq!(altered(&|proof| proof.between.push(RecordDigest([0; 32]))), chain);
        assert_eq!(altered(&|proof| proof.head = None), chain, "records between it and nothing");
        assert_eq!(altered(&|proof| proof.record.shard = ShardId(0)), shard);
        assert_eq!(altered(&|proof| proof.head.as_mut().expect("there").shard = ShardId(0)), shard);
        // Another certified record can be made up, but it is another.
        let other =
            altered(&|proof| proof.head.as_mut().expect("there").supply = Amount(1)).expect("it holds");
        assert_ne!(other.1, certified);
        assert!(check_account(shards(), &address(8), &whole).is_err(), "another's account");
    }

    #[test]
    fn a_range_of_a_shape_that_none_has_is_refused() {
        let mut proof = proof(7, Some(0));
        for bytes in [
            [&u64::MAX.to_le_bytes()[..], &64_u64.to_le_bytes(), &[1; 64 * 32]].concat(),
            [&3_u64.to_le_bytes()[..], &0_u64.to_le_bytes()].concat(),
            [&0_u64.to_le_bytes()[..], &1_u64.to_le_bytes(), &[1; 32]].concat(),
        ] {
            proof.range = codec::decode(&bytes).expect("count and peaks");
            assert_eq!(check(7, &proof), Err(ProofError::Chain));
        }
    }
}
