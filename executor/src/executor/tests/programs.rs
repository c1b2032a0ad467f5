//! Every program against the reference, on every engine; and what holds across shards.

use fresnel_types::{
    action::{Asset, BankAction, Bytes, KvOperation, TokenAction},
    leaves::{Holding, InWords, Savings, Token, Value as Named},
};

use super::*;
use crate::reference::Reference;

fn sign(from: u16, nonce: u64, action: Action) -> SignedTransaction {
    let mut signed = pay(from, nonce, 1, 0, 1);
    signed.transaction.action = action;
    signed
}

fn address(owner: u16) -> Address {
    public(owner).address()
}

fn operation() -> impl Strategy<Value = KvOperation> {
    let owner = prop_oneof![2 => Just(None), 1 => (0..OWNERS).prop_map(|owner| Some(address(owner)))];
    let name = (0_u8..3).prop_map(|name| Bytes(vec![name]));
    let length = prop::sample::select(vec![0_usize, 3, 8, 8, 8, 16, 17, 24, 40]);
    let value = (length, any::<u8>()).prop_map(|(length, byte)| Bytes(vec![byte; length]));
    prop_oneof![
        1 => (owner.clone(), name.clone()).prop_map(|(owner, name)| KvOperation::Read { owner, name }),
        2 => (owner.clone(), name.clone(), value, any::<bool>())
            .prop_map(|(owner, name, value, shared)| KvOperation::Put { owner, name, value, shared }),
        1 => (owner, name, prop_oneof![Just(u64::MAX / 3), 0_u64..9])
            .prop_map(|(owner, name, amount)| KvOperation::Add { owner, name, amount }),
    ]
}

fn bank() -> impl Strategy<Value = BankAction> {
    let customer = || (0..OWNERS).prop_map(address);
    let amount = || (1_u64..400).prop_map(Amount);
    prop_oneof![
        1 => customer().prop_map(|customer| BankAction::Balance { customer }),
        1 => (customer(), amount()).prop_map(|(customer, amount)| BankAction::DepositChecking { customer, amount }),
        3 => (amount(), any::<bool>())
            .prop_map(|(amount, withdraw)| BankAction::TransactSavings { amount, withdraw }),
        1 => customer().prop_map(|recipient| BankAction::Amalgamate { recipient }),
        3 => (customer(), amount()).prop_map(|(recipient, amount)| BankAction::WriteCheck { recipient, amount }),
        1 => (customer(), amount()).prop_map(|(recipient, amount)| BankAction::SendPayment { recipient, amount }),
    ]
}

fn token() -> impl Strategy<Value = TokenAction> {
    let issuer = || (0_u16..4).prop_map(address);
    let cap = prop::sample::select(vec![1_u64, 100, 10_000, u64::MAX]);
    let amount = || prop_oneof![4 => 1_u64..50, 1 => Just(u64::MAX - 3)];
    let recipient = (0..OWNERS).prop_map(address);
    prop_oneof![
        1 => (cap, any::<bool>()).prop_map(|(cap, open)| TokenAction::Create { cap, open }),
        2 => (issuer(), amount()).prop_map(|(token, amount)| TokenAction::Mint { token, amount }),
        2 => (issuer(), recipient, amount())
            .prop_map(|(token, recipient, amount)| TokenAction::Transfer { token, recipient, amount }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => (0..OWNERS, 1_u64..400).prop_map(|(to, amount)| Action::Transfer {
            recipient: address(to),
            amount: Amount(amount / if amount < 60 { 6 } else { 1 } + 1)
        }),
        2 => prop::collection::vec(operation(), 1..5).prop_map(Action::Kv),
        2 => bank().prop_map(Action::Bank),
        2 => token().prop_map(Action::Token),
    ]
}

/// Mostly of owners that have an account, so that much succeeds.
fn transactions(count: usize) -> impl Strategy<Value = Vec<SignedTransaction>> {
    let sender = prop_oneof![9 => 0..FUNDED, 1 => 0..OWNERS];
    let one = (sender, 0_u64..70, action()).prop_map(|(from, nonce, action)| sign(from, nonce, action));
    prop::collection::vec(one, 0..count)
}

/// The leaves of programs in an executor's state.
fn leaves_of(
    leaves: &BTreeMap<StateKey, Vec<u8>>,
    genesis: &Genesis,
    shard: ShardId,
) -> BTreeMap<StateKey, Vec<u8>> {
    let shards = genesis.shards;
    let is_own = |key: &StateKey| {
        *key == TotalsLeaf::key(shards, shard)
            || shards.iter().any(|other| *key == PairLeaf::key(shards, shard, other))
    };
    leaves.iter().filter(|(key, _)| !is_own(key)).map(|(key, leaf)| (*key, leaf.clone())).collect()
}

/// Requests to `other` that are under way.
fn outstanding(
    leaves: &BTreeMap<StateKey, Vec<u8>>,
    genesis: &Genesis,
    shard: ShardId,
    other: ShardId,
) -> u64 {
    let leaf = leaves.get(&PairLeaf::key(genesis.shards, shard, other));
    leaf.map_or(0, |leaf| PairLeaf::from_bytes(leaf).outstanding())
}

fn apply(leaves: &mut BTreeMap<StateKey, Vec<u8>>, writes: &WriteSet) {
    for (key, value) in writes.iter() {
        leaves.insert(*key, value.expect("execution deletes nothing").to_vec());
    }
}

proptest! {
    /// E2 and the programs' documentation: outcomes, every leaf, what is burned and what is sent, on every engine.
    #[test]
    fn programs_do_what_the_reference_does(
        window in 1_u64..6,
        threads in 1_usize..4,
        blocks in prop::collection::vec(transactions(80), 1..5),
    ) {
        let genesis = genesis(2, window);
        let home = ShardId(0);
        let mut reference = Reference::new(genesis.shards, Amount(10));
        for account in &genesis.accounts {
            if genesis.shards.of_prefix(account.address.prefix()) == home {
                reference.fund(account.address, account.amount);
            }
        }
        let (mut plain, funding) = Executor::genesis(home, &genesis);
        let mut leaves = BTreeMap::new();
        apply(&mut leaves, &funding);
        let (supply, mut sent) = (plain.totals().supply.0, 0);
        let mut others: Vec<_> = [Policy::Serial, Policy::Auto, Policy::Speculative]
            .into_iter()
            .map(|policy| {
                let (mut executor, _) = Executor::genesis(home, &genesis);
                executor.set_engine(Engine::new(threads, policy, ticking));
                executor
            })
            .collect();
        for batch in &blocks {
            let mut twin = Executor::restore(home, genesis.shards, &genesis.parameters, leaves.clone());
            let output = block(&mut plain, &[], batch);
            let room = genesis.shards.iter().map(|other| window - outstanding(&leaves, &genesis, home, other));
            reference.enter(home, room.collect());
            let expected: Vec<_> =
                batch.iter().map(|signed| reference.execute(signed, Timestamp(0))).collect();
            prop_assert_eq!(outcomes(&output), expected);
            sent += output.outbox.iter().flatten().map(|receipt| receipt.kind.value().0).sum::<u64>();
            apply(&mut leaves, &output.writes);
            prop_assert_eq!(leaves_of(&leaves, &genesis, home), reference.leaves(home));
            for (key, leaf) in &leaves {
                prop_assert_eq!(plain.leaf(key), Some(leaf.clone()));
            }
            prop_assert_eq!((output.totals.burned, output.totals.supply), (reference.burned(home), reference.supply(home)));
            prop_assert_eq!(output.totals.supply.0 + output.totals.burned.0 + sent, supply);
            prop_assert_eq!(&block(&mut twin, &[], batch), &output, "E1: a restored shard continues alike");
            for other in &mut others {
                prop_assert_eq!(&block(other, &[], batch), &output);
            }
        }
    }

    /// A failure at whatever point leaves the fee and the nonce, and no other trace.
    #[test]
    fn failures_leave_only_fee_and_nonce(before in transactions(60), after in transactions(30)) {
        let genesis = genesis(2, 2);
        let (mut executor, _) = Executor::genesis(ShardId(0), &genesis);
        block(&mut executor, &[], &before);
        for signed in &after {
            let sender = signed.transaction.sender.address();
            let (account, totals) = (executor.account(&sender), executor.totals());
            let output = block(&mut executor, &[], std::slice::from_ref(signed));
            if let (Outcome::Failed(_), Some(mut account)) = (output.outcomes[0].1, account) {
                account.balance.0 -= signed.transaction.fee.0;
                account.burn(signed.transaction.nonce);
                let written: BTreeSet<_> = output.writes.iter().map(|(key, _)| *key).collect();
                let may_be = [Account::key(&sender), TotalsLeaf::key(genesis.shards, ShardId(0))];
                prop_assert_eq!(written, BTreeSet::from(may_be));
                prop_assert_eq!(executor.account(&sender), Some(account));
                prop_assert_eq!(output.totals.burned.0, totals.burned.0 + signed.transaction.fee.0);
                prop_assert!(output.outbox.iter().all(Vec::is_empty));
            }
        }
    }

    /// X1 for the native asset, and the same for every token: what is held and under way is what was minted.
    #[test]
    fn nothing_is_made_or_lost_between_shards(
        window in 1_u64..5,
        steps in prop::collection::vec((0_usize..4, 0_usize..4, transactions(40)), 1..20),
    ) {
        let mut network = Network::new(genesis(4, window));
        for (shard, take, batch) in &steps {
            network.step(*shard, *take, batch);
            network.audit();
            network.audit_tokens();
        }
        for shard in (0..4).cycle().take(12) {
            network.step(shard, usize::MAX, &[]);
            network.audit();
            network.audit_tokens();
        }
        prop_assert!(network.waiting.values().all(Vec::is_empty));
    }
}

/// Nothing need be kept in suspense: whoever spends all and more, what comes back finds its account, also below the minimum
/// that opens one, since nothing is ever removed.
#[test]
fn what_comes_back_finds_its_place() {
    let mut network = Network::new(genesis(2, 4));
    let shards = network.genesis.shards;
    let sender = (0..FUNDED).find(|owner| shard_of(shards, *owner).0 == 0).expect("half of them");
    let nobody = (FUNDED..OWNERS).find(|owner| shard_of(shards, *owner).0 == 1).expect("half of them");
    let here = (0..FUNDED).rfind(|owner| shard_of(shards, *owner).0 == 0).expect("half of them");
    // Three are too little to open an account; the rest is given away, to the last coin.
    let sent = (0..3).map(|nonce| pay(sender, nonce, 1, nobody, 3));
    let batch: Vec<_> = sent.chain([pay(sender, 3, 1, here, 1_000 - 4 - 3 * 3)]).collect();
    assert_eq!(outcomes(&network.step(0, 0, &batch)), [Outcome::Success; 4]);
    assert_eq!(network.executors[0].account(&address(sender)).expect("it stays").balance, Amount(0));
    network.step(1, usize::MAX, &[]);
    network.step(0, usize::MAX, &[]);
    network.audit();
    assert_eq!(network.bounces, 3);
    assert_eq!(network.executors[0].account(&address(sender)).expect("it stays").balance, Amount(9));
}

impl Network {
    fn audit_tokens(&self) {
        let leaf = |key: StateKey| self.leaves.iter().find_map(|leaves| leaves.get(&key));
        for issuer in (0..OWNERS).map(address) {
            let minted =
                leaf(Token::key(&issuer)).map_or(0, |leaf| Token::from_leaf(leaf).expect("a token").minted);
            let held = (0..OWNERS).filter_map(|owner| leaf(Holding::key(&address(owner), &issuer)));
            let held: u128 =
                held.map(|leaf| u128::from(Holding::from_leaf(leaf).expect("a holding").balance)).sum();
            let under_way = self.waiting.values().flatten().map(|receipt| match receipt.kind {
                ReceiptKind::Request { amount, asset, .. } | ReceiptKind::Bounce { amount, asset, .. } => {
                    if asset == Asset::Token(issuer) {
                        u128::from(amount.0)
                    } else {
                        0
                    }
                }
            });
            assert_eq!(u128::from(minted), held + under_way.sum::<u128>());
        }
    }
}

/// Executes transactions of one owner in blocks of their own and gives how they end.
fn run(executor: &mut Executor, from: u16, actions: Vec<Action>) -> Vec<Outcome> {
    let base = executor.account(&address(from)).map_or(0, |account| account.nonce_base);
    let signed = (base..).zip(actions).map(|(nonce, action)| sign(from, nonce, action));
    signed.map(|signed| outcomes(&block(executor, &[], &[signed]))[0]).collect()
}

fn value_of(executor: &Executor, owner: u16, name: &[u8]) -> Option<Named> {
    executor.leaf(&Named::key(&address(owner), name)).map(|leaf| Named::from_leaf(&leaf).expect("a value"))
}

#[test]
fn shared_values_are_changed_by_others_and_stay_shared() {
    use FailureCode::*;
    let (mut executor, _) = Executor::genesis(ShardId(0), &genesis(1, 1));
    let name = || Bytes(b"name".to_vec());
    let put = |owner: Option<u16>, value: &[u8], shared| KvOperation::Put {
        owner: owner.map(address),
        name: name(),
        value: Bytes(value.to_vec()),
        shared,
    };
    let add = |amount| KvOperation::Add { owner: Some(address(0)), name: name(), amount };
    let one = |operation| vec![Action::Kv(vec![operation])];
    let mut of = |from, actions| run(&mut executor, from, actions);
    assert_eq!(of(1, one(put(Some(0), &[1], true))), [Outcome::Failed(Missing)], "only its owner makes one");
    assert_eq!(of(0, one(put(None, &[1; 40], false))), [Outcome::Success]);
    assert_eq!(of(1, one(put(Some(0), &[2], true))), [Outcome::Failed(Forbidden)]);
    assert_eq!(of(0, one(put(None, &[1; 40], true))), [Outcome::Success]);
    assert_eq!(of(1, one(add(1))), [Outcome::Failed(WrongKind)]);
    assert_eq!(of(1, one(put(Some(0), &7_u64.to_le_bytes(), false))), [Outcome::Success]);
    assert_eq!(of(2, one(add(u64::MAX))), [Outcome::Failed(Overflow)]);
    assert_eq!(of(2, vec![Action::Kv(vec![add(1), add(2)])]), [Outcome::Success]);
    assert_eq!(of(2, vec![Action::Kv(vec![add(1), put(Some(1), &[], true)])]), [Outcome::Failed(Missing)]);
    let left = Named { shared: true, bytes: 10_u64.to_le_bytes().to_vec() };
    assert_eq!(value_of(&executor, 0, b"name"), Some(left));
}

#[test]
fn a_long_value_is_that_of_the_last_who_succeeded() {
    let (mut executor, _) = Executor::genesis(ShardId(0), &genesis(1, 1));
    let put = |value: Vec<u8>| KvOperation::Put {
        owner: Some(address(0)),
        name: Bytes(vec![1]),
        value: Bytes(value),
        shared: true,
    };
    let missing = KvOperation::Read { owner: None, name: Bytes(vec![9]) };
    let batch = [
        sign(0, 0, Action::Kv(vec![put(vec![1; 30])])),
        sign(1, 0, Action::Kv(vec![put(vec![2; 1_000]), put(vec![3; 50])])),
        sign(1, 1, Action::Kv(vec![put(vec![4; 50]), missing])),
    ];
    let output = block(&mut executor, &[], &batch);
    assert_eq!(outcomes(&output)[2], Outcome::Failed(FailureCode::Missing));
    let left = Named { shared: true, bytes: vec![3; 50] };
    assert_eq!(value_of(&executor, 0, &[1]), Some(left.clone()));
    let key = Named::key(&address(0), &[1]);
    let written = output.writes.iter().find(|(changed, _)| **changed == key).and_then(|(_, leaf)| leaf);
    assert_eq!(written, Some(left.to_leaf().as_slice()));

    let shorter = Named { shared: true, bytes: vec![5; 16] };
    run(&mut executor, 1, vec![Action::Kv(vec![put(shorter.bytes.clone())])]);
    assert_eq!(value_of(&executor, 0, &[1]), Some(shorter));
}

#[test]
fn a_check_beyond_the_checking_account_is_paid_from_savings_with_a_penalty() {
    let (mut executor, _) = Executor::genesis(ShardId(0), &genesis(1, 1));
    let save =
        |amount, withdraw| Action::Bank(BankAction::TransactSavings { amount: Amount(amount), withdraw });
    let check =
        |amount| Action::Bank(BankAction::WriteCheck { recipient: address(1), amount: Amount(amount) });
    // Fee 1 each, 10 for the leaf.
    assert_eq!(run(&mut executor, 0, vec![save(500, false), check(400)]), [Outcome::Success; 2]);
    assert_eq!(balances(&executor, 0), (1_000 - 2 - 10 - 900, Some(500)));
    assert_eq!(run(&mut executor, 0, vec![check(100)]), [Outcome::Success]);
    assert_eq!(balances(&executor, 0), (0, Some(500 - (101 - 87))));
    assert_eq!(balances(&executor, 1), (1_000 + 400 + 101, None));
    let amalgamate = Action::Bank(BankAction::Amalgamate { recipient: address(1) });
    assert_eq!(run(&mut executor, 0, vec![amalgamate]), [Outcome::Void(VoidCode::Fee)], "no fee left");
}

fn balances(executor: &Executor, owner: u16) -> (u64, Option<u64>) {
    let savings = executor.leaf(&Savings::key(&address(owner)));
    let account = executor.account(&address(owner)).expect("funded");
    (account.balance.0, savings.map(|leaf| Savings::from_leaf(&leaf).expect("savings").balance.0))
}

#[test]
fn mintings_are_numbered_and_capped() {
    use FailureCode::*;
    let (mut executor, _) = Executor::genesis(ShardId(0), &genesis(1, 1));
    let create = Action::Token(TokenAction::Create { cap: 100, open: true });
    let mint = |amount| Action::Token(TokenAction::Mint { token: address(0), amount });
    assert_eq!(run(&mut executor, 1, vec![mint(1)]), [Outcome::Failed(Missing)]);
    let created = run(&mut executor, 0, vec![create.clone(), create, mint(60)]);
    assert_eq!(created, [Outcome::Success, Outcome::Failed(Exists), Outcome::Success]);
    assert_eq!(
        run(&mut executor, 1, vec![mint(41), mint(40)]),
        [Outcome::Failed(Overflow), Outcome::Success]
    );
    let held = executor.leaf(&Holding::key(&address(1), &address(0))).expect("held");
    assert_eq!(Holding::from_leaf(&held), Some(Holding { balance: 40, minting: 2 }));
    let token = executor.leaf(&Token::key(&address(0))).expect("made");
    let expected = Token { minted: 100, cap: 100, mintings: 2, open: true };
    assert_eq!(Token::from_leaf(&token), Some(expected));
    let give = Action::Token(TokenAction::Transfer { token: address(0), recipient: address(2), amount: 15 });
    assert_eq!(run(&mut executor, 1, vec![give]), [Outcome::Success]);
    assert_eq!(executor.totals().burned.0, 7 + 4 * 10, "seven fees and four leaves");
}
