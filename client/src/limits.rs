//! The bounds of a connection.

use std::time::Duration;

/// Frames waiting to be written: at about 100 kB each the most that a slow process can make a client hold is 6 MB.
pub(crate) const FRAMES_WAITING: usize = 64;

/// Events waiting to be taken; when nobody takes them the reader stops reading, and TCP tells the process.
pub(crate) const EVENTS_WAITING: usize = 1_024;

/// Events set aside while the sequential client waits for a certain one.
pub(crate) const EVENTS_ASIDE: usize = 65_536;

/// For how long a connection may take to be made, greeting included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long the sequential client waits for an admission or an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Roles in a greeting: a beacon and the workers of 256 shards, with room.
pub(crate) const ROLES_MAX: usize = 512;
