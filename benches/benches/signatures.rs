//! Verification of ed25519 signatures: this engine's verifier beside dalek's batch (which follows another acceptance
//! rule) and zebra one by one (the same rule), for fresh keys.

use std::time::Duration;

use criterion::Criterion;
use ed25519_zebra::VerificationKey;
use fresnel_benches::{Case, write_tables};
use fresnel_crypto::{Item, SigningKey, Verifier};

struct Signed {
    keys: Vec<[u8; 32]>,
    messages: Vec<[u8; 32]>,
    signatures: Vec<[u8; 64]>,
}

fn signed(count: u64) -> Signed {
    let filled = |number: u64| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    let keys: Vec<_> = (0..count).map(|number| SigningKey::from_bytes(&filled(number))).collect();
    let messages: Vec<_> = (0..count).map(|number| filled(number + count)).collect();
    Signed {
        signatures: keys.iter().zip(&messages).map(|(key, message)| key.sign(message)).collect(),
        keys: keys.iter().map(SigningKey::public).collect(),
        messages,
    }
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut cases = Vec::new();
    for size in [1_u64, 16, 64, 256, 1_024] {
        let Signed { keys, messages, signatures } = signed(size);
        let group_name = format!("signatures/fresh/size={size}");
        let mut group = criterion.benchmark_group(&group_name);
        let dalek_keys: Vec<_> =
            keys.iter().map(|key| ed25519_dalek::VerifyingKey::from_bytes(key).expect("a point")).collect();
        let dalek_signatures: Vec<_> = signatures.iter().map(ed25519_dalek::Signature::from_bytes).collect();
        let slices: Vec<&[u8]> = messages.iter().map(|message| message.as_slice()).collect();
        group.bench_function("dalek-batch", |bencher| {
            bencher.iter(|| {
                ed25519_dalek::verify_batch(&slices, &dalek_signatures, &dalek_keys).expect("all are good");
            });
        });
        group.bench_function("zebra-single", |bencher| {
            bencher.iter(|| {
                for ((key, message), signature) in keys.iter().zip(&messages).zip(&signatures) {
                    let key = VerificationKey::try_from(*key).expect("a point");
                    key.verify(&(*signature).into(), message).expect("good");
                }
            });
        });
        let items: Vec<Item<'_>> = (0..keys.len())
            .map(|place| Item { key: &keys[place], message: &messages[place], signature: &signatures[place] })
            .collect();
        let mut verifier = Verifier::new()?;
        group.bench_function("fresnel", |bencher| {
            bencher.iter(|| assert!(verifier.verify(&items).is_empty()));
        });
        group.finish();
        cases.extend(["dalek-batch", "zebra-single", "fresnel"].map(|engine| Case {
            group: group_name.clone(),
            engine: engine.to_owned(),
            items: size,
        }));
    }
    criterion.final_summary();
    write_tables("signatures", &cases)
}
