//! Kinds of workloads: what each transaction does, given who sends it, whom the skew chose, and a draw.
//!
//! - `transfers`: each moves an amount to the account chosen.
//! - `kv-a` to `kv-f`: the mixes of YCSB (Cooper et al., SoCC 2010, table 1), one operation per transaction, on records of
//!   100 bytes that everybody may change. In its first turn each sender inserts its record; the skew chooses records of
//!   the sender's shard. The scans of `e` are reads of up to ten records, since there is no order over names; the
//!   read-modify-write of `f` is an addition to a record of 8 bytes.
//! - `smallbank`: the mix of H-Store's benchmark, with 25 % payments and 15 % of each other procedure; first each sender
//!   puts savings aside. There are no amalgamations, which leave the sender nothing to pay the next fee from: their share
//!   goes to payments.
//! - `token`: one token per shard, made by its first account; in the second turn everybody mints, then 10 % mint and 90 %
//!   pay to the account chosen. All mintings of a shard are a chain.

use std::{collections::BTreeSet, fmt, str::FromStr};

use fresnel_types::{
    Action, Amount,
    action::{BankAction, Bytes, KvOperation, TokenAction},
    leaves::{Holding, Savings, Token, Value},
};

use super::{Accounts, Transfer};

/// What the transactions of a workload do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Transfers.
    #[default]
    Transfers,
    /// A mix of YCSB, by its letter.
    Kv(Mix),
    /// The bank.
    SmallBank,
    /// Tokens.
    Token,
}

/// A mix of YCSB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads.
    C,
    /// 95 % reads of what was inserted last, 5 % inserts.
    D,
    /// 95 % reads of several, 5 % inserts.
    E,
    /// Half reads, half read-modify-writes.
    F,
}

/// A leaf that a transaction makes and pays for if it succeeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewLeaf {
    /// None.
    #[default]
    None,
    /// This one, unless it is there: so it is paid once, by the first of those that name it and succeed.
    Once(u64),
    /// The same, but that a receipt may have made it.
    Perhaps(u64),
    /// One elsewhere, which is always paid.
    Elsewhere,
}

/// How many leaves a load paid for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewLeaves {
    once: BTreeSet<u64>,
    perhaps: BTreeSet<u64>,
    elsewhere: u64,
}

impl NewLeaves {
    /// A transaction succeeded.
    pub(crate) fn add(&mut self, leaf: NewLeaf) {
        match leaf {
            NewLeaf::None => {}
            NewLeaf::Once(key) => _ = self.once.insert(key),
            NewLeaf::Perhaps(key) => _ = self.perhaps.insert(key),
            NewLeaf::Elsewhere => self.elsewhere += 1,
        }
    }

    /// At least and at most.
    pub(crate) fn count(&self) -> (u64, u64) {
        let least = self.once.len() as u64 + self.elsewhere;
        (least, least + self.perhaps.len() as u64)
    }
}

impl Kind {
    /// All of them, as they are written.
    pub const NAMES: [&str; 9] =
        ["transfers", "kv-a", "kv-b", "kv-c", "kv-d", "kv-e", "kv-f", "smallbank", "token"];

    const ALL: [Self; 9] = [
        Self::Transfers,
        Self::Kv(Mix::A),
        Self::Kv(Mix::B),
        Self::Kv(Mix::C),
        Self::Kv(Mix::D),
        Self::Kv(Mix::E),
        Self::Kv(Mix::F),
        Self::SmallBank,
        Self::Token,
    ];

    /// Whether anything of it goes to other shards.
    pub(super) fn crosses(self) -> bool {
        !matches!(self, Self::Kv(_))
    }

    /// Whether choices beyond the recipient are drawn.
    pub(super) fn draws(self) -> bool {
        self != Self::Transfers
    }

    /// What a step of the workload does.
    pub(super) fn action(self, accounts: &Accounts, step: &Transfer, amount: Amount) -> (Action, NewLeaf) {
        match self {
            Self::Transfers => {
                let recipient = accounts.address(step.recipient);
                (Action::Transfer { recipient, amount }, NewLeaf::None)
            }
            Self::Kv(mix) => kv(mix, accounts, step),
            Self::SmallBank => {
                let (action, leaf) = bank(accounts, step, amount);
                (Action::Bank(action), leaf)
            }
            Self::Token => token(accounts, step, amount),
        }
    }
}

fn kv(mix: Mix, accounts: &Accounts, step: &Transfer) -> (Action, NewLeaf) {
    let record = || Bytes(RECORD.to_vec());
    let insert = |name: Bytes| {
        let key = Value::key(&accounts.address(step.sender), &name.0);
        let bytes = if mix == Mix::F { vec![0; 8] } else { vec![step.sender as u8; RECORD_BYTES] };
        let put = KvOperation::Put { owner: None, name, value: Bytes(bytes), shared: true };
        (Action::Kv(vec![put]), NewLeaf::Once(prefix(&key.0)))
    };
    if step.nonce.0 == 0 {
        return insert(record());
    }
    let shards = accounts.shards().count() as u32;
    let per_shard = accounts.count() as u32 / shards;
    // The account so many places behind another of the same shard, in a ring.
    let behind = |from: u32, places: u32| {
        let place = (from / shards + per_shard - places % per_shard) % per_shard;
        place * shards + from % shards
    };
    let owner = |account: u32| Some(accounts.address(account));
    let read = |account: u32| KvOperation::Read { owner: owner(account), name: record() };
    let one = |operation| (Action::Kv(vec![operation]), NewLeaf::None);
    let (chosen, percent, rest) = (step.recipient, step.draw % 100, step.draw / 100);
    match mix {
        Mix::A | Mix::B | Mix::C if percent < mix.reads() => one(read(chosen)),
        Mix::A | Mix::B | Mix::C => {
            let value = Bytes(vec![rest as u8; RECORD_BYTES]);
            one(KvOperation::Put { owner: owner(chosen), name: record(), value, shared: true })
        }
        Mix::F if percent < mix.reads() => one(read(chosen)),
        Mix::F => one(KvOperation::Add { owner: owner(chosen), name: record(), amount: 1 }),
        // The last to insert are those whose turns were just before; the skew says how long before.
        Mix::D if percent < mix.reads() => one(read(behind(step.sender, 1 + chosen / shards))),
        Mix::E if percent < mix.reads() => {
            let count = 1 + rest % SCAN_MAX.min(per_shard);
            (Action::Kv((0..count).map(|place| read(behind(chosen, place))).collect()), NewLeaf::None)
        }
        Mix::D | Mix::E => insert(Bytes(step.nonce.0.to_be_bytes().to_vec())),
    }
}

fn bank(accounts: &Accounts, step: &Transfer, amount: Amount) -> (BankAction, NewLeaf) {
    let savings = NewLeaf::Once(prefix(&Savings::key(&accounts.address(step.sender)).0));
    if step.nonce.0 == 0 {
        let amount = Amount(SAVED_FIRST * amount.0);
        return (BankAction::TransactSavings { amount, withdraw: false }, savings);
    }
    let recipient = accounts.address(step.recipient);
    let is_home = accounts.shard(step.recipient) == accounts.shard(step.sender);
    match step.draw % 100 {
        // Only payments leave the shard, so the share of those that do is that of payments.
        0..15 if is_home => (BankAction::Balance { customer: recipient }, NewLeaf::None),
        15..30 if is_home => (BankAction::DepositChecking { customer: recipient, amount }, NewLeaf::None),
        30..45 if is_home => {
            let withdraw = step.draw / 100 % 2 == 1;
            let leaf = if withdraw { NewLeaf::None } else { savings };
            (BankAction::TransactSavings { amount, withdraw }, leaf)
        }
        45..60 if is_home => (BankAction::WriteCheck { recipient, amount }, NewLeaf::None),
        _ => (BankAction::SendPayment { recipient, amount }, NewLeaf::None),
    }
}

fn token(accounts: &Accounts, step: &Transfer, amount: Amount) -> (Action, NewLeaf) {
    let shards = accounts.shards().count() as u32;
    let (sender, recipient) = (accounts.address(step.sender), accounts.address(step.recipient));
    let (issuer, is_issuer) = (accounts.address(step.sender % shards), step.sender < shards);
    let held = |owner| {
        let key = prefix(&Holding::key(owner, &issuer).0);
        if shards == 1 { NewLeaf::Once(key) } else { NewLeaf::Perhaps(key) }
    };
    match (step.nonce.0, step.draw % 100) {
        (0, _) if is_issuer => {
            let leaf = NewLeaf::Once(prefix(&Token::key(&sender).0));
            (Action::Token(TokenAction::Create { cap: u64::MAX, open: true }), leaf)
        }
        (0, _) => (Action::Transfer { recipient, amount }, NewLeaf::None),
        (1, _) | (_, 0..10) => {
            let amount = MINTED * amount.0;
            (Action::Token(TokenAction::Mint { token: issuer, amount }), held(&sender))
        }
        _ => {
            let is_home = accounts.shard(step.recipient) == accounts.shard(step.sender);
            let leaf = if is_home { held(&recipient) } else { NewLeaf::Elsewhere };
            (Action::Token(TokenAction::Transfer { token: issuer, recipient, amount: amount.0 }), leaf)
        }
    }
}

impl Mix {
    /// Per cent.
    fn reads(self) -> u32 {
        match self {
            Self::A | Self::F => 50,
            Self::B | Self::D | Self::E => 95,
            Self::C => 100,
        }
    }
}

/// Enough of a key to tell a load's leaves apart: its first bytes are those of the owner, so later ones are taken.
fn prefix(key: &[u8; 32]) -> u64 {
    let bytes = key[8..].first_chunk().expect("a key has 32 bytes");
    u64::from_be_bytes(*bytes)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Self::ALL.iter().position(|kind| kind == self).expect("all are there");
        f.write_str(Self::NAMES[place])
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = Self::NAMES.iter().position(|name| *name == text);
        place
            .map(|place| Self::ALL[place])
            .ok_or_else(|| format!("{text:?} is no workload: {}", Self::NAMES.join(", ")))
    }
}

/// The name of everybody's record.
const RECORD: &[u8] = b"record";

/// Bytes of a record: a field of YCSB.
const RECORD_BYTES: usize = 100;

/// Records read at once, at most, in place of a scan.
const SCAN_MAX: u32 = 10;

/// What is saved first, in amounts of one withdrawal.
const SAVED_FIRST: u64 = 100;

/// What one minting gives, in amounts of one payment.
const MINTED: u64 = 100;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fresnel_types::Shards;

    use super::*;
    use crate::workload::{Transfers, Workload};

    fn actions(kind: Kind, cross_shard: f64) -> Vec<(Transfer, Action, NewLeaf)> {
        let accounts = Accounts::derive(3, Shards::new(2).expect("valid"), 40);
        let workload = Workload {
            seed: 5,
            kind,
            transfers: 4_000,
            cross_shard,
            skew: 0.9,
            amount: Amount(10),
            fee: Amount(1),
            signed: true,
        };
        let steps = Transfers::new(&workload, accounts.shards(), accounts.count());
        steps
            .map(|step| {
                let (action, leaf) = kind.action(&accounts, &step, Amount(10));
                (step, action, leaf)
            })
            .collect()
    }

    #[test]
    fn names_and_kinds_are_one_to_one() {
        for name in Kind::NAMES {
            assert_eq!(name.parse::<Kind>().expect("a name").to_string(), name);
        }
        assert!("kv-g".parse::<Kind>().is_err());
    }

    #[test]
    fn every_action_is_well_formed_and_follows_from_the_seed() {
        for kind in Kind::ALL {
            let first = actions(kind, 0.2);
            assert!(first.iter().all(|(_, action, _)| action.is_well_formed()), "{kind}");
            assert_eq!(first, actions(kind, 0.2), "{kind}");
        }
    }

    #[test]
    fn mixes_have_their_shares() {
        for (mix, reads) in
            [(Mix::A, 50), (Mix::B, 95), (Mix::C, 100), (Mix::D, 95), (Mix::E, 95), (Mix::F, 50)]
        {
            let all = actions(Kind::Kv(mix), 0.5);
            let (inserts, later) = all.split_at(40);
            assert!(
                inserts.iter().all(|(_, _, leaf)| *leaf != NewLeaf::None),
                "each sender its record first"
            );
            let is_read = |action: &Action| {
                let Action::Kv(operations) = action else { panic!("not {action:?}") };
                operations.iter().all(|operation| matches!(operation, KvOperation::Read { .. }))
            };
            let read = later.iter().filter(|(_, action, _)| is_read(action)).count() * 100 / later.len();
            assert!(read.abs_diff(reads) <= 3, "{read} % of {reads} in {mix:?}");
        }
        let mut procedures: BTreeMap<String, usize> = BTreeMap::new();
        for (_, action, _) in &actions(Kind::SmallBank, 0.0)[40..] {
            let Action::Bank(action) = action else { panic!("not {action:?}") };
            let name = format!("{action:?}").split(' ').next().expect("a name").to_owned();
            *procedures.entry(name).or_default() += 1;
        }
        assert_eq!(procedures.len(), 5, "{procedures:?}");
        assert!(procedures.values().all(|count| (500..1_750).contains(count)), "{procedures:?}");
    }

    #[test]
    fn kv_stays_within_its_shard_and_what_pays_crosses() {
        let crossing = |kind| {
            let all = actions(kind, 1.0);
            all.iter()
                .filter(|(step, action, _)| {
                    step.sender % 2 != step.recipient % 2 && action.payment().is_some()
                })
                .count()
        };
        assert_eq!(crossing(Kind::Kv(Mix::A)), 0);
        assert!(crossing(Kind::SmallBank) > 3_900 && crossing(Kind::Token) > 3_000);
    }

    #[test]
    fn leaves_are_counted_once_each() {
        let mut leaves = NewLeaves::default();
        for leaf in
            [NewLeaf::None, NewLeaf::Once(1), NewLeaf::Once(1), NewLeaf::Perhaps(1), NewLeaf::Elsewhere]
        {
            leaves.add(leaf);
        }
        assert_eq!(leaves.count(), (2, 3));
    }
}
