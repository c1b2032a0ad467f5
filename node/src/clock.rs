//! The one place that reads a clock: microseconds since the Unix epoch that never go back while the process lives.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fresnel_types::Timestamp;

/// A monotonic clock, set by the system's clock once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    anchor: Instant,
    at_anchor: Timestamp,
}

impl Clock {
    /// A clock that agrees with the system's now.
    #[expect(clippy::disallowed_methods, reason = "drivers are where time comes from")]
    pub(crate) fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { anchor: Instant::now(), at_anchor: Timestamp(micros(epoch)) }
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        self.at_anchor.plus(micros(self.anchor.elapsed()))
    }
}

/// Nanoseconds since the first call: for what measures itself.
#[expect(clippy::disallowed_methods, reason = "drivers are where time comes from")]
pub(crate) fn monotonic_nanos() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
