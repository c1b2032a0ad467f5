//! The bounds of a load and of the clusters it runs on.

use std::time::Duration;

/// Length of a tick: transactions whose intended instant has passed are sent together.
pub const TICK: Duration = Duration::from_millis(5);

/// A first sending this much behind the intended instant counts as late: two ticks.
pub const LATE_AFTER: Duration = Duration::from_millis(10);
