//! The shard's own programs under the engine: SmallBank's procedures and YCSB's mixes, as signed transactions, from resolved batches
//! to the output of the block.
//!
//! A serial executor and another take each block by turns. What is timed is the execution of the transactions, which is what
//! engines do differently; what is compared is all that comes out of the block.

use std::time::Duration;

use fresnel_executor::{BlockInput, BlockOutput, Engine, Executor, engine::Metrics};
use fresnel_types::{
    Action, Address, Amount, Outcome, ShardId, SignedTransaction, Timestamp,
    action::{BankAction, Bytes, KvOperation},
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::{
    people::People,
    workloads::{Draw, Zipf},
};

/// Traffic of one kind among customers drawn with a skew.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) kind: Kind,
    pub(crate) zipf: Zipf,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// The six procedures of SmallBank, each as often.
    SmallBank,
    /// Ten operations of a mix of YCSB (Cooper et al., SoCC 2010, table 1), on a record of eight bytes per customer.
    Ycsb(Mix),
}

/// The mixes by their letters. A scan reads records of customers side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mix {
    A,
    B,
    C,
    D,
    E,
    F,
}

impl Traffic {
    /// `programs/<workload>/zipf=<skew>/accounts=<n>`.
    pub(crate) fn name(&self) -> String {
        let kind = match self.kind {
            Kind::SmallBank => "smallbank".to_owned(),
            Kind::Ycsb(mix) => format!("ycsb-{mix:?}").to_lowercase(),
        };
        format!("programs/{kind}/zipf={}/accounts={ACCOUNTS}", f64::from(self.zipf) / 100.0)
    }
}

/// What is measured: all mixes at the strongest skew, and the usual three at all.
pub(crate) fn grid(everything: bool) -> Vec<Traffic> {
    use Mix::{A, B, C, D, E, F};
    let mut grid = Vec::new();
    for zipf in [0, 90, 99] {
        let mixes: &[Mix] = if everything || zipf == 99 { &[A, B, C, D, E, F] } else { &[A, B, F] };
        grid.push(Traffic { kind: Kind::SmallBank, zipf });
        grid.extend(mixes.iter().map(|mix| Traffic { kind: Kind::Ycsb(*mix), zipf }));
    }
    grid
}

/// Two executors that are always in the same state, and the traffic that both execute.
pub(crate) struct Twins {
    serial: Executor,
    other: Executor,
    source: Source,
}

impl Twins {
    /// Customers with savings, or with a record that all may change.
    pub(crate) fn new(traffic: Traffic, serial: Engine) -> Self {
        let source = Source {
            traffic,
            people: People::new(ACCOUNTS),
            draw: Draw::new(ACCOUNTS as u64, traffic.zipf),
            random: ChaCha12Rng::seed_from_u64(1),
            inserted: Vec::new(),
        };
        let (mut twin, other) = (source.people.executor(), source.people.executor());
        twin.set_engine(serial);
        let mut twins = Self { serial: twin, other, source };
        let customers: Vec<usize> = (0..ACCOUNTS).collect();
        for some in customers.chunks(BLOCK) {
            let block: Vec<_> = some.iter().map(|customer| twins.source.first(*customer)).collect();
            let outputs = [&mut twins.serial, &mut twins.other].map(|one| execute(one, &block).0);
            assert_eq!(outputs[0], outputs[1]);
        }
        twins
    }

    /// From now on, `engine` is what serial execution is compared with.
    pub(crate) fn set_engine(&mut self, engine: Engine) {
        self.other.set_engine(engine);
    }

    /// What the engine did since it was set.
    pub(crate) fn metrics(&self) -> Metrics {
        self.other.metrics().expect("was set")
    }

    /// Executes one block on both, and gives how long the transactions took serially and by the engine.
    pub(crate) fn pair(&mut self, serial_first: bool) -> (Duration, Duration) {
        let block = self.source.block();
        let (serial, other) = (&mut self.serial, &mut self.other);
        let ((expected, serial), (output, other)) = if serial_first {
            (execute(serial, &block), execute(other, &block))
        } else {
            let other = execute(other, &block);
            (execute(serial, &block), other)
        };
        assert_eq!(output, expected, "the engine's block ends otherwise than the serial one");
        let succeeded = output.outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Success).count();
        assert!(2 * succeeded > BLOCK, "most transactions do something, not {succeeded}");
        (serial, other)
    }
}

/// What comes out of a block, and how long its transactions took.
fn execute(executor: &mut Executor, block: &[SignedTransaction]) -> (BlockOutput, Duration) {
    let time = |executor: &Executor| {
        executor.metrics().map_or(0, |metrics| metrics.serial_ns + metrics.speculation_ns)
    };
    let resolved = vec![executor.resolver().resolve(block)];
    let before = time(executor);
    let output = executor.execute_resolved(&input(&[block]), resolved);
    (output, Duration::from_nanos(time(executor) - before))
}

/// A block of nothing but these transactions.
pub(crate) fn input<'a>(batches: &'a [&'a [SignedTransaction]]) -> BlockInput<'a> {
    BlockInput { opened: Timestamp(0), peers: &[], next_source: ShardId(0), receipts: &[], batches }
}

/// Makes blocks, each other than the one before.
struct Source {
    traffic: Traffic,
    people: People,
    draw: Draw,
    random: ChaCha12Rng,
    /// Records that transactions made: whose, and the number of each.
    inserted: Vec<(usize, u64)>,
}

impl Source {
    /// What a customer has to begin with.
    fn first(&mut self, customer: usize) -> SignedTransaction {
        let action = match self.traffic.kind {
            Kind::SmallBank => {
                Action::Bank(BankAction::TransactSavings { amount: Amount(100_000_000), withdraw: false })
            }
            Kind::Ycsb(_) => Action::Kv(vec![self.write(customer)]),
        };
        self.people.send(customer, action)
    }

    fn block(&mut self) -> Vec<SignedTransaction> {
        (0..BLOCK).map(|_| self.transaction()).collect()
    }

    fn transaction(&mut self) -> SignedTransaction {
        let (one, other) = (self.draw(), self.draw());
        match self.traffic.kind {
            Kind::SmallBank => {
                let procedure = self.procedure(self.people.addresses[other]);
                self.people.send(one, Action::Bank(procedure))
            }
            Kind::Ycsb(mix) => {
                // Records are drawn with the skew, those who ask for them are not.
                let sender = self.random.next_u64() as usize % ACCOUNTS;
                let operations = self.operations(mix, sender, one);
                self.people.send(sender, Action::Kv(operations))
            }
        }
    }

    fn procedure(&mut self, other: Address) -> BankAction {
        let amount = Amount(1 + self.random.next_u64() % 100);
        match self.random.next_u64() % 6 {
            0 => BankAction::Balance { customer: other },
            1 => BankAction::DepositChecking { customer: other, amount },
            2 => BankAction::TransactSavings { amount, withdraw: amount.0.is_multiple_of(2) },
            3 => BankAction::Amalgamate { recipient: other },
            4 => BankAction::WriteCheck { recipient: other, amount },
            _ => BankAction::SendPayment { recipient: other, amount },
        }
    }

    fn operations(&mut self, mix: Mix, sender: usize, first: usize) -> Vec<KvOperation> {
        let changes = match mix {
            Mix::A | Mix::F => 50,
            Mix::B | Mix::D | Mix::E => 5,
            Mix::C => 0,
        };
        let mut is_change = || self.random.next_u64() % 100 < changes;
        if mix == Mix::E {
            let records = first..first + OPERATIONS;
            let inserts = is_change();
            return if inserts {
                vec![self.insert(sender)]
            } else {
                records.map(|record| self.read(record % ACCOUNTS, 0)).collect()
            };
        }
        let changes = [(); OPERATIONS].map(|()| is_change());
        let operation = |change| {
            let record = self.draw();
            match mix {
                Mix::A | Mix::B if change => self.write(record),
                Mix::F if change => self.add(record),
                Mix::D if change => self.insert(sender),
                Mix::D => self.read_latest(),
                _ => self.read(record, 0),
            }
        };
        changes.map(operation).into()
    }

    fn read(&self, owner: usize, number: u64) -> KvOperation {
        KvOperation::Read { owner: Some(self.people.addresses[owner]), name: name(number) }
    }

    fn write(&mut self, owner: usize) -> KvOperation {
        let value = Bytes((self.random.next_u64() >> 8).to_le_bytes().to_vec());
        KvOperation::Put { owner: Some(self.people.addresses[owner]), name: name(0), value, shared: true }
    }

    fn insert(&mut self, owner: usize) -> KvOperation {
        let number = 1 + self.inserted.len() as u64;
        self.inserted.push((owner, number));
        KvOperation::Put { owner: None, name: name(number), value: name(number), shared: true }
    }

    /// The later a record was made, the likelier.
    fn read_latest(&mut self) -> KvOperation {
        let rank = self.draw.rank(&mut self.random) as usize;
        let latest = self.inserted.iter().rev().nth(rank).copied();
        let (owner, number) = latest.unwrap_or((rank, 0));
        self.read(owner, number)
    }

    fn add(&self, owner: usize) -> KvOperation {
        KvOperation::Add { owner: Some(self.people.addresses[owner]), name: name(0), amount: 1 }
    }

    fn draw(&mut self) -> usize {
        self.draw.next(&mut self.random) as usize
    }
}

fn name(number: u64) -> Bytes {
    Bytes(number.to_le_bytes().to_vec())
}

const ACCOUNTS: usize = 100_000;
pub(crate) const BLOCK: usize = 10_000;
const OPERATIONS: usize = 10;
