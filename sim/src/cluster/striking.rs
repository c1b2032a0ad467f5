//! Applying faults to a running cluster.

use fresnel_types::{AuthorityIndex, Party};

use super::{Cluster, Event, STAGGER};
use crate::faults::{Fault, Moment};

impl Cluster {
    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.scheduler.now();
        match fault {
            Fault::Crash { moment: Moment::Now, .. } | Fault::PowerLoss { moment: Moment::Now, .. } => {
                self.strike(&fault);
            }
            Fault::Crash { .. } | Fault::PowerLoss { .. } => self.armed.push(fault),
            Fault::SyncError { machine } => self.hosts[self.index[&machine]].fail_next_sync(),
            Fault::Partition { from, to, one_way, period } => {
                let mut links: Vec<(AuthorityIndex, AuthorityIndex)> =
                    from.iter().flat_map(|a| to.iter().map(|b| (*a, *b))).collect();
                if !one_way {
                    let back: Vec<_> = links.iter().map(|(a, b)| (*b, *a)).collect();
                    links.extend(back);
                }
                links.iter().for_each(|(a, b)| self.network.cut(*a, *b));
                self.scheduler.after(period, Event::Mend(links));
            }
            Fault::Loss { permille, period } => self.network.lose(permille, now.plus(period)),
            Fault::Slow { authority, micros, period } => {
                self.network.slow_down(authority, micros, now.plus(period));
            }
            Fault::Clock { authority, offset } => {
                for index in 0..self.hosts.len() {
                    if self.hosts[index].party.authority() == Some(authority) {
                        self.hosts[index].set_clock(offset);
                        self.schedule_tick(index);
                    }
                }
            }
        }
    }

    /// Ends processes now: those of a crash or loss of power.
    pub(super) fn strike(&mut self, fault: &Fault) {
        let power = matches!(fault, Fault::PowerLoss { .. });
        let (Fault::Crash { down, .. } | Fault::PowerLoss { down, .. }) = *fault else { return };
        if let Fault::PowerLoss { authorities, .. } = fault {
            self.report.power_losses += authorities.len() as u64;
        }
        for index in self.machines(fault) {
            let write_through = self.random.chance(800);
            self.hosts[index].crash(write_through);
            if power {
                self.hosts[index].lose_power();
            }
            let early = self.random.below(STAGGER);
            self.scheduler.after(down.saturating_sub(early).max(1), Event::Start(index));
        }
    }

    /// The machines whose processes a fault ends.
    pub(super) fn machines(&self, fault: &Fault) -> Vec<usize> {
        let concerns = |party: &Party| match fault {
            Fault::Crash { machines, .. } => machines.contains(party),
            Fault::PowerLoss { authorities, .. } => {
                party.authority().is_some_and(|authority| authorities.contains(&authority))
            }
            _ => false,
        };
        (0..self.hosts.len()).filter(|index| concerns(&self.hosts[*index].party)).collect()
    }
}
