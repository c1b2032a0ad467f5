//! What a block of transfers costs after ordering: executing it, and hashing its writes into the state tree. The baseline
//! is the bare arithmetic of a transfer on accounts already found, which no engine can undercut on one core.

use std::time::Duration;

use criterion::{BatchSize, Criterion};
use fresnel_benches::{Case, write_tables};
use fresnel_executor::{BlockInput, Executor};
use fresnel_state::Tree;
use fresnel_types::{
    Action, Address, Amount, Authority, ChainId, Genesis, Nonce, Parameters, PublicKey, ShardId, Shards,
    Signature, SignedTransaction, Timestamp, Transaction, genesis::Allocation, limits::PROTOCOL_VERSION,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const BLOCK: usize = 10_000;

/// A key that nobody can sign for: execution does not look at signatures.
fn key(number: u64) -> PublicKey {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    PublicKey(bytes)
}

fn genesis(accounts: u64) -> Genesis {
    let mut funded: Vec<_> = (0..accounts)
        .map(|number| Allocation { address: key(number).address(), amount: Amount(1_000_000) })
        .collect();
    funded.sort_by_key(|account| account.address);
    Genesis {
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
        accounts: funded,
    }
}

/// A block of transfers, each sender at most once where there are enough accounts; sender and recipient as numbers, too.
fn transfers(accounts: u64) -> (Vec<SignedTransaction>, Vec<(usize, usize)>) {
    let mut random = ChaCha12Rng::seed_from_u64(accounts);
    let mut nonces = vec![0_u64; accounts as usize];
    (0..BLOCK as u64)
        .map(|number| {
            let (from, to) = (number % accounts, random.next_u64() % accounts);
            let nonce = nonces[from as usize];
            nonces[from as usize] += 1;
            let recipient: Address = key(to).address();
            let transaction = Transaction {
                chain: ChainId::default(),
                sender: key(from),
                nonce: Nonce(nonce),
                fee: Amount(1),
                valid_until: Timestamp(u64::MAX),
                action: Action::Transfer { recipient, amount: Amount(3) },
            };
            (SignedTransaction { transaction, signature: Signature::default() }, (from as usize, to as usize))
        })
        .unzip()
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut cases = Vec::new();
    for accounts in [1_000_u64, 100_000] {
        let genesis = genesis(accounts);
        let (block, places) = transfers(accounts);
        let input = BlockInput {
            opened: Timestamp(0),
            peers: &[],
            next_source: ShardId(0),
            receipts: &[],
            batches: &[&block],
        };
        let group_name = format!("execution/transfer/accounts={accounts}");
        let mut group = criterion.benchmark_group(&group_name);
        group.bench_function("bare-arithmetic", |bencher| {
            bencher.iter_batched_ref(
                || vec![(1_000_000_u64, 0_u64); accounts as usize],
                |balances| {
                    for &(from, to) in &places {
                        let (balance, nonce) = &mut balances[from];
                        *balance -= 4;
                        *nonce += 1;
                        balances[to].0 += 3;
                    }
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function("execute", |bencher| {
            bencher.iter_batched_ref(
                || Executor::genesis(ShardId(0), &genesis).0,
                |executor| executor.execute(&input),
                BatchSize::LargeInput,
            );
        });
        group.bench_function("execute-resolved", |bencher| {
            bencher.iter_batched(
                || {
                    let executor = Executor::genesis(ShardId(0), &genesis).0;
                    let resolved = executor.resolver().resolve(&block);
                    (executor, vec![resolved])
                },
                |(mut executor, resolved)| {
                    let output = executor.execute_resolved(&input, resolved);
                    (executor, output)
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function("tree", |bencher| {
            bencher.iter_batched_ref(
                || {
                    let (mut executor, funding) = Executor::genesis(ShardId(0), &genesis);
                    let mut tree = Tree::new(genesis.shards, ShardId(0));
                    tree.apply(&funding);
                    (tree, executor.execute(&input).writes)
                },
                |(tree, writes)| tree.apply(writes),
                BatchSize::LargeInput,
            );
        });
        group.finish();
        cases.extend(["bare-arithmetic", "execute", "execute-resolved", "tree"].map(|engine| Case {
            group: group_name.clone(),
            engine: engine.to_owned(),
            items: BLOCK as u64,
        }));
    }
    criterion.final_summary();
    write_tables("execution", &cases)
}
