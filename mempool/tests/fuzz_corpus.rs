//! The fuzz target of admission over its corpus, on stable Rust.

#[path = "../../fuzz/src/admission.rs"]
#[expect(unreachable_pub, reason = "the crate for cargo-fuzz exports it")]
mod admission;
#[path = "../../fuzz/src/corpus.rs"]
#[expect(unreachable_pub, reason = "the crate for cargo-fuzz exports it")]
mod corpus;

#[test]
fn quotas_hold_whatever_clients_peers_and_the_order_do() {
    let examples = admission::examples();
    examples.iter().for_each(|bytes| admission::admission(bytes));
    corpus::replay("admission", &examples, admission::admission);
}
