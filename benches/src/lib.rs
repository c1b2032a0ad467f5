//! What the benches share: after criterion has measured, its estimates become one table and one file of rows.
//!
//! Groups are named `<bench>/<workload>/key=value/<engine>`. Each row says how many nanoseconds one item took and how
//! that compares with the baseline engine of the same case in the same run; figures of different runs are not compared,
//! since the machine may be shared.

#![forbid(unsafe_code)]

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::Serialize;

/// One measured case.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub case: String,
    /// With which parameters, `key=value`.
    pub params: String,
    /// By what.
    pub engine: String,
    /// Median time of one item.
    pub ns_per_item: f64,
    /// Time of `ratio_to` divided by this time: above 1 is faster than the baseline.
    pub ratio: f64,
    /// The baseline engine of the case.
    pub ratio_to: String,
}

/// A case as it was handed to criterion: where its estimates are and how many items an iteration had.
#[derive(Debug)]
pub struct Case {
    /// The criterion group, `<bench>/<workload>/key=value`.
    pub group: String,
    /// The criterion function, the engine.
    pub engine: String,
    /// Items of one iteration.
    pub items: u64,
}

#[derive(Serialize)]
struct Report<'a, Row> {
    environment: Environment,
    rows: &'a [Row],
}

#[derive(Serialize)]
struct Environment {
    cpu: String,
    cores: usize,
    rustc: String,
    kernel: String,
    profile: &'static str,
}

/// Reads the estimates of `cases` and writes `target/bench/<bench>.md` and `.json`. The first engine of each group is
/// the baseline.
///
/// # Errors
/// When an estimate is missing or a file cannot be written.
pub fn write_tables(bench: &str, cases: &[Case]) -> Result<()> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let mut rows: Vec<Row> = Vec::new();
    for case in cases {
        let folder = case.group.replace('/', "_");
        let path = target.join("criterion").join(folder).join(&case.engine).join("new/estimates.json");
        let text = fs::read_to_string(&path).with_context(|| format!("no estimate at {}", path.display()))?;
        let estimates: serde_json::Value = serde_json::from_str(&text)?;
        let median =
            estimates["median"]["point_estimate"].as_f64().context("an estimate without a median")?;
        let (workload, params) = case.group.split_once('=').map_or((case.group.as_str(), ""), |_| {
            case.group.rsplit_once('/').unwrap_or((case.group.as_str(), ""))
        });
        let ns_per_item = median / case.items as f64;
        let baseline = rows.iter().find(|row| row.case == workload && row.params == params);
        let (ratio, ratio_to) = baseline
            .map_or((1.0, case.engine.clone()), |row| (row.ns_per_item / ns_per_item, row.engine.clone()));
        rows.push(Row {
            case: workload.to_owned(),
            params: params.to_owned(),
            engine: case.engine.clone(),
            ns_per_item,
            ratio,
            ratio_to,
        });
    }
    write_rows(bench, &rows)
}

/// Writes `target/bench/<bench>.md` and `.json` from rows that were measured otherwise.
///
/// # Errors
/// When a file cannot be written.
pub fn write_rows(bench: &str, rows: &[Row]) -> Result<()> {
    let mut table = String::from(
        "| case | parameters | engine | ns per item | ratio | to |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        writeln!(
            table,
            "| {} | {} | {} | {:.0} | {:.4} | {} |",
            row.case, row.params, row.engine, row.ns_per_item, row.ratio, row.ratio_to
        )?;
    }
    write_report(bench, &table, rows)
}

/// Writes `target/bench/<bench>.md` with where it ran and `table`, and `.json` with the rows.
///
/// # Errors
/// When a file cannot be written.
pub fn write_report(bench: &str, table: &str, rows: &[impl Serialize]) -> Result<()> {
    let environment = environment();
    let table = format!(
        "{} cores, {}, {}, profile {}\n\n{table}",
        environment.cores, environment.cpu, environment.rustc, environment.profile
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{bench}.md")), &table)?;
    let report = serde_json::to_string_pretty(&Report { environment, rows })?;
    fs::write(folder.join(format!("{bench}.json")), report)?;
    println!("{table}");
    Ok(())
}

fn environment() -> Environment {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    Environment {
        cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        rustc: output("rustc", "--version"),
        kernel: output("uname", "-r"),
        profile: "bench (fat LTO)",
    }
}

fn output(program: &str, argument: &str) -> String {
    Command::new(program)
        .arg(argument)
        .output()
        .map_or_else(|_| "unknown".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
