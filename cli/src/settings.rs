//! Settings from several places into one struct: flags win over the environment (`FRESNEL__SECTION__KEY`), that over
//! the file, that over the defaults of the struct. A key that nobody knows is an error that names the nearest one.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use toml::Table;

use crate::exit::Wrong;

/// The text of a file that the caller named.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).map_err(|error| Wrong(format!("cannot read {}: {error}", path.display())).into())
}

/// A file's text as a table.
pub(crate) fn parse(text: &str) -> anyhow::Result<Table> {
    text.parse().map_err(|error| wrong(&error))
}

/// The struct that `table` describes.
pub(crate) fn deserialize<T: DeserializeOwned>(table: Table) -> anyhow::Result<T> {
    T::deserialize(table).map_err(|error| {
        let message = error.to_string();
        match nearest_key(&message) {
            Some(key) => Wrong(format!("{}; did you mean `{key}`?", message.trim_end())).into(),
            None => Wrong(message.trim_end().to_owned()).into(),
        }
    })
}

/// An error of the caller's, from one that does not know whose it is.
pub(crate) fn wrong(error: &dyn std::error::Error) -> anyhow::Error {
    Wrong(error.to_string().trim_end().to_owned()).into()
}

/// Of the known keys in serde's message, the one nearest to the unknown key, when it is near at all.
fn nearest_key(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.strip_prefix("unknown field")?.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = quoted.split_first()?;
    let (distance, key) = known.iter().map(|key| (edit_distance(unknown, key), *key)).min()?;
    (distance <= unknown.len().div_ceil(2)).then(|| key.to_owned())
}

/// Insertions, deletions and replacements of bytes that turn `source` into `target`.
fn edit_distance(source: &str, target: &str) -> usize {
    let mut row: Vec<usize> = (0..=target.len()).collect();
    for (i, a) in source.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in target.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[target.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (source, target, distance) in
            [("", "abc", 3), ("shard", "shards", 1), ("kitten", "sitting", 3), ("same", "same", 0)]
        {
            assert_eq!(edit_distance(source, target), distance, "{source} {target}");
            assert_eq!(edit_distance(target, source), distance, "{target} {source}");
        }
    }

    #[test]
    fn a_far_key_gets_no_suggestion() {
        assert_eq!(nearest_key("unknown field `zzzzzz`, expected `name` or `shards`"), None);
        assert_eq!(nearest_key("unknown field `nome`, expected `name` or `shards`"), Some("name".to_owned()));
        assert_eq!(nearest_key("missing field `name`"), None);
    }
}
