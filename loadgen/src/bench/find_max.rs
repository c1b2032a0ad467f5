//! The highest rate that a cluster keeps up with: doubled or halved until one is kept up with and one is not, then the
//! space between them cut in half until it is small, by short probes, each on a cluster of its own. A longer run confirms
//! what was found.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{BenchOptions, Place, Stage, run};
use crate::{
    Report, Verdict,
    limits::{DRAIN_MAX, PROBE_DRAIN_MAX},
    report::Probe,
};

/// Searches from the rate of the options on; their duration is that of the run that confirms.
pub(super) async fn find(options: &BenchOptions, place: &Place, progress: &impl Fn(Stage)) -> Result<Report> {
    let mut probes = Vec::new();
    let mut search = Search { kept_up: None, too_much: None };
    let mut rate = options.rate;
    while probes.len() < PROBES_MAX {
        let asked = BenchOptions { rate, duration: options.duration.min(PROBE), ..options.clone() };
        let (probe, _) = try_rate(&asked, place, PROBE_DRAIN_MAX, progress).await?;
        search.learn(rate, probe.kept_up);
        probes.push(probe);
        match search.next() {
            Some(next) => rate = next,
            None => break,
        }
    }
    let Some(mut rate) = search.kept_up else {
        bail!("the cluster kept up with none of {} rates, the last of {rate} per second", probes.len())
    };
    for attempt in 1.. {
        let asked = BenchOptions { rate, ..options.clone() };
        let (probe, mut report) = try_rate(&asked, place, DRAIN_MAX, progress).await?;
        let kept_up = probe.kept_up;
        probes.push(probe);
        if kept_up || attempt == CONFIRMATIONS_MAX {
            if !kept_up && report.verdict == Verdict::Pass {
                report.verdict = Verdict::Missed;
                report.reasons.push(format!("{CONFIRMATIONS_MAX} runs did not confirm what probes found"));
            }
            report.config = BenchOptions { rate: options.rate, ..options.clone() }.config(true);
            report.config.rate = rate;
            report.probes = probes;
            return Ok(report);
        }
        rate = rate * 95 / 100;
    }
    unreachable!("the last attempt returns")
}

async fn try_rate(
    options: &BenchOptions,
    place: &Place,
    drain_max: Duration,
    progress: &impl Fn(Stage),
) -> Result<(Probe, Report)> {
    let report = run(options, place, drain_max, progress).await?;
    let probe = Probe {
        rate: options.rate,
        duration_ms: report.config.duration_ms,
        kept_up: keeps_up(&report),
        verdict: report.verdict,
        final_tps: report.throughput.final_tps,
        final_p99_ms: report.latency_ms.r#final.p99,
        cpu_us_per_tx: report.cpu.us_per_tx,
    };
    progress(Stage::Probed(probe.clone()));
    Ok((probe, report))
}

/// Nothing is lost and records agree, all that was offered became final, and 99 % of it within a second.
fn keeps_up(report: &Report) -> bool {
    report.verdict == Verdict::Pass
        && report.latency_ms.r#final.p99 <= FINAL_P99_MS_MAX
        && report.throughput.final_tps >= FINAL_SHARE_MIN * report.load.offered_tps
}

/// What is known of the highest rate.
#[derive(Clone, Copy, Debug)]
struct Search {
    kept_up: Option<u64>,
    too_much: Option<u64>,
}

impl Search {
    fn learn(&mut self, rate: u64, kept_up: bool) {
        if kept_up {
            self.kept_up = self.kept_up.max(Some(rate));
        } else {
            self.too_much = Some(self.too_much.map_or(rate, |least| least.min(rate)));
        }
    }

    /// The next rate to try; none when it is known closely enough, or is next to nothing.
    fn next(&self) -> Option<u64> {
        match (self.kept_up, self.too_much) {
            (None, None) => None,
            (Some(rate), None) => Some(rate * 2),
            (None, Some(rate)) => (rate > RATE_MIN).then_some(rate / 2),
            // A rate that was kept up with may lie above one that was not: both measure a noisy machine.
            (Some(kept_up), Some(too_much)) => {
                let middle = (kept_up + too_much) / 2;
                (too_much * 100 > kept_up * (100 + CLOSE_PERCENT)).then_some(middle)
            }
        }
    }
}

/// How long a probe lasts at most: long enough that a backlog shows in the latency.
const PROBE: Duration = Duration::from_secs(6);

/// Rates tried at most.
const PROBES_MAX: usize = 14;

/// Runs that may confirm what was found, each at 95 % of the rate of the one before.
const CONFIRMATIONS_MAX: usize = 4;

/// How much, in percent, may lie between what was kept up with and what was not.
const CLOSE_PERCENT: u64 = 6;

/// Below this no cluster is worth a search.
const RATE_MIN: u64 = 100;

/// Of the 99th percentile to final.
const FINAL_P99_MS_MAX: f64 = 1_000.0;

/// Of what was offered, at least so much is final within the load and a second.
const FINAL_SHARE_MIN: f64 = 0.98;

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates tried until the search ends, for a cluster that keeps up with `most`, and what it found.
    fn search(from: u64, most: u64) -> (Vec<u64>, Option<u64>) {
        let mut search = Search { kept_up: None, too_much: None };
        let (mut rate, mut tried) = (from, Vec::new());
        loop {
            tried.push(rate);
            search.learn(rate, rate <= most);
            match search.next() {
                Some(next) if tried.len() < PROBES_MAX => rate = next,
                _ => return (tried, search.kept_up),
            }
        }
    }

    #[test]
    fn the_search_closes_in_on_the_highest_rate_from_both_sides() {
        for (from, most) in [(10_000, 70_500), (10_000, 10_000), (200_000, 70_500), (10_000, 300_000)] {
            let (tried, found) = search(from, most);
            let found = found.expect("some rate is kept up with");
            assert!(found <= most && found * 107 > most * 100, "{found} of {most}: {tried:?}");
            assert!(tried.len() <= 11, "{tried:?}");
        }
        assert_eq!(search(10_000, 0).1, None);
    }

    #[test]
    fn noise_ends_the_search_and_does_not_turn_it_around() {
        let mut search = Search { kept_up: Some(80_000), too_much: Some(100_000) };
        search.learn(90_000, false);
        search.learn(85_000, true);
        search.learn(100_000, true);
        assert_eq!(search.next(), None);
    }
}
