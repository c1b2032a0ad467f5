//! When a checkpoint is published, and what is read of it for whom.

use fresnel_types::{Amount, Epoch, LogDigest, Record, StateRoot, commit::Certified, hash::Root};

use super::*;

const SHARD: ShardId = ShardId(0);
const PEER: AuthorityIndex = AuthorityIndex(1);

/// A chain of two certified records, with the first of them.
fn chain() -> (Chain, Record) {
    let mut chain = Chain::new(SHARD);
    let mut first = None;
    for block in [4, 7] {
        let (position, earlier) = chain.head();
        let record = Record {
            epoch: Epoch(0),
            shard: SHARD,
            block: BlockIndex(block),
            log: LogDigest([0; 32]),
            position,
            earlier,
            state: StateRoot::default(),
            outbox: Root::default(),
            results: Root::default(),
            supply: Amount(0),
            burned: Amount(0),
            pairs: vec![],
        };
        chain.append(record.clone());
        chain.certify(Certified { block: record.block, record: record.digest() }, record.block);
        first.get_or_insert(record);
    }
    (chain, first.expect("two records"))
}

fn second(seconds: u64) -> Timestamp {
    Timestamp(1_000_000 * (1_000 + seconds))
}

/// The tasks for the store, and the messages, among effects.
fn taken(effects: &mut Vec<Effect>) -> (Vec<SnapshotTask>, Vec<(Vec<Party>, SnapshotAnswer)>) {
    let (mut tasks, mut answers) = (Vec::new(), Vec::new());
    for effect in effects.drain(..) {
        match effect {
            Effect::Snapshot(task) => tasks.push(task),
            Effect::Send { to, message: Message::Snapshot(answer) } => answers.push((to, answer)),
            other => panic!("{other:?}"),
        }
    }
    (tasks, answers)
}

#[test]
fn the_newest_checkpoint_is_published_when_somebody_asks_and_stays_while_it_is_read() {
    let (chain, record) = chain();
    let (mut serving, mut effects) = (Serving::new(SHARD, BlockIndex(0)), Vec::new());
    let ask = |serving: &mut Serving, at, effects: &mut Vec<Effect>| {
        serving.request(at, PEER, SnapshotRequest::Offer, Some(&chain), effects);
        taken(effects)
    };
    let (tasks, answers) = ask(&mut serving, second(0), &mut effects);
    assert!(tasks.is_empty(), "nothing is stored");
    assert!(matches!(answers[..], [(_, SnapshotAnswer::Offer(None))]), "{answers:?}");

    serving.stored(record.block);
    let (tasks, answers) = ask(&mut serving, second(1), &mut effects);
    assert_eq!((tasks, answers.len()), (vec![SnapshotTask::Publish], 0), "it is being published");
    assert_eq!(ask(&mut serving, second(2), &mut effects).0, vec![], "once");
    let published = Published { record: record.clone(), chunks: vec![1], parts: 2 };
    serving.result(SnapshotResult::Published(Some(Box::new(published.clone()))), Some(&chain), &mut effects);
    let (_, answers) = taken(&mut effects);
    let [(to, SnapshotAnswer::Offer(Some(offer)))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((to[..].to_vec(), &offer.published), (vec![Party::Worker(PEER, SHARD)], &published));
    let later = offer.later.as_ref().expect("a later record is certified");
    assert!(later.record.block == BlockIndex(7) && later.commits_to(&record));

    let read = SnapshotRequest::Piece { record: record.digest(), piece: SnapshotPiece::Chunk(0) };
    serving.request(second(20), PEER, read, Some(&chain), &mut effects);
    assert_eq!(taken(&mut effects).0, vec![SnapshotTask::Read(SnapshotPiece::Chunk(0))]);
    serving.result(SnapshotResult::Read(SnapshotPiece::Chunk(0), Some(vec![7])), Some(&chain), &mut effects);
    let (_, answers) = taken(&mut effects);
    assert!(matches!(&answers[..], [(_, SnapshotAnswer::Piece { bytes: Some(bytes), .. })] if *bytes == [7]));

    serving.stored(BlockIndex(7));
    let (tasks, answers) = ask(&mut serving, second(25), &mut effects);
    assert!(tasks.is_empty() && answers.len() == 1, "somebody reads it");
    assert_eq!(ask(&mut serving, second(40), &mut effects).0, vec![SnapshotTask::Publish]);
    serving.request(second(41), PEER, read, Some(&chain), &mut effects);
    let (_, answers) = taken(&mut effects);
    assert!(
        matches!(&answers[..], [(_, SnapshotAnswer::Piece { bytes: None, .. })]),
        "what was published before is gone: {answers:?}"
    );
}

#[test]
fn a_greedy_peer_is_read_a_few_pieces_at_a_time_and_others_theirs() {
    let (chain, record) = chain();
    let (mut serving, mut effects) = (Serving::new(SHARD, record.block), Vec::new());
    serving.request(second(0), PEER, SnapshotRequest::Offer, Some(&chain), &mut effects);
    let published = Published { record: record.clone(), chunks: vec![], parts: 0 };
    serving.result(SnapshotResult::Published(Some(Box::new(published))), Some(&chain), &mut effects);
    effects.clear();
    let want =
        |number| SnapshotRequest::Piece { record: record.digest(), piece: SnapshotPiece::Chunk(number) };
    (0..100).for_each(|number| serving.request(second(1), PEER, want(number), Some(&chain), &mut effects));
    assert_eq!(taken(&mut effects).0.len(), PIECES_READ_PER_PEER_MAX);
    let other = AuthorityIndex(2);
    serving.request(second(1), other, want(0), Some(&chain), &mut effects);
    assert_eq!(taken(&mut effects).0, vec![], "it is being read already");
    serving.request(second(1), other, want(99), Some(&chain), &mut effects);
    assert_eq!(taken(&mut effects).0.len(), 1);
    serving.result(SnapshotResult::Read(SnapshotPiece::Chunk(0), None), Some(&chain), &mut effects);
    let (_, answers) = taken(&mut effects);
    assert_eq!(answers.iter().map(|(to, _)| to.len()).sum::<usize>(), 2, "both wanted it");
}
