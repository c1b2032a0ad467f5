//! How much each peer is given on request: a request is small, an answer is up to megabytes.

use fresnel_types::{AuthorityIndex, Timestamp};

use crate::limits::{ANSWER_BYTES_AT_ONCE, ANSWER_BYTES_PER_SECOND};

/// What was answered lately, per peer.
#[derive(Debug)]
pub(crate) struct Answers {
    peers: Vec<Given>,
}

/// Bytes given to a peer and not yet worn off.
#[derive(Clone, Debug, Default)]
struct Given {
    bytes: u64,
    /// When that was.
    at: Timestamp,
}

impl Answers {
    pub(crate) fn new(authorities: usize) -> Self {
        Self { peers: vec![Given::default(); authorities] }
    }

    /// Whether a peer may be given anything now. One that may not asks again, and others besides.
    pub(crate) fn may(&mut self, peer: AuthorityIndex, now: Timestamp) -> bool {
        let Some(given) = self.peers.get_mut(peer.index()) else { return false };
        let worn = now.since(given.at).saturating_mul(ANSWER_BYTES_PER_SECOND) / 1_000_000;
        given.bytes = given.bytes.saturating_sub(worn);
        given.at = now;
        given.bytes < ANSWER_BYTES_AT_ONCE
    }

    /// A peer is given that many bytes.
    pub(crate) fn give(&mut self, peer: AuthorityIndex, bytes: usize) {
        if let Some(given) = self.peers.get_mut(peer.index()) {
            given.bytes = given.bytes.saturating_add(bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greedy_peer_gets_its_rate_and_leaves_others_theirs() {
        let (greedy, modest) = (AuthorityIndex(0), AuthorityIndex(1));
        let (mut answers, mut bytes, answer) = (Answers::new(2), 0, 4 << 20);
        for millis in 0..10_000 {
            let now = Timestamp(millis * 1_000);
            if answers.may(greedy, now) {
                answers.give(greedy, answer);
                bytes += answer as u64;
            }
            assert!(answers.may(modest, now));
        }
        let most = ANSWER_BYTES_AT_ONCE + 10 * ANSWER_BYTES_PER_SECOND;
        assert!(bytes <= most + answer as u64 && bytes > most * 9 / 10, "{bytes} of {most}");
        assert!(!answers.may(AuthorityIndex(2), Timestamp(0)), "nobody");
    }
}
