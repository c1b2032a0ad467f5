//! Who shows bad signatures is checked apart from then on: others' batches pass in one equation again.

use fresnel_crypto::SigningKey;
use fresnel_types::{
    Action, Address, Amount, Authority, AuthorityIndex, Batch, Genesis, Nonce, PublicKey, Shards, Timestamp,
    Transaction, codec, genesis::Parameters,
};
use tokio::sync::Semaphore;

use super::*;
use crate::inbox::Item;

const SHARD: ShardId = ShardId(0);
/// Signatures of one message, so many that no backend checks them each alone.
const MANY: u8 = 40;

fn rules() -> Rules {
    let key = |seed: u8| PublicKey::of(&SigningKey::from_bytes(&[seed; 32]));
    Rules::of(&Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "apart".into(),
        shards: Shards::new(1).expect("a power of two"),
        parameters: Parameters::default(),
        authorities: (0..4)
            .map(|i| Authority {
                name: format!("a{i}"),
                stake: 1,
                consensus_key: key(200 + i),
                network_keys: vec![key(210 + i)],
            })
            .collect(),
        accounts: vec![],
    })
}

fn lane() -> Lane {
    Lane {
        rules: Arc::new(rules()),
        verifier: Verifier::with_seed([1; 32]),
        counters: Arc::default(),
        gates: Arc::default(),
        suspects: BTreeSet::new(),
        submissions: BTreeMap::new(),
    }
}

fn transactions(count: u8) -> Vec<SignedTransaction> {
    let signed = |number: u8| {
        let key = SigningKey::from_bytes(&[number + 1; 32]);
        let transaction = Transaction {
            chain: rules().chain,
            sender: PublicKey::of(&key),
            nonce: Nonce(1),
            fee: Amount(1),
            valid_until: Timestamp(100),
            action: Action::Transfer { recipient: Address([7; 32]), amount: Amount(3) },
        };
        transaction.sign(&key)
    };
    (0..count).map(signed).collect()
}

/// One whose signature is bad.
fn forged() -> Vec<SignedTransaction> {
    let mut forged = transactions(1);
    forged[0].transaction.fee = Amount(2);
    forged
}

fn share() -> OwnedSemaphorePermit {
    Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is one")
}

#[test]
fn a_peer_with_a_bad_signature_is_checked_apart_from_then_on() {
    let (honest, bad) = (Party::Worker(AuthorityIndex(1), SHARD), Party::Worker(AuthorityIndex(2), SHARD));
    let mut lane = lane();
    let (inbox, heard) = Inbox::new();
    let judge = |lane: &mut Lane| {
        let before = lane.verifier.failures();
        let closers = [Closer::default(), Closer::default()];
        let mut pending = Vec::new();
        for (from, closer) in [honest, bad].into_iter().zip(&closers) {
            pending.push(Pending { from, inbox: inbox.clone(), closer: closer.clone(), share: share() });
        }
        let message = |transactions| {
            let batch = Batch { author: AuthorityIndex(1), shard: SHARD, transactions };
            Message::Batch(codec::encode(&batch))
        };
        lane.judge(pending, vec![message(transactions(MANY)), message(forged())]);
        assert_eq!(closers.map(|closer| closer.is_closed()), [false, true]);
        let Ok(Item::Input(input, _)) = heard.try_recv() else { panic!("the honest peer is heard") };
        assert!(matches!(*input, Input::Message { from, .. } if from == honest));
        assert!(heard.is_empty());
        lane.verifier.failures() - before
    };
    assert!(judge(&mut lane) > 0, "nobody knew it before");
    assert_eq!(lane.suspects, BTreeSet::from([bad]));
    for _ in 0..3 {
        assert_eq!(judge(&mut lane), 0, "the honest peer pays nothing any more");
    }
}

#[test]
fn a_client_with_a_bad_signature_is_checked_apart_from_then_on() {
    let (honest, bad) = (ClientId(1), ClientId(2));
    let mut lane = lane();
    let (inbox, heard) = Inbox::new();
    let worker = Party::Worker(AuthorityIndex(0), SHARD);
    let submit = |lane: &mut Lane| {
        let before = lane.verifier.failures();
        for (client, transactions) in
            [(honest, transactions(MANY)), (bad, forged()), (honest, transactions(MANY))]
        {
            let link = ClientLink::new(client, Outbound::new(1, 1 << 20).0);
            let frame = message_frame(
                Role::Client,
                Role::Worker(SHARD),
                &Message::Submit { request: 5, transactions },
            );
            let (header, body) = frame.split_first_chunk().expect("a frame has a header");
            let header = Header::parse(header).expect("made above");
            let arrival = Arrival { header, body: body.to_vec(), share: share() };
            lane.client(&link, Some((worker, inbox.clone())), arrival, 0);
        }
        lane.submit();
        let mut verdicts = Vec::new();
        while let Ok(Item::Input(input, _)) = heard.try_recv() {
            let Input::Submit { client, transactions, .. } = *input else { panic!("only submissions") };
            verdicts.push((client, transactions.iter().all(Result::is_ok)));
        }
        assert_eq!(verdicts, [(honest, true), (bad, false), (honest, true)]);
        lane.verifier.failures() - before
    };
    assert!(submit(&mut lane) > 0, "nobody knew it before");
    assert_eq!(lane.suspects, BTreeSet::from([Party::Client(bad)]));
    for _ in 0..3 {
        assert_eq!(submit(&mut lane), 0, "the honest client pays nothing any more");
    }
}
