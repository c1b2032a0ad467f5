//! Rounds of chaos: in each, a random process is killed and started again a little later. One is down at a time, so that
//! any committee of four or more goes on.

use std::time::Duration;

use fresnel_types::AuthorityIndex;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::{Fault, FaultAction, Hosted, Target};

/// `count` rounds of [`ROUND`] each, the first after [`CALM`]; the same seed gives the same.
pub fn rounds(seed: u64, count: u32, processes: &[Hosted]) -> Vec<Fault> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    // Beside the streams of the workload and of the accounts' keys.
    random.set_stream(u64::MAX - 1);
    let mut below = |bound: usize| ((u64::from(random.next_u32()) * bound as u64) >> 32) as usize;
    let mut faults = Vec::new();
    for round in 0..count {
        let (authority, roles) = &processes[below(processes.len())];
        let target = target(*authority, roles);
        let start = CALM + ROUND * round;
        let killed = start + Duration::from_millis(below(1_000) as u64);
        // Sometimes before anybody noticed, sometimes after the others have given it up.
        let down = Duration::from_millis(50 + below(1_450) as u64);
        faults.push(Fault { action: FaultAction::Kill, target, at: killed });
        faults.push(Fault { action: FaultAction::Restart, target, at: killed + down });
    }
    faults
}

/// How long a load with so many rounds lasts.
pub fn lasts(count: u32) -> Duration {
    CALM + ROUND * count + CALM
}

fn target(authority: AuthorityIndex, roles: &[fresnel_types::frame::Role]) -> Target {
    match roles {
        [role] => Target::Machine(authority, *role),
        _ => Target::Authority(authority),
    }
}

/// A round; the killed process is back for at least half a second before the next.
const ROUND: Duration = Duration::from_secs(3);

/// Before the first and after the last round.
const CALM: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use fresnel_types::Shards;

    use super::*;
    use crate::{
        Layout,
        faults::{hosted, schedule},
    };

    #[test]
    fn rounds_make_sense_for_every_layout_and_strike_everybody_in_the_end() {
        for layout in [Layout::Node, Layout::Split] {
            let processes = hosted(4, Shards::new(2).expect("valid"), layout);
            let faults = rounds(1, 200, &processes);
            assert_eq!(schedule(&faults, &processes).as_ref(), Ok(&faults), "in order, one down at a time");
            let struck = |(authority, roles): &&Hosted| {
                faults.iter().any(|fault| fault.target.strikes(*authority, roles))
            };
            assert_eq!(processes.iter().filter(struck).count(), processes.len());
            assert_eq!(rounds(1, 200, &processes), faults);
            assert_ne!(rounds(2, 200, &processes), faults);
            assert!(faults.iter().all(|fault| fault.at < lasts(200)));
        }
    }
}
