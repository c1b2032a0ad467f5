//! The fuzz targets of all decoders over their corpus, on stable Rust (S3).

#[path = "../../fuzz/src/corpus.rs"]
#[expect(unreachable_pub, reason = "the crate for cargo-fuzz exports it")]
mod corpus;
#[path = "../../fuzz/src/decoders.rs"]
#[expect(unreachable_pub, reason = "the crate for cargo-fuzz exports it")]
mod decoders;

#[test]
fn no_bytes_of_the_corpus_panic_and_every_value_has_one_encoding() {
    let examples = decoders::examples();
    for (name, target) in decoders::TARGETS {
        let own: Vec<Vec<u8>> =
            examples.iter().filter(|(of, _)| *of == name).map(|(_, bytes)| bytes.clone()).collect();
        assert!(!own.is_empty(), "{name} has an example");
        own.iter().for_each(|bytes| target(bytes));
        corpus::replay(name, &own, target);
    }
}
