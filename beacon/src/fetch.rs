//! Vertices that are named and not held: whom to ask for them, and when to ask the next.

use std::collections::BTreeMap;

use fresnel_types::{AuthorityIndex, AuthoritySet, Round, Timestamp, VertexRef};

use crate::limits::{VERTICES_PER_MESSAGE, WANTED_MAX};

/// Vertices wanted. An unanswered request costs its deadline, then the next source is asked.
#[derive(Debug)]
pub(crate) struct Fetch {
    wanted: BTreeMap<VertexRef, Want>,
    wait_min: u64,
    wait_max: u64,
}

#[derive(Debug)]
struct Want {
    sources: AuthoritySet,
    last: Option<AuthorityIndex>,
    due: Timestamp,
    wait: u64,
}

impl Fetch {
    pub(crate) fn new(wait_min: u64, wait_max: u64) -> Self {
        Self { wanted: BTreeMap::new(), wait_min, wait_max }
    }

    /// Wants a vertex that any of `sources` should hold. The first request leaves after the least wait, since most
    /// of what is missing is on its way. When too much is wanted already, a certified vertex takes the place of the
    /// highest: the DAG grows from below.
    pub(crate) fn want(
        &mut self,
        reference: VertexRef,
        sources: AuthoritySet,
        certified: bool,
        now: Timestamp,
    ) {
        if let Some(want) = self.wanted.get_mut(&reference) {
            want.sources = want.sources.union(&sources);
            return;
        }
        let max = if certified { WANTED_MAX } else { WANTED_MAX / 2 };
        let highest = self.wanted.last_key_value().map(|(highest, _)| *highest);
        if certified && self.wanted.len() >= max && highest.is_some_and(|highest| reference < highest) {
            self.wanted.pop_last();
        }
        if self.wanted.len() < max {
            let due = now.plus(self.wait_min);
            self.wanted.insert(reference, Want { sources, last: None, due, wait: self.wait_min });
        }
    }

    /// It is held now, or of no use any more.
    pub(crate) fn found(&mut self, reference: &VertexRef) {
        self.wanted.remove(reference);
    }

    /// Forgets what is at or below the floor.
    pub(crate) fn prune(&mut self, floor: Round) {
        self.wanted.retain(|reference, _| reference.round > floor);
    }

    /// Whom to ask for what, now. Each source in turn, waiting longer each time.
    pub(crate) fn due(
        &mut self,
        now: Timestamp,
        me: AuthorityIndex,
    ) -> BTreeMap<AuthorityIndex, Vec<VertexRef>> {
        let mut requests: BTreeMap<AuthorityIndex, Vec<VertexRef>> = BTreeMap::new();
        for (reference, want) in &mut self.wanted {
            if want.due > now {
                continue;
            }
            let mut sources = want.sources;
            sources.remove(me);
            let after = |source: &AuthorityIndex| want.last.is_none_or(|last| *source > last);
            let next = sources.iter().find(after).or_else(|| sources.iter().next());
            want.due = now.plus(want.wait);
            let Some(next) = next else { continue };
            let request = requests.entry(next).or_default();
            if request.len() < VERTICES_PER_MESSAGE {
                request.push(*reference);
                want.last = Some(next);
                want.wait = (want.wait * 2).min(self.wait_max);
            }
        }
        requests
    }

    /// When `due` next has something to say.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.wanted.values().map(|want| want.due).min()
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::VertexId;

    use super::*;

    #[test]
    fn an_unanswered_request_goes_to_the_next_source_and_never_to_oneself() {
        let mut fetch = Fetch::new(10, 100);
        let reference = VertexRef { round: Round(5), author: AuthorityIndex(0), id: VertexId([1; 32]) };
        let sources = [0, 1, 2].map(AuthorityIndex).into_iter().collect();
        fetch.want(reference, sources, true, Timestamp(0));
        let (mut now, mut asked) = (Timestamp(0), vec![]);
        assert!(fetch.due(now, AuthorityIndex(0)).is_empty(), "what is on its way is not asked for");
        for _ in 0..4 {
            now = fetch.deadline().expect("still wanted");
            asked.extend(fetch.due(now, AuthorityIndex(0)).into_keys().map(|source| source.0));
        }
        assert_eq!(asked, [1, 2, 1, 2]);
        assert_eq!(fetch.deadline(), Some(now.plus(80)), "waits double");
        fetch.prune(Round(5));
        assert_eq!(fetch.deadline(), None);
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let mut fetch = Fetch::new(10, 100);
        for n in 0..2 * WANTED_MAX as u64 {
            let reference = VertexRef { round: Round(n), author: AuthorityIndex(0), id: VertexId([1; 32]) };
            fetch.want(reference, AuthoritySet::first(1), false, Timestamp(0));
        }
        assert_eq!(fetch.wanted.len(), WANTED_MAX / 2);
    }

    #[test]
    fn of_too_many_certified_vertices_the_lowest_are_wanted() {
        let mut fetch = Fetch::new(10, 100);
        let max = WANTED_MAX as u64;
        // Every second round first, then all from the top down.
        let rounds = (0..max).map(|n| 2 * n).chain((0..2 * max).rev());
        for round in rounds {
            let reference =
                VertexRef { round: Round(round), author: AuthorityIndex(0), id: VertexId([1; 32]) };
            fetch.want(reference, AuthoritySet::first(1), true, Timestamp(0));
            assert!(fetch.wanted.len() <= WANTED_MAX);
        }
        assert!(fetch.wanted.keys().map(|reference| reference.round.0).eq(0..max));
    }
}
