//! When the next own vertex is due.

/// Local timing, in microseconds. No other beacon depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Least time between two own vertices under load.
    pub interval_min: u64,
    /// Time between two own vertices when there is nothing to order.
    pub heartbeat: u64,
    /// Longest wait for the candidate anchor once a quorum of a round is there.
    pub anchor_wait_max: u64,
    /// When nothing moves, the first wait before own messages are sent again.
    pub resend_min: u64,
    /// What that wait grows to.
    pub resend_max: u64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            interval_min: 10_000,
            heartbeat: 250_000,
            anchor_wait_max: 20_000,
            resend_min: 20_000,
            resend_max: 1_000_000,
        }
    }
}
