//! The commit rule: which vertices anchor the next commit, as a function of the DAG and of the commits before.
//!
//! A rule sees a replica's DAG, which differs from replica to replica, and must give all of them the same anchors in the
//! same order (A1). It decides the anchors of one commit, all of one round, and is then asked again with a pointer behind
//! that round and with the demoted as that commit leaves them. So what the rule goes by changes between commits only,
//! and is the same everywhere while one is sought. What orders a commit (the history of its anchors, sorted) and what
//! moves the pointer is common to all rules and lives in [`orderer`](crate::orderer).
//!
//! The genesis names the rule: replicas that went by different ones would fork.

mod bullshark;
mod fast;
#[cfg(test)]
pub(crate) mod naive;

use std::fmt;

use fresnel_types::{AuthorityIndex, AuthoritySet, Round, genesis::Rule, verify::Rules};

use crate::{
    dag::{Dag, Place},
    schedule,
};

/// A way to choose anchors.
pub trait CommitRule: fmt::Debug + Sync {
    /// The anchors of the next commit, when the DAG shows them.
    fn decide(&self, view: &View) -> Option<Decision>;

    /// Whether the rule may give these anchors next; whether it does is for the DAG to say.
    fn may_decide(&self, view: &View, round: Round, anchors: &AuthoritySet) -> bool;

    /// Whose vertices of `round` are worth a short wait before the next round is begun, the round being undecided.
    fn awaited(&self, view: &View, round: Round) -> AuthoritySet;

    /// Anchor slots that are passed when the next commit has these anchors.
    fn passed(&self, view: &View, round: Round, anchors: &AuthoritySet) -> u64;

    /// An authority is demoted when fewer than this part of the last commits support it.
    fn support_min(&self) -> Ratio;
}

/// What a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The chain's.
    pub rules: &'a Rules,
    /// What this replica holds.
    pub dag: &'a Dag,
    /// The demoted after the last commit.
    pub demoted: &'a AuthoritySet,
    /// The first round above the last commit's anchors.
    pub pointer: Round,
}

/// What a rule decided: the next anchors, at least one, all present in the DAG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Their round.
    pub round: Round,
    /// Their authors.
    pub anchors: AuthoritySet,
    /// Whether the vertices right above them commit them, or a later anchor does, which reaches them.
    pub direct: bool,
}

/// A part of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// So many,
    pub parts: usize,
    /// of so many.
    pub of: usize,
}

/// The implementation of a rule.
pub fn of(rule: Rule) -> &'static dyn CommitRule {
    match rule {
        Rule::Bullshark => &bullshark::Bullshark,
        Rule::Fast => &fast::Fast,
    }
}

impl View<'_> {
    /// Whose vertex of `round` is its candidate anchor.
    pub fn candidate(&self, round: Round) -> AuthorityIndex {
        schedule::candidate(self.rules, self.demoted, round)
    }

    /// Bullshark's walk from `first` on, the candidates of every second round being anchors: the earliest anchor that the
    /// first committed one leads back to, and whether that is itself.
    fn walk(&self, first: Round, is_committed: impl Fn(Place) -> bool) -> Option<(Place, bool)> {
        let mut earlier: Vec<Place> = vec![];
        // Whatever commits an anchor is a round above it.
        for round in (first.0..=self.dag.top().0).step_by(STEP as usize).map(Round) {
            let anchor = (round, self.candidate(round));
            if is_committed(anchor) {
                let reached = |current, earlier: &Place| {
                    if self.dag.is_reachable(current, *earlier) { *earlier } else { current }
                };
                let found = earlier.iter().rev().fold(anchor, reached);
                return Some((found, found == anchor));
            }
            earlier.push(anchor);
        }
        None
    }

    /// Whether f + 1 certified vertices of the next round name the vertex in `place` as a parent.
    fn has_children(&self, place: Place) -> bool {
        self.rules.committee.is_valid(&self.dag.children(place.0, place.1))
    }
}

/// Rounds from one anchor of a walk to the next.
const STEP: u64 = 2;
