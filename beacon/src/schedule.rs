//! Who is asked to anchor a round: slots and reputation.
//!
//! **Slots.** Each round has one slot per authority, in a permuted order that everybody computes alike: authority `a` of
//! the committee has as key the `a`-th little-endian u64 of the stream hash(chain, epoch, round, 0) ‖ hash(chain, epoch,
//! round, 1) ‖ …, and slots ascend by (key, index). The order of all slots sorts vertices of one round inside a commit;
//! the first slot whose author is not demoted is the round's *candidate* anchor. Since the chain is hashed in, epochs
//! and chains do not repeat one another's candidates.
//!
//! **Reputation.** Of each of the last [`WINDOW`] commits it is remembered whose vertices the anchors named as parents.
//! An authority's *support* is the number of those commits that name it. From [`WINDOW_MIN`] commits on, authorities are
//! demoted from the worst on (least support first, then highest index) while their support is below a part of the
//! commits in the window, which is the rule's to say, and the demoted stake stays within f. Demoted authorities propose,
//! vote and are ordered as ever; only nobody waits for them, and they come back once that part of a window names them.
//!
//! All of it depends on commits alone, and what a rule decides lies between two commits: so the demoted set is the same
//! for all replicas while anchors are sought.

use fresnel_types::{
    AuthorityIndex, AuthoritySet, Committee, Round, codec,
    hash::{Domain, hash},
    verify::Rules,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::rule::Ratio;

/// The order of the slots of a round.
pub fn slots(rules: &Rules, round: Round) -> Vec<AuthorityIndex> {
    let mut keyed = keys(rules, round);
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, author)| author).collect()
}

/// The author of the first slot of `round` that is not demoted.
pub fn candidate(rules: &Rules, demoted: &AuthoritySet, round: Round) -> AuthorityIndex {
    let standing = keys(rules, round).into_iter().filter(|(_, author)| !demoted.contains(*author));
    standing.min().expect("the demoted have at most f stake, so somebody is left").1
}

fn keys(rules: &Rules, round: Round) -> Vec<(u64, AuthorityIndex)> {
    let mut keyed = Vec::with_capacity(rules.committee.size());
    for author in rules.committee.indices() {
        let (block, word) = (author.index() / 4, author.index() % 4);
        if word == 0 {
            let place = codec::encode(&(rules.epoch, round, block as u64));
            let stream = hash(Domain::Slots, &[&rules.chain.0, &place]);
            let words = stream.chunks_exact(8).map(|word| word.try_into().expect("chunks of 8"));
            keyed.extend(words.map(u64::from_le_bytes).zip(rules.committee.indices().skip(author.index())));
        }
    }
    keyed
}

/// Whom the last anchors named.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Reputation {
    /// Whom the anchors of each commit named, oldest first.
    window: Vec<AuthoritySet>,
}

impl Reputation {
    /// Counts a commit whose anchors name `parents`.
    pub fn record(&mut self, parents: AuthoritySet) {
        if self.window.len() == WINDOW {
            self.window.remove(0);
        }
        self.window.push(parents);
    }

    /// In how many commits of the window the anchors named `author`.
    pub fn support(&self, author: AuthorityIndex) -> usize {
        self.window.iter().filter(|parents| parents.contains(author)).count()
    }

    /// Who is demoted after these commits for less support than `least`.
    pub fn demoted(&self, committee: &Committee, least: Ratio) -> AuthoritySet {
        let mut demoted = AuthoritySet::default();
        if self.window.len() < WINDOW_MIN {
            return demoted;
        }
        let mut ranked: Vec<_> =
            committee.indices().rev().map(|author| (self.support(author), author)).collect();
        ranked.sort_by_key(|&(support, _)| support);
        let mut stake = 0;
        for (support, author) in ranked {
            stake += committee.stake_of(author);
            if least.of * support >= least.parts * self.window.len() || stake > committee.faulty() {
                break;
            }
            demoted.insert(author);
        }
        demoted
    }
}

/// Commits in the window of reputation.
pub const WINDOW: usize = 64;

/// Commits from which on anybody is demoted: enough for a short stutter not to count.
pub const WINDOW_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::rules;

    const THIRD: Ratio = Ratio { parts: 1, of: 3 };

    fn authors(members: &[u16]) -> AuthoritySet {
        members.iter().map(|&author| AuthorityIndex(author)).collect()
    }

    #[test]
    fn slots_are_a_permutation_that_changes_with_the_round_and_starts_with_the_candidate() {
        for size in [1, 4, 5, 7, 100] {
            let rules = rules(size, 1, |_| ());
            let mut firsts = AuthoritySet::default();
            for round in (1..2_000).map(Round) {
                let order = slots(&rules, round);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, rules.committee.indices().collect::<Vec<_>>());
                assert_eq!(candidate(&rules, &AuthoritySet::default(), round), order[0]);
                let demoted = order[..(size - 1) / 3].iter().copied().collect();
                assert_eq!(candidate(&rules, &demoted, round), order[(size - 1) / 3]);
                firsts.insert(order[0]);
            }
            assert_eq!(firsts, rules.committee.all(), "everybody's turn comes");
        }
    }

    #[test]
    fn slots_are_part_of_the_protocol() {
        let rules = rules(7, 1, |_| ());
        let order = |round| slots(&rules, Round(round)).iter().map(|a| a.0).collect::<Vec<_>>();
        let mut other = rules.clone();
        other.epoch = fresnel_types::Epoch(1);
        assert_ne!(order(1), order(2));
        assert_ne!(slots(&rules, Round(1)), slots(&other, Round(1)), "another epoch, another order");
    }

    #[test]
    fn the_worst_are_demoted_within_f_and_come_back() {
        let rules = rules(7, 1, |_| ());
        let committee = &rules.committee;
        let mut reputation = Reputation::default();
        for _ in 0..WINDOW_MIN - 1 {
            reputation.record(authors(&[0, 1, 2, 4]));
        }
        assert_eq!(reputation.demoted(committee, THIRD), authors(&[]), "too early");
        reputation.record(authors(&[0, 1, 2, 4]));
        assert_eq!(
            reputation.demoted(committee, THIRD),
            authors(&[5, 6]),
            "at most f = 2, the highest index first"
        );
        for _ in 0..5 {
            reputation.record(authors(&[0, 1, 2, 4, 6]));
        }
        assert_eq!(reputation.demoted(committee, THIRD), authors(&[3, 5]), "the least supported first");
        for _ in 0..WINDOW {
            reputation.record(authors(&[0, 1, 2, 3, 5]));
        }
        assert_eq!(reputation.demoted(committee, THIRD), authors(&[4, 6]), "the window forgets");
        for _ in 0..21 {
            reputation.record(authors(&[0, 1, 2, 3, 4, 5]));
        }
        assert_eq!(reputation.demoted(committee, THIRD), authors(&[4, 6]), "21 of 64 is less than a third");
        reputation.record(authors(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(reputation.demoted(committee, THIRD), authors(&[6]), "22 is not");
    }

    #[test]
    fn stake_bounds_who_is_demoted() {
        let rules = rules(4, 1, |genesis| {
            for (authority, stake) in genesis.authorities.iter_mut().zip([3, 3, 3, 5]) {
                authority.stake = stake;
            }
        });
        let mut reputation = Reputation::default();
        for _ in 0..WINDOW_MIN {
            reputation.record(authors(&[0, 1]));
        }
        assert_eq!(reputation.demoted(&rules.committee, THIRD), authors(&[]), "f = 4, and the worst has 5");
    }
}
