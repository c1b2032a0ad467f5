//! Settings from several places into one table: flags win over the environment (`FRESNEL__SECTION__KEY`), that over
//! the file; the defaults are those of the struct it becomes. A key that nobody knows is an error that names the
//! nearest one.

use std::{error::Error, fs, path::Path};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::exit::Wrong;

/// The text of a file that the caller named.
pub(crate) fn read(path: &Path) -> Result<String, Wrong> {
    fs::read_to_string(path).map_err(|error| Wrong(format!("cannot read {}: {error}", path.display())))
}

/// A file's text as a table.
pub(crate) fn parse(text: &str) -> anyhow::Result<Table> {
    text.parse().map_err(|error| wrong(&error))
}

/// `file` with what `environment` and then `flags`, each `section.key=value`, say about the same keys.
pub(crate) fn merge(
    mut file: Table,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[String],
) -> Result<Table, Wrong> {
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) {
            let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            set(&mut file, &path, &value).map_err(|error| Wrong(format!("{name}: {error}")))?;
        }
    }
    for flag in flags {
        let (path, value) =
            flag.split_once('=').ok_or_else(|| Wrong(format!("{flag:?} is no setting: KEY=VALUE")))?;
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        set(&mut file, &path, value).map_err(|error| Wrong(format!("{flag}: {error}")))?;
    }
    Ok(file)
}

/// The struct that `table` describes.
pub(crate) fn deserialize<T: DeserializeOwned>(table: Table) -> anyhow::Result<T> {
    T::deserialize(table).map_err(|error| wrong(&error))
}

/// An error of the caller's, from one that does not know whose it is.
pub(crate) fn wrong(error: &dyn Error) -> anyhow::Error {
    let message = error.to_string();
    let message = message.trim_end();
    match nearest_key(message) {
        Some(key) => Wrong(format!("{message}; did you mean `{key}`?")).into(),
        None => Wrong(message.to_owned()).into(),
    }
}

/// Puts a value, as TOML or else as a string, where `path` leads.
fn set(table: &mut Table, path: &[String], value: &str) -> Result<(), String> {
    let (key, sections) = path.split_last().expect("splitting a string gives at least one part");
    let mut inner = table;
    for section in sections {
        inner = inner
            .entry(section.as_str())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("`{section}` is no section"))?;
    }
    inner.insert(key.clone(), value.parse().unwrap_or_else(|_| Value::String(value.to_owned())));
    Ok(())
}

/// Of the known keys in serde's message, the one nearest to the unknown key, when it is near at all.
fn nearest_key(message: &str) -> Option<&str> {
    let (_, fields) = message.split_once("unknown field ")?;
    let quoted: Vec<&str> = fields.lines().next()?.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = quoted.split_first()?;
    let (distance, key) = known.iter().map(|key| (edit_distance(unknown, key), *key)).min()?;
    (distance <= unknown.len().div_ceil(2)).then_some(key)
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

const ENVIRONMENT_PREFIX: &str = "FRESNEL__";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = parse("data = 'file'\nauthority = 1\n[pacing]\nheartbeat = 1\nresend_min = 1").unwrap();
        let environment = [("FRESNEL__PACING__HEARTBEAT", "2"), ("FRESNEL__AUTHORITY", "2"), ("HOME", "/")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = ["pacing.heartbeat=3", "data=/a=b"].map(str::to_owned);
        let expected = "data = '/a=b'\nauthority = 2\n[pacing]\nheartbeat = 3\nresend_min = 1";
        assert_eq!(merge(file, environment, &flags).unwrap(), parse(expected).unwrap());
    }

    #[test]
    fn sections_are_made_and_never_replaced_by_values() {
        let table = merge(Table::new(), [], &["pacing.heartbeat=3".to_owned()]).unwrap();
        assert_eq!(table, parse("[pacing]\nheartbeat = 3").unwrap());
        let error = merge(parse("data = 1").unwrap(), [], &["data.x=3".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "data.x=3: `data` is no section");
        assert!(merge(Table::new(), [], &["data".to_owned()]).is_err());
    }

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
        assert_eq!(nearest_key("bad: unknown field `nome`, expected `name` or `shards`"), Some("name"));
        assert_eq!(nearest_key("missing field `name`"), None);
    }
}
