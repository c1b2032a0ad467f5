//! Running a target over its corpus, for tests on stable Rust. With `FRESNEL_RECORD` set, examples are written into it first.

use std::{fs, path::PathBuf};

/// Runs `target` over every file of its corpus, and over each of them cut short.
pub fn replay(name: &str, examples: &[Vec<u8>], target: impl Fn(&[u8])) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(name);
    if std::env::var_os("FRESNEL_RECORD").is_some() {
        fs::create_dir_all(&folder).expect("the folder is writable");
        for (number, example) in examples.iter().enumerate() {
            fs::write(folder.join(format!("example-{number}")), example).expect("the folder is writable");
        }
    }
    let files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    assert!(!files.is_empty(), "{name} has a corpus");
    for file in files {
        let bytes = fs::read(&file).expect("the folder is readable");
        target(&bytes);
        for cut in [1, 2, 3, 5, 8, 13, 21] {
            target(&bytes[..bytes.len() - bytes.len().min(cut)]);
            let mut changed = bytes.clone();
            if let Some(byte) = changed.len().checked_sub(cut).and_then(|place| changed.get_mut(place)) {
                *byte ^= 1 << (cut % 8);
                target(&changed);
            }
        }
    }
}
