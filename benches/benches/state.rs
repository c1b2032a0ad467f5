//! The state: what it costs to make a block's changes and have the root after them, in states of a million and of ten million
//! accounts, beside two engines of others on the same keys and, with the smaller state, the reference tree, which has the same
//! shape and hashes one node at a time; and apart, hashing nodes and leaves, sorting, and building the tree at a restart.
//!
//! All engines hold the same state, and take each block one after the other before the next block comes, so whatever else the
//! machine does, it does to all of them. Root computation is compared with root computation; what the others then need to
//! make it durable stands in a row of its own. Accounts changed are drawn uniformly, the worst case for any cache.
//!
//! `--quick` measures a few blocks of the smaller state.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use fresnel_benches::write_report;
use fresnel_crypto::hash::{self, Block, EMPTY, Pair};
use fresnel_state::{Tree, tree::reference::ReferenceTree};
use fresnel_types::{ShardId, Shards, StateKey, StateRoot, WriteSet};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;

#[cfg(feature = "peers")]
#[path = "state/peers.rs"]
mod peers;

/// What an account changes to.
type Change = (StateKey, [u8; 24]);

/// An engine with a state in it.
trait Engine {
    fn name(&self) -> &'static str;
    /// Makes changes, in any order and of different accounts: how long until the root was there, and how long after that until
    /// the next block can come.
    fn update(&mut self, changes: &[Change]) -> Result<(Duration, Duration)>;
}

/// The median of one case.
#[derive(Debug, Serialize)]
struct Row {
    case: &'static str,
    accounts: usize,
    updates: usize,
    engine: String,
    milliseconds: f64,
    microseconds_per_item: f64,
}

/// This workspace's tree, with one thread or more.
struct Fresnel {
    tree: Tree,
    threads: usize,
}

impl Fresnel {
    fn of(keys: &[StateKey]) -> Self {
        let mut tree = Tree::new(Shards::new(1).expect("one"), ShardId(0));
        tree.apply(&first(keys));
        Self { tree, threads: 1 }
    }
}

impl Engine for Fresnel {
    fn name(&self) -> &'static str {
        if self.threads == 1 { "fresnel" } else { "fresnel, 2 threads" }
    }

    fn update(&mut self, changes: &[Change]) -> Result<(Duration, Duration)> {
        self.tree.set_threads(self.threads.try_into()?);
        let (_, took) = timed(|| self.tree.apply(&sorted(changes)));
        Ok((took, Duration::ZERO))
    }
}

impl Engine for ReferenceTree {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn update(&mut self, changes: &[Change]) -> Result<(Duration, Duration)> {
        Ok((timed(|| self.apply(&sorted(changes))).1, Duration::ZERO))
    }
}

/// The write set of changes, which is what the tree takes: places are sorted rather than the changes.
fn sorted(changes: &[Change]) -> WriteSet {
    let prefix = |key: &StateKey| u64::from_be_bytes(*key.0.first_chunk().expect("a key is longer"));
    let mut order: Vec<(u64, u32)> = changes.iter().map(|(key, _)| prefix(key)).zip(0..).collect();
    order.sort_unstable();
    order
        .iter()
        .map(|(_, place)| &changes[*place as usize])
        .map(|(key, value)| (*key, Some(value.as_slice())))
        .collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Different random keys, ascending.
fn keys(accounts: usize) -> Vec<StateKey> {
    let mut random = ChaCha12Rng::seed_from_u64(1);
    let mut keys = vec![StateKey([0; 32]); accounts];
    keys.iter_mut().for_each(|key| random.fill_bytes(&mut key.0));
    keys.sort_unstable();
    keys
}

/// All accounts as they are first.
fn first(keys: &[StateKey]) -> WriteSet {
    keys.iter().map(|key| (*key, Some([7; 24].as_slice()))).collect()
}

/// Changes of `updates` different accounts, in random order.
fn block(keys: &[StateKey], updates: usize, random: &mut ChaCha12Rng) -> Vec<Change> {
    let mut places = BTreeMap::new();
    while places.len() < updates {
        places.insert(random.next_u64() as usize % keys.len(), random.next_u64());
    }
    let mut places: Vec<(u64, usize)> = places.into_iter().map(|(place, order)| (order, place)).collect();
    places.sort_unstable();
    let mut value = [0; 24];
    random.fill_bytes(&mut value);
    places.into_iter().map(|(_, place)| (keys[place], value)).collect()
}

/// The rows of a run.
#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(
        &mut self,
        case: &'static str,
        (accounts, updates): (usize, usize),
        engine: &str,
        mut took: Vec<Duration>,
    ) {
        took.sort_unstable();
        let median = took[took.len() / 2].as_secs_f64();
        let items = if updates == 0 { accounts } else { updates };
        let row = Row {
            case,
            accounts,
            updates,
            engine: engine.to_owned(),
            milliseconds: median * 1e3,
            microseconds_per_item: median * 1e6 / items as f64,
        };
        println!("{}", row.line());
        self.0.push(row);
    }

    fn write(&self, skipped: &[String]) -> Result<()> {
        let mut text =
            "| case | accounts | updates | engine | ms | µs per item |\n|---|---|---|---|---|---|\n"
                .to_owned();
        for row in &self.0 {
            text += &format!("{}\n", row.line());
        }
        for reason in skipped {
            text += &format!("\nskipped: {reason}\n");
        }
        write_report("state", &text, &self.0)
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { case, accounts, updates, engine, milliseconds, microseconds_per_item } = self;
        format!(
            "| {case} | {accounts} | {updates} | {engine} | {milliseconds:.3} | {microseconds_per_item:.3} |"
        )
    }
}

fn measure(
    accounts: usize,
    sizes: &[usize],
    blocks: usize,
    rows: &mut Rows,
    skipped: &mut Vec<String>,
) -> Result<()> {
    let keys = keys(accounts);
    let all = first(&keys);
    let built = (0..3).map(|_| timed(|| Fresnel::of_set(&all))).map(|(_, took)| took).collect();
    rows.add("restart: build the tree", (accounts, 0), "fresnel", built);
    let mut others = others(&keys, skipped);
    if accounts <= REFERENCE_ACCOUNTS_MAX {
        let mut reference = ReferenceTree::new(Shards::new(1).expect("one"), ShardId(0));
        reference.apply(&all);
        others.push(Box::new(reference));
    }
    drop(all);
    let mut own = Fresnel::of(&keys);
    let mut random = ChaCha12Rng::seed_from_u64(3);
    for &updates in sizes {
        let mut took: BTreeMap<(usize, String), (Vec<Duration>, Vec<Duration>)> = BTreeMap::new();
        let (mut sort, mut leaves) = (vec![], vec![]);
        for _ in 0..blocks {
            let changes = block(&keys, updates, &mut random);
            sort.push(timed(|| sorted(&changes)).1);
            leaves.push(hash_leaves(&changes));
            let mut note = |place, engine: &mut dyn Engine| -> Result<()> {
                let (root, commit) = engine.update(&changes)?;
                let (roots, commits) = took.entry((place, engine.name().to_owned())).or_default();
                roots.push(root);
                commits.push(commit);
                Ok(())
            };
            for threads in [1, 2] {
                own.threads = threads;
                note(threads, &mut own)?;
            }
            for (place, engine) in others.iter_mut().enumerate() {
                note(10 + place, engine.as_mut())?;
            }
        }
        rows.add("sort", (accounts, updates), "fresnel", sort);
        rows.add("hash leaves", (accounts, updates), "fresnel", leaves);
        for ((_, engine), (roots, commits)) in took {
            rows.add("sort, leaves and root", (accounts, updates), &engine, roots);
            if commits.iter().any(|commit| !commit.is_zero()) {
                rows.add("commit after the root", (accounts, updates), &engine, commits);
            }
        }
    }
    Ok(())
}

impl Fresnel {
    fn of_set(all: &WriteSet) -> StateRoot {
        Tree::new(Shards::new(1).expect("one"), ShardId(0)).apply(all)
    }
}

/// Hashing nodes, one by one and together.
fn nodes(rows: &mut Rows) {
    const NODES: usize = 100_000;
    let mut random = ChaCha12Rng::seed_from_u64(4);
    let mut children = vec![EMPTY; NODES];
    children.iter_mut().for_each(|hash| random.fill_bytes(hash));
    let pairs: Vec<Pair> = children.iter().map(|hash| Pair::new(hash, hash)).collect();
    let pairs: Vec<&Pair> = pairs.iter().collect();
    let mut parents = vec![EMPTY; NODES];
    let (mut alone, mut together) = (vec![], vec![]);
    for _ in 0..11 {
        alone.push(
            timed(|| pairs.iter().zip(&mut parents).for_each(|(pair, parent)| *parent = pair.parent())).1,
        );
        together.push(timed(|| hash::nodes(&pairs, &mut parents)).1);
        std::hint::black_box(&parents);
    }
    rows.add("hash nodes", (0, NODES), "one by one", alone);
    rows.add("hash nodes", (0, NODES), "fresnel", together);
}

/// The hashes of the changed leaves alone.
fn hash_leaves(changes: &[Change]) -> Duration {
    let fill = |(key, value): &Change| {
        let mut blocks: [Block; 2] = [[0; 64]; 2];
        blocks[0][..32].copy_from_slice(&key.0);
        blocks[0][32..56].copy_from_slice(value);
        blocks[1][56..].copy_from_slice(&24_u64.to_le_bytes());
        blocks
    };
    timed(|| {
        let blocks: Vec<[Block; 2]> = changes.iter().map(fill).collect();
        let inputs: Vec<&[Block]> = blocks.iter().map(|blocks| blocks.as_slice()).collect();
        let mut hashes = vec![EMPTY; inputs.len()];
        hash::leaves(&inputs, &mut hashes);
        std::hint::black_box(hashes);
    })
    .1
}

#[cfg(feature = "peers")]
fn others(keys: &[StateKey], skipped: &mut Vec<String>) -> Vec<Box<dyn Engine>> {
    peers::all(keys, skipped)
}

#[cfg(not(feature = "peers"))]
fn others(_: &[StateKey], _: &mut Vec<String>) -> Vec<Box<dyn Engine>> {
    vec![]
}

/// The reference tree takes minutes to build in the larger state and says nothing there that it does not say here.
const REFERENCE_ACCOUNTS_MAX: usize = 1_000_000;

fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let (mut rows, mut skipped) = (Rows::default(), vec![]);
    nodes(&mut rows);
    if quick {
        measure(1_000_000, &[1_000, 20_000], 3, &mut rows, &mut skipped)?;
    } else {
        for accounts in [1_000_000, 10_000_000] {
            measure(accounts, &[1_000, 5_000, 20_000, 100_000], 9, &mut rows, &mut skipped)?;
            rows.write(&skipped)?;
        }
    }
    skipped.iter().for_each(|reason| println!("skipped: {reason}"));
    rows.write(&skipped)
}
