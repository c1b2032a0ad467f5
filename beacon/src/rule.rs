//! The commit rule: which vertex anchors the next commit, as a function of the DAG and of the commits before.
//!
//! A rule sees a replica's DAG, which differs from replica to replica, and must give all of them the same anchors in the
//! same order (A1). It decides one anchor at a time and is then asked again with a pointer behind it. What orders a commit
//! (its history, sorted) and what moves the pointer is common to all rules and lives in [`orderer`](crate::orderer).

mod bullshark;

use fresnel_types::{AuthoritySet, Round, genesis::Rule, verify::Rules};

use crate::dag::{Dag, Place};

/// What a rule decided: the next anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where the anchor is; it is present in the DAG.
    pub anchor: Place,
    /// Whether it has its f + 1 children here, or is committed because a later anchor reaches it.
    pub direct: bool,
}

/// The anchor of the next commit, when the DAG shows it: the first one at or above `pointer`.
pub fn decide(rules: &Rules, dag: &Dag, demoted: &AuthoritySet, pointer: Round) -> Option<Decision> {
    match rules.parameters.rule {
        Rule::Bullshark => bullshark::decide(rules, dag, demoted, pointer),
    }
}

/// Whether `place` is a slot that the rule may commit next; whether it does is for the DAG to say.
pub fn may_decide(rules: &Rules, demoted: &AuthoritySet, pointer: Round, place: Place) -> bool {
    match rules.parameters.rule {
        Rule::Bullshark => bullshark::may_decide(rules, demoted, pointer, place),
    }
}

/// Slots that were passed in vain when the instance at `pointer` commits an anchor of `round`.
pub fn skipped(rules: &Rules, pointer: Round, round: Round) -> u64 {
    match rules.parameters.rule {
        Rule::Bullshark => bullshark::skipped(pointer, round),
    }
}
