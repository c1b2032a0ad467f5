//! Snapshots of a shard, whole and as somebody would forge them.

use std::collections::BTreeMap;

use fresnel_crypto::{SigningKey, Verifier, hash};
use fresnel_types::{
    Amount, Attestation, Authority, AuthorityIndex, BlockIndex, CommitVote, Epoch, Genesis, LogDigest,
    PublicKey, Record, RecordDigest, Round, ShardHeader, ShardId, Shards, StateKey, StateRoot, Timestamp,
    Vertex, VertexHead, WriteSet,
    hash::Root,
    mmr::Mmr,
    proof::{AttestingVertex, ProofError, SignedAttestation},
};
use proptest::prelude::*;

use super::*;
use crate::Tree;

const SHARD: ShardId = ShardId(1);

fn key(authority: u8) -> SigningKey {
    SigningKey::from_bytes(&[authority + 1; 32])
}

/// Four authorities, two shards.
fn genesis() -> Genesis {
    let authorities = (0..4).map(|number| Authority {
        name: format!("a{number}"),
        stake: 1,
        consensus_key: PublicKey::of(&key(number)),
        network_keys: vec![PublicKey::of(&key(number + 100))],
    });
    Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "snapshots".to_owned(),
        shards: Shards::new(2).expect("a power of two"),
        parameters: Default::default(),
        authorities: authorities.collect(),
        accounts: vec![],
    }
}

/// Leaves of shard 1 whose keys look random, and some that share 100 bits.
fn leaves(count: u64) -> Vec<Leaf> {
    let random = (0..count).map(|number| {
        let mut key = hash::leaf(&number.to_le_bytes());
        key[0] |= 0x80;
        (StateKey(key), vec![number as u8; number as usize % 90])
    });
    let close = (0..count.min(9)).map(|number| {
        let mut key = [0xc5; 32];
        key[20] = number as u8;
        (StateKey(key), vec![1; 50])
    });
    random.chain(close).collect::<BTreeMap<_, _>>().into_iter().collect()
}

fn root(leaves: &[Leaf]) -> StateRoot {
    let mut tree = Tree::new(genesis().shards, SHARD);
    tree.apply(&leaves.iter().map(|(key, value)| (*key, Some(value.as_slice()))).collect::<WriteSet>())
}

fn record(leaves: &[Leaf]) -> Record {
    Record {
        epoch: Epoch(0),
        shard: SHARD,
        block: BlockIndex(9),
        log: LogDigest([3; 32]),
        position: 0,
        earlier: Mmr::default().root(),
        state: root(leaves),
        outbox: Root::default(),
        results: Root::default(),
        supply: Amount(0),
        burned: Amount(0),
        pairs: vec![],
    }
}

/// The attestation of `record` by an authority, in a vertex with another one.
fn attested(authority: u8, record: RecordDigest) -> SignedAttestation {
    let attestation = Attestation { shard: SHARD, block: BlockIndex(9), record };
    let other = Attestation { block: BlockIndex(8), ..attestation };
    let author = AuthorityIndex(authority.into());
    let header =
        ShardHeader { shard: SHARD, author, attestations: vec![other, attestation], ..Default::default() };
    let head = VertexHead {
        chain: genesis().chain(),
        epoch: genesis().epoch(),
        round: Round(5),
        author,
        time: Timestamp(5),
        parents: vec![],
        weak: vec![],
        commit_vote: CommitVote::default(),
        payload_root: Root::default(),
        attestation_root: Root::default(),
    };
    let signed = Vertex::new(head, vec![header]).sign(&key(authority));
    SignedAttestation::of(&AttestingVertex::of(&signed).expect("it attests"), &attestation)
        .expect("it is in the vertex")
}

/// A snapshot of these leaves: the manifest and the bytes of the chunks.
fn snapshot(leaves: &[Leaf], bytes_max: usize) -> (Manifest, Vec<Vec<u8>>) {
    let (pieces, state) = cut(leaves, genesis().shards, SHARD, bytes_max);
    let record = record(leaves);
    assert_eq!(state, record.state);
    let chunks: Vec<Chunk> = pieces.iter().map(|piece| piece.chunk(leaves)).collect();
    let bytes: Vec<Vec<u8>> = chunks.iter().map(Chunk::to_bytes).collect();
    let listed = |(chunk, bytes): (&Chunk, &Vec<u8>)| ListedChunk {
        prefix: chunk.prefix,
        leaves: chunk.leaves.len() as u64,
        hash: hash::leaf(bytes),
    };
    let manifest = Manifest {
        chain: genesis().chain(),
        authority: AuthorityIndex(2),
        attested: [0, 1, 3].map(|authority| attested(authority, record.digest())).to_vec(),
        record,
        later: None,
        chunks: chunks.iter().zip(&bytes).map(listed).collect(),
        parts: vec![],
    };
    (manifest, bytes)
}

fn verifier() -> Verifier {
    Verifier::with_seed([7; 32])
}

#[test]
fn chunks_come_in_any_order_and_give_all_leaves() {
    for (count, bytes_max) in [(0, 100), (1, 0), (2, 0), (5, 0), (700, 3_000), (700, usize::MAX)] {
        let leaves = leaves(count);
        let (manifest, chunks) = snapshot(&leaves, bytes_max);
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest.clone()));
        let mut assembly = Assembly::new(manifest, &genesis(), &mut verifier()).expect("an honest snapshot");
        let mut found = BTreeMap::new();
        // Every third, then every third of the others, and so on, each twice.
        for number in (0..3).flat_map(|first| (first..chunks.len()).step_by(3)) {
            assert!(!assembly.is_complete() && assembly.missing().any(|missing| missing == number));
            found.extend(assembly.accept(number, &chunks[number]).expect("an honest chunk").leaves);
            assembly.accept(number, &chunks[number]).expect("again");
        }
        assert!(assembly.is_complete() && assembly.missing().count() == 0);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), leaves, "{count} leaves");
    }
}

#[test]
fn chunks_are_no_larger_than_asked_for_but_for_a_single_leaf() {
    let leaves = leaves(500);
    let (pieces, _) = cut(&leaves, genesis().shards, SHARD, 2_000);
    assert!(pieces.len() > 20);
    for piece in pieces {
        let bytes: usize = leaves[piece.range.clone()].iter().map(|(_, value)| 40 + value.len()).sum();
        assert!(bytes <= 2_000 || piece.range.len() == 1, "{piece:?}");
    }
}

#[test]
fn omitted_repeated_and_reordered_chunks_are_refused() {
    let (manifest, chunks) = snapshot(&leaves(300), 2_000);
    let count = manifest.chunks.len();
    let refused = |chunks: Vec<ListedChunk>, number| {
        let manifest = Manifest { chunks, ..manifest.clone() };
        assert_eq!(manifest.verify(&genesis(), &mut verifier()), Err(ManifestError::Chunks(number)));
    };
    for number in 0..count {
        let mut omitted = manifest.chunks.clone();
        omitted.remove(number);
        refused(omitted, number);
        let mut repeated = manifest.chunks.clone();
        repeated.insert(number, manifest.chunks[number]);
        refused(repeated, number + 1);
        let mut swapped = manifest.chunks.clone();
        swapped.swap(number, (number + 1) % count);
        refused(swapped, if number + 1 == count { 0 } else { number });
    }
    refused(vec![], 0);
    let mut beyond = manifest.chunks.clone();
    beyond.push(ListedChunk { prefix: Prefix::of_shard(genesis().shards, ShardId(0)), ..beyond[0] });
    refused(beyond, count);
    let mut assembly = Assembly::new(manifest, &genesis(), &mut verifier()).expect("an honest snapshot");
    for number in 0..count {
        let other = (number + 1) % count;
        assert_eq!(assembly.accept(number, &chunks[other]), Err(ChunkError::Place));
    }
    assert_eq!(assembly.accept(count, &chunks[0]), Err(ChunkError::Place));
    assert_eq!(assembly.missing().count(), count, "what was refused changed nothing");
}

#[test]
fn chunks_with_other_leaves_are_refused() {
    let leaves = leaves(300);
    let (manifest, chunks) = snapshot(&leaves, 2_000);
    let honest = Chunk::from_bytes(&chunks[3]).expect("an honest chunk");
    assert!(honest.leaves.len() > 3 && !honest.beside.is_empty());
    let verify = |change: &dyn Fn(&mut Chunk)| {
        let mut chunk = honest.clone();
        change(&mut chunk);
        chunk.verify(genesis().shards, SHARD, &manifest.record.state)
    };
    assert_eq!(verify(&|_| ()), Ok(()));
    let root = Err(ChunkError::Root);
    assert_eq!(verify(&|chunk| drop(chunk.leaves.remove(1))), root);
    assert_eq!(verify(&|chunk| chunk.leaves.clear()), root);
    assert_eq!(verify(&|chunk| chunk.leaves[2].1.push(0)), root);
    assert_eq!(verify(&|chunk| chunk.leaves[2].0.0[31] ^= 1), root);
    assert_eq!(verify(&|chunk| chunk.beside[0][5] ^= 1), root);
    assert_eq!(verify(&|chunk| chunk.leaves.swap(0, 1)), Err(ChunkError::Leaves));
    assert_eq!(verify(&|chunk| chunk.leaves.insert(1, chunk.leaves[0].clone())), Err(ChunkError::Leaves));
    assert_eq!(verify(&|chunk| chunk.leaves[0].0.0[0] ^= 0x40), Err(ChunkError::Leaves));
    assert_eq!(verify(&|chunk| chunk.beside.truncate(1)), Err(ChunkError::Prefix));
    assert_eq!(verify(&|chunk| chunk.beside.push([0; 32])), Err(ChunkError::Prefix));
    assert_eq!(verify(&|chunk| chunk.prefix.depth = 300), Err(ChunkError::Prefix));
    assert_eq!(verify(&|chunk| chunk.prefix.depth = 0), Err(ChunkError::Prefix));
    assert_eq!(verify(&|chunk| chunk.prefix.key.0[31] |= 1), Err(ChunkError::Prefix));
    assert_eq!(honest.verify(genesis().shards, ShardId(0), &manifest.record.state), Err(ChunkError::Prefix));
    assert_eq!(honest.verify(genesis().shards, SHARD, &StateRoot([1; 32])), root);
}

/// A subtree with one leaf has the hash of the leaf at every depth: both its halves could be passed off as empty, each
/// with the leaf beside it.
#[test]
fn no_leaf_can_be_hidden_beside_an_empty_chunk() {
    let all = leaves(1);
    let only = crate::leaf::leaf_hash(&all[0].0, &all[0].1);
    let leaves = vec![all[0].clone()];
    let root = root(&leaves);
    assert_eq!(root.0, only);
    let shard = Prefix::of_shard(genesis().shards, SHARD);
    for half in [0x80, 0xc0] {
        let mut key = shard.key;
        key.0[0] = half;
        let prefix = Prefix { key, depth: 2 };
        let hidden = Chunk { prefix, beside: vec![only], leaves: vec![] };
        assert_eq!(hidden.verify(genesis().shards, SHARD, &root), Err(ChunkError::Root));
        let leaves = if prefix.contains(&leaves[0].0) { leaves.clone() } else { vec![] };
        let cut = Chunk { prefix, beside: vec![hash::EMPTY], leaves };
        assert_eq!(cut.verify(genesis().shards, SHARD, &root), Err(ChunkError::Root));
    }
    let whole = Chunk { prefix: shard, beside: vec![], leaves };
    assert_eq!(whole.verify(genesis().shards, SHARD, &root), Ok(()));
}

#[test]
fn only_a_certified_record_of_the_chain_counts() {
    let (manifest, _) = snapshot(&leaves(10), 100);
    let check = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest.verify(&genesis(), &mut verifier())
    };
    assert_eq!(check(&|_| ()), Ok(()));
    assert_eq!(check(&|manifest| manifest.chain.0[0] ^= 1), Err(ManifestError::Chain));
    let uncertified = |error| Err(ManifestError::Record(error));
    assert_eq!(check(&|manifest| manifest.record.state.0[0] ^= 1), uncertified(ProofError::Attestation));
    assert_eq!(
        check(&|manifest| drop(manifest.attested.pop())),
        uncertified(ProofError::Quorum { stake: 2, quorum: 3 })
    );
    assert_eq!(
        check(&|manifest| manifest.attested[2] = manifest.attested[1].clone()),
        uncertified(ProofError::Attestation)
    );
    assert_eq!(
        check(&|manifest| manifest.attested[0].signature.0[0] ^= 1),
        uncertified(ProofError::Attestation)
    );
}

proptest! {
    /// S3: any bytes are a value or an error, and what passes is honest.
    #[test]
    fn altered_bytes_are_refused(place in any::<prop::sample::Index>(), flip in 1_u8..=255, cut_at in any::<prop::sample::Index>()) {
        let (manifest, chunks) = snapshot(&leaves(60), 1_000);
        let mut assembly = Assembly::new(manifest.clone(), &genesis(), &mut verifier()).expect("honest");
        let mut altered = chunks[1].clone();
        let at = place.index(altered.len());
        altered[at] ^= flip;
        prop_assert!(assembly.accept(1, &altered).is_err());
        prop_assert!(assembly.accept(1, &chunks[1][..cut_at.index(chunks[1].len())]).is_err());
        let mut altered = manifest.to_bytes();
        let at = place.index(altered.len());
        altered[at] ^= flip;
        if let Ok(other) = Manifest::from_bytes(&altered)
            && other.verify(&genesis(), &mut verifier()).is_ok()
        {
            // What nobody signed may differ; what it is of may not.
            prop_assert_eq!((other.record, other.chain), (manifest.record, manifest.chain));
        }
    }

    #[test]
    fn prefixes_follow_one_another(shards in 0_u32..9, depth in 0_u16..40, bits in any::<[u8; 32]>()) {
        let shards = Shards::new(1 << shards).expect("a power of two");
        let shard = shards.iter().nth(usize::from(bits[0]) % shards.count()).expect("one of them");
        let of_shard = Prefix::of_shard(shards, shard);
        prop_assert!(of_shard.key.shard(shards) == shard);
        prop_assert!(of_shard.end().is_none_or(|end| end.shard(shards).0 == shard.0 + 1));
        let mut key = StateKey(bits);
        (usize::from(depth)..256).for_each(|place| key.0[place / 8] &= !(0x80 >> (place % 8)));
        let prefix = Prefix { key, depth };
        if let Some(end) = prefix.end() {
            prop_assert!(end > key && !prefix.contains(&end));
            let mut last = key;
            (usize::from(depth)..256).for_each(|place| last.0[place / 8] |= 0x80 >> (place % 8));
            prop_assert!(prefix.contains(&last) && last < end);
        } else {
            prop_assert!((0..usize::from(depth)).all(|place| key.0[place / 8] >> (7 - place % 8) & 1 == 1));
        }
    }
}
