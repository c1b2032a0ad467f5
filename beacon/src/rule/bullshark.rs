//! Bullshark with one anchor per round, by Shoal's restart.
//!
//! **The rule.** An *instance* starts at the pointer r. Its anchors are a₀, a₁, …: aₖ is the vertex in the candidate slot
//! of round r + 2k under the schedule of the instance, which the commits before r fix.
//!
//! 1. aₖ is *directly committed* when it is present and the vertices of round r + 2k + 1 that name it as a parent have
//!    stake f + 1.
//! 2. Let k* be the least k with a directly committed aₖ. When there is none, nothing is decided yet.
//! 3. cur = aₖ*. For j = k* − 1 down to 0: when aⱼ is present and reachable from cur by parents, cur = aⱼ.
//! 4. cur is the anchor of the next commit. The next instance starts at the round after it.
//!
//! **Why all replicas agree.** Say a replica directly commits aₖ: a set C of f + 1 stake in the next round names it.
//! Every vertex of the round after that names a quorum, n − f, of the round of C, and n − f + f + 1 > n, so it names a
//! member of C (there is one certified vertex per slot, A2) and reaches aₖ; by induction so does every vertex of a later
//! round, present at whatever replica. Now let two replicas find k* = k and k* = m > k. The second starts from aₘ and
//! walks down; whatever cur is above aₖ, it is at least two rounds later and reaches aₖ, so at j = k cur becomes aₖ, and
//! the first replica's cur is aₖ as well at that point. From there both walk through the history of aₖ alone, which is
//! the same everywhere and complete above the floor (a vertex enters a DAG after everything it names). So both commit the
//! same anchor, hence the same history, hence the same reputation, floor and next instance.
//! The floor lies below the last anchor, and the rule looks at rounds above the last anchor only, so what is dropped or
//! refused at the floor never changes a decision.
//!
//! **Weak links** order, they do not vote. In step 1 they must not count: the argument above needs the f + 1 in one round,
//! of which every later vertex names a quorum. In step 3 they could, and do not, so that one sentence covers both.
//!
//! **Against the papers.** Bullshark (arXiv 2201.05677, the eventually synchronous half) has an anchor every second
//! round, commits all anchors that step 3 passes at once, and goes on from aₖ*. Shoal (arXiv 2306.03058) commits only the
//! first of them and restarts one round later with the schedule that this commit gives; so does this, and so every round
//! has an anchor when all is well. Shoal bases reputation on anchors that were skipped; here it is the parents of the
//! anchors. Neither paper lets a vertex be refused below a floor, sorts a commit by (round, slot), or closes over weak
//! links.
//!
//! **No direct skip.** It is tempting to pass over aₖ as soon as a quorum of the next round does not name it, since nobody
//! can then commit it directly. But up to f may name it, and a later anchor may reach it through one of them: a
//! replica that sees that anchor first commits aₖ by step 3, and one that saw the quorum first would not. So a slot is
//! passed only when a later anchor does not reach it; a dead author costs two rounds each time until it is demoted.

use fresnel_types::{AuthoritySet, Round};

use super::{CommitRule, Decision, Ratio, STEP, View};

/// One anchor per commit.
#[derive(Debug)]
pub(super) struct Bullshark;

impl CommitRule for Bullshark {
    fn decide(&self, view: &View) -> Option<Decision> {
        let ((round, author), direct) = view.walk(view.pointer, |place| view.has_children(place))?;
        Some(Decision { round, anchors: [author].into_iter().collect(), direct })
    }

    fn may_decide(&self, view: &View, round: Round, anchors: &AuthoritySet) -> bool {
        round.0.checked_sub(view.pointer.0).is_some_and(|ahead| ahead % STEP == 0)
            && *anchors == self.awaited(view, round)
    }

    fn awaited(&self, view: &View, round: Round) -> AuthoritySet {
        [view.candidate(round)].into_iter().collect()
    }

    fn passed(&self, view: &View, round: Round, _: &AuthoritySet) -> u64 {
        round.0.saturating_sub(view.pointer.0) / STEP
    }

    fn support_min(&self) -> Ratio {
        // One anchor names a quorum, and the slowest of the others are left out now and then.
        Ratio { parts: 1, of: 3 }
    }
}
