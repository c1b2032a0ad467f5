//! When each transaction of a load ought to be sent: at a rate, or at several rates one after the other.

use std::time::Duration;

use super::tracker::Micros;

/// The intended instants of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    phases: Vec<Phase>,
    transactions: u64,
    duration: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phase {
    /// The number of its first transaction.
    first: u64,
    start: Micros,
    /// Transactions per second, at least one.
    rate: u64,
}

impl Schedule {
    /// Rates, each for a time; at least one, and none of them 0.
    pub(crate) fn new(parts: &[(u64, Duration)]) -> Self {
        let (mut transactions, mut duration) = (0, Duration::ZERO);
        let mut phases = Vec::with_capacity(parts.len());
        for &(rate, lasts) in parts {
            let start = duration.as_micros() as Micros;
            phases.push(Phase { first: transactions, start, rate });
            let within = u128::from(rate) * lasts.as_micros() / 1_000_000;
            transactions = transactions.saturating_add(u64::try_from(within).unwrap_or(u64::MAX));
            duration += lasts;
        }
        assert!(phases.iter().all(|phase| phase.rate > 0) && !phases.is_empty(), "the options were checked");
        Self { phases, transactions, duration }
    }

    /// When transaction `number` ought to be sent. Those behind the last one would go on at the last rate.
    pub(crate) fn intended(&self, number: u64) -> Micros {
        let place = self.phases.partition_point(|phase| phase.first <= number).max(1) - 1;
        let Phase { first, start, rate } = self.phases[place];
        start + (u128::from(number - first) * 1_000_000 / u128::from(rate)) as Micros
    }

    /// How many transactions there are.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions
    }

    /// From the first instant to the end of the last phase.
    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    /// The rate that it begins with.
    pub(crate) fn rate(&self) -> u64 {
        self.phases[0].rate
    }
}

#[cfg(test)]
impl From<u64> for Schedule {
    fn from(rate: u64) -> Self {
        Self::new(&[(rate, Duration::from_secs(1))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_follow_the_rates() {
        let second = Duration::from_secs(1);
        let schedule = Schedule::new(&[(10, second), (30, 2 * second), (5, second)]);
        assert_eq!((schedule.transactions(), schedule.duration(), schedule.rate()), (75, 4 * second, 10));
        for (number, instant) in [
            (0, 0),
            (9, 900_000),
            (10, 1_000_000),
            (40, 2_000_000),
            (70, 3_000_000),
            (71, 3_200_000),
            (75, 4_000_000),
        ] {
            assert_eq!(schedule.intended(number), instant, "{number}");
        }
    }
}
