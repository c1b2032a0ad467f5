//! Every vertex an anchor, committed by proposals: three message delays from a proposal to its commit.
//!
//! **The rule.** Let r be the pointer and D the demoted as the commit before left them; both stay as they are until the
//! round is decided. The *anchors* of r are the vertices of r whose authors are not in D. A vertex v of round r is
//! *directly committed* when it is present (certified, with its history) and
//!
//! * (a) certified vertices of round r + 1 that name v as a parent have stake f + 1, or
//! * (b) authors of stake n − f signed a vertex of round r + 1 that names v as a parent, be it certified or not.
//!
//! 1. When the slots of r outside D are all directly committed, they are the anchors of the next commit.
//! 2. Otherwise let b₁, b₂, … be the candidates of rounds r + 2, r + 4, … under D. Let k* be the least k with a directly
//!    committed bₖ; when there is none, nothing is decided yet. cur = bₖ*. For j = k* − 1 down to 1: when bⱼ is present
//!    and reachable from cur by parents, cur = bⱼ. The anchors of the next commit are the vertices of r outside D that
//!    cur reaches; the other slots of r are passed.
//! 3. The next pointer is r + 1, so every round makes one commit.
//!
//! **Why a directly committed vertex is reached by all that comes.** Say v of round r is directly committed somewhere.
//! Then authors H of stake f + 1 exist whose only vertex of r + 1 that can be certified names v: with (a) the authors of
//! the certified vertices (A2: one certificate per slot); with (b) the honest ones among the n − f, who have stake
//! n − 2f ≥ f + 1 and sign one vertex per round, also across power loss (A3). A vertex of round r + 2 names certified
//! vertices of r + 1 with stake n − f, and n − f + f + 1 > n, so one of them is by a member of H, and leads to v. By
//! induction every vertex of round r + 2 or later reaches v, at whatever replica, seen or not.
//!
//! **Why all replicas agree.** By induction over commits they have the same r and D. (i) Two that use step 2 end with
//! the same cur: when one finds k* = k and the other m > k, the second's cur is at round r + 2k + 2 or later until it
//! comes to j = k, so it reaches bₖ and goes on with it, as the first does; below bₖ both walk through the history of
//! bₖ, which is the same everywhere and complete above the floor, and the floor is below r. So they find the same anchors
//! in the history of cur. (ii) When one uses step 1 and another step 2, cur of the other is at r + 2 or later and reaches
//! every slot outside D, as these are all directly committed somewhere. So both commit exactly the slots outside D.
//! (iii) Step 1 gives all that use it the same. Which replica sees which proposals, and what it forgets of them in a
//! restart, decides when it commits and never what; a commit once made is in the log before anybody hears of it.
//! Step 2 never comes out empty: cur reaches a quorum of r, of which at most f stake is in D.
//!
//! **Against the papers.** Shoal++ (arXiv 2405.20488) has the quorum of uncertified proposals of (b) and an anchor in
//! every slot; it decides and commits slot after slot, each in an instance of its own that restarts one slot later. Here
//! the slots of a round are decided together: the instances of one round differ in their first anchor alone, since
//! schedule and later anchors are fixed when the pointer enters the round, so deciding them one after another gives
//! the same anchors, and what one commit orders is the same in one piece as in n. That costs the first slots of a round
//! the wait for the last, and saves n − 1 of n commits. When a slot is passed, Shoal++ goes on from the later anchor and
//! skips the rounds between; here the round's other slots and the rounds between keep their commits, so r + 1 does
//! not wait for what comes after r + 3. It runs three DAGs in turn to shorten the wait for the next round; here there is
//! one. Sailfish (eprint 2024/472) also commits on proposals, but orders its leader alone, and it needs certificates of
//! timeouts or no-votes to pass one; here (as in Bullshark) later anchors decide, and no further message exists.
//! Bullshark's own deviations are in [`bullshark`](super::bullshark).
//!
//! **Unsafe variants.** Against the first and the third the model in `beacon/model` finds a run.
//!
//! * f instead of f + 1 in (a), f + 1 instead of n − f in (b): H shrinks to f, or to the one honest author among f liars
//!   who have another vertex certified; a quorum of r + 1 can do without either.
//! * Adding the stakes of (a) and (b) up to f + 1, or counting an author twice for two vertices: as before.
//! * Passing a slot because a quorum does not name it: up to f may, and a later anchor may come through one of these.
//! * Weak links in (a) or (b): the later quorum is one of the round r + 1, and weak links come from anywhere.
//! * D or candidates read anew while a round is undecided, or from other than commits: two replicas would walk through
//!   different anchors.
//! * An own vertex that is signed again, differently, after a restart: it is in H for two vertices.

use fresnel_types::{AuthoritySet, Round};

use super::{CommitRule, Decision, Ratio, STEP, View};
use crate::dag::Place;

/// All undemoted vertices of a round per commit.
#[derive(Debug)]
pub(super) struct Fast;

impl CommitRule for Fast {
    fn decide(&self, view: &View) -> Option<Decision> {
        let round = view.pointer;
        let slots = self.awaited(view, round);
        if slots.iter().all(|author| is_committed(view, (round, author))) {
            return Some(Decision { round, anchors: slots, direct: true });
        }
        let (later, _) = view.walk(Round(round.0 + STEP), |place| is_committed(view, place))?;
        let anchors = view.dag.reached(later, round).intersection(&slots);
        Some(Decision { round, anchors, direct: false })
    }

    fn may_decide(&self, view: &View, round: Round, anchors: &AuthoritySet) -> bool {
        round == view.pointer && !anchors.is_empty() && anchors.intersection(view.demoted).is_empty()
    }

    fn awaited(&self, view: &View, _: Round) -> AuthoritySet {
        view.rules.committee.all().difference(view.demoted)
    }

    fn passed(&self, view: &View, round: Round, anchors: &AuthoritySet) -> u64 {
        self.awaited(view, round).difference(anchors).len() as u64
    }

    fn support_min(&self) -> Ratio {
        // A slot without support holds up its whole round, and being demoted costs its author one round.
        Ratio { parts: 3, of: 4 }
    }
}

fn is_committed(view: &View, place: Place) -> bool {
    view.has_children(place) || view.rules.committee.is_quorum(&view.dag.signers_on(place.0, place.1))
}
