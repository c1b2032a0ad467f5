//! What a worker proves of its shard: states of the last minute, ends of transactions, receipts on both sides.

use fresnel_state::MultiProof;
use fresnel_types::{
    BlockIndex, Outcome, Parameters, Proof, Sequence, ShardId, decode,
    leaves::Account,
    proof::{Claim, Wanted},
    status::{Answer, Query, Unproven},
};

use crate::toy::{Toy, address};

const ACCOUNTS: u8 = 20;

fn prove(toy: &mut Toy, shard: ShardId, wanted: Wanted) -> Result<Proof, Unproven> {
    match toy.ask(shard, Query::Proof(wanted)) {
        Answer::Proof(proof) => Ok(*proof),
        Answer::Unproven(reason) => Err(reason),
        answer => panic!("{answer:?} answers another question"),
    }
}

/// The balance that a proof shows, after checking that its record has it.
fn balance(toy: &Toy, proof: &Proof) -> Option<u64> {
    let Claim::State { leaves, tree } = &proof.claim else {
        panic!("a claim about the state, not {proof:?}")
    };
    let tree: MultiProof = decode(tree).expect("own bytes");
    assert!(tree.verify(toy.rules.shards, &proof.record.state, leaves));
    let account = leaves[0].1.as_deref().map(|bytes| decode::<Account>(bytes).expect("an account"));
    account.map(|account| account.balance.0)
}

fn of_shard(toy: &Toy, shard: u16, not: u8) -> u8 {
    (1..=ACCOUNTS)
        .find(|&n| n != not && toy.shard_of(n) == ShardId(shard))
        .expect("both shards have accounts")
}

#[test]
fn every_state_of_the_last_minute_is_proven_and_no_other() {
    let mut toy = Toy::new(2, ACCOUNTS, Parameters::default());
    let (shard, payer) = (ShardId(0), of_shard(&toy, 0, 0));
    let payee = of_shard(&toy, 0, payer);
    let keys = vec![Account::key(&address(payee))];
    assert_eq!(prove(&mut toy, shard, Wanted::State(keys.clone())), Err(Unproven::NoRecord));

    let mut balances = vec![];
    for nonce in 0..12 {
        let transfer = toy.transfer(payer, nonce, address(payee), 1 + nonce);
        toy.submit(shard, vec![transfer]);
        toy.commit();
        let executed = toy.workers[0].status().executed;
        balances.push((executed, toy.balance(address(payee)).expect("funded")));
    }
    let newest = toy.workers[0].records(BlockIndex(0), usize::MAX).last().expect("blocks had input").block;
    let certified = toy.workers[0].status().certified.block;
    assert!(certified < newest, "the newest state is not certified yet");
    // The answer does not wait for the newest state.
    let proof = prove(&mut toy, shard, Wanted::State(keys.clone())).expect("it is there");
    assert_eq!(proof.record.block, certified);
    let at = |block: BlockIndex| balances.iter().rfind(|(other, _)| *other <= block).expect("a block").1;
    assert_eq!(balance(&toy, &proof), Some(at(certified)));

    toy.settle();
    let states: Vec<_> = balances.clone();
    let mut refused = 0;
    for (block, known) in states {
        match prove(&mut toy, shard, Wanted::Past { block, keys: keys.clone() }) {
            Ok(proof) => {
                assert_eq!((balance(&toy, &proof), proof.record.block <= block), (Some(known), true))
            }
            // No more is taken back than blocks changed.
            Err(reason) => {
                assert_eq!(reason, Unproven::Busy);
                refused += 1;
            }
        }
    }
    assert!((1..12).contains(&refused), "{refused} of 12 refused");
    let ahead = BlockIndex(toy.workers[0].status().executed.0 + 1);
    assert_eq!(
        prove(&mut toy, shard, Wanted::Past { block: ahead, keys: keys.clone() }),
        Err(Unproven::Unknown)
    );
    let elsewhere = vec![Account::key(&address(of_shard(&toy, 1, 0)))];
    assert_eq!(prove(&mut toy, shard, Wanted::State(elsewhere)), Err(Unproven::Unknown));
    assert_eq!(prove(&mut toy, shard, Wanted::State(vec![])), Err(Unproven::Unknown));

    // After a restart the states before are not known, the last one is.
    toy.restart(shard, 0);
    let proof = prove(&mut toy, shard, Wanted::State(keys)).expect("it is certified");
    assert_eq!(balance(&toy, &proof), toy.balance(address(payee)));
}

#[test]
fn a_payment_between_shards_is_proven_step_by_step() {
    let mut toy = Toy::new(2, ACCOUNTS, Parameters::default());
    let (payer, payee) = (of_shard(&toy, 0, 0), of_shard(&toy, 1, 0));
    let transfers: Vec<_> =
        (0..5).map(|nonce| toy.transfer(payer, nonce, address(payee), 3 + nonce)).collect();
    toy.submit(ShardId(0), transfers.clone());
    toy.settle();
    for transfer in &transfers {
        let id = transfer.transaction.id();
        let ended = prove(&mut toy, ShardId(0), Wanted::Outcome(id)).expect("remembered");
        assert!(ended.claim.holds_in_lists(&ended.record));
        assert!(matches!(ended.claim, Claim::Outcome { outcome: Outcome::Success, .. }));
        let emitted = prove(&mut toy, ShardId(0), Wanted::Emitted(id)).expect("remembered");
        assert!(emitted.claim.holds_in_lists(&emitted.record));
        let Claim::Emitted { destination, receipt, .. } = emitted.claim else { panic!("a receipt") };
        assert_eq!(receipt.transaction, id);
        let wanted = Wanted::Applied { source: ShardId(0), sequence: receipt.sequence };
        let consumed = prove(&mut toy, destination, wanted).expect("remembered");
        assert!(consumed.claim.holds_in_lists(&consumed.record));
        assert!(!consumed.claim.holds_in_lists(&emitted.record), "another record");
        let Claim::Applied { applied, .. } = consumed.claim else { panic!("a consumed receipt") };
        assert_eq!((applied.transaction, applied.bounced), (id, None));
    }
    let unknown = transfers[0].transaction.id();
    assert_eq!(prove(&mut toy, ShardId(1), Wanted::Outcome(unknown)), Err(Unproven::Unknown));
    let own = Wanted::Applied { source: ShardId(1), sequence: Sequence(0) };
    assert_eq!(prove(&mut toy, ShardId(1), own), Err(Unproven::Unknown), "a shard owes itself nothing");
}

#[test]
fn what_is_asked_before_it_happens_is_answered_when_it_is_certified() {
    let parameters = Parameters { window: 2, ..Parameters::default() };
    let mut toy = Toy::new(2, ACCOUNTS, parameters);
    let (payer, payee) = (of_shard(&toy, 0, 0), of_shard(&toy, 1, 0));
    let transfer = toy.transfer(payer, 0, address(payee), 3);
    let id = transfer.transaction.id();
    let (source, applied) = (ShardId(0), |sequence| Wanted::Applied { source: ShardId(0), sequence });
    assert_eq!(prove(&mut toy, source, Wanted::Outcome(id)), Err(Unproven::Unknown), "nobody sent it");
    assert_eq!(prove(&mut toy, ShardId(1), applied(Sequence(4))), Err(Unproven::Unknown), "far ahead");

    toy.submit(source, vec![transfer]);
    toy.ask_early(source, 1, Query::Proof(Wanted::Outcome(id)));
    toy.ask_early(source, 2, Query::Proof(Wanted::Emitted(id)));
    toy.ask_early(ShardId(1), 3, Query::Proof(applied(Sequence(0))));
    toy.ask_early(ShardId(1), 4, Query::Proof(applied(Sequence(1))));
    assert_eq!(toy.answers, [], "nothing has happened");
    let mut told = vec![];
    for _ in 0..20 {
        toy.commit();
        for (request, answer) in std::mem::take(&mut toy.answers) {
            let Answer::Proof(proof) = answer else { panic!("a proof, not {answer:?}") };
            assert!(proof.claim.holds_in_lists(&proof.record));
            let worker = &toy.workers[proof.record.shard.index()];
            assert!(proof.record.block <= worker.status().certified.block);
            told.push(request);
        }
    }
    assert_eq!(told, [1, 2, 3], "the second receipt never came");
    for _ in 0..60_000_000 / 25_000 {
        toy.commit();
    }
    // The toy's clock goes on by 25 ms with every commit, and blocks are executed though they are empty.
    assert_eq!(toy.answers, [(4, Answer::Unproven(Unproven::Busy))], "it is given up after a minute");
}
