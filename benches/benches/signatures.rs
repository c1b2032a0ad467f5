//! Verification of ed25519 signatures, one thread: this engine's verifier on every backend beside others.
//!
//! Engines: `commonware` (commonware-cryptography-curve25519, the fastest batch verifier published that we know; only with
//! `--features peers`), `zebra-batch` and `zebra-single` (ed25519-zebra), all of which follow this engine's rule; and
//! `dalek-batch-…` (ed25519-dalek), which follows another and is here as a measure of speed. All get the same signatures of
//! 150 bytes each.
//!
//! dalek's instructions are chosen when it is compiled, and the engine's name says which: `avx2` unless told otherwise. Its
//! AVX-512, which zebra shares, is compiled in with
//! `RUSTFLAGS='--cfg curve25519_dalek_backend="avx512"' cargo bench -p fresnel-benches --features peers --bench signatures`.
//!
//! Workloads: `fresh` keys, which every engine gets as bytes that it has not seen; `kept`, keys seen before (dalek gets them
//! decoded, commonware and zebra have no memory of keys); `recurring`, 1024 senders that sign in turn, kept; `bad`, fresh
//! keys with some signatures that do not verify, beside the same batch all good.
//!
//! The engines of a case take turns, for many short rounds, and what counts is processor time, so that other work on the
//! machine disturbs all of them alike. A ratio is the median over the rounds; a time is the least of them.

use std::env;

use anyhow::Result;
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use fresnel_benches::{Row, write_rows};
use fresnel_crypto::{Backend, Item, SigningKey, Verifier};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use rustix::time::{ClockId, clock_gettime};

/// Distinct keys of the workload `recurring`.
const SENDERS: usize = 1_024;
/// Keys that a verifier with `kept` keys has room for.
const KEPT: usize = 1 << 16;
/// Portable code is slow enough that larger batches tell nothing new.
const PORTABLE_MAX: usize = 4_096;
/// Rounds of a case.
const ROUNDS: usize = 15;
/// Nanoseconds that an engine works at least in a round.
const ROUND_NS: u64 = 8_000_000;
/// What commonware puts before a message: the length of a namespace and the namespace.
const PREFIX: &[u8; 34] = b"\x21fresnel benches, one of 33 bytes.";
/// Bytes of a message, that prefix included: about a transaction.
const MESSAGE: usize = 150;

struct Signed {
    keys: Vec<[u8; 32]>,
    messages: Vec<[u8; MESSAGE]>,
    signatures: Vec<[u8; 64]>,
}

impl Signed {
    /// `count` signatures by `senders` keys in turn.
    fn new(count: usize, senders: usize) -> Self {
        let secret = |number: usize| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
            SigningKey::from_bytes(&bytes)
        };
        let message = |number: usize| {
            let mut bytes = [9; MESSAGE];
            bytes[..34].copy_from_slice(PREFIX);
            bytes[34..42].copy_from_slice(&(number as u64).to_le_bytes());
            bytes
        };
        let secrets: Vec<_> = (0..senders).map(secret).collect();
        let messages: Vec<_> = (0..count).map(message).collect();
        let by = |place: usize| &secrets[place % senders];
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

    /// The same with `bad` of them damaged, evenly spread.
    fn damaged(mut self, bad: usize) -> Self {
        let step = self.keys.len() / bad;
        self.signatures.iter_mut().skip(step / 2).step_by(step).for_each(|signature| signature[40] ^= 1);
        self
    }
}

/// One contestant: a name, and what it does to a whole batch.
struct Engine<'a> {
    name: String,
    run: Box<dyn FnMut() + 'a>,
}

impl<'a> Engine<'a> {
    fn new(name: impl Into<String>, run: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

struct Bench {
    /// Only cases whose name contains this.
    filter: String,
    rows: Vec<Row>,
}

impl Bench {
    /// Lets `engines` take turns at a case of `size` items; the first is the baseline.
    fn case(
        &mut self,
        case: &str,
        params: &str,
        size: usize,
        engines: impl FnOnce() -> Vec<Engine<'static>>,
    ) {
        if !format!("{case}/{params}").contains(&self.filter) {
            return;
        }
        let mut engines = engines();
        let mut times = vec![Vec::new(); engines.len()];
        for _ in 0..ROUNDS {
            for (engine, times) in engines.iter_mut().zip(&mut times) {
                times.push(round(&mut engine.run) / size as f64);
            }
        }
        for (engine, own) in engines.iter().zip(&times) {
            let mut ratios: Vec<f64> = times[0].iter().zip(own).map(|(base, own)| base / own).collect();
            ratios.sort_by(f64::total_cmp);
            let row = Row {
                case: case.to_owned(),
                params: params.to_owned(),
                engine: engine.name.clone(),
                ns_per_item: own.iter().copied().fold(f64::INFINITY, f64::min),
                ratio: ratios[ROUNDS / 2],
                ratio_to: engines[0].name.clone(),
            };
            println!("{case} {params} {}: {:.0} ns, {:.2}", row.engine, row.ns_per_item, row.ratio);
            self.rows.push(row);
        }
    }
}

/// Processor time of one call, over as many as fill a round.
fn round(run: &mut dyn FnMut()) -> f64 {
    let start = processor_time();
    let mut calls = 0_u32;
    loop {
        run();
        calls += 1;
        let spent = processor_time() - start;
        if spent >= ROUND_NS {
            return spent as f64 / f64::from(calls);
        }
    }
}

/// Nanoseconds that this thread has had of a processor.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).expect("since the start") * 1_000_000_000
        + u64::try_from(time.tv_nsec).expect("a part of a second")
}

/// This engine on each backend; with `kept`, keys stay decoded from one batch to the next.
fn fresnel(signed: &'static Signed, kept: bool) -> Vec<Engine<'static>> {
    let size = signed.keys.len();
    let mut engines = Vec::new();
    for backend in Backend::all() {
        if backend.name() == "portable" && size > PORTABLE_MAX {
            continue;
        }
        // One slot for keys: every key of the next batch drives out one of the last.
        let mut verifier = Verifier::with_seed([1; 32]).on(backend).keeping(if kept { KEPT } else { 1 });
        let items = signed.items();
        engines.push(Engine::new(format!("fresnel-{}", backend.name()), move || {
            assert!(verifier.verify(&items).is_empty());
        }));
    }
    engines
}

/// The widest instructions that curve25519-dalek was compiled with, by the rules of its build script; it uses them where the
/// processor has them.
#[expect(unexpected_cfgs, reason = "the option is of a dependency")]
const fn dalek_instructions() -> &'static str {
    let chosen = cfg!(any(
        curve25519_dalek_backend = "serial",
        curve25519_dalek_backend = "fiat",
        curve25519_dalek_backend = "simd",
        curve25519_dalek_backend = "avx512",
    ));
    if cfg!(not(target_arch = "x86_64"))
        || cfg!(any(curve25519_dalek_backend = "serial", curve25519_dalek_backend = "fiat"))
    {
        "serial"
    } else if cfg!(curve25519_dalek_backend = "avx512")
        || !chosen && cfg!(all(target_feature = "avx512ifma", target_feature = "avx512vl"))
    {
        "avx512"
    } else {
        "avx2"
    }
}

fn dalek(signed: &'static Signed, decoded: bool) -> Engine<'static> {
    let decode = || -> Vec<_> {
        let key = |key| ed25519_dalek::VerifyingKey::from_bytes(key).expect("a point");
        signed.keys.iter().map(key).collect()
    };
    let kept = decoded.then(decode);
    let messages: Vec<&[u8]> = signed.messages.iter().map(|message| message.as_slice()).collect();
    let decoded = if decoded { "-decoded" } else { "" };
    Engine::new(format!("dalek-batch{decoded}-{}", dalek_instructions()), move || {
        let signatures: Vec<_> = signed.signatures.iter().map(ed25519_dalek::Signature::from_bytes).collect();
        let fresh = if kept.is_none() { decode() } else { Vec::new() };
        let keys = kept.as_ref().unwrap_or(&fresh);
        ed25519_dalek::verify_batch(&messages, &signatures, keys).expect("all are good");
    })
}

fn zebra(signed: &'static Signed) -> Vec<Engine<'static>> {
    let items = signed.items();
    let mut random = ChaCha12Rng::from_seed([2; 32]);
    let in_batch = {
        let items = items.clone();
        move || {
            let mut batch = batch::Verifier::new();
            for Item { key, message, signature } in &items {
                batch.queue((VerificationKeyBytes::from(**key), (**signature).into(), message));
            }
            batch.verify(&mut random).expect("all are good");
        }
    };
    let apart = move || {
        for Item { key, message, signature } in &items {
            let key = VerificationKey::try_from(**key).expect("a point");
            key.verify(&(**signature).into(), message).expect("good");
        }
    };
    vec![Engine::new("zebra-batch", in_batch), Engine::new("zebra-single", apart)]
}

/// commonware in a batch and, for a signature alone, by its function for one.
#[cfg(feature = "peers")]
fn commonware(signed: &'static Signed) -> Vec<Engine<'static>> {
    use commonware_codec::{Copying, DecodeExt};
    use commonware_cryptography::{BatchEntry, BatchVerifier};
    use commonware_cryptography_curve25519::signing::{Signature, VerifyingKey};
    use commonware_parallel::Sequential;

    let namespace = &PREFIX[1..];
    let item = move |item: &Item<'static>| {
        let key = VerifyingKey::decode(Copying(item.key)).expect("32 bytes");
        let signature = Signature::decode(Copying(item.signature)).expect("64 bytes");
        (key, &item.message[PREFIX.len()..], signature)
    };
    let mut random = ChaCha12Rng::from_seed([3; 32]);
    let in_batch = move || {
        let batch: Vec<_> = signed.items().iter().map(item).collect();
        let good = VerifyingKey::verify_batch(
            &mut random,
            &batch,
            |_, (public_key, message, signature)| BatchEntry { namespace, message, public_key, signature },
            &Sequential,
        );
        assert!(good);
    };
    let apart = move || {
        for (key, message, signature) in signed.items().iter().map(item) {
            assert!(std::hint::black_box(&key).verify(namespace, message, &signature));
        }
    };
    let mut engines = vec![Engine::new("commonware", in_batch)];
    if signed.keys.len() == 1 {
        engines.insert(0, Engine::new("commonware-single", apart));
    }
    engines
}

#[cfg(not(feature = "peers"))]
fn commonware(_: &'static Signed) -> Vec<Engine<'static>> {
    Vec::new()
}

/// Batches live as long as the process: the cases share them, and there are few.
fn kept_for_good(signed: Signed) -> &'static Signed {
    Box::leak(Box::new(signed))
}

fn main() -> Result<()> {
    let filter = env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut bench = Bench { filter, rows: Vec::new() };
    for size in [1, 8, 16, 64, 256, 1_024, 4_096, 16_384] {
        let signed = kept_for_good(Signed::new(size, size));
        let params = format!("size={size}");
        let others = |decoded| {
            let mut engines = commonware(signed);
            engines.push(dalek(signed, decoded));
            engines
        };
        bench.case("signatures/fresh", &params, size, || {
            [others(false), zebra(signed), fresnel(signed, false)].into_iter().flatten().collect()
        });
        bench.case("signatures/kept", &params, size, || {
            [others(true), fresnel(signed, true)].into_iter().flatten().collect()
        });
        if size >= SENDERS {
            let signed = kept_for_good(Signed::new(size, SENDERS));
            bench.case("signatures/recurring", &params, size, || {
                let mut engines = commonware(signed);
                engines.push(dalek(signed, true));
                engines.extend(fresnel(signed, true));
                engines
            });
        }
    }
    let size = 4_096;
    let good = kept_for_good(Signed::new(size, size));
    for count in [1, 16, size] {
        let bad = kept_for_good(Signed::new(size, size).damaged(count));
        bench.case("signatures/bad", &format!("count={count}"), size, || {
            let one = |name: &str, signed: &'static Signed, bad: usize| {
                let mut verifier = Verifier::with_seed([1; 32]).keeping(1);
                let items = signed.items();
                Engine::new(name, move || assert_eq!(verifier.verify(&items).len(), bad))
            };
            vec![one("fresnel-all-good", good, 0), one("fresnel", bad, count)]
        });
    }
    write_rows("signatures", &bench.rows)
}
