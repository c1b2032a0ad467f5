//! The network between authorities: latencies by region, jitter, loss, duplicates, and links that are cut.
//!
//! A link is the ordered pair of two authorities. Messages within an authority do not pass here.

use std::collections::{BTreeMap, BTreeSet};

use fresnel_types::{AuthorityIndex, Timestamp};

use crate::random::Random;

pub mod regions;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives after each of these many microseconds; more than one is a duplicate.
    Arrives(Vec<u64>),
    /// It is lost: the link is to be established again, which both sides are told.
    Lost,
}

/// Where authorities are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// In one to four regions, drawn.
    #[default]
    Drawn,
    /// One by one in the regions of a public cloud around the world.
    Regions,
    /// All as far from one another, with nothing that disturbs a message: so many microseconds.
    Even(u64),
}

/// The state of all links.
#[derive(Debug)]
pub struct Network {
    random: Random,
    /// Least microseconds from each authority to each.
    base: Vec<Vec<u64>>,
    /// Whether messages are late, twice or out of order now and then.
    unsteady: bool,
    /// Cut links, with how many cuts hold each of them.
    cut: BTreeMap<(AuthorityIndex, AuthorityIndex), u64>,
    /// Permille lost on every link until an instant.
    loss: (u64, Timestamp),
    /// Permille duplicated on every link until an instant.
    duplication: (u64, Timestamp),
    /// Microseconds that every message may be late until an instant.
    disorder: (u64, Timestamp),
    /// Authorities with slow links until an instant.
    slow: BTreeMap<AuthorityIndex, (u64, Timestamp)>,
    /// Links that lost something and were not established again since.
    broken: BTreeSet<(AuthorityIndex, AuthorityIndex)>,
}

impl Network {
    /// A network of `authorities`.
    pub fn new(authorities: usize, links: Links, mut random: Random) -> Self {
        let spread = random.pick(&[1, 2, LATENCIES.len()]);
        let drawn: Vec<usize> = (0..authorities).map(|_| random.index(spread)).collect();
        let base = |from: usize, to: usize| match links {
            Links::Drawn => LATENCIES[drawn[from]][drawn[to]],
            Links::Regions => regions::one_way(from, to),
            Links::Even(micros) => micros,
        };
        Self {
            random,
            base: (0..authorities).map(|from| (0..authorities).map(|to| base(from, to)).collect()).collect(),
            unsteady: !matches!(links, Links::Even(_)),
            cut: BTreeMap::new(),
            loss: (0, Timestamp(0)),
            duplication: (0, Timestamp(0)),
            disorder: (0, Timestamp(0)),
            slow: BTreeMap::new(),
            broken: BTreeSet::new(),
        }
    }

    /// The longest regular way of a message there and back.
    pub fn round_trip_max(&self) -> u64 {
        let longest = LATENCIES.iter().flatten().chain(self.base.iter().flatten()).max();
        2 * longest.expect("a table") * (1_000 + JITTER_PERMILLE) / 1_000
    }

    /// Decides about a message at `now`.
    pub fn send(&mut self, now: Timestamp, from: AuthorityIndex, to: AuthorityIndex) -> Fate {
        let lossy = now < self.loss.1 && self.random.chance(self.loss.0);
        if lossy || self.is_cut(from, to) {
            self.broken.insert(pair(from, to));
            return Fate::Lost;
        }
        let mut arrivals = vec![self.latency(now, from, to)];
        let more = if now < self.duplication.1 { self.duplication.0 } else { 0 };
        if self.unsteady && self.random.chance(DUPLICATE_PERMILLE + more) {
            arrivals.push(self.latency(now, from, to) + self.random.below(DUPLICATE_LATER));
        }
        Fate::Arrives(arrivals)
    }

    /// Whether messages from `from` to `to` are all lost.
    pub fn is_cut(&self, from: AuthorityIndex, to: AuthorityIndex) -> bool {
        self.cut.contains_key(&(from, to))
    }

    /// Cuts a link, or one more time if it is cut already.
    pub fn cut(&mut self, from: AuthorityIndex, to: AuthorityIndex) {
        *self.cut.entry((from, to)).or_default() += 1;
        self.broken.insert(pair(from, to));
    }

    /// Takes one cut back.
    pub fn mend(&mut self, from: AuthorityIndex, to: AuthorityIndex) {
        let cuts = self.cut.get_mut(&(from, to)).expect("a cut is taken back once");
        *cuts -= 1;
        if *cuts == 0 {
            self.cut.remove(&(from, to));
        }
    }

    /// Loses `permille` of all messages until `until`.
    pub fn lose(&mut self, permille: u64, until: Timestamp) {
        self.loss = (permille, until);
    }

    /// Duplicates `permille` of all messages until `until`, besides those that are twice at all times.
    pub fn duplicate(&mut self, permille: u64, until: Timestamp) {
        self.duplication = (permille, until);
    }

    /// Adds up to `micros` to every message until `until`, to each by itself.
    pub fn disorder(&mut self, micros: u64, until: Timestamp) {
        self.disorder = (micros, until);
    }

    /// Adds up to `micros` to every message of an authority until `until`.
    pub fn slow_down(&mut self, authority: AuthorityIndex, micros: u64, until: Timestamp) {
        self.slow.insert(authority, (micros, until));
    }

    /// Links, by their lower authority, that lost something and can be established again now; they count as such from
    /// here on.
    pub fn reconnect(&mut self) -> Vec<(AuthorityIndex, AuthorityIndex)> {
        let broken = std::mem::take(&mut self.broken);
        let (mended, broken): (BTreeSet<_>, _) =
            broken.into_iter().partition(|&(a, b)| !self.is_cut(a, b) && !self.is_cut(b, a));
        self.broken = broken;
        mended.into_iter().collect()
    }

    /// Breaks all links of an authority: it went down, or came up again.
    pub fn break_links(&mut self, authority: AuthorityIndex) {
        for other in (0..self.base.len()).map(|index| AuthorityIndex(index as u16)) {
            if other != authority {
                self.broken.insert(pair(authority, other));
            }
        }
    }

    fn latency(&mut self, now: Timestamp, from: AuthorityIndex, to: AuthorityIndex) -> u64 {
        let base = self.base[from.index()][to.index()];
        let mut latency = base;
        if self.unsteady {
            latency += self.random.below(base * JITTER_PERMILLE / 1_000 + 1);
            // Now and then a message is overtaken by many.
            if self.random.chance(LATE_PERMILLE) {
                latency += self.random.below(2 * base);
            }
        }
        if now < self.disorder.1 {
            latency += self.random.below(self.disorder.0 + 1);
        }
        for authority in [from, to] {
            if let Some((micros, until)) = self.slow.get(&authority).copied()
                && now < until
            {
                latency += self.random.below(micros + 1);
            }
        }
        latency
    }
}

fn pair(a: AuthorityIndex, b: AuthorityIndex) -> (AuthorityIndex, AuthorityIndex) {
    (a.min(b), a.max(b))
}

/// One-way microseconds between four regions: a site, its neighbour, another coast, another continent.
const LATENCIES: [[u64; 4]; 4] = [
    [300, 2_000, 30_000, 45_000],
    [2_000, 300, 31_000, 44_000],
    [30_000, 31_000, 300, 70_000],
    [45_000, 44_000, 70_000, 300],
];

const JITTER_PERMILLE: u64 = 200;
const LATE_PERMILLE: u64 = 10;
const DUPLICATE_PERMILLE: u64 = 5;
const DUPLICATE_LATER: u64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    const A: AuthorityIndex = AuthorityIndex(0);
    const B: AuthorityIndex = AuthorityIndex(1);

    #[test]
    fn a_cut_is_one_way_counted_and_reported_when_mended() {
        let mut network = Network::new(4, Links::Drawn, Random::new(3, "test"));
        let now = Timestamp(1);
        network.cut(A, B);
        network.cut(A, B);
        assert_eq!(network.send(now, A, B), Fate::Lost);
        assert!(matches!(network.send(now, B, A), Fate::Arrives(_)));
        assert!(network.reconnect().is_empty());
        network.mend(A, B);
        assert_eq!(network.send(now, A, B), Fate::Lost);
        network.mend(A, B);
        assert!(matches!(network.send(now, A, B), Fate::Arrives(_)));
        assert_eq!(network.reconnect(), vec![(A, B)]);
        assert!(network.reconnect().is_empty());
    }

    #[test]
    fn loss_ends_and_breaks_the_links_it_hit() {
        let mut network = Network::new(4, Links::Drawn, Random::new(3, "test"));
        network.lose(1_000, Timestamp(10));
        assert_eq!(network.send(Timestamp(9), B, A), Fate::Lost);
        assert!(matches!(network.send(Timestamp(10), B, A), Fate::Arrives(_)));
        assert_eq!(network.reconnect(), vec![(A, B)]);
    }

    #[test]
    fn messages_overtake_and_repeat() {
        let mut network = Network::new(7, Links::Drawn, Random::new(5, "test"));
        let fates: Vec<Fate> = (0..2_000).map(|_| network.send(Timestamp(1), A, B)).collect();
        let first = |fate: &Fate| match fate {
            Fate::Arrives(arrivals) => arrivals[0],
            Fate::Lost => panic!("nothing is lost on a whole link"),
        };
        assert!(fates.windows(2).any(|two| first(&two[0]) > first(&two[1])));
        assert!(fates.iter().any(|fate| matches!(fate, Fate::Arrives(arrivals) if arrivals.len() == 2)));
    }
}
