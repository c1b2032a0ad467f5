//! The state tree: what a block's changes cost in a state of a given size, what building the tree costs, and the node hash
//! below both. The baseline is the reference tree, the same shape with one hash at a time.
//!
//! Accounts changed are drawn uniformly, the worst case for any cache.

use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode};
use fresnel_benches::{Case, write_tables};
use fresnel_crypto::hash::{self, Hash, Pair};
use fresnel_state::{Tree, tree::reference::ReferenceTree};
use fresnel_types::{ShardId, Shards, StateKey, StateRoot, WriteSet};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

const ONE: ShardId = ShardId(0);

/// What both trees do.
trait Engine {
    const NAME: &str;
    fn new() -> Self;
    fn apply(&mut self, writes: &WriteSet) -> StateRoot;
}

impl Engine for Tree {
    const NAME: &str = "fresnel";

    fn new() -> Self {
        Self::new(Shards::new(1).expect("one"), ONE)
    }

    fn apply(&mut self, writes: &WriteSet) -> StateRoot {
        self.apply(writes)
    }
}

impl Engine for ReferenceTree {
    const NAME: &str = "reference";

    fn new() -> Self {
        Self::new(Shards::new(1).expect("one"), ONE)
    }

    fn apply(&mut self, writes: &WriteSet) -> StateRoot {
        self.apply(writes)
    }
}

fn keys(accounts: usize) -> Vec<StateKey> {
    let mut random = ChaCha12Rng::seed_from_u64(1);
    let mut keys = vec![StateKey([0; 32]); accounts];
    keys.iter_mut().for_each(|key| random.fill_bytes(&mut key.0));
    keys.sort_unstable();
    keys
}

/// A value as long as an account's.
fn value(random: &mut ChaCha12Rng) -> [u8; 24] {
    let mut value = [0; 24];
    random.fill_bytes(&mut value);
    value
}

fn all(keys: &[StateKey]) -> WriteSet {
    let value = value(&mut ChaCha12Rng::seed_from_u64(2));
    keys.iter().map(|key| (*key, Some(value.as_slice()))).collect()
}

/// Changes of `updates` different accounts.
fn block(keys: &[StateKey], updates: usize, random: &mut ChaCha12Rng) -> WriteSet {
    let mut places: Vec<usize> = Vec::new();
    while places.len() < updates {
        places.push(random.next_u64() as usize % keys.len());
        if places.len() == updates {
            places.sort_unstable();
            places.dedup();
        }
    }
    let value = value(random);
    places.iter().map(|place| (keys[*place], Some(value.as_slice()))).collect()
}

fn updates<T: Engine>(criterion: &mut Criterion, keys: &[StateKey], all: &WriteSet) -> Vec<Case> {
    let mut tree = T::new();
    tree.apply(all);
    let case = |updates: usize| {
        let group_name = format!("tree/update/accounts={},updates={updates}", keys.len());
        let mut group = criterion.benchmark_group(&group_name);
        group.sampling_mode(SamplingMode::Flat);
        let mut random = ChaCha12Rng::seed_from_u64(3);
        group.bench_function(T::NAME, |bencher| {
            bencher.iter_batched(
                || block(keys, updates, &mut random),
                |writes| tree.apply(&writes),
                BatchSize::PerIteration,
            );
        });
        group.finish();
        Case { group: group_name, engine: T::NAME.to_owned(), items: updates as u64 }
    };
    [1_000, 5_000, 20_000, 100_000].map(case).into()
}

fn build<T: Engine>(criterion: &mut Criterion, accounts: usize, all: &WriteSet) -> Case {
    let group_name = format!("tree/build/accounts={accounts}");
    let mut group = criterion.benchmark_group(&group_name);
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(T::NAME, |bencher| {
        bencher.iter_with_large_drop(|| {
            let mut tree = T::new();
            tree.apply(all);
            tree
        });
    });
    group.finish();
    Case { group: group_name, engine: T::NAME.to_owned(), items: accounts as u64 }
}

fn nodes(criterion: &mut Criterion) -> [Case; 2] {
    const COUNT: usize = 1024;
    let mut random = ChaCha12Rng::seed_from_u64(4);
    let mut hashes = [[0; 32]; COUNT];
    hashes.iter_mut().for_each(|hash| random.fill_bytes(hash));
    let pairs: Vec<Pair> = hashes.iter().map(|hash| Pair::new(hash, hash)).collect();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let mut parents: Vec<Hash> = vec![hash::EMPTY; COUNT];
    let group_name = format!("tree/node-hash/count={COUNT}");
    let mut group = criterion.benchmark_group(&group_name);
    group.bench_function("one-by-one", |bencher| {
        bencher.iter(|| pairs.iter().zip(&mut parents).for_each(|(pair, parent)| *parent = pair.parent()));
    });
    group.bench_function("lanes", |bencher| bencher.iter(|| hash::nodes(&pairs, &mut parents)));
    group.finish();
    ["one-by-one", "lanes"].map(|engine| Case {
        group: group_name.clone(),
        engine: engine.to_owned(),
        items: COUNT as u64,
    })
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut cases = Vec::from(nodes(&mut criterion));
    for accounts in [1_000_000, 10_000_000] {
        let keys = keys(accounts);
        let all = all(&keys);
        cases.extend(updates::<ReferenceTree>(&mut criterion, &keys, &all));
        cases.extend(updates::<Tree>(&mut criterion, &keys, &all));
        // Ten builds of the larger reference tree take minutes and say nothing that the smaller one does not.
        if accounts == 1_000_000 {
            cases.push(build::<ReferenceTree>(&mut criterion, accounts, &all));
        }
        cases.push(build::<Tree>(&mut criterion, accounts, &all));
    }
    criterion.final_summary();
    write_tables("tree", &cases)
}
