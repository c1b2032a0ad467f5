//! What scenarios ask of a run beyond the verdict that every run gets: that an overloaded cluster does not fall below what
//! it can, that a frozen shard costs the others nothing, that nothing grows without end.

use std::{collections::BTreeMap, time::Duration};

use fresnel_types::status::Level;

use super::{BenchOptions, Freeze, Overload};
use crate::{
    limits::RECOVERY_MAX,
    load::{Distribution, Entry, Micros, Outcome, Sample},
    workload::Planned,
};

/// What scenarios measured, and what they missed.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// By name, with the unit.
    pub(super) figures: BTreeMap<String, f64>,
    /// In a sentence each.
    pub(super) missed: Vec<String>,
}

impl Judged {
    fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), (value * 1_000.0).round() / 1_000.0);
    }

    fn ask(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.missed.push(otherwise());
        }
    }
}

/// Judges what the options asked for, on a machine of so many cores.
pub(super) fn judge(options: &BenchOptions, outcome: &Outcome, cores: usize) -> Judged {
    let mut judged = Judged::default();
    if let Some(overload) = options.overload {
        judge_overload(&mut judged, options, overload, outcome, cores);
    }
    if let Some(freeze) = options.freeze {
        judge_freeze(&mut judged, freeze, outcome);
    }
    if options.soak {
        judge_growth(&mut judged, &outcome.samples);
    }
    judged
}

/// While it lasts, as much becomes final as before, scaled by the processor time that the load generator leaves to the
/// cluster, since both share the machine; memory does not go on growing; and soon after it all is as it was.
fn judge_overload(
    judged: &mut Judged,
    options: &BenchOptions,
    Overload { times, lasts }: Overload,
    outcome: &Outcome,
    cores: usize,
) {
    let start = micros(options.duration);
    let end = start + micros(lasts);
    let finals = |from: Micros, until: Micros| {
        let within = |(_, entry): &(&Planned, &Entry)| {
            entry.succeeded() && entry.reached(Level::Final).is_some_and(|at| (from..until).contains(&at))
        };
        outcome.tracker.entries().filter(within).count() as f64 * SECOND as f64 / (until - from) as f64
    };
    let left = |from: Micros, until: Micros| {
        cores as f64 - client_cores(&outcome.samples, from / SECOND, until / SECOND)
    };
    // The first second of each is neither.
    let normal_from = (start / 2).min(SECOND);
    let (normal, over) = (finals(normal_from, start), finals(start + SECOND, end));
    let share = if times * 2.0 <= 3.0 { 1.0 } else { left(start + SECOND, end) / left(normal_from, start) };
    let expected = normal * share.min(1.0);
    judged.figure("normal_final_tps", normal);
    judged.figure("overload_final_tps", over);
    judged.figure("overload_cpu_share_left", share);
    judged.ask(over >= OVERLOAD_SHARE_MIN * expected, || {
        format!("{over:.0} per second became final in the overload, of {expected:.0} that the cluster can")
    });

    // Batches, records and news are kept for a while, so memory grows with what is executed; not with what is refused.
    let memory = |at: Micros| {
        let before = |sample: &&Sample| sample.second <= at / SECOND;
        outcome.samples.iter().rfind(before).map_or(0, |sample| sample.rss_bytes) as f64
    };
    let growth = |from: Micros, until: Micros, rate: f64| {
        let executed = (rate * (until - from) as f64 / SECOND as f64).max(1.0);
        (memory(until) - memory(from)).max(0.0) / executed
    };
    let (before, during) = (growth(normal_from, start, normal), growth(start + SECOND, end, over));
    judged.figure("normal_memory_bytes_per_final", before);
    judged.figure("overload_memory_bytes_per_final", during);
    judged.ask(during <= OVERLOAD_GROWTH_MAX * before.max(KEPT_BYTES), || {
        format!("memory grew by {during:.0} bytes per final transaction in the overload, {before:.0} before")
    });

    // By second of the intended instant: 99 % of what is sent after it is final within a second.
    let mut seconds: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (number, (_, entry)) in outcome.tracker.entries().enumerate() {
        let intended = outcome.tracker.intended(number);
        if intended >= end {
            let (all, late) = seconds.entry(intended / SECOND).or_default();
            *all += 1;
            *late += u64::from(entry.reached(Level::Final).is_none_or(|at| at - intended.min(at) > SECOND));
        }
    }
    let last_bad = seconds.iter().rfind(|(_, (all, late))| late * 100 > *all).map(|(second, _)| second + 1);
    let recovered = last_bad.map_or(0, |second| (second * SECOND).saturating_sub(end));
    judged.figure("recovered_after_ms", recovered as f64 / 1_000.0);
    judged.ask(recovered <= micros(RECOVERY_MAX), || {
        format!("{} ms after the overload it was not over yet", recovered / 1_000)
    });
}

/// Payments among the others take at most twice as long, and never none for half a second.
fn judge_freeze(judged: &mut Judged, Freeze { shard, at, lasts }: Freeze, outcome: &Outcome) {
    let (start, end) = (micros(at), micros(at + lasts));
    let (mut before, mut during) = (Distribution::new(), Distribution::new());
    let (mut ends, mut open) = (Vec::new(), 0_u64);
    for (number, (planned, entry)) in outcome.tracker.entries().enumerate() {
        if planned.shard == shard || planned.destination == shard {
            continue;
        }
        let intended = outcome.tracker.intended(number);
        let settled = entry.reached(Level::Settled);
        let latency = settled.map(|settled| settled.saturating_sub(intended));
        // The first second is not yet as it will be.
        if (SECOND..start).contains(&intended) {
            before.add(latency);
        } else if (start..end).contains(&intended) {
            during.add(latency);
            open += u64::from(settled.is_none());
        }
        ends.extend(settled.filter(|settled| (start..end).contains(settled)));
    }
    ends.extend([start, end]);
    ends.sort_unstable();
    let gap = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0) as f64 / 1_000.0;
    let (before, during) = (before.quantiles().p99, during.quantiles().p99);
    judged.figure("others_settled_p99_before_ms", before);
    judged.figure("others_settled_p99_frozen_ms", during);
    judged.figure("others_settled_gap_max_ms", gap);
    judged.ask(during <= FREEZE_TIMES_MAX * before, || {
        format!("with shard {shard} frozen, payments among the others took {during:.0} ms at p99, {before:.0} before")
    });
    judged.ask(gap <= FREEZE_GAP_MS_MAX, || {
        format!("with shard {shard} frozen, nothing among the others settled for {gap:.0} ms")
    });
    judged.ask(open == 0, || format!("{open} payments among the others did not settle"));
}

/// From the third minute on, a line through memory and one through disk rise by less than a percent of their mean per
/// minute.
fn judge_growth(judged: &mut Judged, samples: &[Sample]) {
    let later: Vec<&Sample> = samples.iter().filter(|sample| sample.second >= WARM_SECONDS).collect();
    for (name, of) in
        [("memory", (|sample| sample.rss_bytes) as fn(&Sample) -> u64), ("disk", |sample| sample.disk_bytes)]
    {
        let points = later.iter().map(|sample| (sample.second as f64 / 60.0, of(sample) as f64));
        let slope = slope_percent(&points.collect::<Vec<_>>());
        judged.figure(&format!("{name}_percent_per_minute"), slope);
        judged.ask(slope < GROWTH_PERCENT_MAX, || format!("{name} grows by {slope:.2} % per minute"));
    }
}

/// The slope of the least-squares line through points, in percent of the mean of their second coordinates.
fn slope_percent(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x) * (point.0 - x)).sum();
    if variance == 0.0 || y == 0.0 { 0.0 } else { covariance / variance / y * 100.0 }
}

/// How many cores the load generator used between two seconds.
fn client_cores(samples: &[Sample], from: u64, until: u64) -> f64 {
    let within: Vec<&Sample> =
        samples.iter().filter(|sample| (from..=until).contains(&sample.second)).collect();
    match (within.first(), within.last()) {
        (Some(first), Some(last)) if last.second > first.second => {
            (last.client_us - first.client_us) as f64 / ((last.second - first.second) * SECOND) as f64
        }
        _ => 0.0,
    }
}

fn micros(duration: Duration) -> Micros {
    duration.as_micros() as Micros
}

const SECOND: Micros = 1_000_000;

/// Of what the cluster can, so much becomes final in an overload at least.
const OVERLOAD_SHARE_MIN: f64 = 0.9;

/// How much faster memory may grow in an overload, per transaction that becomes final.
const OVERLOAD_GROWTH_MAX: f64 = 2.0;

/// What four authorities keep of a transaction for a while, at least: its bytes, its id and its news.
const KEPT_BYTES: f64 = 4.0 * 400.0;

/// How much longer payments among the others may take while a shard is frozen.
const FREEZE_TIMES_MAX: f64 = 2.0;

/// For how long none of them may settle.
const FREEZE_GAP_MS_MAX: f64 = 500.0;

/// Seconds until caches, retained logs and checkpoints are as they will be.
const WARM_SECONDS: u64 = 120;

/// What memory and disk may grow from then on.
const GROWTH_PERCENT_MAX: f64 = 1.0;

#[cfg(test)]
mod tests {
    use fresnel_types::{AuthorityIndex, BlockIndex, ShardId, TransactionId, status::Progress};

    use super::*;
    use crate::{
        load::{Schedule, Tracker},
        workload::NewLeaf,
    };

    /// A load that settles each transaction after `latency` of its intended instant, none where that says so.
    fn load(
        schedule: &Schedule,
        plan: impl Fn(usize) -> (u16, u16),
        latency: impl Fn(usize, Micros) -> Option<Micros>,
    ) -> Outcome {
        let count = schedule.transactions() as usize;
        let id = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            TransactionId(id)
        };
        let planned = (0..count).map(|number| {
            let (shard, destination) = plan(number);
            Planned {
                shard: ShardId(shard),
                place: 0,
                destination: ShardId(destination),
                new_leaf: NewLeaf::None,
            }
        });
        let ids: Vec<_> = (0..count).map(id).collect();
        let mut tracker = Tracker::new(planned.collect(), ids, count, 1, schedule.clone());
        for number in 0..count {
            let now = schedule.intended(number as u64);
            for (_, numbers) in tracker.due(now, &|_| true) {
                tracker.sent(AuthorityIndex(0), &numbers, now);
            }
            if let Some(latency) = latency(number, now) {
                let (level, outcome) = (Level::Settled, Some(fresnel_types::Outcome::Success));
                let news = Progress {
                    transaction: id(number),
                    level,
                    outcome,
                    block: BlockIndex(1),
                    bounced: false,
                };
                tracker.progress(&news, now + latency);
            }
        }
        let seconds = schedule.duration().as_secs();
        let sample = |second| Sample {
            second,
            client_us: second * 200_000,
            rss_bytes: 1_000_000,
            ..Sample::default()
        };
        Outcome { tracker, absent: 0, gave_up: false, samples: (0..=seconds).map(sample).collect() }
    }

    #[test]
    fn an_overload_is_judged_by_what_stays_final_and_by_what_comes_after() {
        let options = BenchOptions {
            rate: 100,
            duration: Duration::from_secs(4),
            overload: "3x6s".parse().ok(),
            ..BenchOptions::default()
        };
        let schedule = options.schedule();
        let over = 4 * SECOND..10 * SECOND;
        // One in three gets through, as many as before.
        let good = load(
            &schedule,
            |_| (0, 0),
            |number, now| (!over.contains(&now) || number % 3 == 0).then_some(50_000),
        );
        let judged = judge(&options, &good, 2);
        assert_eq!(judged.missed, Vec::<String>::new(), "{:?}", judged.figures);
        assert_eq!(judged.figures["overload_final_tps"], 100.0);
        // One in six, and five seconds too long to get back.
        let bad = load(
            &schedule,
            |_| (0, 0),
            |number, now| {
                let late = (10 * SECOND..25 * SECOND).contains(&now);
                let latency = if late { 1_500_000 } else { 50_000 };
                (!over.contains(&now) || number % 6 == 0).then_some(latency)
            },
        );
        let judged = judge(&options, &bad, 2);
        assert_eq!(judged.missed.len(), 2, "{:?}", judged.missed);
        assert_eq!(judged.figures["recovered_after_ms"], 14_000.0, "the load ends four seconds later");
    }

    #[test]
    fn a_frozen_shard_may_cost_only_those_who_need_it() {
        let options = BenchOptions { freeze: "shard:1@4s+4s".parse().ok(), ..BenchOptions::default() };
        let schedule = Schedule::new(&[(100, Duration::from_secs(10))]);
        let plan = |number: usize| ((number % 2) as u16, (number / 2 % 2) as u16);
        let frozen = 4 * SECOND..8 * SECOND;
        let run = |of_others: fn(Micros) -> Option<Micros>| {
            let outcome = load(&schedule, plan, |number, now| {
                if frozen.contains(&now) && plan(number) != (0, 0) {
                    Some(8 * SECOND - now + 300_000)
                } else {
                    of_others(now)
                }
            });
            judge(&options, &outcome, 2).missed.len()
        };
        assert_eq!(run(|_| Some(50_000)), 0);
        assert_eq!(run(|now| Some(if now >= 4 * SECOND { 120_000 } else { 50_000 })), 1, "twice as long");
        assert_eq!(
            run(|now| if (5 * SECOND..8 * SECOND).contains(&now) { None } else { Some(50_000) }),
            2,
            "nothing settles"
        );
    }

    #[test]
    fn growth_is_the_slope_after_the_first_minutes() {
        let grow = |per_second: u64| {
            let sample = |second: u64| Sample {
                second,
                rss_bytes: 1_000_000 + second.saturating_sub(100).min(1) * 500_000,
                disk_bytes: 1_000_000 + second * per_second,
                ..Sample::default()
            };
            let mut judged = Judged::default();
            judge_growth(&mut judged, &(0..600).map(sample).collect::<Vec<_>>());
            judged.missed
        };
        assert_eq!(grow(10), Vec::<String>::new(), "0.06 % per minute, and the jump of memory was early");
        assert_eq!(grow(300).len(), 1, "1.6 %");
    }
}
