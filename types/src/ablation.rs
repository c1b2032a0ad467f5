//! What a benchmark may leave out, to find what the rest costs. Only on a chain whose genesis says that it is one for
//! benchmarks, and then every process must leave out the same: what is left out may change records.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A part of the work that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Checking the signatures of transactions; those of authorities are always checked.
    Signatures,
    /// Executing transactions: each succeeds and changes nothing.
    Execution,
    /// The state tree: state roots stay what they were.
    Tree,
    /// Logs and checkpoints: nothing is kept, and nothing survives a restart.
    Store,
}

/// The parts that are left out; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ablation(BTreeSet<Part>);

/// Something shall be left out on a chain that is not for benchmarks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the genesis does not say `bench = true`, so nothing may be left out, and {0} shall be")]
pub struct NotForBenchmarks(pub(crate) Ablation);

impl Part {
    const ALL: [Self; 4] = [Self::Signatures, Self::Execution, Self::Tree, Self::Store];

    fn name(self) -> &'static str {
        match self {
            Self::Signatures => "signatures",
            Self::Execution => "execution",
            Self::Tree => "tree",
            Self::Store => "store",
        }
    }
}

impl Ablation {
    /// Whether everything is done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `part` is left out.
    pub fn contains(&self, part: Part) -> bool {
        self.0.contains(&part)
    }

    /// Leaves out `part` as well.
    pub fn insert(&mut self, part: Part) {
        self.0.insert(part);
    }
}

impl FromIterator<Part> for Ablation {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|part| part.name() == text)
            .ok_or_else(|| format!("{text:?} is no part that can be left out: {}", known()))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names with commas between them.
impl fmt::Display for Ablation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if place > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_they_print() {
        for part in Part::ALL {
            assert_eq!(part.to_string().parse(), Ok(part));
        }
        assert!("trees".parse::<Part>().is_err());
        let all: Ablation = Part::ALL.into_iter().rev().collect();
        assert_eq!(all.to_string(), "signatures,execution,tree,store");
    }
}
