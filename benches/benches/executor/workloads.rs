//! What the engines execute: lists of operations on numbered accounts, with a busy loop between what a transaction reads and
//! what it writes.

use std::{hint::black_box, sync::Arc};

use fresnel_executor::{EXISTS, Place, Program, View};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// One case of the table.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    pub(crate) cost_us: f64,
    pub(crate) accounts: u64,
    pub(crate) block: usize,
}

/// What a transaction does to accounts that are drawn for it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Workload {
    /// The Block-STM paper's: reads the first so many, writes the second so many of them.
    ReadWrite(usize, usize),
    /// Reads and writes its own account, and credits one that all share.
    HotRecipient,
    /// Reads and writes its own account, and adds to one counter.
    HotCounter,
    /// Reads and writes what the one before wrote.
    Chain,
    /// The six procedures of SmallBank, each as often, over customers with two accounts each, drawn with this skew.
    SmallBank(Zipf),
    /// Ten operations, of which so many in a hundred write: blindly, or what they read before.
    Ycsb { name: char, writes: u64, reads_first: bool, zipf: Zipf },
}

/// The skew of a Zipf distribution in hundredths; zero draws all alike.
pub(crate) type Zipf = u32;

impl Case {
    /// `<workload>/c=<µs>/accounts=<n>`, with the block where it has not the usual 10,000 transactions.
    pub(crate) fn name(&self) -> String {
        let workload = match self.workload {
            Workload::ReadWrite(reads, writes) => format!("{reads}r{writes}w"),
            Workload::HotRecipient => "hot-recipient".into(),
            Workload::HotCounter => "hot-counter".into(),
            Workload::Chain => "chain".into(),
            Workload::SmallBank(zipf) => format!("smallbank/zipf={}", f64::from(zipf) / 100.0),
            Workload::Ycsb { name, zipf, .. } => format!("ycsb-{name}/zipf={}", f64::from(zipf) / 100.0),
        };
        let block = if self.block == 10_000 { String::new() } else { format!("/block={}", self.block) };
        format!("{workload}{block}/c={}/accounts={}", self.cost_us, self.accounts)
    }
}

/// What runs in less than ten minutes on two cores, or everything.
pub(crate) fn grid(everything: bool) -> Vec<Case> {
    let mut grid = Vec::new();
    let mut add = |workload, cost_us, accounts, block| {
        grid.push(Case { workload, cost_us, accounts, block });
    };
    let (transfer, costs) = (Workload::ReadWrite(2, 2), [0.0, 0.3, 1.0, 5.0, 50.0]);
    let accounts = [2, 10, 100, 1_000, 10_000, 1_000_000];
    if everything {
        for workload in [transfer, Workload::ReadWrite(8, 5), Workload::ReadWrite(21, 4)] {
            for block in [1_000, 10_000] {
                for cost_us in costs {
                    accounts.iter().for_each(|accounts| add(workload, cost_us, *accounts, block));
                }
            }
        }
    } else {
        for cost_us in &costs[..4] {
            accounts.iter().for_each(|accounts| add(transfer, *cost_us, *accounts, 10_000));
        }
        for cost_us in &costs[1..] {
            [2, 100, 10_000].into_iter().for_each(|accounts| add(transfer, *cost_us, accounts, 1_000));
        }
        for workload in [Workload::ReadWrite(8, 5), Workload::ReadWrite(21, 4)] {
            [100, 10_000].into_iter().for_each(|accounts| add(workload, 1.0, accounts, 10_000));
        }
    }
    for cost_us in if everything { &costs[..4] } else { &costs[1..3] } {
        for workload in [Workload::HotRecipient, Workload::HotCounter, Workload::Chain] {
            add(workload, *cost_us, 10_000, 10_000);
        }
        for zipf in [0, 90, 99] {
            add(Workload::SmallBank(zipf), *cost_us, 100_000, 10_000);
        }
    }
    for zipf in [0, 90, 99] {
        for (name, writes, reads_first) in [('a', 50, false), ('b', 5, false), ('f', 50, true)] {
            add(Workload::Ycsb { name, writes, reads_first, zipf }, 1.0, 100_000, 10_000);
        }
    }
    grid
}

/// The transactions of a block.
pub(crate) struct Synthetic {
    rounds: u64,
    operations: Vec<Operation>,
    /// Where the operations of each transaction end.
    ends: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Operation {
    place: Place,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Read,
    /// Reads, and writes what follows from all that was read.
    Update,
    /// Writes without looking.
    Put,
    Credit,
    /// Adds to the counter.
    Count,
}

impl Synthetic {
    /// A block of `case` whose busy loop has so many rounds.
    pub(crate) fn new(case: &Case, rounds: u64, seed: u64) -> Arc<Self> {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let zipf = match case.workload {
            Workload::SmallBank(zipf) | Workload::Ycsb { zipf, .. } => zipf,
            _ => 0,
        };
        let mut draw = Draw::new(case.accounts, zipf);
        let (mut operations, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..case.block {
            transaction(case.workload, &mut random, &mut draw, &mut operations);
            ends.push(operations.len() as u32);
        }
        Arc::new(Self { rounds, operations, ends })
    }

    fn operations(&self, transaction: usize) -> &[Operation] {
        let first = transaction.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.operations[first as usize..self.ends[transaction] as usize]
    }
}

fn transaction(workload: Workload, random: &mut ChaCha12Rng, draw: &mut Draw, out: &mut Vec<Operation>) {
    let mut add = |place, kind| out.push(Operation { place, kind });
    match workload {
        Workload::ReadWrite(reads, writes) => {
            for number in 0..reads {
                add(draw.next(random), if number < writes { Kind::Update } else { Kind::Read });
            }
        }
        Workload::HotRecipient => {
            add(draw.next(random), Kind::Update);
            add(0, Kind::Credit);
        }
        Workload::HotCounter => {
            add(draw.next(random), Kind::Update);
            add(0, Kind::Count);
        }
        Workload::Chain => add(0, Kind::Update),
        Workload::SmallBank(_) => {
            let (one, other) = (draw.next(random) / 2, draw.next(random) / 2);
            let savings = one + (draw.accounts / 2) as Place;
            let operations: &[_] = match random.next_u64() % 6 {
                0 => &[(one, Kind::Read), (savings, Kind::Read)],
                1 => &[(one, Kind::Credit)],
                2 => &[(savings, Kind::Update)],
                3 => &[(one, Kind::Update), (savings, Kind::Update), (other, Kind::Credit)],
                4 => &[(savings, Kind::Read), (one, Kind::Update)],
                _ => &[(one, Kind::Update), (other, Kind::Credit)],
            };
            operations.iter().for_each(|(place, kind)| add(*place, *kind));
        }
        Workload::Ycsb { writes, reads_first, .. } => {
            for _ in 0..10 {
                let kind = match random.next_u64() % 100 < writes {
                    true if reads_first => Kind::Update,
                    true => Kind::Put,
                    false => Kind::Read,
                };
                add(draw.next(random), kind);
            }
        }
    }
}

impl Program for Synthetic {
    fn count(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    fn places(&self, transaction: usize) -> impl Iterator<Item = Place> {
        self.operations(transaction).iter().map(|operation| operation.place)
    }

    #[inline]
    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        let operations = self.operations(transaction);
        let mut seen = 0_u64;
        for operation in operations {
            if matches!(operation.kind, Kind::Read | Kind::Update) {
                seen = seen.wrapping_add(view.read(operation.place)[0]);
            }
        }
        let result = busy(seen, self.rounds);
        for Operation { place, kind } in operations {
            match kind {
                Kind::Read => {}
                Kind::Update => {
                    let value = view.read(*place);
                    view.write(*place, [value[0].wrapping_add(result & 3), value[1] + 1, EXISTS]);
                }
                Kind::Put => view.write(*place, [result & 0xffff, seen, EXISTS]),
                Kind::Credit => view.credit(*place, 1),
                Kind::Count => _ = view.reserve(0, 1),
            }
        }
        result
    }
}

/// A chain of multiplications. Never part of its caller, so that it takes every engine the same time.
#[inline(never)]
pub(crate) fn busy(seed: u64, rounds: u64) -> u64 {
    (0..rounds)
        .fold(black_box(seed), |state, round| state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(round))
}

/// Draws accounts, by a table of cumulative shares where they are skewed.
pub(crate) struct Draw {
    accounts: u64,
    shares: Vec<f64>,
}

impl Draw {
    pub(crate) fn new(accounts: u64, zipf: Zipf) -> Self {
        let mut sum = 0.0;
        let share = |rank: u64| {
            sum += (rank as f64).powf(-f64::from(zipf) / 100.0);
            sum
        };
        Self { accounts, shares: if zipf == 0 { vec![] } else { (1..=accounts).map(share).collect() } }
    }

    /// An account; those that are drawn often do not stand side by side.
    pub(crate) fn next(&self, random: &mut ChaCha12Rng) -> Place {
        let rank = self.rank(random);
        let scattered = if self.shares.is_empty() { rank } else { rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        (scattered % self.accounts) as Place
    }

    /// A number below that of accounts, the lower the likelier.
    pub(crate) fn rank(&self, random: &mut ChaCha12Rng) -> u64 {
        let Some(whole) = self.shares.last() else { return random.next_u64() % self.accounts };
        let drawn = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * whole;
        self.shares.partition_point(|share| *share <= drawn) as u64
    }
}
