//! What clients see of transfers within and between shards, and what a restart keeps.

use fresnel_types::{Address, Amount, BlockIndex, Outcome, Parameters, Record, ShardId, status::Level};

use crate::toy::{Toy, address};

const ACCOUNTS: u8 = 20;

/// Two accounts of the given shards.
fn pair(toy: &Toy, from: u16, to: u16) -> (u8, u8) {
    let of = |shard, not| {
        (1..=ACCOUNTS)
            .find(|&n| n != not && toy.shard_of(n) == ShardId(shard))
            .expect("both shards have accounts")
    };
    let from = of(from, 0);
    (from, of(to, from))
}

fn records(toy: &Toy) -> Vec<Vec<Record>> {
    toy.workers.iter().map(|worker| worker.records(BlockIndex(0), usize::MAX)).collect()
}

/// X1: balances, what is in flight and what was burned are the genesis' supply, from the last records alone.
fn assert_conserved(toy: &Toy) {
    let genesis: Vec<u64> = toy
        .rules
        .shards
        .iter()
        .map(|shard| {
            let accounts = toy.genesis.accounts.iter();
            accounts
                .filter(|a| toy.rules.shards.of_prefix(a.address.prefix()) == shard)
                .map(|a| a.amount.0)
                .sum()
        })
        .collect();
    let mut total = 0_i128;
    for (records, genesis) in records(toy).iter().zip(genesis) {
        let Some(last) = records.last() else {
            total += i128::from(genesis);
            continue;
        };
        total += i128::from(last.supply.0) + i128::from(last.burned.0);
        for pair in &last.pairs {
            total += i128::from(pair.sent.value) + i128::from(pair.bounced.value);
            total -= i128::from(pair.consumed.value) + i128::from(pair.returned.value);
        }
    }
    assert_eq!(total, i128::from(toy.genesis.supply().0));
}

#[test]
fn a_transfer_within_a_shard_is_settled_as_soon_as_it_is_final() {
    let mut toy = Toy::new(2, ACCOUNTS, Parameters::default());
    let (from, to) = pair(&toy, 0, 0);
    let transfer = toy.transfer(from, 0, address(to), 100);
    toy.submit(ShardId(0), vec![transfer.clone()]);
    toy.settle();
    assert_eq!(toy.levels(&transfer), vec![Level::Ordered, Level::Executed, Level::Settled]);
    assert_eq!((toy.balance(address(from)), toy.balance(address(to))), (Some(899), Some(1_100)));
    assert_conserved(&toy);
}

#[test]
fn a_payment_to_another_shard_is_final_first_and_settled_when_it_arrived() {
    let mut toy = Toy::new(2, ACCOUNTS, Parameters::default());
    let (from, to) = pair(&toy, 0, 1);
    let transfer = toy.transfer(from, 0, address(to), 100);
    toy.submit(ShardId(0), vec![transfer.clone()]);
    while !toy.levels(&transfer).contains(&Level::Final) {
        toy.commit();
    }
    assert_eq!(toy.balance(address(to)), Some(1_000), "not there yet");
    toy.settle();
    assert_eq!(toy.levels(&transfer), vec![Level::Ordered, Level::Executed, Level::Final, Level::Settled]);
    assert_eq!((toy.balance(address(from)), toy.balance(address(to))), (Some(899), Some(1_100)));
    assert_conserved(&toy);
}

#[test]
fn what_cannot_be_credited_comes_back() {
    let parameters = Parameters { account_minimum: Amount(50), ..Parameters::default() };
    let mut toy = Toy::new(2, ACCOUNTS, parameters);
    let (from, _) = pair(&toy, 0, 1);
    let nobody = Address([0xff; 32]);
    let transfer = toy.transfer(from, 0, nobody, 49);
    toy.submit(ShardId(0), vec![transfer.clone()]);
    toy.settle();
    let last = *toy.news.last().expect("news");
    assert_eq!((last.level, last.outcome, last.bounced), (Level::Settled, Some(Outcome::Success), true));
    assert_eq!((toy.balance(address(from)), toy.balance(nobody)), (Some(999), None));
    assert_conserved(&toy);
}

#[test]
fn a_repeated_submission_hears_the_first_outcome() {
    let mut toy = Toy::new(1, ACCOUNTS, Parameters::default());
    let transfer = toy.transfer(1, 0, address(2), 5);
    toy.submit(ShardId(0), vec![transfer.clone()]);
    toy.settle();
    toy.news.clear();
    toy.submit(ShardId(0), vec![transfer.clone()]);
    toy.settle();
    assert_eq!(toy.levels(&transfer), vec![Level::Settled]);
    assert_eq!(toy.balance(address(2)), Some(1_005));
}

#[test]
fn windows_of_one_and_cyclic_traffic_never_stand_still() {
    let parameters = Parameters { window: 1, account_minimum: Amount(50), ..Parameters::default() };
    let mut toy = Toy::new(4, ACCOUNTS, parameters);
    for nonce in 0..12 {
        for from in 1..=ACCOUNTS {
            let to =
                if nonce % 3 == 0 { Address([nonce as u8 * 20; 32]) } else { address(from % ACCOUNTS + 1) };
            let transfer = toy.transfer(from, nonce, to, 7);
            toy.submit(toy.shard_of(from), vec![transfer.clone()]);
        }
        toy.commit();
    }
    toy.settle();
    assert_eq!(toy.refused, vec![]);
    let ends = toy.news.iter().filter(|news| news.level == Level::Settled).count();
    assert_eq!(ends, 12 * usize::from(ACCOUNTS), "X4: every transaction has an end");
    assert!(
        toy.news.iter().any(|news| matches!(news.outcome, Some(Outcome::Failed(_)))),
        "windows were full"
    );
    assert_conserved(&toy);
}

/// E1, D2: a worker that is restarted at any point computes the same records as one that never was.
#[test]
fn restarts_change_nothing() {
    let run = |restart_every: Option<usize>| {
        let mut toy =
            Toy::new(2, ACCOUNTS, Parameters { account_minimum: Amount(50), ..Parameters::default() });
        for step in 0..30 {
            for from in 1..=ACCOUNTS {
                let to =
                    if step % 5 == 0 { Address([step as u8 * 8; 32]) } else { address(from % ACCOUNTS + 1) };
                let transfer = toy.transfer(from, step as u64, to, 3);
                toy.submit(toy.shard_of(from), vec![transfer.clone()]);
            }
            toy.commit();
            if restart_every.is_some_and(|every| step % every == 0) {
                toy.restart(ShardId((step / 2 % 2) as u16), 0);
            }
        }
        toy.settle();
        assert_conserved(&toy);
        toy
    };
    let (calm, restless) = (run(None), run(Some(3)));
    let balances = |mut toy: Toy| (1..=ACCOUNTS).map(|n| toy.balance(address(n))).collect::<Vec<_>>();
    assert!(records(&calm).iter().all(|records| records.len() > 10));
    assert_eq!(balances(calm), balances(restless));
}
