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

use crate::limits::{CLAIMS_PER_AUTHORITY, COMMIT_BYTES_BUFFERED, COMMITS_BEHIND, COMMITS_BUFFERED};

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
    /// Whom to ask next.
    next: AuthorityIndex,
    active: bool,
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
    pub(crate) fn new(me: AuthorityIndex, authorities: usize) -> Self {
        Self {
            me,
            claims: vec![BTreeMap::new(); authorities],
            positions: vec![CommitIndex(0); authorities],
            buffer: VecDeque::new(),
            bytes: 0,
            asked: None,
            next: AuthorityIndex(0),
            active: false,
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
        self.active |= commit.0.saturating_sub(last.index.0) > COMMITS_BEHIND;
    }

    /// Nothing moves here: ask, if anybody is ahead.
    pub(crate) fn stalled(&mut self, last: Last) {
        self.active |= self.is_behind(last);
    }

    fn is_behind(&self, last: Last) -> bool {
        self.positions.iter().any(|position| *position > last.index)
            || self.claims.iter().any(|claims| claims.last_key_value().is_some_and(|(i, _)| *i > last.index))
    }

    /// Takes a peer's answer. Whatever does not continue the own order and the buffer is dropped.
    pub(crate) fn receive(&mut self, from: AuthorityIndex, range: Vec<CommitWithVertices>, last: Last) {
        let Some(asked) = self.asked.take_if(|asked| asked.peer == from) else { return };
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
        if !news {
            self.asked = Some(asked);
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
        patience: u64,
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
        let able = |&peer: &usize| peer != self.me.index() && self.positions[peer] > last.index;
        let anybody = |&peer: &usize| peer != self.me.index();
        let peer = (0..size).map(turn).find(able).or_else(|| (0..size).map(turn).find(anybody))?;
        let index = |peer: usize| AuthorityIndex(u16::try_from(peer).expect("at most 256 authorities"));
        self.next = index((peer + 1) % size);
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
