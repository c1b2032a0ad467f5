//! Evidence that an authority broke its word: two of its signatures that no honest authority gives both.
//!
//! An honest authority signs one vertex per round and one vote per slot (round, author), also across power loss and
//! after it lost its log. So two signed heads of one round, or two votes of one voter for one slot, accuse their signer,
//! whoever shows them. The payload of vertices is not needed: a head names it, and the signature is over the head.
//!
//! # Checking evidence
//! Whoever knows the genesis needs nothing else: both things are of the genesis' chain and of one epoch, signer, round
//! and, for votes, author; they name different vertices; and the consensus key that the genesis gives the signer verifies
//! both signatures, over [`vertex_signing_digest`] or [`vote_signing_digest`].

use fresnel_crypto::{Item, Verifier};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    AuthorityIndex, Round, Signature, VertexRef, Vote, codec,
    verify::Rules,
    vertex::{SignedHead, vertex_signing_digest, vote_signing_digest},
};

/// Two things signed by one authority that contradict one another.
#[expect(clippy::large_enum_variant, reason = "there is one for an authority at most")]
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Evidence {
    /// Two vertices of one author and round.
    Vertices {
        /// The one that whoever noticed it saw first.
        first: SignedHead,
        /// The other.
        second: SignedHead,
    },
    /// Two votes of one voter for one slot.
    Votes {
        /// The one that whoever noticed it saw first.
        first: Vote,
        /// The other.
        second: Vote,
    },
}

/// Why something is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The bytes are not those of a file with evidence.
    #[error("not the bytes of evidence of this version")]
    Malformed,
    /// It is about another chain or epoch.
    #[error("it is about another chain or epoch")]
    Chain,
    /// The chain has no such authority.
    #[error("it accuses an authority that the genesis does not have")]
    Unknown,
    /// The two are of different signers, rounds or slots, or are one and the same.
    #[error("the two do not contradict one another")]
    Consistent,
    /// Somebody else signed.
    #[error("a signature does not verify")]
    Signature,
}

impl Evidence {
    /// Who is accused.
    pub fn accused(&self) -> AuthorityIndex {
        match self {
            Self::Vertices { first, .. } => first.head.author,
            Self::Votes { first, .. } => first.voter,
        }
    }

    /// The two vertices that were signed or voted for.
    pub fn vertices(&self) -> (VertexRef, VertexRef) {
        match self {
            Self::Vertices { first, second } => (first.head.reference(), second.head.reference()),
            Self::Votes { first, second } => (first.vertex, second.vertex),
        }
    }

    /// The round in which it happened.
    pub fn round(&self) -> Round {
        match self {
            Self::Vertices { first, .. } => first.head.round,
            Self::Votes { first, .. } => first.vertex.round,
        }
    }

    /// What was signed twice, in a word.
    pub fn offence(&self) -> &'static str {
        match self {
            Self::Vertices { .. } => "vertices",
            Self::Votes { .. } => "votes",
        }
    }

    /// Checks it against the genesis that `rules` are of. Gives the accused.
    ///
    /// # Errors
    /// Why it accuses nobody.
    pub fn check(&self, rules: &Rules, verifier: &mut Verifier) -> Result<AuthorityIndex, EvidenceError> {
        let accused = self.accused();
        let authority = rules.committee.authority(accused).ok_or(EvidenceError::Unknown)?;
        let (one, other) = self.vertices();
        if one.id == other.id || (one.round, one.author) != (other.round, other.author) {
            return Err(EvidenceError::Consistent);
        }
        let signed: [([u8; 32], &Signature); 2] = match self {
            Self::Vertices { first, second } => {
                let is_foreign = |signed: &SignedHead| {
                    signed.head.chain != rules.chain || signed.head.epoch != rules.epoch
                };
                if is_foreign(first) || is_foreign(second) {
                    return Err(EvidenceError::Chain);
                }
                [
                    (vertex_signing_digest(&one.id), &first.signature),
                    (vertex_signing_digest(&other.id), &second.signature),
                ]
            }
            Self::Votes { first, second } => {
                if first.voter != second.voter {
                    return Err(EvidenceError::Consistent);
                }
                let digest = |vote: &Vote| vote_signing_digest(&rules.chain, rules.epoch, vote);
                [(digest(first), &first.signature), (digest(second), &second.signature)]
            }
        };
        let key = &authority.consensus_key.0;
        let items =
            signed.each_ref().map(|(message, signature)| Item { key, message, signature: &signature.0 });
        if verifier.verify(&items).is_empty() { Ok(accused) } else { Err(EvidenceError::Signature) }
    }

    /// The bytes of a file with it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        codec::encode_into(&mut bytes, self);
        bytes
    }

    /// Evidence from a file.
    ///
    /// # Errors
    /// When the bytes are not those of evidence of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(EvidenceError::Malformed)?;
        codec::decode(body).map_err(|_| EvidenceError::Malformed)
    }
}

/// Stands before the encoding in a file.
const MAGIC: &[u8] = b"fresnel evidence 1\n";

#[cfg(test)]
mod tests {
    use fresnel_crypto::SigningKey;

    use super::*;
    use crate::{
        Authority, ChainId, CommitVote, Epoch, Genesis, Parameters, PublicKey, Shards, Timestamp, VertexHead,
        VertexId, hash::Root, limits::PROTOCOL_VERSION,
    };

    fn key(index: u16) -> SigningKey {
        SigningKey::from_bytes(&[index as u8 + 1; 32])
    }

    fn rules() -> Rules {
        let authority = |index: u16| Authority {
            name: format!("a{index}"),
            stake: 1,
            consensus_key: PublicKey::of(&key(index)),
            network_keys: vec![],
        };
        Rules::of(&Genesis {
            protocol: PROTOCOL_VERSION,
            name: "test".to_owned(),
            shards: Shards::new(1).expect("one"),
            parameters: Parameters::default(),
            authorities: (0..4).map(authority).collect(),
            accounts: vec![],
        })
    }

    fn head(rules: &Rules, author: u16, round: u64, time: u64) -> SignedHead {
        let head = VertexHead {
            chain: rules.chain,
            epoch: rules.epoch,
            round: Round(round),
            author: AuthorityIndex(author),
            time: Timestamp(time),
            parents: vec![],
            weak: vec![],
            commit_vote: CommitVote::default(),
            payload_root: Root::default(),
            attestation_root: Root::default(),
        };
        let signature = Signature(key(author).sign(&vertex_signing_digest(&head.id())));
        SignedHead { head, signature }
    }

    fn vote(rules: &Rules, voter: u16, round: u64, id: u8, stored: bool) -> Vote {
        let vertex = VertexRef { round: Round(round), author: AuthorityIndex(2), id: VertexId([id; 32]) };
        Vote::sign(&rules.chain, rules.epoch, AuthorityIndex(voter), vertex, stored, &key(voter))
    }

    #[test]
    fn two_vertices_of_a_round_and_two_votes_for_a_slot_accuse_and_nothing_else_does() {
        let rules = rules();
        let mut verifier = Verifier::with_seed([1; 32]);
        let mut check = |evidence: &Evidence| evidence.check(&rules, &mut verifier);
        let vertices = |first, second| Evidence::Vertices { first, second };
        let votes = |first, second| Evidence::Votes { first, second };
        let (one, other) = (head(&rules, 1, 5, 10), head(&rules, 1, 5, 11));
        let both = vertices(one.clone(), other.clone());
        assert_eq!(check(&both), Ok(AuthorityIndex(1)));
        assert_eq!(Evidence::from_bytes(&both.to_bytes()), Ok(both));
        let consistent = Err(EvidenceError::Consistent);
        assert_eq!(check(&vertices(one.clone(), one.clone())), consistent);
        assert_eq!(check(&vertices(one.clone(), head(&rules, 1, 6, 11))), consistent, "another round");
        assert_eq!(check(&vertices(one.clone(), head(&rules, 2, 5, 11))), consistent, "another author");
        let forged = SignedHead { signature: one.signature, ..other.clone() };
        assert_eq!(check(&vertices(one.clone(), forged)), Err(EvidenceError::Signature));
        let mut foreign = other;
        foreign.head.chain = ChainId([9; 32]);
        foreign.signature = Signature(key(1).sign(&vertex_signing_digest(&foreign.head.id())));
        assert_eq!(check(&vertices(one, foreign)), Err(EvidenceError::Chain));

        let vote = |voter, round, id, stored| vote(&rules, voter, round, id, stored);
        assert_eq!(check(&votes(vote(3, 5, 1, true), vote(3, 5, 2, true))), Ok(AuthorityIndex(3)));
        assert_eq!(check(&votes(vote(3, 5, 1, true), vote(3, 5, 1, false))), consistent, "for one vertex");
        assert_eq!(check(&votes(vote(3, 5, 1, true), vote(3, 6, 2, true))), consistent, "another slot");
        assert_eq!(check(&votes(vote(3, 5, 1, true), vote(0, 5, 2, true))), consistent, "two voters");
        let forged = Vote { voter: AuthorityIndex(0), ..vote(3, 5, 2, true) };
        assert_eq!(check(&votes(vote(0, 5, 1, true), forged)), Err(EvidenceError::Signature));
        let vertex = vote(3, 5, 2, true).vertex;
        let signed_there = Vote::sign(&rules.chain, Epoch(7), AuthorityIndex(3), vertex, true, &key(3));
        assert_eq!(check(&votes(vote(3, 5, 1, true), signed_there)), Err(EvidenceError::Signature));
    }

    #[test]
    fn other_files_are_no_evidence() {
        for bytes in [&b""[..], b"fresnel proof 1\n", b"fresnel evidence 1\n", b"fresnel evidence 1\n\x07"] {
            assert_eq!(Evidence::from_bytes(bytes), Err(EvidenceError::Malformed));
        }
    }
}
