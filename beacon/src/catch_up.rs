//! Commits taken from others when the window of the DAG cannot close the gap.
//!
//! A commit is applied only when a digest at or behind it is vouched for by f + 1 authorities: by the commit votes in
//! their signed vertices, or by sending the same commit themselves. So at least one honest authority made it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Commit, CommitDigest, CommitIndex, CommitVote, Committee, SignedVertex,
    Timestamp, codec, message::CommitWithVertices,
};

use crate::limits::{
    CLAIMS_PER_AUTHORITY, COMMIT_BYTES_BUFFERED, COMMITS_BEHIND, COMMITS_BUFFERED, PATIENCE_DOUBLINGS,
};

/// What others say about commits beyond the own last one.
#[derive(Debug)]
pub(crate) struct CatchUp {
    me: AuthorityIndex,
    /// Per authority: digests it vouches for.
    claims: Vec<BTreeMap<CommitIndex, CommitDigest>>,
    /// Per authority: the last commit it said it has.
    positions: Vec<CommitIndex>,
    /// Consecutive commits behind the own last one, not vouched for yet.
    buffer: VecDeque<Received>,
    bytes: usize,
    asked: Option<Asked>,
    /// Requests in a row that brought nothing new: each doubles the patience with the next.
    silent: u32,
    /// Whom to ask next.
    next: AuthorityIndex,
    active: bool,
    /// Commits behind a peer from which on ranges are asked for at once instead of when nothing moves.
    far: u64,
}

/// A commit that a peer sent.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) commit: Commit,
    pub(crate) vertices: Vec<Arc<SignedVertex>>,
    digest: CommitDigest,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: AuthorityIndex,
    until: Timestamp,
}

/// The own last commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) index: CommitIndex,
    pub(crate) digest: CommitDigest,
}

impl CatchUp {
    /// `floor_depth`: who is more commits behind than that finds nothing in the DAGs of others to go on from.
    pub(crate) fn new(me: AuthorityIndex, authorities: usize, floor_depth: u64) -> Self {
        Self {
            me,
            claims: vec![BTreeMap::new(); authorities],
            positions: vec![CommitIndex(0); authorities],
            buffer: VecDeque::new(),
            bytes: 0,
            asked: None,
            silent: 0,
            next: AuthorityIndex(0),
            active: false,
            far: COMMITS_BEHIND.min(floor_depth),
        }
    }

    /// An authority vouches for the order up to a commit.
    /// Whether that is news.
    pub(crate) fn claim(&mut self, author: AuthorityIndex, vote: CommitVote, last: Last) -> bool {
        if vote.index <= last.index {
            return false;
        }
        let Some(claims) = self.claims.get_mut(author.index()) else { return false };
        let news = claims.insert(vote.index, vote.digest) != Some(vote.digest);
        if claims.len() > CLAIMS_PER_AUTHORITY {
            claims.pop_first();
        }
        news
    }

    /// An authority says how far it is. Far behind it, ranges are asked for without waiting for a stall.
    pub(crate) fn position(&mut self, peer: AuthorityIndex, commit: CommitIndex, last: Last) {
        if let Some(position) = self.positions.get_mut(peer.index()) {
            *position = commit;
        }
        self.active |= commit.0.saturating_sub(last.index.0) > self.far;
    }

    /// Nothing moves here: ask, if anybody is ahead.
    pub(crate) fn stalled(&mut self, last: Last) {
        self.active |= self.is_behind(last);
    }

    fn is_behind(&self, last: Last) -> bool {
        (0..self.positions.len()).any(|peer| self.is_ahead(peer, last))
    }

    /// Whether a peer said that it is ahead, or vouches for a commit further on.
    fn is_ahead(&self, peer: usize, last: Last) -> bool {
        let claimed = self.claims[peer].last_key_value().is_some_and(|(index, _)| *index > last.index);
        claimed || self.positions[peer] > last.index
    }

    /// Takes a peer's answer, also one that comes when the next peer has been asked already: on a slow link every answer
    /// does. Whatever does not continue the own order and the buffer is dropped.
    pub(crate) fn receive(&mut self, from: AuthorityIndex, range: Vec<CommitWithVertices>, last: Last) {
        if !self.active {
            return;
        }
        let mut news = false;
        for CommitWithVertices { commit, vertices } in range {
            if commit.index <= last.index {
                continue;
            }
            if self.digest_before(commit.index, last) != Some(commit.previous) {
                break;
            }
            let (index, digest) = (commit.index, commit.digest());
            news |= self.claim(from, CommitVote { index, digest }, last);
            if let Some(position) = self.positions.get_mut(from.index()) {
                *position = (*position).max(index);
            }
            let place = index.0 - last.index.0 - 1;
            if place != self.buffer.len() as u64 {
                continue;
            }
            let bytes = codec::encoded_len(&commit) + vertices.iter().map(codec::encoded_len).sum::<usize>();
            if self.buffer.len() >= COMMITS_BUFFERED || self.bytes + bytes > COMMIT_BYTES_BUFFERED {
                break;
            }
            for vertex in &vertices {
                self.claim(vertex.vertex.head.author, vertex.vertex.head.commit_vote, last);
            }
            self.bytes += bytes;
            let vertices = vertices.into_iter().map(Arc::new).collect();
            self.buffer.push_back(Received { commit, vertices, digest, bytes });
        }
        // Somebody who has nothing to add would otherwise be asked again as fast as it answers.
        if news {
            self.silent = 0;
            self.asked.take_if(|asked| asked.peer == from);
        }
    }

    /// The digest of the commit before `index`, as the own order and the buffer have it.
    fn digest_before(&self, index: CommitIndex, last: Last) -> Option<CommitDigest> {
        match index.0.checked_sub(last.index.0 + 1)? {
            0 => Some(last.digest),
            place => Some(self.buffer.get(usize::try_from(place - 1).ok()?)?.digest),
        }
    }

    /// Takes out the commits that f + 1 authorities vouch for. A buffer that contradicts them is dropped.
    pub(crate) fn take_certified(&mut self, committee: &Committee) -> Vec<Received> {
        for place in (0..self.buffer.len()).rev() {
            let received = &self.buffer[place];
            let (index, digest) = (received.commit.index, received.digest);
            if committee.is_valid(&self.vouching(index, |claim| *claim == digest)) {
                let taken: Vec<Received> = self.buffer.drain(..=place).collect();
                self.bytes -= taken.iter().map(|received| received.bytes).sum::<usize>();
                return taken;
            }
            if committee.is_valid(&self.vouching(index, |claim| *claim != digest)) {
                self.drop_buffer();
                return vec![];
            }
        }
        vec![]
    }

    fn vouching(&self, index: CommitIndex, agrees: impl Fn(&CommitDigest) -> bool) -> AuthoritySet {
        let claims = self.claims.iter().enumerate();
        claims
            .filter(|(_, claims)| claims.get(&index).is_some_and(&agrees))
            .map(|(author, _)| AuthorityIndex(u16::try_from(author).expect("at most 256 authorities")))
            .collect()
    }

    /// Forgets commits that wait.
    pub(crate) fn drop_buffer(&mut self) {
        self.buffer.clear();
        self.bytes = 0;
    }

    /// The own order went on, by whatever means.
    pub(crate) fn committed(&mut self, last: Last) {
        for claims in &mut self.claims {
            *claims = claims.split_off(&last.index.next());
        }
        while self.buffer.front().is_some_and(|received| received.commit.index <= last.index) {
            self.bytes -= self.buffer.pop_front().map_or(0, |received| received.bytes);
        }
        if self.buffer.front().is_some_and(|received| received.commit.previous != last.digest) {
            self.drop_buffer();
        }
        self.active &= self.is_behind(last);
    }

    /// Whom to ask from where, now. One request at a time; peers in turn.
    pub(crate) fn request(
        &mut self,
        now: Timestamp,
        (patience, patience_max): (u64, u64),
        last: Last,
        committee: &Committee,
    ) -> Option<(AuthorityIndex, CommitIndex)> {
        if !self.active || self.asked.is_some_and(|asked| asked.until > now) {
            return None;
        }
        if self.asked.is_some() && self.buffer.is_empty() && !self.is_behind(last) {
            self.active = false;
            self.asked = None;
            return None;
        }
        let size = self.positions.len();
        let turn = |step: usize| (self.next.index() + step) % size;
        let able = |&peer: &usize| peer != self.me.index() && self.is_ahead(peer, last);
        let anybody = |&peer: &usize| peer != self.me.index();
        let peer = (0..size).map(turn).find(able).or_else(|| (0..size).map(turn).find(anybody))?;
        let index = |peer: usize| AuthorityIndex(u16::try_from(peer).expect("at most 256 authorities"));
        self.next = index((peer + 1) % size);
        let patience = (patience << self.silent.min(PATIENCE_DOUBLINGS)).min(patience_max);
        self.silent = self.silent.saturating_add(1);
        self.asked = Some(Asked { peer: index(peer), until: now.plus(patience) });
        let end = last.index.0 + self.buffer.len() as u64;
        // With a vouched-for digest further on, the buffer grows towards it; otherwise another peer must confirm it.
        let further =
            self.vouched_beyond(CommitIndex(end), committee) && self.buffer.len() < COMMITS_BUFFERED;
        let from = if further { end + 1 } else { last.index.0 + 1 };
        Some((index(peer), CommitIndex(from)))
    }

    fn vouched_beyond(&self, end: CommitIndex, committee: &Committee) -> bool {
        let indices = self.claims.iter().filter_map(|claims| claims.last_key_value());
        let beyond: Vec<_> = indices.filter(|(index, _)| **index > end).collect();
        beyond
            .iter()
            .any(|(index, digest)| committee.is_valid(&self.vouching(**index, |claim| claim == *digest)))
    }

    /// When `request` must be asked without any message.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.asked.filter(|_| self.active).map(|asked| asked.until)
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{Authority, PublicKey, Round, VertexId, VertexRef, hash::Root};

    use super::*;

    const LAST: Last = Last { index: CommitIndex(0), digest: CommitDigest([0; 32]) };

    fn committee() -> Committee {
        let authority = |index: u8| Authority {
            name: format!("a{index}"),
            stake: 1,
            consensus_key: PublicKey([index; 32]),
            network_keys: vec![],
        };
        Committee::new((0..4).map(authority).collect())
    }

    fn range(count: u64) -> Vec<CommitWithVertices> {
        let mut previous = CommitDigest::default();
        let anchor = VertexRef { round: Round(1), author: AuthorityIndex(0), id: VertexId([0; 32]) };
        (1..=count)
            .map(|index| {
                let commit = Commit {
                    index: CommitIndex(index),
                    previous,
                    anchor,
                    time: Timestamp(index),
                    floor: Round(0),
                    vertices: vec![],
                    state: Root::default(),
                };
                previous = commit.digest();
                CommitWithVertices { commit, vertices: vec![] }
            })
            .collect()
    }

    /// On links slower than the patience, the peer that answers is never the one asked last.
    #[test]
    fn answers_that_come_after_the_next_question_count() {
        let committee = committee();
        let mut behind = CatchUp::new(AuthorityIndex(3), 4, 256);
        for peer in 0..3 {
            behind.position(AuthorityIndex(peer), CommitIndex(100), LAST);
        }
        let ask = |behind: &mut CatchUp, now| behind.request(Timestamp(now), (10, 500), LAST, &committee);
        let (first, from) = ask(&mut behind, 0).expect("far behind");
        assert_eq!(from, CommitIndex(1));
        let (second, _) = ask(&mut behind, 10).expect("the first one is silent");
        assert_ne!(first, second);
        behind.receive(first, range(3), LAST);
        assert!(behind.take_certified(&committee).is_empty(), "one word is not enough");
        behind.receive(second, range(3), LAST);
        assert_eq!(behind.take_certified(&committee).len(), 3);
    }

    #[test]
    fn silence_makes_patient_and_news_impatient_again() {
        let committee = committee();
        let mut behind = CatchUp::new(AuthorityIndex(3), 4, 256);
        behind.position(AuthorityIndex(0), CommitIndex(100), LAST);
        let (mut now, mut waits) = (0, vec![]);
        for _ in 0..9 {
            behind.request(Timestamp(now), (10, 500), LAST, &committee).expect("the wait is over");
            let until = behind.deadline().expect("asked").0;
            assert_eq!(behind.request(Timestamp(until - 1), (10, 500), LAST, &committee), None);
            waits.push(until - now);
            now = until;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 500, 500, 500]);
        behind.receive(AuthorityIndex(0), range(2), LAST);
        behind.request(Timestamp(now), (10, 500), LAST, &committee).expect("there was news");
        assert_eq!(behind.deadline(), Some(Timestamp(now + 10)));
    }

    #[test]
    fn a_boaster_is_not_the_only_one_asked() {
        let committee = committee();
        let mut behind = CatchUp::new(AuthorityIndex(3), 4, 256);
        behind.position(AuthorityIndex(0), CommitIndex(u64::MAX), LAST);
        let vote = CommitVote { index: CommitIndex(64), digest: CommitDigest([1; 32]) };
        assert!(behind.claim(AuthorityIndex(2), vote, LAST));
        let mut asked = vec![];
        for _ in 0..4 {
            let now = behind.deadline().unwrap_or(Timestamp(0));
            let (peer, _) = behind.request(now, (10, 500), LAST, &committee).expect("the wait is over");
            asked.push(peer.0);
        }
        assert_eq!(asked, [0, 2, 0, 2]);
    }
}
