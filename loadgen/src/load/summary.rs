//! What a load gave, in the figures of the report.

use std::{collections::BTreeMap, time::Duration};

use fresnel_types::{Outcome as Ended, status::Level};
use hdrhistogram::Histogram;

use super::{
    Outcome,
    tracker::{Entry, Micros, burned_fee, failure_code},
};
use crate::{
    report::{Latencies, Load, Quantiles, Second, Throughput},
    workload::NewLeaves,
};

/// The figures of a load.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) load: Load,
    pub(crate) throughput: Throughput,
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) latency_ms: Latencies,
    pub(crate) timeline: Vec<Second>,
    /// Successes that settled.
    pub(crate) settled: u64,
    /// Transactions known to have burned their fee.
    pub(crate) paid: u64,
    /// Leaves that successes made and paid for.
    pub(crate) leaves: NewLeaves,
}

impl Summary {
    /// The figures of a load of `duration` that began with `rate`.
    pub(crate) fn of(outcome: &Outcome, rate: u64, duration: Duration) -> Self {
        let tracker = &outcome.tracker;
        let counts = tracker.counts();
        let mut failed = BTreeMap::new();
        let mut timeline = Timeline::default();
        let mut all = LEVELS.map(|_| Distribution::new());
        let mut in_time = [0_u64; LEVELS.len()];
        let end = (duration + IN_TIME).as_micros() as Micros;
        let (mut final_within_shard, mut settled_cross_shard) = (Distribution::new(), Distribution::new());
        let (mut paid, mut leaves) = (0, NewLeaves::default());
        for (number, (planned, entry)) in tracker.entries().enumerate() {
            if let Some(sent) = entry.sent() {
                timeline.at(sent).submitted += 1;
            }
            if let Some(outcome) = entry.outcome() {
                paid += u64::from(burned_fee(outcome));
                if outcome == Ended::Success {
                    leaves.add(planned.new_leaf);
                }
                if let Some(code) = failure_code(outcome, entry.bounced()) {
                    *failed.entry(code).or_default() += 1;
                }
            }
            if !is_success(entry) {
                continue;
            }
            let intended = tracker.intended(number);
            let latency = |level| entry.reached(level).map(|reached| reached.saturating_sub(intended));
            for ((distribution, in_time), level) in all.iter_mut().zip(&mut in_time).zip(LEVELS) {
                distribution.add(latency(level));
                *in_time += u64::from(entry.reached(level).is_some_and(|reached| reached <= end));
            }
            if planned.is_cross_shard() {
                settled_cross_shard.add(latency(Level::Settled));
            } else {
                final_within_shard.add(latency(Level::Final));
            }
            if let Some(reached) = entry.reached(Level::Final) {
                timeline.at(reached).r#final += 1;
            }
            if let Some(reached) = entry.reached(Level::Settled) {
                timeline.at(reached).settled += 1;
            }
        }
        for pair in outcome.samples.windows(2) {
            let [before, after] = pair else { continue };
            let second = timeline.at(before.second * 1_000_000);
            second.cluster_cpu_ms = after.cluster_us.saturating_sub(before.cluster_us) / 1_000;
            second.client_cpu_ms = after.client_us.saturating_sub(before.client_us) / 1_000;
            second.rss_mb = after.rss_bytes / 1_000_000;
            second.disk_mb = after.disk_bytes / 1_000_000;
        }
        let per_second = |count: u64| count as f64 / duration.as_secs_f64();
        let [ordered, executed, r#final, settled] = &all;
        let code = |code| serde_json::json!(code).as_str().unwrap_or("unknown").to_owned();
        Self {
            load: Load {
                offered_tps: rate as f64,
                submitted: counts.submitted,
                admitted: counts.admitted,
                resubmitted: counts.resubmitted,
                orphaned: counts.orphaned,
                rejected: counts.rejected.iter().map(|(refusal, count)| (code(refusal), *count)).collect(),
                late_sends: counts.late_sends,
            },
            throughput: Throughput {
                ordered_tps: per_second(in_time[0]),
                executed_tps: per_second(in_time[1]),
                final_tps: per_second(in_time[2]),
                settled_tps: per_second(in_time[3]),
            },
            failed,
            latency_ms: Latencies {
                ordered: ordered.quantiles(),
                executed: executed.quantiles(),
                r#final: r#final.quantiles(),
                settled: settled.quantiles(),
                final_within_shard: final_within_shard.quantiles(),
                settled_cross_shard: settled_cross_shard.quantiles(),
            },
            timeline: timeline.0,
            settled: settled.count(),
            paid,
            leaves,
        }
    }
}

/// Whether what is known of a transaction is good: it may be on its way still.
fn is_success(entry: &Entry) -> bool {
    entry.succeeded() || entry.outcome().is_none() && entry.reached(Level::Ordered).is_some()
}

/// One entry per second, as many as were needed.
#[derive(Default)]
struct Timeline(Vec<Second>);

impl Timeline {
    fn at(&mut self, instant: Micros) -> &mut Second {
        let second = (instant / 1_000_000) as usize;
        while self.0.len() <= second {
            self.0.push(Second { second: self.0.len() as u64, ..Second::default() });
        }
        &mut self.0[second]
    }
}

/// Microseconds, to three digits, up to an hour.
pub(crate) struct Distribution(Histogram<u64>);

impl Distribution {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, HOUR, 3).expect("the bounds are in order and three digits are few"),
        )
    }

    /// Counts one that got there.
    pub(crate) fn add(&mut self, latency: Option<Micros>) {
        if let Some(latency) = latency {
            self.0.saturating_record(latency);
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What the report says of it.
    pub(crate) fn quantiles(&self) -> Quantiles {
        // A whole number of microseconds, so that the report does not print more digits than were measured.
        let millis = |micros: u64| micros as f64 / 1_000.0;
        let at = |quantile| millis(self.0.value_at_quantile(quantile));
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: millis(self.0.max()) }
    }
}

const LEVELS: [Level; super::tracker::LEVELS] =
    [Level::Ordered, Level::Executed, Level::Final, Level::Settled];

/// How long after the load something may still reach a level to count for throughput. All of it was meant to be sent
/// within the load; what an overloaded cluster works off much later was not its throughput.
const IN_TIME: Duration = Duration::from_secs(1);

const HOUR: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use fresnel_types::{
        AuthorityIndex, BlockIndex, FailureCode, RejectionCode, ShardId, TransactionId, status::Progress,
    };

    use super::*;
    use crate::{
        load::{Sample, Schedule, Tracker},
        workload::{NewLeaf, Planned},
    };

    fn outcome(tracker: Tracker) -> Outcome {
        let sample =
            |second, cluster_us| Sample { second, cluster_us, rss_bytes: 5_000_000, ..Sample::default() };
        let samples = vec![sample(0, 1_000_000), sample(1, 2_500_000)];
        Outcome { tracker, absent: 0, gave_up: false, samples }
    }

    #[test]
    fn what_settles_long_after_the_load_is_no_throughput() {
        let plan = (0..2)
            .map(|place| Planned {
                shard: ShardId(0),
                place,
                destination: ShardId(0),
                new_leaf: NewLeaf::None,
            })
            .collect();
        let ids: Vec<_> = (0..2).map(|number| TransactionId([number; 32])).collect();
        let mut tracker = Tracker::new(plan, ids.clone(), 64, 1, Schedule::from(2));
        for (_, numbers) in tracker.due(600_000, &|_| true) {
            tracker.sent(AuthorityIndex(0), &numbers, 600_000);
        }
        for (transaction, now) in ids.into_iter().zip([1_900_000, 2_100_000]) {
            let (level, outcome, block) = (Level::Settled, Some(Ended::Success), BlockIndex(1));
            tracker.progress(&Progress { transaction, level, outcome, block, bounced: false }, now);
        }
        let summary = Summary::of(&outcome(tracker), 2, Duration::from_secs(1));
        assert_eq!((summary.settled, summary.throughput.settled_tps), (2, 1.0));
    }

    #[test]
    fn figures_count_successes_from_their_intended_instants() {
        let plan = (0..4)
            .map(|place| Planned {
                shard: ShardId(0),
                place,
                destination: ShardId(u16::from(place == 3)),
                new_leaf: NewLeaf::None,
            })
            .collect();
        let ids: Vec<_> = (0..4).map(|number| TransactionId([number; 32])).collect();
        let mut tracker = Tracker::new(plan, ids.clone(), 64, 1, Schedule::from(2));
        for now in [0, 500_000, 1_000_000, 1_500_000] {
            for (_, numbers) in tracker.due(now, &|_| true) {
                tracker.sent(AuthorityIndex(0), &numbers, now);
            }
        }
        tracker.admission(&[0, 1, 2, 3], &[None, None, None, Some(RejectionCode::Overloaded)], 0, 1_500_000);
        let mut news = |number: usize, level, outcome, now| {
            let news =
                Progress { transaction: ids[number], level, outcome, block: BlockIndex(1), bounced: false };
            tracker.progress(&news, now);
        };
        news(0, Level::Settled, Some(Ended::Success), 100_000);
        news(1, Level::Ordered, None, 600_000);
        news(2, Level::Final, Some(Ended::Failed(FailureCode::WindowFull)), 1_100_000);
        news(3, Level::Final, Some(Ended::Success), 1_800_000);
        news(3, Level::Settled, Some(Ended::Success), 2_100_000);
        let summary = Summary::of(&outcome(tracker), 2, Duration::from_secs(2));
        let throughput = summary.throughput;
        assert_eq!(
            (throughput.ordered_tps, throughput.executed_tps),
            (1.5, 1.0),
            "three, then two in two seconds"
        );
        assert_eq!((throughput.settled_tps, summary.settled, summary.paid), (1.0, 2, 3));
        assert_eq!(summary.failed, [("window_full".to_owned(), 1)].into());
        assert_eq!(summary.load.rejected, [("overloaded".to_owned(), 1)].into());
        assert_eq!(summary.load.admitted, 4, "news prove admission");
        let near = |measured: f64, expected: f64| (measured / expected - 1.0).abs() < 0.01;
        assert!(near(summary.latency_ms.final_within_shard.max, 100.0));
        assert!(near(summary.latency_ms.settled_cross_shard.p50, 600.0));
        assert!(near(summary.latency_ms.settled.max, 600.0));
        let row = |second: usize| {
            let Second { submitted, r#final, settled, .. } = summary.timeline[second];
            (submitted, r#final, settled)
        };
        assert_eq!((row(0), row(1), row(2)), ((2, 1, 1), (2, 1, 0), (0, 0, 1)));
        let used = |second: usize| (summary.timeline[second].cluster_cpu_ms, summary.timeline[second].rss_mb);
        assert_eq!((used(0), used(1)), ((1_500, 5), (0, 0)));
    }
}
