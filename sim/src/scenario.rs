//! Scenarios: what happens in a simulation, as a text that people read and write. The seed draws the rest.
//!
//! A text opens with lines behind `#` that tell the story. Then each line sets something, says what happens at an instant after
//! the start, or what must have come about:
//!
//! ```text
//! # All workers of one shard stand still for two seconds.
//! shards 4
//! window 8
//! at 1000ms freeze shard 2 for 2000ms
//! expect went_on
//! ```
//!
//! Instants and periods are in `ms` or `s`. A machine is `worker A/S`, of authority A and shard S, or `beacon A`; several are
//! `shard S`, `authority A` and `all`. What may happen to machines: `freeze`, `crash`, `power-off`; to the network: `lose`,
//! `duplicate` (both so many in a thousand) and `disorder` (up to so late). `crash worker 0/1 after 7 writes for 50ms` strikes
//! between the seventh write and the eighth.

use std::{fmt, str::FromStr};

use fresnel_types::{AuthorityIndex, Parameters, Party, ShardId, Shards};

use crate::{
    Choice, Options, Report,
    faults::{Event, Fault, Moment},
    options::DEEP_FLOOR,
};

/// What happens in a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Where its text is.
    pub path: String,
    authorities: usize,
    shards: u16,
    duration: u64,
    rate: u64,
    adversary: Choice,
    window: Option<u64>,
    delivery: Option<u64>,
    /// Microseconds from one checkpoint of a worker to the next.
    pub(crate) checkpoints: Option<u64>,
    pub(crate) traffic: Traffic,
    pub(crate) copies: u64,
    happenings: Vec<Happening>,
    expected: Vec<String>,
}

/// What clients send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Everything that programs offer.
    #[default]
    Drawn,
    /// Payments, each to the next shard, and from the last one to the first.
    Cyclic,
}

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} ({text:?}): {why}")]
pub struct ScenarioError {
    line: usize,
    text: String,
    why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Happening {
    at: u64,
    what: What,
    period: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Freeze(Machines),
    Crash(Machines, Moment),
    PowerOff(Machines),
    Lose(u64),
    Duplicate(u64),
    Disorder(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machines {
    Worker(AuthorityIndex, ShardId),
    Beacon(AuthorityIndex),
    Shard(ShardId),
    Authority(AuthorityIndex),
    All,
}

impl Scenario {
    /// Reads a text.
    ///
    /// # Errors
    /// The first line that says nothing.
    pub fn parse(path: &str, text: &str) -> Result<Self, ScenarioError> {
        let mut scenario = Self {
            path: path.to_owned(),
            authorities: 4,
            shards: 2,
            duration: 4_000_000,
            rate: 60,
            adversary: Choice::None,
            window: None,
            delivery: None,
            checkpoints: None,
            traffic: Traffic::Drawn,
            copies: 1,
            happenings: Vec::new(),
            expected: Vec::new(),
        };
        for (number, line) in (1..).zip(text.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.is_empty() && !line.starts_with('#') {
                let wrong = |why| ScenarioError { line: number, text: line.to_owned(), why };
                scenario.read(&words).map_err(wrong)?;
            }
        }
        Ok(scenario)
    }

    fn read(&mut self, words: &[&str]) -> Result<(), String> {
        match *words {
            ["authorities", number] => self.authorities = parse(number)?,
            ["shards", number] => self.shards = Shards::new(parse(number)?)?.count() as u16,
            ["duration", period] => self.duration = micros(period)?,
            ["rate", number] => self.rate = parse(number)?,
            ["adversary", choice] => self.adversary = parse(choice)?,
            ["window", number] => self.window = Some(parse(number)?),
            ["delivery", number] => self.delivery = Some(parse(number)?),
            ["checkpoints", period] => self.checkpoints = Some(micros(period)?),
            ["copies", number] => self.copies = parse(number)?,
            ["traffic", "cyclic"] => self.traffic = Traffic::Cyclic,
            ["expect", ref what @ ..] => self.expected.push(what.join(" ")),
            ["at", at, ref what @ .., "for", period] => {
                let what = what_of(what)?;
                self.happenings.push(Happening { at: micros(at)?, what, period: micros(period)? });
            }
            _ => return Err("unknown".to_owned()),
        }
        Ok(())
    }

    /// The options of a seed.
    pub fn options(&self, seed: u64) -> Options {
        Options {
            authorities: self.authorities,
            shards: self.shards,
            duration: self.duration,
            rate: self.rate,
            adversary: self.adversary,
            scenario: Some(self.clone().into()),
            ..Options::of_seed(seed)
        }
    }

    /// What was to come about and did not.
    pub fn missing(&self, report: &Report) -> Vec<&str> {
        let counts = [
            ("restarts", report.restarts),
            ("power losses", report.power_losses),
            ("freezes", report.freezes),
            ("went_on", report.went_on),
            ("bounces", report.bounces),
            ("full windows", report.full_windows),
            ("resubmitted", report.resubmitted),
            ("copies", report.copies),
            ("lost", report.lost),
            ("fetches", report.fetches),
        ];
        let count = |what: &str| {
            let known = counts.iter().find(|(name, _)| *name == what);
            known.map_or_else(|| report.deeds.count(what), |(_, count)| *count)
        };
        self.expected.iter().map(String::as_str).filter(|what| count(what) == 0).collect()
    }

    pub(crate) fn faults(&self, options: &Options) -> Vec<Event> {
        let mut events: Vec<Event> =
            self.happenings.iter().map(|happening| happening.event(options)).collect();
        events.sort_by_key(|event| event.at);
        events
    }

    pub(crate) fn parameters(&self, drawn: Parameters) -> Parameters {
        let lies = self.adversary != Choice::None;
        let floor_depth = if lies { DEEP_FLOOR } else { drawn.floor_depth };
        Parameters {
            window: self.window.unwrap_or(drawn.window),
            delivery_max: self.delivery.unwrap_or(drawn.delivery_max),
            floor_depth,
            batch_memory: drawn.batch_memory.max(floor_depth),
            ..drawn
        }
    }
}

impl Happening {
    fn event(&self, options: &Options) -> Event {
        let (at, period) = (self.at, self.period);
        let fault = match self.what {
            What::Freeze(machines) => Fault::Freeze { machines: machines.parties(options), period },
            What::Crash(machines, moment) => {
                Fault::Crash { machines: machines.parties(options), down: period, moment }
            }
            What::PowerOff(machines) => {
                let authorities = machines.parties(options).into_iter().filter_map(|party| match party {
                    Party::Beacon(authority) => Some(authority),
                    Party::Worker(..) | Party::Client(_) => None,
                });
                Fault::PowerLoss { authorities: authorities.collect(), down: period, moment: Moment::Now }
            }
            What::Lose(permille) => Fault::Loss { permille, period },
            What::Duplicate(permille) => Fault::Duplication { permille, period },
            What::Disorder(micros) => Fault::Disorder { micros, period },
        };
        Event { at, fault }
    }
}

impl Machines {
    fn parties(self, options: &Options) -> Vec<Party> {
        let authorities = || (0..options.authorities as u16).map(AuthorityIndex);
        let shards = || (0..options.shards).map(ShardId);
        let of = |authority| {
            let workers = shards().map(move |shard| Party::Worker(authority, shard));
            std::iter::once(Party::Beacon(authority)).chain(workers)
        };
        match self {
            Self::Worker(authority, shard) => vec![Party::Worker(authority, shard)],
            Self::Beacon(authority) => vec![Party::Beacon(authority)],
            Self::Shard(shard) => authorities().map(|authority| Party::Worker(authority, shard)).collect(),
            Self::Authority(authority) => of(authority).collect(),
            Self::All => authorities().flat_map(of).collect(),
        }
    }
}

fn what_of(words: &[&str]) -> Result<What, String> {
    Ok(match *words {
        ["lose", permille] => What::Lose(parse(permille)?),
        ["duplicate", permille] => What::Duplicate(parse(permille)?),
        ["disorder", late] => What::Disorder(micros(late)?),
        ["freeze", ref whom @ ..] => What::Freeze(machines(whom)?),
        ["power-off", ref whom @ ..] => What::PowerOff(machines(whom)?),
        ["crash", ref whom @ .., "after", writes, "writes"] => {
            What::Crash(machines(whom)?, Moment::AfterWrites(parse(writes)?))
        }
        ["crash", ref whom @ .., "between", "sends"] => What::Crash(machines(whom)?, Moment::BetweenSends),
        ["crash", ref whom @ ..] => What::Crash(machines(whom)?, Moment::Now),
        _ => return Err("nothing that happens".to_owned()),
    })
}

fn machines(words: &[&str]) -> Result<Machines, String> {
    Ok(match *words {
        ["worker", place] => {
            let (authority, shard) = place.split_once('/').ok_or("a worker is named like 0/1")?;
            Machines::Worker(AuthorityIndex(parse(authority)?), ShardId(parse(shard)?))
        }
        ["beacon", authority] => Machines::Beacon(AuthorityIndex(parse(authority)?)),
        ["shard", shard] => Machines::Shard(ShardId(parse(shard)?)),
        ["authority", authority] => Machines::Authority(AuthorityIndex(parse(authority)?)),
        ["all"] => Machines::All,
        _ => return Err("no machines".to_owned()),
    })
}

fn parse<T: FromStr<Err: fmt::Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{word:?}: {error}"))
}

/// A period in microseconds.
fn micros(word: &str) -> Result<u64, String> {
    let (number, unit) = match (word.strip_suffix("ms"), word.strip_suffix('s')) {
        (Some(number), _) => (number, 1_000),
        (None, Some(number)) => (number, 1_000_000),
        (None, None) => return Err(format!("{word:?} is no period: 20s or 1500ms")),
    };
    parse::<u64>(number)?.checked_mul(unit).ok_or_else(|| format!("{word:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_what_happens_and_a_wrong_line_is_named() {
        let text = "# A story.\n\nshards 4\nwindow 1\nat 1500ms freeze shard 2 for 2s\n\
                    at 1s crash worker 3/1 after 7 writes for 50ms\nexpect full windows\n";
        let scenario = Scenario::parse("here", text).expect("every line says something");
        let options = scenario.options(9);
        assert_eq!((options.shards, scenario.missing(&Report::default())), (4, vec!["full windows"]));
        let events = scenario.faults(&options);
        let machines = vec![Party::Worker(AuthorityIndex(3), ShardId(1))];
        let crash = Fault::Crash { machines, down: 50_000, moment: Moment::AfterWrites(7) };
        assert_eq!(events[0], Event { at: 1_000_000, fault: crash });
        assert!(
            matches!(&events[1].fault, Fault::Freeze { machines, period: 2_000_000 } if machines.len() == 4)
        );
        assert_eq!(options.to_string(), "fresnel sim --seed 9 --scenario here --rule fast");
        for (line, wrong) in
            [(1, "windows 1"), (2, "\nat 1s sleep for 1s"), (1, "shards 3"), (1, "duration 4")]
        {
            assert_eq!(Scenario::parse("here", wrong).expect_err("it says nothing").line, line);
        }
    }
}
