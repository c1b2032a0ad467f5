//! What a load is made of: accounts, who does what with whom, and everything signed ahead. All of it follows from a seed.
//!
//! Keys follow from the seed too, so anybody can make them: such accounts are for benchmark chains and nothing else.
//! Senders take turns, each with its own nonces from 0 on, so that transaction `i` and transaction `i + 64 × accounts`
//! are the nearest that cannot be under way together (`fresnel_types::limits::NONCE_WINDOW`). Skew is one of the
//! recipients: a skewed choice of senders would make the sender's window, not the engine, the bottleneck.

mod kinds;

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use fresnel_client::Wallet;
use fresnel_crypto::SigningKey;
use fresnel_types::{
    Action, Address, Amount, ChainId, Nonce, PublicKey, ShardId, Shards, Signature, SignedTransaction,
    Timestamp, TransactionId, genesis::Allocation, limits::NONCE_WINDOW,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

pub(crate) use self::kinds::NewLeaves;
pub use self::kinds::{Kind, Mix, NewLeaf};
use crate::limits::TRANSACTIONS_MAX;

/// What a load is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// Everything follows from it.
    pub seed: u64,
    /// What its transactions do.
    pub kind: Kind,
    /// How many transactions.
    pub transfers: u64,
    /// Share of payments to another shard, 0 to 1; none when there is only one shard.
    pub cross_shard: f64,
    /// Zipf exponent of the recipients within a shard; 0 is uniform.
    pub skew: f64,
    /// What each payment moves.
    pub amount: Amount,
    /// What each transaction burns.
    pub fee: Amount,
    /// Whether transactions are signed; only for a chain whose processes check no signatures they need not be.
    pub signed: bool,
}

/// The key of a benchmark account. Known to everybody who knows the seed.
pub fn account_key(seed: u64, index: u64) -> SigningKey {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    random.set_stream(index);
    let mut secret = [0; 32];
    random.fill_bytes(&mut secret);
    SigningKey::from_bytes(&secret)
}

/// Accounts spread evenly over the shards: account `i` lives in shard `i mod S`.
#[derive(Clone, Debug)]
pub struct Accounts {
    shards: Shards,
    keys: Vec<SigningKey>,
    addresses: Vec<Address>,
}

impl Accounts {
    /// At least `count` accounts, equally many in each shard.
    pub fn derive(seed: u64, shards: Shards, count: usize) -> Self {
        let per_shard = count.div_ceil(shards.count()).max(2);
        let mut found: Vec<Vec<(SigningKey, Address)>> = vec![Vec::new(); shards.count()];
        let mut next = 0;
        while found.iter().any(|accounts| accounts.len() < per_shard) {
            let end = next + CANDIDATES as u64;
            let candidates: Vec<(SigningKey, Address)> = (next..end)
                .into_par_iter()
                .map(|index| {
                    let key = account_key(seed, index);
                    let address = PublicKey::of(&key).address();
                    (key, address)
                })
                .collect();
            next = end;
            for (key, address) in candidates {
                let place = &mut found[shards.of_prefix(address.prefix()).index()];
                if place.len() < per_shard {
                    place.push((key, address));
                }
            }
        }
        let interleaved = (0..per_shard * shards.count())
            .map(|index| found[index % shards.count()][index / shards.count()].clone());
        let (keys, addresses) = interleaved.unzip();
        Self { shards, keys, addresses }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The shards that they are spread over.
    pub fn shards(&self) -> Shards {
        self.shards
    }

    /// Where account `index` lives.
    pub fn shard(&self, index: u32) -> ShardId {
        ShardId((index as usize % self.shards.count()) as u16)
    }

    /// The address of account `index`.
    pub fn address(&self, index: u32) -> Address {
        self.addresses[index as usize]
    }

    /// The key of account `index`.
    pub fn key(&self, index: u32) -> &SigningKey {
        &self.keys[index as usize]
    }

    /// What the driver must know of a step that does `action`.
    fn planned(&self, step: &Transfer, action: &Action, new_leaf: NewLeaf) -> Planned {
        let shard = self.shard(step.sender);
        let destination = if action.payment().is_some() { self.shard(step.recipient) } else { shard };
        Planned { shard, place: step.sender / self.shards.count() as u32, destination, new_leaf }
    }

    /// `amount` for each, as a genesis wants it.
    pub fn allocations(&self, amount: Amount) -> Vec<Allocation> {
        let mut allocations: Vec<Allocation> =
            self.addresses.iter().map(|&address| Allocation { address, amount }).collect();
        allocations.sort_by_key(|allocation| allocation.address);
        allocations
    }
}

/// Who sends a transaction, and whose account or value it is about, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who pays.
    pub sender: u32,
    /// Who receives.
    pub recipient: u32,
    /// The sender's number for it.
    pub nonce: Nonce,
    /// Decides what the kind of the workload leaves open; 0 where it leaves nothing.
    pub draw: u32,
}

/// The transfers of a workload, in order.
#[derive(Clone, Debug)]
pub struct Transfers {
    random: ChaCha12Rng,
    shards: u32,
    accounts: u32,
    /// A draw below this, of 2^32, is a transfer to another shard.
    cross_below: u64,
    ranks: Ranks,
    draws: bool,
    next: u64,
    end: u64,
}

impl Transfers {
    /// The transfers of `workload` among `accounts` accounts spread over `shards`.
    pub fn new(workload: &Workload, shards: Shards, accounts: usize) -> Self {
        let shards = shards.count() as u32;
        let cross_shard =
            if shards == 1 || !workload.kind.crosses() { 0.0 } else { workload.cross_shard.clamp(0.0, 1.0) };
        let mut random = ChaCha12Rng::seed_from_u64(workload.seed);
        // The streams from 0 on are those of account keys.
        random.set_stream(u64::MAX);
        Self {
            random,
            shards,
            accounts: u32::try_from(accounts).expect("the options allow fewer accounts"),
            cross_below: (cross_shard * (1_u64 << 32) as f64) as u64,
            ranks: Ranks::new(accounts as u32 / shards, workload.skew),
            draws: workload.kind.draws(),
            next: 0,
            end: workload.transfers,
        }
    }
}

impl Iterator for Transfers {
    type Item = Transfer;

    fn next(&mut self) -> Option<Transfer> {
        if self.next == self.end {
            return None;
        }
        let sender = (self.next % u64::from(self.accounts)) as u32;
        let nonce = Nonce(self.next / u64::from(self.accounts));
        self.next += 1;
        let home = sender % self.shards;
        let shard = if u64::from(self.random.next_u32()) < self.cross_below {
            (home + 1 + below(&mut self.random, self.shards - 1)) % self.shards
        } else {
            home
        };
        let rank = self.ranks.draw(&mut self.random);
        let mut recipient = rank * self.shards + shard;
        if recipient == sender {
            recipient = (recipient + self.shards) % self.accounts;
        }
        let draw = if self.draws { self.random.next_u32() } else { 0 };
        Some(Transfer { sender, recipient, nonce, draw })
    }
}

/// A choice among the accounts of a shard.
#[derive(Clone, Debug)]
enum Ranks {
    Uniform(u32),
    /// Upper ends of the ranks' shares of 2^32, ascending.
    Zipf(Vec<u32>),
}

impl Ranks {
    fn new(count: u32, skew: f64) -> Self {
        if skew <= 0.0 {
            return Self::Uniform(count);
        }
        let weight = |rank: u32| f64::from(rank + 1).powf(-skew);
        let total: f64 = (0..count).map(weight).sum();
        let mut sum = 0.0;
        let ends = (0..count).map(|rank| {
            sum += weight(rank);
            (sum / total * f64::from(u32::MAX)) as u32
        });
        Self::Zipf(ends.collect())
    }

    fn draw(&self, random: &mut ChaCha12Rng) -> u32 {
        match self {
            Self::Uniform(count) => below(random, *count),
            Self::Zipf(ends) => {
                let draw = random.next_u32();
                ends.partition_point(|&end| end < draw).min(ends.len() - 1) as u32
            }
        }
    }
}

/// A number below `bound`; its bias of at most `bound / 2^32` matters to no load.
fn below(random: &mut ChaCha12Rng, bound: u32) -> u32 {
    ((u64::from(random.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// What the driver must know of a transaction beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The shard that it is sent to.
    pub shard: ShardId,
    /// Where its sender stands among those of the shard; spreads senders over authorities.
    pub place: u32,
    /// The shard of its recipient.
    pub destination: ShardId,
    /// What it pays for beside its fee.
    pub new_leaf: NewLeaf,
}

impl Planned {
    /// Whether it goes to another shard.
    pub fn is_cross_shard(&self) -> bool {
        self.shard != self.destination
    }
}

/// A workload signed ahead. Transactions are known by their position.
#[derive(Debug)]
pub struct Pool {
    /// The transactions.
    pub transactions: Vec<SignedTransaction>,
    /// Their ids.
    pub ids: Vec<TransactionId>,
    /// What the driver must know of them.
    pub plan: Vec<Planned>,
    /// How many before and after one transaction may be under way at the same time.
    pub window: usize,
    /// What each of them burns.
    pub fee: Amount,
}

impl Pool {
    /// Signs a workload on all cores; `progress` hears how many are done, from several threads.
    ///
    /// # Errors
    /// When the workload is too large or no workload at all.
    pub fn sign(
        workload: &Workload,
        accounts: &Accounts,
        chain: ChainId,
        valid_until: Timestamp,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Self> {
        ensure!(
            (1..=TRANSACTIONS_MAX).contains(&workload.transfers),
            "a load has 1 to {TRANSACTIONS_MAX} transactions, not {}",
            workload.transfers
        );
        let transfers: Vec<Transfer> =
            Transfers::new(workload, accounts.shards(), accounts.count()).collect();
        let wallets: Vec<Wallet> = (0..accounts.count() as u32)
            .into_par_iter()
            .map(|index| Wallet::new(chain, accounts.key(index).clone()))
            .collect();
        let done = AtomicUsize::new(0);
        let signed: Vec<Vec<(SignedTransaction, (TransactionId, Planned))>> = transfers
            .par_chunks(SIGNED_TOGETHER)
            .map(|chunk| {
                let signed = chunk
                    .iter()
                    .map(|transfer| {
                        let wallet = &wallets[transfer.sender as usize];
                        let Workload { kind, amount, fee, signed, .. } = *workload;
                        let (action, new_leaf) = kind.action(accounts, transfer, amount);
                        let planned = accounts.planned(transfer, &action, new_leaf);
                        let unsigned = wallet.unsigned(transfer.nonce, action, fee, valid_until);
                        let id = unsigned.id();
                        let signed = if signed {
                            unsigned.sign(accounts.key(transfer.sender))
                        } else {
                            SignedTransaction { transaction: unsigned, signature: UNSIGNED }
                        };
                        (signed, (id, planned))
                    })
                    .collect();
                progress(done.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len());
                signed
            })
            .collect();
        let (transactions, known): (Vec<_>, Vec<_>) = signed.into_iter().flatten().unzip();
        let (ids, plan) = known.into_iter().unzip();
        let window = accounts.count() * NONCE_WINDOW as usize;
        Ok(Self { transactions, ids, plan, window, fee: workload.fee })
    }
}

/// Where a signature would stand.
const UNSIGNED: Signature = Signature([0; 64]);

/// Keys derived at once in the search for accounts of each shard.
const CANDIDATES: usize = 4_096;

/// Transactions signed as one piece of work.
const SIGNED_TOGETHER: usize = 2_048;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn workload(cross_shard: f64, skew: f64) -> Workload {
        Workload {
            seed: 7,
            kind: Kind::Transfers,
            transfers: 40_000,
            cross_shard,
            skew,
            amount: Amount(1),
            fee: Amount(1),
            signed: true,
        }
    }

    fn transfers(workload: &Workload, shards: u16) -> Vec<Transfer> {
        Transfers::new(workload, Shards::new(shards).expect("valid"), 1_000).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_transfers_and_another_seed_others() {
        let first = workload(0.3, 0.8);
        assert_eq!(transfers(&first, 4), transfers(&first, 4));
        assert_ne!(transfers(&first, 4), transfers(&Workload { seed: 8, ..first }, 4));
    }

    #[test]
    fn the_share_across_shards_is_what_was_asked_for() {
        for (share, shards) in [(0.0, 2), (0.2, 2), (0.5, 4), (1.0, 8)] {
            let all = transfers(&workload(share, 0.0), shards);
            let cross =
                all.iter().filter(|t| t.sender % u32::from(shards) != t.recipient % u32::from(shards));
            let measured = cross.count() as f64 / all.len() as f64;
            assert!((measured - share).abs() < 0.01, "{measured} for {share}");
        }
        assert!(transfers(&workload(0.5, 0.0), 1).iter().all(|t| t.sender != t.recipient));
    }

    #[test]
    fn senders_take_turns_with_dense_nonces_and_never_pay_themselves() {
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        for transfer in transfers(&workload(0.1, 1.2), 2) {
            let nonce = next.entry(transfer.sender).or_default();
            assert_eq!(transfer.nonce.0, *nonce);
            *nonce += 1;
            assert_ne!(transfer.sender, transfer.recipient);
        }
        assert!(next.values().all(|&count| count == 40), "40,000 transfers of 1,000 accounts");
    }

    #[test]
    fn skew_prefers_few_recipients() {
        let most = |skew| {
            let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
            transfers(&workload(0.0, skew), 2)
                .iter()
                .for_each(|t| *counts.entry(t.recipient).or_default() += 1);
            counts.into_values().max().expect("not empty")
        };
        assert!(most(0.0) < 100, "40 on average");
        // With exponent 1 over 500 ranks the first has a share of 1 / H(500) = 0.147.
        let hottest = most(1.0);
        assert!((2_600..3_300).contains(&hottest), "{hottest} of about 2,940");
    }

    #[test]
    fn accounts_and_signatures_follow_from_the_seed() {
        let shards = Shards::new(4).expect("valid");
        let accounts = Accounts::derive(3, shards, 50);
        assert_eq!(accounts.count(), 52);
        for index in 0..52 {
            assert_eq!(shards.of_prefix(accounts.address(index).prefix()), accounts.shard(index));
            assert_eq!(PublicKey::of(accounts.key(index)).address(), accounts.address(index));
        }
        assert_eq!(Accounts::derive(3, shards, 50).addresses, accounts.addresses);
        assert!(accounts.allocations(Amount(5)).is_sorted_by(|a, b| a.address < b.address));

        let workload = Workload { transfers: 300, ..workload(0.5, 0.0) };
        let sign = || {
            Pool::sign(&workload, &accounts, ChainId([1; 32]), Timestamp(9), &|_| {})
                .expect("a small workload")
        };
        let pool = sign();
        assert_eq!(pool.ids, sign().ids);
        let mut verifier = fresnel_crypto::Verifier::with_seed([0; 32]);
        for (place, signed) in pool.transactions.iter().enumerate() {
            let transaction = &signed.transaction;
            let digest = transaction.signing_digest();
            let item = fresnel_crypto::Item {
                key: &transaction.sender.0,
                message: &digest,
                signature: &signed.signature.0,
            };
            assert!(verifier.verify(&[item]).is_empty());
            let prefix = transaction.sender.address().prefix();
            assert_eq!(shards.of_prefix(prefix), pool.plan[place].shard);
        }
    }
}
