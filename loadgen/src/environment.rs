//! Where a run takes place: program, machine, and how fast its processor and disk are here and now, so that figures of
//! two runs can be compared.

use std::{
    fs::{self, File, OpenOptions},
    hint::black_box,
    io::{Seek, Write},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey, verify_batch};
use tokio::time::Instant;

use crate::report::Environment;

/// Looks around; takes a fraction of a second of one core.
///
/// # Errors
/// When `folder` cannot be written.
pub fn measure(folder: &Path) -> Result<Environment> {
    Ok(Environment {
        commit: commit(),
        rustc: output_of("rustc", &["--version"]).unwrap_or_else(|| UNKNOWN.to_owned()),
        cpu: cpu(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| UNKNOWN.to_owned(), |release| release.trim().to_owned()),
        machine_factor: machine_factor()?,
        fdatasync_p50_us: fdatasync_p50_us(folder)?,
    })
}

/// CPU time that this process has used, all threads, in microseconds.
///
/// # Errors
/// When the kernel does not tell.
pub fn own_cpu_us() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    own_cpu_us_in(&stat).context("/proc/self/stat is not as proc(5) says")
}

/// The name of the program stands in parentheses and may hold anything; user and system time are the 12th and 13th field
/// behind it, in ticks.
fn own_cpu_us_in(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut times = behind.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((user + system) * TICK_US)
}

fn commit() -> String {
    let Some(commit) = output_of("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return UNKNOWN.to_owned();
    };
    match output_of("git", &["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => format!("{commit}-dirty"),
        _ => commit,
    }
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(|| UNKNOWN.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The rate of the reference: best of some batches, since what else runs here can only make it slower.
fn machine_factor() -> Result<f64> {
    let keys: Vec<SigningKey> = (0..BATCH as u64)
        .map(|index| crate::workload::account_key(0, index).to_bytes())
        .map(|secret| SigningKey::from_bytes(&secret))
        .collect();
    let messages: Vec<[u8; 32]> = (0..BATCH).map(|index| [index as u8; 32]).collect();
    let signatures: Vec<Signature> =
        keys.iter().zip(&messages).map(|(key, message)| key.sign(message)).collect();
    let publics: Vec<VerifyingKey> = keys.iter().map(SigningKey::verifying_key).collect();
    let messages: Vec<&[u8]> = messages.iter().map(<[u8; 32]>::as_slice).collect();
    let mut best = Duration::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        let verified = verify_batch(black_box(&messages), &signatures, &publics);
        best = best.min(start.elapsed());
        ensure!(verified.is_ok(), "good signatures do not verify on this machine");
    }
    let factor = BATCH as f64 / best.as_secs_f64() / REFERENCE_PER_SECOND;
    Ok((factor * 1_000.0).round() / 1_000.0)
}

/// The median over overwrites of a file whose blocks exist.
fn fdatasync_p50_us(folder: &Path) -> Result<u64> {
    let path = folder.join("fdatasync.probe");
    let measured = (|| {
        let mut file: File = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        file.write_all(&[0; 4_096])?;
        file.sync_all()?;
        let mut times = Vec::with_capacity(SYNCS);
        for sync in 0..SYNCS {
            file.rewind()?;
            let start = Instant::now();
            file.write_all(&[sync as u8; 4_096])?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        std::io::Result::Ok(times[SYNCS / 2].as_micros() as u64)
    })();
    // The probe is ours; that it cannot be removed shows in nothing but a file left over.
    let _ = fs::remove_file(&path);
    measured.with_context(|| format!("cannot write to {}", folder.display()))
}

const UNKNOWN: &str = "unknown";

/// Linux counts in hundredths of a second on every architecture.
const TICK_US: u64 = 10_000;

/// Signatures in a batch of the reference.
const BATCH: usize = 1_024;

/// Batches tried.
const BATCHES: usize = 8;

/// ed25519-dalek's batches of 1,024 on one core of the machine that figures refer to.
const REFERENCE_PER_SECOND: f64 = 107_000.0;

/// Overwrites timed.
const SYNCS: usize = 51;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 100 200 300";
        assert_eq!(own_cpu_us_in(stat), Some(1_750_000));
        assert_eq!(own_cpu_us_in("42 (short) S 1"), None);
        assert!(own_cpu_us().is_ok());
    }

    #[test]
    fn the_machine_is_described() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let environment = measure(folder.path()).expect("a writable folder");
        assert!(environment.machine_factor > 0.0 && environment.cores > 0);
        assert!(fs::read_dir(folder.path()).expect("there").next().is_none(), "the probe is gone");
    }
}
