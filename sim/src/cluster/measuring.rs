//! Runs that measure: everybody at the same distance or in real regions, no fault but a crash that is asked for, the
//! timing and the parameters of production.

use fresnel_types::{AuthorityIndex, Party, Timestamp};

use super::{Cluster, Event};
use crate::{
    Choice, Options, Violation, Workers,
    faults::{self, Fault, Moment},
    latency::{Latency, Measurement, Period, Probe},
    machines::Setup,
};

/// Measures how long vertices take from their proposal to their commit.
///
/// # Errors
/// The first invariant that does not hold.
pub fn measure(measurement: &Measurement) -> Result<Latency, Box<Violation>> {
    let options = Options {
        seed: 1,
        authorities: measurement.authorities,
        shards: 1,
        duration: if measurement.crashed == 0 { CRASH } else { END },
        faults: false,
        rate: BATCHES_PER_SECOND,
        workers: Workers::Opaque,
        adversary: Choice::None,
        rule: measurement.rule,
        links: measurement.links,
        scenario: None,
        disk_loss: false,
    };
    let mut cluster = Cluster::of(Setup::of_production(&options));
    cluster.sync_time.fill(SYNC);
    cluster.probe = Some(Probe::default());
    cluster.schedule_starts();
    let down: Vec<AuthorityIndex> = (0..measurement.crashed as u16).map(AuthorityIndex).collect();
    let mut faults = vec![];
    if !down.is_empty() {
        let machines = cluster.hosts.iter().map(|host| host.party);
        let machines: Vec<Party> = machines
            .filter(|party| party.authority().is_some_and(|authority| down.contains(&authority)))
            .collect();
        let fault = Fault::Crash { machines, down: RETURN - CRASH, moment: Moment::Now };
        cluster.scheduler.after(CRASH, Event::Fault(fault.clone()));
        faults.push(faults::Event { at: CRASH, fault });
    }
    let (start, end) = (cluster.start, cluster.start.plus(options.duration));
    cluster.guarded(|cluster| cluster.run_until(end)).map_err(|broken| {
        let at = cluster.elapsed();
        let adversaries = Default::default();
        Violation { invariant: broken.invariant, what: broken.what, at, options, faults, adversaries }
    })?;
    let probe = cluster.probe.take().expect("it was put in");
    let mut periods = vec![(Period::Calm, start.plus(WARM), start.plus(CRASH - MARGIN))];
    if !down.is_empty() {
        let settled = probe.rounds_after(start.plus(CRASH), ROUNDS_AFTER_CRASH);
        periods.push((Period::Crashed, settled, start.plus(RETURN - MARGIN)));
        periods.push((Period::Returned, start.plus(RETURN), start.plus(END - MARGIN)));
    }
    let everybody = cluster.setup.rules.committee.all();
    let never_down = everybody.difference(&down.into_iter().collect());
    let periods = periods.into_iter().map(|(period, from, to)| {
        let at = if period == Period::Calm { everybody } else { never_down };
        probe.figures(period, (from, to), &at)
    });
    Ok(Latency { measurement: measurement.clone(), periods: periods.collect() })
}

impl Cluster {
    fn run_until(&mut self, end: Timestamp) -> Result<(), crate::invariants::Broken> {
        while let Some(event) = self.scheduler.pop(end) {
            self.event(event)?;
        }
        Ok(())
    }
}

/// Microseconds after the start at which a run is warm: everybody is connected and the window of reputation is full.
const WARM: u64 = 8_000_000;

/// Microseconds after the start at which the authorities crash that are to.
const CRASH: u64 = 20_000_000;

/// When they come back.
const RETURN: u64 = 44_000_000;

/// When the run ends: late enough that whoever came back is an anchor again.
const END: u64 = 74_000_000;

/// Vertices proposed less than so many microseconds before a period ends belong to none.
const MARGIN: u64 = 2_000_000;

/// Rounds after a crash in which reputation may take its time.
const ROUNDS_AFTER_CRASH: u64 = 64;

/// Microseconds of a sync, the median of the development machine's disk.
const SYNC: u64 = 100;

/// Enough that something is always waiting for the order.
const BATCHES_PER_SECOND: u64 = 40;
