//! Its vertices have times far from any clock: within the bounds, beyond them, and at the ends of time.

use fresnel_beacon::limits::TIME_AHEAD_MAX;
use fresnel_types::Timestamp;

use super::{
    Adversary, Said, Wire,
    versions::{Cast, Versions, altered},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TimeLiar {
    versions: Versions,
}

impl Adversary for TimeLiar {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        self.versions.says(wire, said, |wire, signed| {
            wire.did("false times");
            let honest = signed.vertex.head.time;
            let time = match wire.random.below(6) {
                0 => Timestamp(0),
                1 => Timestamp(honest.0.saturating_sub(10_000_000)),
                2 => honest.plus(wire.random.below(TIME_AHEAD_MAX)),
                3 => honest.plus(TIME_AHEAD_MAX + wire.random.below(2_000_000)),
                4 if wire.random.chance(200) => Timestamp(u64::MAX),
                _ => honest.plus(1),
            };
            let version = altered(signed, wire.key, |vertex| vertex.head.time = time);
            Some(Cast { versions: vec![version], shown: vec![0; wire.rules.committee.size()] })
        });
    }
}
