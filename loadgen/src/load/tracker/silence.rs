//! When to send a transaction again of which nothing was heard. An overloaded cluster is silent about most of what it
//! has, so whoever sends that again soon makes the overload worse: the wait follows what being ordered takes at
//! present, doubles with each time, and all together are held below a rate.

use std::collections::BTreeSet;

use hdrhistogram::Histogram;

use super::Micros;
use crate::limits::{REPEATS_DIVISOR, REPEATS_PER_SECOND_MIN, SILENCE_LATENCIES, SILENCE_MAX, SILENCE_MIN};

/// Sendings of which nothing was heard yet.
#[derive(Debug)]
pub(super) struct Silence {
    /// When to look again, at which transaction, sent how often, the last time when.
    sendings: BTreeSet<(Micros, u32, u8, Micros)>,
    /// Microseconds from the first sending to ordered.
    latencies: Histogram<u64>,
    /// How long the first wait is, and when that was computed.
    wait: Micros,
    computed: Micros,
    /// Between two resubmissions, and the earliest instant of the next.
    interval: Micros,
    next: Micros,
}

impl Silence {
    /// For a load of `rate` transactions per second.
    pub(super) fn new(rate: u64) -> Self {
        Self {
            sendings: BTreeSet::new(),
            latencies: Histogram::new_with_bounds(1, HOUR, 2)
                .expect("the bounds are in order and two digits are few"),
            wait: SILENCE_MIN.as_micros() as Micros,
            computed: 0,
            interval: SECOND / (rate / REPEATS_DIVISOR).clamp(REPEATS_PER_SECOND_MIN, SECOND),
            next: 0,
        }
    }

    /// A transaction was sent for the `attempts`-th time, and `repeats` times before after silence.
    pub(super) fn begins(&mut self, now: Micros, number: u32, attempts: u8, repeats: u8) {
        self.sendings.insert((now + self.wait_after(repeats), number, attempts, now));
    }

    /// A transaction was ordered this long after it was first sent.
    pub(super) fn ordered_after(&mut self, latency: Micros) {
        self.latencies.saturating_record(latency);
    }

    /// Those to send again now. `goes_on` tells of a transaction sent that often how often silence was broken before;
    /// none where something was heard, or it was sent since, or is to be.
    pub(super) fn broken(&mut self, now: Micros, goes_on: &dyn Fn(u32, u8) -> Option<u8>) -> Vec<u32> {
        if now >= self.computed + SECOND {
            self.computed = now;
            let latencies = self.latencies.value_at_quantile(0.99).saturating_mul(SILENCE_LATENCIES);
            self.wait = latencies.max(SILENCE_MIN.as_micros() as Micros);
        }
        let mut again = Vec::new();
        while let Some(&sending) = self.sendings.first()
            && sending.0 <= now
        {
            let (_, number, attempts, sent) = sending;
            let Some(repeats) = goes_on(number, attempts) else {
                self.sendings.pop_first();
                continue;
            };
            // Being ordered may take longer now than it did when this was sent.
            let due = sent + self.wait_after(repeats);
            if due > now {
                self.sendings.pop_first();
                self.sendings.insert((due, number, attempts, sent));
            } else if self.next <= now {
                self.sendings.pop_first();
                self.next = self.next.max(now.saturating_sub(BURST)) + self.interval;
                again.push(number);
            } else {
                break;
            }
        }
        again
    }

    fn wait_after(&self, repeats: u8) -> Micros {
        self.wait.saturating_mul(1 << repeats.min(16)).min(SILENCE_MAX.as_micros() as Micros)
    }
}

const SECOND: Micros = 1_000_000;

/// No load lasts as long.
const HOUR: Micros = 3_600 * SECOND;

/// What was not used of the rate for this long may be used at once.
const BURST: Micros = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    /// Looks every five milliseconds for `length` from `start` on; everything stays silent.
    fn repeats(silence: &mut Silence, start: Micros, length: Micros) -> usize {
        let ticks = (start..start + length).step_by(5 * MS as usize);
        ticks.map(|now| silence.broken(now, &|_, _| Some(0)).len()).sum()
    }

    #[test]
    fn all_together_stay_below_a_part_of_the_rate() {
        for (rate, per_second) in [(20_000, 2_000), (10, 100)] {
            let mut silence = Silence::new(rate);
            (0..100_000).for_each(|number| silence.begins(0, number, 1, 0));
            assert_eq!(repeats(&mut silence, 0, 5 * SECOND), 0, "too early");
            let first = repeats(&mut silence, 5 * SECOND, SECOND);
            assert!(
                first.abs_diff(per_second + per_second / 10) <= per_second / 100 + 2,
                "{first} in the first second"
            );
            let second = repeats(&mut silence, 6 * SECOND, SECOND);
            assert!(second.abs_diff(per_second) <= 2, "{second} in the second one");
        }
    }

    #[test]
    fn the_wait_follows_the_time_that_being_ordered_takes() {
        let mut silence = Silence::new(1_000);
        silence.begins(0, 7, 1, 0);
        // One in ten takes two seconds; the sending is older than that is known.
        (0..100).for_each(|number| silence.ordered_after(if number % 10 == 0 { 2 * SECOND } else { SECOND }));
        assert_eq!(repeats(&mut silence, 0, 7_900 * MS), 0);
        assert_eq!(repeats(&mut silence, 7_900 * MS, 200 * MS), 1, "four times the percentile");
        assert_eq!(repeats(&mut silence, 8_100 * MS, 60 * SECOND), 0, "once for each sending");
    }

    #[test]
    fn what_was_heard_of_costs_nothing_of_the_rate() {
        let mut silence = Silence::new(10);
        (0..1_000).for_each(|number| silence.begins(0, number, 1, 0));
        let goes_on = |number, _| (number >= 995).then_some(0);
        assert_eq!(silence.broken(5 * SECOND, &goes_on), [995, 996, 997, 998, 999]);
        assert!(silence.sendings.is_empty());
    }
}
