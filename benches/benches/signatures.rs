//! Verification of ed25519 signatures: this engine's verifier on every backend beside ed25519-dalek's batch (which
//! follows another acceptance rule, and whose keys are decoded beforehand) and ed25519-zebra in batches and one by one
//! (the same rule).
//!
//! Workloads: `fresh` keys, every key new; `kept` keys, every key seen before; `recurring`, 1024 senders that sign in
//! turn; `bad`, fresh keys with some signatures that do not verify, beside the same batch all good.

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use fresnel_benches::{Case, write_tables};
use fresnel_crypto::{Backend, Item, SigningKey, Verifier};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// Distinct keys of the workload `recurring`.
const SENDERS: usize = 1_024;
/// Keys that a verifier with `kept` keys has room for.
const KEPT: usize = 1 << 16;
/// Portable code is slow enough that larger batches tell nothing new.
const PORTABLE_MAX: usize = 1_024;

struct Signed {
    keys: Vec<[u8; 32]>,
    messages: Vec<[u8; 32]>,
    signatures: Vec<[u8; 64]>,
}

impl Signed {
    /// `count` signatures by `senders` keys in turn, those numbers from `first` on.
    fn new(first: usize, count: usize, senders: usize) -> Self {
        let filled = |number: usize| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
            bytes
        };
        let secrets: Vec<_> =
            (0..senders).map(|number| SigningKey::from_bytes(&filled(first + number))).collect();
        let by = |place: usize| &secrets[place % senders];
        let messages: Vec<_> = (0..count).map(|number| filled(number + count)).collect();
        Self {
            keys: (0..count).map(|place| by(place).public()).collect(),
            signatures: messages.iter().enumerate().map(|(place, message)| by(place).sign(message)).collect(),
            messages,
        }
    }

    fn items(&self) -> Vec<Item<'_>> {
        (0..self.keys.len())
            .map(|place| Item {
                key: &self.keys[place],
                message: &self.messages[place],
                signature: &self.signatures[place],
            })
            .collect()
    }
}

struct Bench {
    criterion: Criterion,
    cases: Vec<Case>,
}

impl Bench {
    fn group(
        &mut self,
        name: &str,
        size: usize,
        measure: impl FnOnce(&mut BenchmarkGroup<'_, WallTime>) -> Vec<String>,
    ) {
        let mut group = self.criterion.benchmark_group(name);
        let engines = measure(&mut group);
        group.finish();
        self.cases.extend(engines.into_iter().map(|engine| Case {
            group: name.to_owned(),
            engine,
            items: size as u64,
        }));
    }

    /// All engines on keys that none of them has seen; dalek is the baseline.
    fn fresh(&mut self, size: usize) {
        let signed = Signed::new(0, size, size);
        let items = signed.items();
        self.group(&format!("signatures/fresh/size={size}"), size, |group| {
            dalek(group, &signed);
            zebra(group, &signed);
            let mut engines: Vec<String> =
                ["dalek-batch", "zebra-batch", "zebra-single"].map(str::to_owned).to_vec();
            for backend in Backend::all() {
                if backend.name() == "portable" && size > PORTABLE_MAX {
                    continue;
                }
                let engine = format!("fresnel-{}", backend.name());
                // One slot for keys: every key of the next batch drives out one of the last.
                let mut verifier = Verifier::with_seed([1; 32]).on(backend).keeping(1);
                group.bench_function(&engine, |bencher| {
                    bencher.iter(|| assert!(verifier.verify(&items).is_empty()));
                });
                engines.push(engine);
            }
            engines
        });
    }

    /// The fastest backend alone, on what `signed` holds.
    fn alone(&mut self, name: &str, signed: &Signed, baseline: Option<&Signed>, bad: usize, keys: usize) {
        let size = signed.keys.len();
        let mut verifier = Verifier::with_seed([1; 32]).keeping(keys);
        self.group(name, size, |group| {
            let mut engines = Vec::new();
            if let Some(good) = baseline {
                let items = good.items();
                group.bench_function("fresnel-all-good", |bencher| {
                    bencher.iter(|| assert!(verifier.verify(&items).is_empty()));
                });
                engines.push("fresnel-all-good".to_owned());
            } else {
                dalek(group, signed);
                engines.push("dalek-batch".to_owned());
            }
            let items = signed.items();
            group.bench_function("fresnel", |bencher| {
                bencher.iter(|| assert_eq!(verifier.verify(&items).len(), bad));
            });
            engines.push("fresnel".to_owned());
            engines
        });
    }
}

fn dalek(group: &mut BenchmarkGroup<'_, WallTime>, signed: &Signed) {
    let keys: Vec<_> = signed
        .keys
        .iter()
        .map(|key| ed25519_dalek::VerifyingKey::from_bytes(key).expect("a point"))
        .collect();
    let signatures: Vec<_> = signed.signatures.iter().map(ed25519_dalek::Signature::from_bytes).collect();
    let messages: Vec<&[u8]> = signed.messages.iter().map(|message| message.as_slice()).collect();
    group.bench_function("dalek-batch", |bencher| {
        bencher.iter(|| ed25519_dalek::verify_batch(&messages, &signatures, &keys).expect("all are good"));
    });
}

fn zebra(group: &mut BenchmarkGroup<'_, WallTime>, signed: &Signed) {
    let mut random = ChaCha12Rng::from_seed([2; 32]);
    group.bench_function("zebra-batch", |bencher| {
        bencher.iter(|| {
            let mut batch = batch::Verifier::new();
            for Item { key, message, signature } in signed.items() {
                batch.queue((VerificationKeyBytes::from(*key), (*signature).into(), message));
            }
            batch.verify(&mut random).expect("all are good");
        });
    });
    group.bench_function("zebra-single", |bencher| {
        bencher.iter(|| {
            for Item { key, message, signature } in signed.items() {
                let key = VerificationKey::try_from(*key).expect("a point");
                key.verify(&(*signature).into(), message).expect("good");
            }
        });
    });
}

fn main() -> anyhow::Result<()> {
    let criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut bench = Bench { criterion, cases: Vec::new() };
    for size in [1, 8, 16, 64, 256, 1_024, 4_096, 16_384] {
        bench.fresh(size);
    }
    for size in [64, 1_024, 4_096] {
        bench.alone(&format!("signatures/kept/size={size}"), &Signed::new(0, size, size), None, 0, KEPT);
    }
    for size in [1_024, 4_096, 16_384] {
        let signed = Signed::new(0, size, SENDERS);
        bench.alone(&format!("signatures/recurring/size={size}"), &signed, None, 0, KEPT);
    }
    let size = 4_096;
    let good = Signed::new(0, size, size);
    for bad in [1, 16, size] {
        let mut signed = Signed::new(0, size, size);
        for signature in signed.signatures.iter_mut().skip(size / bad / 2).step_by(size / bad) {
            signature[40] ^= 1;
        }
        bench.alone(&format!("signatures/bad/count={bad}"), &signed, Some(&good), bad, 1);
    }
    bench.criterion.final_summary();
    write_tables("signatures", &bench.cases)
}
