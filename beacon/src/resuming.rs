//! Beginning with an empty log: for the first time, or after everything was lost. The two look alike from inside, so both
//! begin by asking the others, and sign nothing until a quorum, themselves included, answered.
//!
//! **Who answers, and what.** Whether it ever saw a vertex of whoever asks, with its signed head as proof, and the certificate
//! of the highest round that it holds, none when nothing is certified. The answer is *complete* when that round is no lower
//! than the one below every own vertex and vote: what was signed is in the log, certificates need not be, and rounds go
//! on, so that comes about. As soon as anybody knows of a vertex, only complete answers count.
//!
//! **Why nothing is signed twice.** Say the lost log had an own vertex or vote of round r. Then a quorum of round r - 1 was
//! certified, and of the voters for one of these vertices some w is in the quorum that answers, honest, and not the one
//! who asks: two quorums share more than f, and who lost its log counts towards f. Whatever w voted for in round r - 1 is
//! in its log, so the certificate in its answer is of round r - 2 or higher. So with R the highest round that anybody
//! proved, r is at most R + [`MARGIN`], and above that nothing was signed. Rounds are proven, so that nobody can make
//! one wait for a round that never comes.
//!
//! **The first time.** Whoever had a vertex certified was seen by an honest one in the quorum, which remembers it also
//! beyond checkpoints. When nobody in it knows of one, there is nothing to remember, and rounds need no margin: else
//! beacons that begin late would hold up a chain that needs them. The exception that remains: who loses its log before
//! its first vertex is certified may sign once more what it signed since its start. Its operator should not bring it back.
//!
//! **Against the design**, which waits for the depth of the floor above R: that would cost hundreds of heartbeats on an idle
//! chain, and nothing needs it. What is forgotten of the DAG comes from the others like anything else.

use std::collections::BTreeMap;

use fresnel_types::{AuthorityIndex, Committee, Round, Timestamp};

/// Whether, and above which round, anything may be signed.
#[derive(Debug)]
pub(crate) enum Resuming {
    /// Nothing, before others said what they know.
    Asking(Asking),
    /// Whatever is of a round above this one.
    Above(Round),
}

/// What was asked and answered.
#[derive(Debug)]
pub(crate) struct Asking {
    /// The instant of the question: answers to one before a restart do not count.
    asked: Timestamp,
    /// Of each, the last answer.
    answers: BTreeMap<AuthorityIndex, RoundAnswer>,
    again: Timestamp,
    wait: u64,
}

/// What somebody says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundAnswer {
    /// Whether it saw a vertex of whoever asks.
    pub(crate) known: bool,
    /// The highest round of which it holds a certificate; 0 when it holds none.
    pub(crate) highest: Round,
    /// Whether nothing that it signed is of a round more than one above that.
    pub(crate) complete: bool,
}

impl Resuming {
    /// Begins to ask at `now`, and asks again after `wait` microseconds.
    pub(crate) fn asking(me: AuthorityIndex, now: Timestamp, wait: u64) -> Self {
        let nothing = RoundAnswer { known: false, highest: Round(0), complete: true };
        let answers = BTreeMap::from([(me, nothing)]);
        Self::Asking(Asking { asked: now, answers, again: now.plus(wait), wait })
    }

    /// Whether something of `round` may be signed.
    pub(crate) fn may_sign(&self, round: Round) -> bool {
        matches!(self, Self::Above(above) if round > *above)
    }

    /// The round at and below which nothing is signed, if that is known.
    pub(crate) fn above(&self) -> Option<Round> {
        match self {
            Self::Asking(_) => None,
            Self::Above(round) => Some(*round),
        }
    }

    /// The question, as long as there is one.
    pub(crate) fn question(&self) -> Option<Timestamp> {
        match self {
            Self::Asking(asking) => Some(asking.asked),
            Self::Above(_) => None,
        }
    }

    /// Takes an answer to the question of the instant `asked`.
    pub(crate) fn answer(&mut self, from: AuthorityIndex, asked: Timestamp, answer: RoundAnswer) {
        if let Self::Asking(asking) = self
            && asking.asked == asked
        {
            asking.answers.insert(from, answer);
        }
    }

    /// Stops asking once a quorum answered. Gives the round above which it signs from now on, which must be durable before
    /// anything is.
    pub(crate) fn conclude(&mut self, committee: &Committee) -> Option<Round> {
        let Self::Asking(asking) = self else { return None };
        let known = asking.answers.values().any(|answer| answer.known);
        let counted = || asking.answers.iter().filter(|(_, answer)| answer.complete || !known);
        if !committee.is_quorum(&counted().map(|(from, _)| *from).collect()) {
            return None;
        }
        let highest = counted().map(|(_, answer)| answer.highest).max().unwrap_or_default();
        let above = if known { Round(highest.0 + MARGIN) } else { Round(0) };
        *self = Self::Above(above);
        Some(above)
    }

    /// Whom to ask again, now: those who did not answer. The wait doubles up to `wait_max`.
    pub(crate) fn due(
        &mut self,
        now: Timestamp,
        wait_max: u64,
        committee: &Committee,
    ) -> Vec<AuthorityIndex> {
        match self {
            Self::Asking(asking) if asking.again <= now => {
                asking.wait = (asking.wait * 2).min(wait_max);
                asking.again = now.plus(asking.wait);
                let complete =
                    |peer: &AuthorityIndex| asking.answers.get(peer).is_some_and(|answer| answer.complete);
                committee.indices().filter(|peer| !complete(peer)).collect()
            }
            _ => vec![],
        }
    }

    /// When `due` must be asked without any message.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Asking(asking) => Some(asking.again),
            Self::Above(_) => None,
        }
    }
}

/// How far above the highest round proven certified something may have been signed and forgotten.
const MARGIN: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::rules;

    const ME: AuthorityIndex = AuthorityIndex(3);

    fn says(known: bool, highest: u64, complete: bool) -> RoundAnswer {
        RoundAnswer { known, highest: Round(highest), complete }
    }

    #[test]
    fn a_quorum_that_knows_of_nothing_lets_it_begin_and_one_that_does_says_where() {
        let committee = rules(4, 1, |_| ()).committee;
        let mut fresh = Resuming::asking(ME, Timestamp(5), 10);
        assert!(!fresh.may_sign(Round(1)));
        fresh.answer(AuthorityIndex(0), Timestamp(5), says(false, 0, true));
        assert_eq!(fresh.conclude(&committee), None, "two of four");
        fresh.answer(AuthorityIndex(1), Timestamp(4), says(true, 3, true));
        assert_eq!(fresh.conclude(&committee), None, "an answer to another question");
        fresh.answer(AuthorityIndex(1), Timestamp(5), says(false, 9, true));
        assert_eq!(fresh.conclude(&committee), Some(Round(0)), "late, and needed at once");
        assert!(fresh.may_sign(Round(1)) && fresh.question().is_none());

        let mut lost = Resuming::asking(ME, Timestamp(5), 10);
        lost.answer(AuthorityIndex(0), Timestamp(5), says(false, 7, true));
        lost.answer(AuthorityIndex(2), Timestamp(5), says(true, 4, true));
        assert_eq!(lost.conclude(&committee), Some(Round(9)));

        let mut unsure = Resuming::asking(ME, Timestamp(5), 10);
        unsure.answer(AuthorityIndex(0), Timestamp(5), says(false, 3, false));
        unsure.answer(AuthorityIndex(2), Timestamp(5), says(true, 4, true));
        assert_eq!(unsure.conclude(&committee), None, "one does not know yet how far it signed");
        unsure.answer(AuthorityIndex(0), Timestamp(5), says(false, 7, true));
        assert_eq!(unsure.conclude(&committee), Some(Round(9)));
        assert!(!lost.may_sign(Round(9)) && lost.may_sign(Round(10)));
    }

    #[test]
    fn who_does_not_answer_is_asked_again_less_and_less_often() {
        let committee = rules(4, 1, |_| ()).committee;
        let mut lost = Resuming::asking(ME, Timestamp(0), 10);
        lost.answer(AuthorityIndex(1), Timestamp(0), says(false, 0, true));
        let mut waits = vec![];
        let mut now = Timestamp(0);
        for _ in 0..4 {
            let again = lost.deadline().expect("asking");
            waits.push(again.since(now));
            now = again;
            assert_eq!(lost.due(now, 50, &committee), [0, 2].map(AuthorityIndex));
            assert!(lost.due(now, 50, &committee).is_empty());
        }
        assert_eq!(waits, [10, 20, 40, 50]);
        assert_eq!(rules(1, 1, |_| ()).committee.quorum(), 1);
        assert_eq!(
            Resuming::asking(AuthorityIndex(0), now, 10).conclude(&rules(1, 1, |_| ()).committee),
            Some(Round(0))
        );
    }
}
