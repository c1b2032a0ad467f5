//! The fuzzer's corpus, `fuzz/corpus/signatures`, on any compiler.

use std::{fs, path::Path};

#[path = "../../fuzz/src/signatures.rs"]
mod signatures;

#[test]
fn every_backend_agrees_with_zebra_on_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/signatures");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 16, "{} files in {}", files.len(), folder.display());
    for file in files {
        signatures::check(&fs::read(&file).expect("a file of the corpus"));
    }
}
