//! What goes wrong and when: a list drawn from the seed, printed with every violation.

use std::fmt;

use fresnel_types::{AuthorityIndex, Party, ShardId};

use crate::{Choice, Options, options::Chain, random::Random};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The processes of these machines end. What they wrote is kept, synced or not.
    Crash {
        /// Whose.
        machines: Vec<Party>,
        /// Microseconds until they are started again.
        down: u64,
        /// When exactly.
        moment: Moment,
    },
    /// The power of these authorities fails: unsynced sectors may be lost, each for itself.
    PowerLoss {
        /// Whose.
        authorities: Vec<AuthorityIndex>,
        /// Microseconds until all their machines are started again.
        down: u64,
        /// When exactly.
        moment: Moment,
    },
    /// The power of an authority fails, and everything that it ever kept is gone.
    DiskLoss {
        /// Whose; its stake is at most f.
        authority: AuthorityIndex,
        /// Microseconds until all its machines are started with empty disks.
        down: u64,
    },
    /// The next sync of the machine's disk fails; the process ends and is started again.
    SyncError {
        /// Whose.
        machine: Party,
    },
    /// Nothing passes from some authorities to others.
    Partition {
        /// From these.
        from: Vec<AuthorityIndex>,
        /// To these.
        to: Vec<AuthorityIndex>,
        /// Whether the other direction works.
        one_way: bool,
        /// For so many microseconds.
        period: u64,
    },
    /// Messages are lost on all links.
    Loss {
        /// Of 1,000 messages.
        permille: u64,
        /// For so many microseconds.
        period: u64,
    },
    /// Messages come twice on all links, the second time later.
    Duplication {
        /// Of 1,000 messages.
        permille: u64,
        /// For so many microseconds.
        period: u64,
    },
    /// Messages overtake one another on all links.
    Disorder {
        /// Each is up to so many microseconds late.
        micros: u64,
        /// For so many microseconds.
        period: u64,
    },
    /// The processes of these machines stand still: they take nothing in and say nothing, and nobody is told.
    Freeze {
        /// Whose.
        machines: Vec<Party>,
        /// For so many microseconds.
        period: u64,
    },
    /// All links of an authority are slow.
    Slow {
        /// Whose.
        authority: AuthorityIndex,
        /// Up to so many microseconds more per message.
        micros: u64,
        /// For so many microseconds.
        period: u64,
    },
    /// The clock of an authority is off from now on. It never runs backwards: when set back it stands still.
    Clock {
        /// Whose.
        authority: AuthorityIndex,
        /// By so many microseconds against the simulation's.
        offset: i64,
    },
}

/// The moment of a crash or loss of power: the worst ones are around a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At the instant of the fault.
    Now,
    /// When one of the machines next syncs: everything is written, nothing synced, nothing sent.
    BeforeSync,
    /// After one of the machines next synced: everything is durable, and the world hears a part of it.
    BetweenSends,
    /// Between two writes: so many were synced since the fault was armed, and the next one is not.
    AfterWrites(u64),
}

/// A fault with its instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Microseconds after the start.
    pub at: u64,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {:?}", self.at as f64 / 1e6, self.fault)
    }
}

impl Fault {
    /// When exactly it strikes within the run of the machines that it concerns.
    pub(crate) fn moment(&self) -> Moment {
        match self {
            Self::Crash { moment, .. } | Self::PowerLoss { moment, .. } => *moment,
            _ => Moment::Now,
        }
    }
}

/// Draws what goes wrong within `period`, in order. Everything is over at its end but for what clocks show.
pub fn draw(options: &Options, period: u64) -> Vec<Event> {
    if let Some(scenario) = &options.scenario {
        return scenario.faults(options);
    }
    if !options.faults {
        return Vec::new();
    }
    let mut random = Random::new(options.seed, "faults");
    let mut events = Vec::new();
    // Some runs are calm and some are not; in each, most faults are of a few kinds.
    let pause = random.pick(&[500_000, 1_500_000, 4_000_000]);
    let kinds: Vec<u64> = (0..random.between(1, 4)).map(|_| random.below(KINDS)).collect();
    let mut at = random.below(pause) + 1;
    while at < period {
        let kind = if random.chance(800) { random.pick(&kinds) } else { random.below(KINDS) };
        let length = random.pick(&[20_000, 300_000, 1_000_000, 4_000_000]).min(period - at);
        draw_one(options, &mut random, kind, at, length, &mut events);
        at += random.below(2 * pause) + 1;
    }
    events.extend(end_of_all(options, period));
    events.extend(loss_of_disk(options, period));
    events.sort_by_key(|event| event.at);
    events
}

/// In some runs everybody ends at once, late enough that there is something to restore.
fn end_of_all(options: &Options, period: u64) -> Option<Event> {
    let mut random = Random::new(options.seed, "end of all");
    let authorities: Vec<AuthorityIndex> = (0..options.authorities as u16).map(AuthorityIndex).collect();
    let moment = random.pick(&[Moment::Now, Moment::BeforeSync, Moment::BetweenSends]);
    let (at, down) = (random.between(period / 2, period - period / 10), period / 10);
    random.chance(250).then_some(Event { at, fault: Fault::PowerLoss { authorities, down, moment } })
}

/// Where it is asked for, one authority loses its disk: it counts towards f, so there are no adversaries then.
fn loss_of_disk(options: &Options, period: u64) -> Option<Event> {
    if !options.disk_loss || options.adversary != Choice::None {
        return None;
    }
    let committee = Chain::new(options).genesis.committee();
    let light = committee.indices().filter(|one| committee.stake_of(*one) <= committee.faulty());
    let light: Vec<AuthorityIndex> = light.collect();
    let mut random = Random::new(options.seed, "loss of disk");
    let at = random.between(period / 10, period - period / 10);
    let down = random.pick(&[1, 300_000, 4_000_000]).min(period - at);
    let authority = (!light.is_empty()).then(|| random.pick(&light))?;
    Some(Event { at, fault: Fault::DiskLoss { authority, down } })
}

fn draw_one(
    options: &Options,
    random: &mut Random,
    kind: u64,
    at: u64,
    length: u64,
    events: &mut Vec<Event>,
) {
    // One authority has no links.
    let kind = if options.authorities == 1 { kind % FIRST_OF_MANY } else { kind };
    let all: Vec<AuthorityIndex> = (0..options.authorities as u16).map(AuthorityIndex).collect();
    let authority = random.pick(&all);
    let machine = machine(options, random, authority);
    let moment = random.pick(&[Moment::Now, Moment::BeforeSync, Moment::BetweenSends]);
    let mut push = |at, fault| events.push(Event { at, fault });
    match kind {
        0 => push(at, Fault::Crash { machines: vec![machine], down: length, moment }),
        1 => {
            let mut machines: Vec<Party> =
                (0..options.shards).map(|s| Party::Worker(authority, ShardId(s))).collect();
            machines.push(Party::Beacon(authority));
            push(at, Fault::Crash { machines, down: length, moment });
        }
        2 => push(at, Fault::PowerLoss { authorities: vec![authority], down: length, moment }),
        3 => push(at, Fault::PowerLoss { authorities: all, down: length, moment }),
        4 => push(at, Fault::SyncError { machine }),
        5 => push(at, Fault::PowerLoss { authorities: some(random, &all), down: length, moment }),
        6 => {
            // In some of them one authority still reaches both sides.
            let bridge = (all.len() > 2 && random.chance(250)).then_some(authority);
            let all: Vec<AuthorityIndex> = all.into_iter().filter(|one| Some(*one) != bridge).collect();
            let from = some(random, &all);
            let to = all.into_iter().filter(|authority| !from.contains(authority)).collect();
            push(at, Fault::Partition { from, to, one_way: random.chance(300), period: length });
        }
        7 => {
            // A link that comes and goes.
            let others: Vec<AuthorityIndex> = all.into_iter().filter(|other| *other != authority).collect();
            let to = vec![random.pick(&others)];
            let times = random.between(2, 6);
            let period = length / (2 * times) + 1;
            for turn in 0..times {
                let (from, to) = (vec![authority], to.clone());
                push(at + turn * 2 * period, Fault::Partition { from, to, one_way: false, period });
            }
        }
        8 => push(at, Fault::Loss { permille: random.pick(&[10, 50, 200]), period: length }),
        9 => push(at, Fault::Slow { authority, micros: random.pick(&[20_000, 200_000]), period: length }),
        _ => {
            let offset = random.below(2 * CLOCK_OFFSET_MAX) as i64 - CLOCK_OFFSET_MAX as i64;
            push(at, Fault::Clock { authority, offset });
        }
    }
}

fn machine(options: &Options, random: &mut Random, authority: AuthorityIndex) -> Party {
    if random.chance(500) {
        Party::Beacon(authority)
    } else {
        Party::Worker(authority, ShardId(random.below(u64::from(options.shards)) as u16))
    }
}

/// At least one and not all.
fn some(random: &mut Random, all: &[AuthorityIndex]) -> Vec<AuthorityIndex> {
    let count = random.between(1, all.len() as u64 - 1);
    let mut left = all.to_vec();
    let mut chosen: Vec<AuthorityIndex> =
        (0..count).map(|_| left.swap_remove(random.index(left.len()))).collect();
    chosen.sort();
    chosen
}

const KINDS: u64 = 11;

/// The first kind that needs several authorities.
const FIRST_OF_MANY: u64 = 5;

/// Two clocks differ by at most twice this much, below the 500 ms that a vertex may be ahead.
const CLOCK_OFFSET_MAX: u64 = 200_000;
