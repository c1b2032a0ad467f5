//! Faults at planned instants of a load, as they are written on the command line: `kill:3@8s`, `restart:3@14s`,
//! `kill:all@8s`, `freeze:worker-1@10s`, `thaw:worker-1@20s`, `kill:2/beacon@3s`.

mod chaos;

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use fresnel_types::{AuthorityIndex, ShardId, Shards, frame::Role};

pub use self::chaos::{lasts, rounds};
use crate::Layout;

/// One thing that happens to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub action: FaultAction,
    /// To whom.
    pub target: Target,
    /// When, from the start of the load.
    pub at: Duration,
}

/// What happens to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultAction {
    /// SIGKILL: no chance to finish anything.
    Kill,
    /// Started again on what its disk holds.
    Restart,
    /// SIGSTOP: it stands still, with its connections open.
    Freeze,
    /// SIGCONT.
    Thaw,
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All processes of one authority.
    Authority(AuthorityIndex),
    /// The workers of one shard at every authority, each a process of its own.
    Shard(ShardId),
    /// One machine of one authority, a process of its own.
    Machine(AuthorityIndex, Role),
    /// Everybody.
    All,
}

/// A process as faults see it: whose it is and what it hosts.
pub type Hosted = (AuthorityIndex, Vec<Role>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down,
    Frozen,
}

impl FaultAction {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Kill, "kill"), (Self::Restart, "restart"), (Self::Freeze, "freeze"), (Self::Thaw, "thaw")];

    /// From which state to which it leads.
    fn change(self) -> (State, State) {
        match self {
            Self::Kill => (State::Up, State::Down),
            Self::Restart => (State::Down, State::Up),
            Self::Freeze => (State::Up, State::Frozen),
            Self::Thaw => (State::Frozen, State::Up),
        }
    }
}

impl Target {
    /// Whether a process of `authority` with these machines is struck.
    pub fn strikes(self, authority: AuthorityIndex, roles: &[Role]) -> bool {
        match self {
            Self::Authority(struck) => struck == authority,
            Self::Shard(shard) => roles == [Role::Worker(shard)],
            Self::Machine(struck, role) => struck == authority && roles == [role],
            Self::All => true,
        }
    }
}

/// The processes of a cluster.
pub fn hosted(authorities: u16, shards: Shards, layout: Layout) -> Vec<Hosted> {
    let machines = || [Role::Beacon].into_iter().chain(shards.iter().map(Role::Worker));
    let groups: Vec<Vec<Role>> = match layout {
        Layout::Node => vec![machines().collect()],
        Layout::Split => machines().map(|role| vec![role]).collect(),
    };
    let of = |authority| groups.iter().map(move |roles| (authority, roles.clone()));
    (0..authorities).map(AuthorityIndex).flat_map(of).collect()
}

/// Puts faults in the order in which they happen and checks that they make sense for a cluster of these processes.
///
/// # Errors
/// When one strikes no process, or one that is not in the state that it changes.
pub fn schedule(faults: &[Fault], processes: &[Hosted]) -> Result<Vec<Fault>, String> {
    let mut sorted = faults.to_vec();
    sorted.sort_by_key(|fault| fault.at);
    let mut states: BTreeMap<&Hosted, State> = processes.iter().map(|process| (process, State::Up)).collect();
    for fault in &sorted {
        let (before, after) = fault.action.change();
        let mut struck = 0;
        for ((authority, roles), state) in &mut states {
            if !fault.target.strikes(*authority, roles) {
                continue;
            }
            struck += 1;
            // `all` strikes whoever is in the state that it changes.
            if *state == before {
                *state = after;
            } else if fault.target != Target::All {
                let state = format!("{state:?}").to_lowercase();
                return Err(format!("{fault}: authority {authority} is {state} at that instant"));
            }
        }
        if struck == 0 {
            return Err(format!(
                "{fault}: there is no such process; single machines are processes with --layout split alone"
            ));
        }
    }
    Ok(sorted)
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "{text:?}: {what}; a fault looks like kill:3@8s, restart:all@1500ms or freeze:worker-1@10s"
            )
        };
        let (action, rest) = text.split_once(':').ok_or_else(|| wrong("no colon"))?;
        let (target, at) = rest.split_once('@').ok_or_else(|| wrong("no @"))?;
        let action = FaultAction::ALL
            .into_iter()
            .find_map(|(known, name)| (name == action).then_some(known))
            .ok_or_else(|| wrong("the action is kill, restart, freeze or thaw"))?;
        let target = target.parse().map_err(|()| {
            wrong("the target is an authority's number, worker-N, N/beacon, N/worker-M or all")
        })?;
        let at = parse_duration(at).ok_or_else(|| wrong("the instant is a whole number of s or ms"))?;
        Ok(Self { action, target, at })
    }
}

impl FromStr for Target {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let shard =
            |text: &str| text.strip_prefix("worker-").and_then(|shard| shard.parse().ok()).map(ShardId);
        let authority = |text: &str| text.parse().map(AuthorityIndex).map_err(|_| ());
        match text.split_once('/') {
            _ if text == "all" => Ok(Self::All),
            Some((index, "beacon")) => Ok(Self::Machine(authority(index)?, Role::Beacon)),
            Some((index, worker)) => {
                Ok(Self::Machine(authority(index)?, Role::Worker(shard(worker).ok_or(())?)))
            }
            None => match shard(text) {
                Some(shard) => Ok(Self::Shard(shard)),
                None => authority(text).map(Self::Authority),
            },
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(index) => write!(f, "{index}"),
            Self::Shard(shard) | Self::Machine(_, Role::Worker(shard)) => {
                if let Self::Machine(index, _) = self {
                    write!(f, "{index}/")?;
                }
                write!(f, "worker-{shard}")
            }
            Self::Machine(index, _) => write!(f, "{index}/beacon"),
            Self::All => f.write_str("all"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = FaultAction::ALL.into_iter().find(|(action, _)| *action == self.action);
        let (_, name) = named.expect("every action is among all of them");
        write!(f, "{name}:{}@", self.target)?;
        write_duration(f, self.at)
    }
}

/// Reads a whole number of seconds or milliseconds: `8s`, `1500ms`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        millis.parse().ok().map(Duration::from_millis)
    } else {
        text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
    }
}

/// Writes what [`parse_duration`] reads.
pub fn write_duration(out: &mut impl fmt::Write, duration: Duration) -> fmt::Result {
    if duration.subsec_millis() == 0 {
        write!(out, "{}s", duration.as_secs())
    } else {
        write!(out, "{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Vec<Fault> {
        texts.iter().map(|text| text.parse().expect("well formed")).collect()
    }

    fn check(texts: &[&str], layout: Layout) -> Result<Vec<Fault>, String> {
        schedule(&parse(texts), &hosted(4, Shards::new(2).expect("valid"), layout))
    }

    #[test]
    fn faults_read_as_they_print() {
        for text in [
            "kill:3@8s",
            "restart:3@14s",
            "kill:all@8s",
            "restart:all@1500ms",
            "kill:0@0s",
            "freeze:worker-1@10s",
            "thaw:worker-1@20s",
            "kill:2/beacon@3s",
            "restart:2/worker-0@4s",
        ] {
            assert_eq!(text.parse::<Fault>().expect(text).to_string(), text);
        }
        let fault: Fault = "restart:2@250ms".parse().expect("well formed");
        assert_eq!(fault.target, Target::Authority(AuthorityIndex(2)));
        assert_eq!((fault.action, fault.at), (FaultAction::Restart, Duration::from_millis(250)));
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "kill",
            "kill:3",
            "kill:3@",
            "kill:3@8",
            "stop:3@8s",
            "kill:x@8s",
            "kill:-1@8s",
            "kill:3@-8s",
            "kill:beacon@8s",
            "freeze:worker-@8s",
            "kill:1/client@8s",
            "kill:/beacon@8s",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_schedule_is_sorted_and_sensible() {
        let sorted = check(&["restart:3@14s", "kill:3@8s"], Layout::Node).expect("sensible");
        assert_eq!(sorted.iter().map(Fault::to_string).collect::<Vec<_>>(), ["kill:3@8s", "restart:3@14s"]);
        for (texts, node, split) in [
            (&["kill:1@1s", "kill:all@2s", "restart:all@3s"][..], true, true),
            (&["freeze:worker-1@1s", "thaw:worker-1@2s"], false, true),
            (&["kill:1/beacon@1s", "kill:1/worker-0@2s", "restart:all@3s"], false, true),
            (&["freeze:1@1s", "kill:1@2s"], false, false),
            (&["freeze:worker-2@1s"], false, false),
            (&["kill:4@8s"], false, false),
            (&["restart:3@8s"], false, false),
            (&["kill:3@8s", "kill:3@9s"], false, false),
        ] {
            assert_eq!(check(texts, Layout::Node).is_ok(), node, "{texts:?}");
            assert_eq!(check(texts, Layout::Split).is_ok(), split, "{texts:?}");
        }
    }
}
