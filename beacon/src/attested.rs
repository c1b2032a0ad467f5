//! Who attested which records, in the order: what proofs of records are made of.
//!
//! Every author's last attestations are remembered shard by shard, so that nobody pushes out what others said, and a shard
//! that rests keeps those of its last record.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use fresnel_types::{
    Attestation, AuthorityIndex, BlockIndex, ShardId, SignedVertex,
    proof::{AttestingVertex, SignedAttestation},
};

use crate::limits::ATTESTATIONS_REMEMBERED;

/// The last ordered attestations.
#[derive(Debug, Default)]
pub(crate) struct Attested {
    last: BTreeMap<ShardId, BTreeMap<AuthorityIndex, Statements>>,
}

/// What one author attested of one shard, oldest first.
type Statements = VecDeque<(BlockIndex, Arc<AttestingVertex>)>;

impl Attested {
    /// A vertex is ordered.
    pub(crate) fn ordered(&mut self, vertex: &SignedVertex) {
        let Some(attesting) = AttestingVertex::of(vertex).map(Arc::new) else { return };
        for attestation in &attesting.attestations {
            let shard = self.last.entry(attestation.shard).or_default();
            let last = shard.entry(attesting.head.author).or_default();
            last.push_back((attestation.block, Arc::clone(&attesting)));
            if last.len() > ATTESTATIONS_REMEMBERED {
                last.pop_front();
            }
        }
    }

    /// All of a record that are remembered, ascending by author.
    pub(crate) fn of(&self, attestation: &Attestation) -> Vec<SignedAttestation> {
        let authors = self.last.get(&attestation.shard).into_iter().flat_map(BTreeMap::values);
        let of_author = |last: &VecDeque<(BlockIndex, Arc<AttestingVertex>)>| {
            let mut of_block = last.iter().filter(|(block, _)| *block == attestation.block);
            of_block.find_map(|(_, vertex)| SignedAttestation::of(vertex, attestation))
        };
        authors.filter_map(of_author).collect()
    }
}

#[cfg(test)]
mod tests {
    use fresnel_crypto::SigningKey;
    use fresnel_types::{ChainId, Epoch, RecordDigest, ShardHeader, Vertex, merkle};

    use super::*;

    fn attestation(shard: u16, block: u64, record: u8) -> Attestation {
        Attestation { shard: ShardId(shard), block: BlockIndex(block), record: RecordDigest([record; 32]) }
    }

    fn vertex(author: u16, attestations: &[&[Attestation]]) -> SignedVertex {
        let author = AuthorityIndex(author);
        let headers = attestations
            .iter()
            .map(|attestations| ShardHeader {
                shard: attestations.first().map_or(ShardId(9), |attestation| attestation.shard),
                author,
                attestations: attestations.to_vec(),
                ..ShardHeader::default()
            })
            .collect();
        let head = Vertex::genesis(ChainId::default(), Epoch(0), author).head;
        Vertex::new(head, headers).sign(&SigningKey::from_bytes(&[author.0 as u8; 32]))
    }

    #[test]
    fn attestations_are_given_by_record_with_paths_that_hold() {
        let mut attested = Attested::default();
        let (wanted, other) = (attestation(1, 7, 1), attestation(1, 7, 2));
        attested.ordered(&vertex(2, &[&[attestation(0, 7, 1)], &[attestation(1, 6, 1), wanted]]));
        attested.ordered(&vertex(0, &[&[wanted, attestation(1, 8, 1)]]));
        attested.ordered(&vertex(1, &[&[other]]));
        attested.ordered(&vertex(3, &[&[]]));
        let given = attested.of(&wanted);
        assert_eq!(given.iter().map(|given| given.head.author.0).collect::<Vec<_>>(), [0, 2]);
        for SignedAttestation { head, path, .. } in given {
            assert_eq!(path.root(merkle::leaf(&wanted)), Some(head.attestation_root));
        }
        assert_eq!(attested.of(&other).len(), 1);
        assert_eq!(attested.of(&attestation(2, 7, 1)), []);
    }

    #[test]
    fn an_author_pushes_out_its_own_words_only() {
        let mut attested = Attested::default();
        let resting = attestation(1, 1, 1);
        attested.ordered(&vertex(0, &[&[attestation(0, 1, 1)], &[resting]]));
        attested.ordered(&vertex(1, &[&[attestation(0, 1, 1)]]));
        for block in 2..2 + ATTESTATIONS_REMEMBERED as u64 {
            attested.ordered(&vertex(0, &[&[attestation(0, block, 1)]]));
        }
        assert_eq!(attested.of(&attestation(0, 1, 1)).len(), 1, "that of the other");
        assert_eq!(attested.of(&resting).len(), 1, "that of a shard that rests");
    }
}
