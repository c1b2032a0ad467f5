//! Past commits with what they ordered, for peers that are behind the floor and for whoever compares orders.

use std::{collections::VecDeque, sync::Arc};

use fresnel_types::{
    Attestation, Commit, CommitDigest, CommitIndex, Message, Round, SignedVertex, codec,
    message::CommitWithVertices, proof::SignedAttestation,
};

use crate::{
    attested::Attested,
    limits::{
        ANSWER_BYTES, COMMIT_BYTES_RETAINED, COMMITS_PER_RANGE, COMMITS_RETAINED, DIGESTS_PER_ANSWER,
        DIGESTS_RETAINED,
    },
};

/// The youngest commits, bounded by number and bytes.
#[derive(Debug, Default)]
pub(crate) struct History {
    commits: VecDeque<Past>,
    bytes: usize,
    digests: VecDeque<(CommitIndex, CommitDigest)>,
    attested: Attested,
}

#[derive(Debug)]
struct Past {
    commit: Commit,
    vertices: Vec<Arc<SignedVertex>>,
    bytes: usize,
}

impl History {
    /// Adds the next commit and forgets the oldest beyond the bounds.
    pub(crate) fn add(&mut self, commit: Commit, digest: CommitDigest, vertices: Vec<Arc<SignedVertex>>) {
        self.add_digest(commit.index, digest);
        vertices.iter().for_each(|vertex| self.attested.ordered(vertex));
        let bytes = codec::encoded_len(&commit)
            + vertices.iter().map(|vertex| codec::encoded_len::<SignedVertex>(vertex)).sum::<usize>();
        self.bytes += bytes;
        self.commits.push_back(Past { commit, vertices, bytes });
        while self.commits.len() > COMMITS_RETAINED || self.bytes > COMMIT_BYTES_RETAINED {
            let Some(past) = self.commits.pop_front() else { break };
            self.bytes -= past.bytes;
        }
    }

    /// Adds the next commit, of which not all vertices are there any more: it and what came before is for no peer.
    pub(crate) fn add_bare(&mut self, index: CommitIndex, digest: CommitDigest) {
        self.add_digest(index, digest);
        self.commits.clear();
        self.bytes = 0;
    }

    fn add_digest(&mut self, index: CommitIndex, digest: CommitDigest) {
        self.digests.push_back((index, digest));
        if self.digests.len() > DIGESTS_RETAINED {
            self.digests.pop_front();
        }
    }

    /// The last commit added.
    pub(crate) fn last(&self) -> Option<(CommitIndex, CommitDigest)> {
        self.digests.back().copied()
    }

    /// The commits from an index on, as many as fit an answer, with their bytes; none when they are not kept or not made
    /// yet.
    pub(crate) fn range(&self, from: CommitIndex) -> Option<(Message, usize)> {
        let first = self.commits.front()?.commit.index;
        let skip = usize::try_from(from.0.checked_sub(first.0)?).ok()?;
        let (mut range, mut bytes) = (vec![], 0);
        for past in self.commits.iter().skip(skip).take(COMMITS_PER_RANGE) {
            if bytes + past.bytes > ANSWER_BYTES && !range.is_empty() {
                break;
            }
            bytes += past.bytes;
            range.push(CommitWithVertices {
                commit: past.commit.clone(),
                vertices: past.vertices.iter().map(|vertex| (**vertex).clone()).collect(),
            });
        }
        (!range.is_empty()).then_some((Message::CommitRange(range), bytes))
    }

    /// One commit, if it is kept.
    pub(crate) fn commit(&self, index: CommitIndex) -> Option<Commit> {
        let first = self.commits.front()?.commit.index;
        let place = usize::try_from(index.0.checked_sub(first.0)?).ok()?;
        self.commits.get(place).map(|past| past.commit.clone())
    }

    /// The commits, the last first, that may have ordered anything of a round or above.
    pub(crate) fn since(&self, round: Round) -> impl Iterator<Item = &Commit> {
        let commits = self.commits.iter().rev().map(|past| &past.commit);
        commits.take_while(move |commit| commit.anchor.round >= round)
    }

    /// Who attested a record, as far as it is remembered.
    pub(crate) fn attested(&self, attestation: &Attestation) -> Vec<SignedAttestation> {
        self.attested.of(attestation)
    }

    /// Index and digest from an index on, as far as they are remembered.
    pub(crate) fn digests(&self, from: CommitIndex) -> impl Iterator<Item = (CommitIndex, CommitDigest)> {
        let first = self.digests.front().map_or(0, |(index, _)| index.0);
        let skip = usize::try_from(from.0.saturating_sub(first)).unwrap_or(usize::MAX);
        self.digests.iter().skip(skip).copied()
    }

    /// The same, as many as fit an answer.
    pub(crate) fn digests_for_answer(&self, from: CommitIndex) -> Vec<(CommitIndex, CommitDigest)> {
        self.digests(from).take(DIGESTS_PER_ANSWER).collect()
    }
}
