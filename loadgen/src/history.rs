//! What clients saw, and whether one ledger can have shown it to them: the safety of the interface, in the spirit of
//! Jepsen. Consensus is rarely where users are hurt; stale, vanishing and contradictory answers are.
//!
//! [`check`] is pure and knows nothing but what clients saw. [`play`] makes clients see something: they pay and read at
//! random authorities of a running cluster while its processes are killed and restarted.

mod play;

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{Amount, BlockIndex, Outcome, ShardId, status::Level};

pub use self::play::{Game, play};

/// A transfer that a client made, by its number in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The account that pays, by its number.
    pub sender: usize,
    /// The account that is paid, by its number.
    pub recipient: usize,
    /// What it moves.
    pub amount: Amount,
    /// What it burns.
    pub fee: Amount,
}

/// Something that a client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// News of a payment from an authority, or the answer to a question about it.
    News {
        /// Which payment.
        payment: usize,
        /// Who said so.
        authority: usize,
        /// How far it is.
        level: Level,
        /// How it ended, if it did, and in which block.
        end: Option<(Outcome, BlockIndex)>,
        /// Whether its value came back.
        bounced: bool,
    },
    /// The balance of an account after a block; 0 where there is none.
    Balance {
        /// Whose.
        account: usize,
        /// After which block.
        block: BlockIndex,
        /// How much.
        balance: Amount,
    },
}

/// All that clients did and saw, each in its own order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What each account began with, and its shard.
    pub accounts: Vec<(Amount, ShardId)>,
    /// All payments.
    pub payments: Vec<Payment>,
    /// Per client.
    pub clients: Vec<Vec<Seen>>,
    /// Payments that somebody heard ordered or more of, and that nobody knew when everything was quiet again.
    pub vanished: Vec<usize>,
    /// Balances when everything was quiet again.
    pub last: Vec<Amount>,
}

/// Every way in which no single ledger can have shown this, in a sentence each.
pub fn check(history: &History) -> Vec<String> {
    let mut errors = Vec::new();
    let ends = ends(history, &mut errors);
    for (client, seen) in history.clients.iter().enumerate() {
        never_back(history, client, seen, &mut errors);
    }
    balances(history, &ends, &mut errors);
    errors
        .extend(history.vanished.iter().map(|payment| format!("payment {payment} was ordered and vanished")));
    errors
}

/// How a payment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    outcome: Outcome,
    block: BlockIndex,
    bounced: bool,
}

/// One end per payment, the same to everybody.
fn ends(history: &History, errors: &mut Vec<String>) -> BTreeMap<usize, End> {
    let mut ends: BTreeMap<usize, End> = BTreeMap::new();
    let mut contradicted = BTreeSet::new();
    for seen in history.clients.iter().flatten() {
        let Seen::News { payment, end: Some((outcome, block)), bounced, .. } = *seen else { continue };
        let known = ends.entry(payment).or_insert(End { outcome, block, bounced });
        known.bounced |= bounced;
        if (known.outcome, known.block) != (outcome, block) && contradicted.insert(payment) {
            errors.push(format!(
                "payment {payment} ended as {:?} in block {} and as {outcome:?} in block {block}",
                known.outcome, known.block
            ));
        }
    }
    ends
}

/// What one client sees goes forward: levels of a payment at an authority, blocks of a shard, and nothing that is final
/// is later anything else.
fn never_back(history: &History, client: usize, seen: &[Seen], errors: &mut Vec<String>) {
    let mut blocks: BTreeMap<ShardId, BlockIndex> = BTreeMap::new();
    for seen in seen {
        match *seen {
            Seen::Balance { account, block, .. } => {
                let shard = history.accounts[account].1;
                let last = blocks.entry(shard).or_default();
                if block < *last {
                    errors.push(format!(
                        "client {client} saw shard {shard} after block {last} and then after {block}"
                    ));
                }
                *last = block.max(*last);
            }
            Seen::News { payment, level, end, .. } => {
                if (level >= Level::Executed) != end.is_some() {
                    errors.push(format!(
                        "client {client} heard of payment {payment} as {level:?} with {end:?}"
                    ));
                }
            }
        }
    }
}

/// Balances are what ended payments make of them: nobody sees an effect of one that failed, half of one, or one twice.
fn balances(history: &History, ends: &BTreeMap<usize, End>, errors: &mut Vec<String>) {
    let mut read: BTreeMap<(usize, BlockIndex), Amount> = BTreeMap::new();
    for seen in history.clients.iter().flatten() {
        let Seen::Balance { account, block, balance } = *seen else { continue };
        if *read.entry((account, block)).or_insert(balance) != balance {
            errors.push(format!("account {account} had two balances after block {block}"));
        }
    }
    for (&(account, block), &balance) in &read {
        let (least, most) = possible(history, ends, account, Some(block));
        if !(least..=most).contains(&i128::from(balance.0)) {
            errors
                .push(format!("account {account} had {balance} after block {block}, not {least} to {most}"));
        }
    }
    for (account, balance) in history.last.iter().enumerate() {
        let (least, most) = possible(history, ends, account, None);
        if least != most || i128::from(balance.0) != least {
            errors.push(format!("account {account} has {balance} in the end, not {least} to {most}"));
        }
    }
}

/// The least and the most that an account can have after a block, or in the end. When value from another shard comes is not
/// known, only that it is not before it left.
fn possible(
    history: &History,
    ends: &BTreeMap<usize, End>,
    account: usize,
    block: Option<BlockIndex>,
) -> (i128, i128) {
    let (start, shard) = history.accounts[account];
    let (mut least, mut most) = (i128::from(start.0), i128::from(start.0));
    for (number, payment) in history.payments.iter().enumerate() {
        let Some(end) = ends.get(&number) else { continue };
        let is_over = block.is_none_or(|block| end.block <= block);
        let (amount, fee) = (i128::from(payment.amount.0), i128::from(payment.fee.0));
        let is_cross_shard = history.accounts[payment.sender].1 != history.accounts[payment.recipient].1;
        if payment.sender == account && is_over && !matches!(end.outcome, Outcome::Void(_)) {
            let moved = if end.outcome == Outcome::Success { amount } else { 0 };
            least -= fee + moved;
            most -= fee + moved;
            if end.bounced {
                most += moved;
                least += if block.is_none() { moved } else { 0 };
            }
        }
        if payment.recipient == account && is_over && end.outcome == Outcome::Success && !end.bounced {
            debug_assert!(history.accounts[payment.recipient].1 == shard, "an account has one shard");
            most += amount;
            least += if is_cross_shard && block.is_some() { 0 } else { amount };
        }
    }
    (least, most)
}

#[cfg(test)]
mod tests {
    use fresnel_types::FailureCode;

    use super::*;

    fn news(payment: usize, authority: usize, outcome: Outcome, block: u64) -> Seen {
        let end = Some((outcome, BlockIndex(block)));
        Seen::News { payment, authority, level: Level::Final, end, bounced: false }
    }

    fn balance(account: usize, block: u64, balance: u64) -> Seen {
        Seen::Balance { account, block: BlockIndex(block), balance: Amount(balance) }
    }

    /// Two accounts of shard 0 and one of shard 1; a payment within the shard, one to the other and one that fails.
    fn history() -> History {
        let payment =
            |sender, recipient, amount| Payment { sender, recipient, amount: Amount(amount), fee: Amount(1) };
        let failed = Outcome::Failed(FailureCode::InsufficientBalance);
        History {
            accounts: vec![(Amount(100), ShardId(0)), (Amount(50), ShardId(0)), (Amount(7), ShardId(1))],
            payments: vec![payment(0, 1, 10), payment(0, 2, 20), payment(1, 0, 999)],
            clients: vec![
                vec![
                    news(0, 0, Outcome::Success, 3),
                    balance(0, 3, 89),
                    balance(1, 3, 60),
                    balance(0, 5, 68),
                    balance(2, 6, 7),
                    balance(2, 7, 27),
                ],
                vec![
                    news(0, 1, Outcome::Success, 3),
                    news(1, 2, Outcome::Success, 5),
                    news(2, 2, failed, 6),
                    balance(1, 6, 59),
                ],
            ],
            vanished: vec![],
            last: vec![Amount(68), Amount(59), Amount(27)],
        }
    }

    #[test]
    fn what_one_ledger_can_show_is_accepted() {
        assert_eq!(check(&history()), Vec::<String>::new());
    }

    #[test]
    fn every_anomaly_is_found() {
        let found = |change: &dyn Fn(&mut History), words: &str| {
            let mut history = history();
            change(&mut history);
            let errors = check(&history);
            assert!(errors.iter().any(|error| error.contains(words)), "{words} not in {errors:?}");
        };
        found(&|h| h.clients[0].push(balance(0, 4, 89)), "and then after 4");
        found(&|h| h.clients[1].push(balance(0, 5, 89)), "two balances");
        found(&|h| h.clients[0].push(news(0, 3, Outcome::Success, 4)), "ended as");
        let failed = Outcome::Failed(FailureCode::WindowFull);
        found(&|h| h.clients[0].push(news(0, 3, failed, 3)), "ended as");
        found(&|h| h.clients[1][3] = balance(1, 6, 60), "had 60 after block 6");
        found(&|h| h.clients[0][5] = balance(2, 7, 28), "had 28 after block 7");
        found(&|h| h.last[2] = Amount(7), "has 7 in the end");
        found(&|h| h.vanished.push(1), "vanished");
        let early =
            Seen::News { payment: 0, authority: 0, level: Level::Executed, end: None, bounced: false };
        found(&|h| h.clients[0].push(early), "as Executed with None");
    }
}
