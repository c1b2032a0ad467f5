//! Faults at planned instants of a load, as they are written on the command line: `kill:3@8s`, `restart:3@14s`,
//! `kill:all@8s`.

use std::{fmt, str::FromStr, time::Duration};

use fresnel_types::AuthorityIndex;

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
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All processes of one authority.
    Authority(AuthorityIndex),
    /// Everybody.
    All,
}

impl Target {
    /// The struck ones among `authorities`.
    pub fn indices(self, authorities: usize) -> Vec<AuthorityIndex> {
        match self {
            Self::Authority(index) => vec![index],
            Self::All => (0..authorities as u16).map(AuthorityIndex).collect(),
        }
    }
}

/// Puts faults in the order in which they happen and checks that they make sense for a cluster.
///
/// # Errors
/// When one names an authority that does not exist, kills what is down, or restarts what is up.
pub fn schedule(faults: &[Fault], authorities: usize) -> Result<Vec<Fault>, String> {
    let mut sorted = faults.to_vec();
    sorted.sort_by_key(|fault| fault.at);
    let mut up = vec![true; authorities];
    for fault in &sorted {
        for index in fault.target.indices(authorities) {
            let state = up
                .get_mut(index.index())
                .ok_or_else(|| format!("{fault}: there are only {authorities} authorities, from 0"))?;
            let wanted = fault.action == FaultAction::Kill;
            // `all` strikes whoever is in the state that it changes.
            if *state != wanted && fault.target != Target::All {
                let now = if *state { "up" } else { "down" };
                return Err(format!("{fault}: authority {index} is {now} at that instant"));
            }
            *state = !wanted;
        }
    }
    Ok(sorted)
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("{text:?}: {what}; a fault looks like kill:3@8s or restart:all@1500ms");
        let (action, rest) = text.split_once(':').ok_or_else(|| wrong("no colon"))?;
        let (target, at) = rest.split_once('@').ok_or_else(|| wrong("no @"))?;
        let action = match action {
            "kill" => FaultAction::Kill,
            "restart" => FaultAction::Restart,
            _ => return Err(wrong("the action is kill or restart")),
        };
        let target = match target {
            "all" => Target::All,
            number => Target::Authority(AuthorityIndex(
                number.parse().map_err(|_| wrong("the target is an authority's number or all"))?,
            )),
        };
        let at = parse_duration(at).ok_or_else(|| wrong("the instant is a whole number of s or ms"))?;
        Ok(Self { action, target, at })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            FaultAction::Kill => "kill:",
            FaultAction::Restart => "restart:",
        })?;
        match self.target {
            Target::Authority(index) => write!(f, "{index}@")?,
            Target::All => f.write_str("all@")?,
        }
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

    #[test]
    fn faults_read_as_they_print() {
        for text in ["kill:3@8s", "restart:3@14s", "kill:all@8s", "restart:all@1500ms", "kill:0@0s"] {
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
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_schedule_is_sorted_and_sensible() {
        let parse = |texts: &[&str]| -> Vec<Fault> {
            texts.iter().map(|text| text.parse().expect("well formed")).collect()
        };
        let sorted = schedule(&parse(&["restart:3@14s", "kill:3@8s"]), 4).expect("sensible");
        assert_eq!(sorted.iter().map(Fault::to_string).collect::<Vec<_>>(), ["kill:3@8s", "restart:3@14s"]);
        assert!(schedule(&parse(&["kill:1@1s", "kill:all@2s", "restart:all@3s"]), 4).is_ok());
        assert!(schedule(&parse(&["kill:4@8s"]), 4).is_err());
        assert!(schedule(&parse(&["restart:3@8s"]), 4).is_err());
        assert!(schedule(&parse(&["kill:3@8s", "kill:3@9s"]), 4).is_err());
    }
}
