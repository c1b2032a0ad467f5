//! Tells the binary which commit it was built from and for which target, for `fresnel --version`.

use std::{path::Path, process::Command};

fn main() {
    // The log of HEAD changes with every commit and checkout; without it (no repository) there is nothing to follow.
    for path in ["../.git/HEAD", "../.git/logs/HEAD"] {
        if Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=FRESNEL_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    println!(
        "cargo:rustc-env=FRESNEL_TARGET={}",
        std::env::var("TARGET").expect("cargo sets it for build scripts")
    );
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
