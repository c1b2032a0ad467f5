//! Customers and what they send: blocks of signed transactions for the shard's real programs. Nobody signs anything, for execution
//! does not look at signatures.

use fresnel_executor::Executor;
use fresnel_types::{
    Action, Address, Amount, Authority, ChainId, Genesis, Nonce, Parameters, PublicKey, ShardId, Shards,
    Signature, SignedTransaction, Timestamp, Transaction, genesis::Allocation, limits::PROTOCOL_VERSION,
};

/// Funded customers of one shard, each with a nonce to go on with.
pub(crate) struct People {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) addresses: Vec<Address>,
    nonces: Vec<u64>,
}

impl People {
    pub(crate) fn new(count: usize) -> Self {
        let keys: Vec<_> = (0..count as u64).map(key).collect();
        let addresses = fresnel_types::identities::addresses(&keys);
        Self { keys, addresses, nonces: vec![0; count] }
    }

    /// The next transaction of a customer.
    pub(crate) fn send(&mut self, sender: usize, action: Action) -> SignedTransaction {
        let nonce = Nonce(self.nonces[sender]);
        self.nonces[sender] += 1;
        let transaction = Transaction {
            chain: ChainId::default(),
            sender: self.keys[sender],
            nonce,
            fee: Amount(0),
            valid_until: Timestamp(u64::MAX),
            action,
        };
        SignedTransaction { transaction, signature: Signature::default() }
    }

    /// An executor of the only shard of a chain on which all have as much.
    pub(crate) fn executor(&self) -> Executor {
        let mut accounts: Vec<_> =
            self.addresses.iter().map(|address| Allocation { address: *address, amount: START }).collect();
        accounts.sort_by_key(|account| account.address);
        let genesis = Genesis {
            protocol: PROTOCOL_VERSION,
            name: "bench".into(),
            shards: Shards::new(1).expect("one"),
            parameters: Parameters::default(),
            authorities: vec![Authority {
                name: "only".into(),
                stake: 1,
                consensus_key: key(u64::MAX),
                network_keys: vec![key(u64::MAX - 1)],
            }],
            accounts,
        };
        Executor::genesis(ShardId(0), &genesis).0
    }
}

fn key(number: u64) -> PublicKey {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    PublicKey(bytes)
}

/// Enough for all blocks of a bench.
pub(crate) const START: Amount = Amount(1_000_000_000);
