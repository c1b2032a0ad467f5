//! Lies about its position and about commits: too far, too little, and ranges of commits that nobody made.

use fresnel_types::{
    AuthoritySet, CommitDigest, CommitIndex, CommitVote, Message, Round, Timestamp,
    limits::COMMITS_PER_CHECKPOINT,
    message::{CommitWithVertices, Status},
};

use super::{
    Adversary, Content, Said, Wire,
    versions::{Cast, Versions, altered},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Boaster {
    versions: Versions,
}

impl Adversary for Boaster {
    fn says(&mut self, wire: &mut Wire<'_>, mut said: Said) {
        match &mut said.content {
            Content::Message(Message::Status(status)) => {
                wire.did("false positions");
                boast(wire, status);
            }
            Content::Message(Message::CommitRange(range)) => {
                wire.did("false commit ranges");
                falsify(wire, range);
            }
            _ => {}
        }
        self.versions.says(wire, said, |wire, signed| {
            if !wire.random.chance(VOTES_PERMILLE) {
                return None;
            }
            wire.did("false commit votes");
            let past = signed.vertex.head.commit_vote.index.0;
            let index = CommitIndex(past + COMMITS_PER_CHECKPOINT * wire.random.below(3));
            let vote = CommitVote { index, digest: CommitDigest(wire.random.bytes()) };
            let version = altered(signed, wire.key, |vertex| vertex.head.commit_vote = vote);
            Some(Cast { versions: vec![version], shown: vec![0; wire.rules.committee.size()] })
        });
    }
}

fn boast(wire: &mut Wire<'_>, status: &mut Status) {
    let extreme = |wire: &mut Wire<'_>, number: u64| match wire.random.below(4) {
        0 => 0,
        1 => u64::MAX,
        2 => number.saturating_add(wire.random.below(1_000)),
        _ => number,
    };
    status.round = Round(extreme(wire, status.round.0));
    status.commit = CommitIndex(extreme(wire, status.commit.0));
    match wire.random.below(4) {
        0 => status.held.clear(),
        1 => status.held = vec![(Round(u64::MAX), AuthoritySet::first(AuthoritySet::CAPACITY))],
        _ => {}
    }
}

/// The range goes on another way from some commit on; each commit still follows the one before.
fn falsify(wire: &mut Wire<'_>, range: &mut [CommitWithVertices]) {
    let from = wire.random.index(range.len().max(1));
    let mut previous = None;
    for CommitWithVertices { commit, .. } in &mut range[from..] {
        commit.previous = previous.unwrap_or(commit.previous);
        commit.time = Timestamp(commit.time.0 + 1);
        previous = Some(commit.digest());
    }
}

const VOTES_PERMILLE: u64 = 300;
