//! How long vertices take from their proposal to their commit, at every authority, all vertices counted.

use std::{collections::BTreeMap, fmt};

use fresnel_types::{
    AuthorityIndex, AuthoritySet, LogEntry, Message, Party, Round, Timestamp, genesis::Rule,
};
use serde::Serialize;

use crate::network::Links;

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Authorities, each of stake 1.
    pub authorities: usize,
    /// Where they are.
    pub links: Links,
    /// The commit rule.
    pub rule: Rule,
    /// How many crash and come back later.
    pub crashed: usize,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Of what.
    pub measurement: Measurement,
    /// Period by period.
    pub periods: Vec<Figures>,
}

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Nobody is down.
    Calm,
    /// From 64 rounds after the crash on.
    Crashed,
    /// From the return of those who crashed on, at all who never did.
    Returned,
}

/// The figures of a period, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Which.
    pub period: Period,
    /// Vertices proposed in it.
    pub vertices: u64,
    /// Of these, and over authorities, how many were not committed when the run ended.
    pub uncommitted: u64,
    /// From one round to the next, mean.
    pub round: u64,
    /// From proposal to commit, mean.
    pub mean: u64,
    /// The same at the 99th of 100.
    pub p99: u64,
    /// The highest mean of any 16 rounds in a row: a spike shows here.
    pub worst: u64,
}

/// Watches proposals leave and commits become durable.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    proposed: BTreeMap<(Round, AuthorityIndex), Timestamp>,
    /// When whom committed which.
    committed: BTreeMap<(Round, AuthorityIndex), Vec<(AuthorityIndex, Timestamp)>>,
}

impl Probe {
    pub(crate) fn sent(&mut self, now: Timestamp, message: &Message) {
        if let Message::Proposal(signed) = message {
            let head = &signed.vertex.head;
            self.proposed.entry((head.round, head.author)).or_insert(now);
        }
    }

    pub(crate) fn persisted(&mut self, now: Timestamp, party: Party, entry: &LogEntry) {
        if let (Party::Beacon(authority), LogEntry::Commit(commit)) = (party, entry) {
            for vertex in &commit.vertices {
                self.committed.entry((vertex.round, vertex.author)).or_default().push((authority, now));
            }
        }
    }

    /// When the first vertex was proposed that is so many rounds above the one of that instant.
    pub(crate) fn rounds_after(&self, instant: Timestamp, rounds: u64) -> Timestamp {
        let before = self.proposed.iter().filter(|(_, at)| **at <= instant).map(|((round, _), _)| round.0);
        let first = Round(before.max().unwrap_or(0) + rounds);
        let after = self.proposed.range((first, AuthorityIndex(0))..).map(|(_, at)| *at);
        after.min().unwrap_or(Timestamp(u64::MAX))
    }

    /// The figures of what was proposed in a time and committed by `authorities`.
    pub(crate) fn figures(
        &self,
        period: Period,
        (from, to): (Timestamp, Timestamp),
        authorities: &AuthoritySet,
    ) -> Figures {
        let (mut vertices, mut uncommitted) = (0, 0);
        let mut rounds: BTreeMap<Round, (Timestamp, Vec<u64>)> = BTreeMap::new();
        for (&(round, author), &at) in self.proposed.iter().filter(|(_, at)| (from..to).contains(*at)) {
            let committed = self.committed.get(&(round, author)).into_iter().flatten();
            let committed = committed.filter(|(authority, _)| authorities.contains(*authority));
            let (first, samples) = rounds.entry(round).or_insert((at, vec![]));
            let before = samples.len();
            samples.extend(committed.map(|(_, then)| then.since(at)));
            uncommitted += (authorities.len() - (samples.len() - before)) as u64;
            vertices += 1;
            *first = at.min(*first);
        }
        let mean = |samples: &[u64]| samples.iter().sum::<u64>() / (samples.len() as u64).max(1);
        let starts: Vec<Timestamp> = rounds.values().map(|(first, _)| *first).collect();
        let span = starts.last().zip(starts.first()).map_or(0, |(last, first)| last.since(*first));
        let by_round: Vec<Vec<u64>> = rounds.into_values().map(|(_, samples)| samples).collect();
        let mut all = by_round.concat();
        all.sort_unstable();
        Figures {
            period,
            vertices,
            uncommitted,
            round: span / (starts.len() as u64).saturating_sub(1).max(1),
            mean: mean(&all),
            p99: all.get(all.len() * 99 / 100).copied().unwrap_or(0),
            worst: by_round.windows(SPIKE_ROUNDS).map(|rounds| mean(&rounds.concat())).max().unwrap_or(0),
        }
    }
}

impl Latency {
    /// Microseconds of a message, where all links are alike.
    pub fn message_delay(&self) -> Option<u64> {
        match self.measurement.links {
            Links::Even(micros) => Some(micros),
            Links::Drawn | Links::Regions => None,
        }
    }
}

/// One line per period.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measurement { authorities, rule, crashed, .. } = &self.measurement;
        for (line, figures) in self.periods.iter().enumerate() {
            let name = match figures.period {
                Period::Calm => "no faults".to_owned(),
                Period::Crashed => format!("{crashed} crashed"),
                Period::Returned => format!("{crashed} back"),
            };
            let figure = |micros: u64| {
                let delays =
                    self.message_delay().map(|delay| format!(" ({:.2} md)", micros as f64 / delay as f64));
                format!("{:.1} ms{}", micros as f64 / 1e3, delays.unwrap_or_default())
            };
            if line > 0 {
                writeln!(f)?;
            }
            write!(
                f,
                "{rule:<9} n = {authorities:<3} {name:<10} mean {:<19} p99 {:<19} worst 16 rounds {:<19} round {}, {} vertices",
                figure(figures.mean),
                figure(figures.p99),
                figure(figures.worst),
                figure(figures.round),
                figures.vertices,
            )?;
            if figures.uncommitted > 0 {
                write!(f, ", {} commits missing", figures.uncommitted)?;
            }
        }
        Ok(())
    }
}

/// Rounds over which a spike is looked for.
const SPIKE_ROUNDS: usize = 16;
