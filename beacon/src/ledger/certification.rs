//! Of one shard: who attested what, and what is certified.
//!
//! The first ordered attestation of an author for a block counts; a different later one is a contradiction. Attestations
//! of blocks that are certified already or not yet closed are ignored, and so is what an author attests beyond
//! `lag_max + `[`SLACK`] outstanding blocks, so the memory for one author is bounded. When equal attestations of a block
//! have a quorum, the block is certified, and with it all before, since a record commits to its predecessors.

use std::collections::BTreeMap;

use fresnel_types::{
    Attestation, AuthorityIndex, AuthoritySet, BlockIndex, Committee, RecordDigest, commit::Certified,
};
use wincode::{SchemaRead, SchemaWrite};

/// What is attested and certified of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Certification {
    certified: Certified,
    /// Per uncertified block what was attested, in the order in which it first was.
    attested: BTreeMap<BlockIndex, Vec<Attested>>,
    /// Closed blocks with batches of the shard that are not certified, ascending.
    uncertified: Vec<BlockIndex>,
}

/// A record with those who attested it first.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
struct Attested {
    record: RecordDigest,
    authors: AuthoritySet,
}

/// What became of an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It says nothing new, or nothing that counts.
    Ignored,
    /// It counts.
    Counted,
    /// It completed a quorum.
    Certified,
    /// The author attested another record of the block before.
    Contradiction,
}

impl Certification {
    /// The highest certified record.
    pub fn certified(&self) -> Certified {
        self.certified
    }

    /// Closed blocks with batches of the shard that are not certified.
    pub fn lag(&self) -> u64 {
        self.uncertified.len() as u64
    }

    /// Takes an attestation of `author`; `closed` is the last closed block.
    pub fn attest(
        &mut self,
        committee: &Committee,
        lag_max: u64,
        author: AuthorityIndex,
        attestation: &Attestation,
        closed: BlockIndex,
    ) -> Verdict {
        let Attestation { block, record, .. } = *attestation;
        if block <= self.certified.block || block > closed {
            return Verdict::Ignored;
        }
        if let Some(earlier) = self.attested_by(author, block) {
            return if earlier == record { Verdict::Ignored } else { Verdict::Contradiction };
        }
        if self.outstanding(author) as u64 >= lag_max + SLACK {
            return Verdict::Ignored;
        }
        let attested = self.attested.entry(block).or_default();
        let position = attested.iter().position(|other| other.record == record).unwrap_or_else(|| {
            attested.push(Attested { record, authors: AuthoritySet::default() });
            attested.len() - 1
        });
        attested[position].authors.insert(author);
        if !committee.is_quorum(&attested[position].authors) {
            return Verdict::Counted;
        }
        self.certified = Certified { block, record };
        self.attested = self.attested.split_off(&block.next());
        self.uncertified.retain(|&uncertified| uncertified > block);
        Verdict::Certified
    }

    /// A block with batches of the shard closed.
    pub fn close(&mut self, block: BlockIndex) {
        self.uncertified.push(block);
    }

    fn attested_by(&self, author: AuthorityIndex, block: BlockIndex) -> Option<RecordDigest> {
        let attested = self.attested.get(&block)?;
        attested.iter().find(|attested| attested.authors.contains(author)).map(|attested| attested.record)
    }

    fn outstanding(&self, author: AuthorityIndex) -> usize {
        let attested =
            |records: &&Vec<Attested>| records.iter().any(|record| record.authors.contains(author));
        self.attested.values().filter(attested).count()
    }
}

/// Outstanding attestations of an author beyond `lag_max`: blocks whose only input is receipts have records too.
pub const SLACK: u64 = 64;
