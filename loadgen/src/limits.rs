//! The bounds of a load and of the clusters it runs on.

use std::time::Duration;

/// Length of a tick: transactions whose intended instant has passed are sent together.
pub const TICK: Duration = Duration::from_millis(5);

/// A first sending this much behind the intended instant counts as late: two ticks.
pub const LATE_AFTER: Duration = Duration::from_millis(10);

/// The least time after which a transaction not known ordered goes to the next authority as well.
pub(crate) const SILENCE_MIN: Duration = Duration::from_secs(5);

/// The same in 99th percentiles of the time that it took others to be ordered.
pub(crate) const SILENCE_LATENCIES: u64 = 4;

/// The longest time after which a transaction not known ordered is sent again: below [`STALL_MAX`], so that a load never
/// gives up in between.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Resubmissions after silence are at most this part of the rate of the load, so that who is overloaded does not get more
/// than a tenth on top.
pub(crate) const REPEATS_DIVISOR: u64 = 10;

/// Resubmissions after silence per second that any load may have.
pub(crate) const REPEATS_PER_SECOND_MIN: u64 = 100;

/// The least time after which a refused transaction is sent again.
pub(crate) const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);

/// How often a transaction that nobody admitted is sent before its refusal counts as final.
pub(crate) const ATTEMPTS_MAX: u8 = 8;

/// Time between two questions about a transaction that was ordered over a link that broke.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Questions about transactions in one tick: 40,000 a second.
pub(crate) const POLLS_PER_TICK: usize = 200;

/// Transactions in one load: what 32-bit numbers and about 300 bytes of memory each allow on an ordinary machine.
pub(crate) const TRANSACTIONS_MAX: u64 = 50_000_000;

/// The longest load: instants are kept in 32 bits of microseconds, with as much again for what follows.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(1_800);

/// Events of all links waiting for the driver.
pub(crate) const EVENTS_WAITING: usize = 1_024;

/// Events handled before the next look at the clock.
pub(crate) const EVENTS_PER_TURN: usize = 64;

/// First and longest wait before a link is tried again.
pub(crate) const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// After the load: for how long nothing may become settled while something is open.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(30);

/// After the load: for how long at most everything may take to settle.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(300);

/// For how long authorities may take to agree on the last record once everything settled.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// For how long a process may take to answer after its start.
pub(crate) const READY_MAX: Duration = Duration::from_secs(30);

/// For how long a process may take to stop after SIGTERM before it is killed.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(10);

/// Microseconds of commit time for which transactions signed ahead stay valid: the load, what it waits for, and room;
/// below the hour that a genesis allows by default.
pub(crate) const VALIDITY_MICROS: u64 = 50 * 60 * 1_000_000;

/// For how long a cluster may take to be as before once an overload is over.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// As [`DRAIN_MAX`], for a probe of which it is only asked whether the cluster kept up.
pub(crate) const PROBE_DRAIN_MAX: Duration = Duration::from_secs(15);
