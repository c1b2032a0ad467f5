//! The published format, field by field, and what people see of it.

use fresnel_types::ablation::Part;
use serde_json::{Value, json};

use super::*;

fn report() -> Report {
    let quantiles = Quantiles { p50: 80.5, p90: 90.0, p99: 140.25, p999: 150.0, max: 160.0 };
    let latency_ms = Latencies {
        ordered: quantiles,
        executed: quantiles,
        r#final: quantiles,
        settled: quantiles,
        final_within_shard: quantiles,
        settled_cross_shard: quantiles,
    };
    let threads: BTreeMap<String, u64> = [
        ("worker-0", 1_000),
        ("worker-1", 500),
        ("beacon", 250),
        ("verify-0", 2_000),
        ("net", 100),
        ("keep-worker-0", 150),
        ("rocksdb:low", 50),
        ("stats", 50),
    ]
    .map(|(thread, micros)| (thread.to_owned(), micros))
    .into();
    Report {
        schema_version: SCHEMA_VERSION,
        verdict: Verdict::NoProgress,
        reasons: vec!["3 transactions did not end".to_owned()],
        environment: Environment {
            commit: "abc".to_owned(),
            rustc: "rustc 1".to_owned(),
            cpu: "a processor".to_owned(),
            cores: 2,
            kernel: "6".to_owned(),
            machine_factor: 0.5,
            fdatasync_p50_us: 100,
        },
        config: Config {
            command: "fresnel bench".to_owned(),
            authorities: 4,
            shards: 2,
            layout: "node".to_owned(),
            rate: 10_000,
            duration_ms: 1_500,
            seed: 1,
            cross_shard: 0.1,
            skew: 0.0,
            accounts: 20_000,
            faults: vec!["kill:3@8s".to_owned()],
            workload: "transfers".to_owned(),
            without: Ablation::default(),
            scenarios: vec!["--chaos 20".to_owned()],
        },
        load: Load { rejected: [("overloaded".to_owned(), 4)].into(), submitted: 100, ..Load::default() },
        throughput: Throughput { settled_tps: 9_998.4, ..Throughput::default() },
        failed: [("void_nonce".to_owned(), 2)].into(),
        latency_ms,
        cpu: Cpu::of(&threads, 100, 100),
        memory: Memory { rss_mb_max: [("authority-0".to_owned(), 77.0)].into() },
        audit: Audit { in_flight: 1, ..Audit::default() },
        execution: [(
            ShardId(1),
            ExecutionCounts {
                threads: 2,
                serial: 60,
                speculative: 40,
                reexecuted: 1,
                ahead: 41,
                switches: 3,
            },
        )]
        .into(),
        scaled: Scaled { final_tps: 20_000.0, cpu_us_per_tx: 20.5 },
        scenario: [("recovered_after_ms".to_owned(), 1_500.0)].into(),
        probes: Vec::new(),
        timeline: vec![Second {
            second: 0,
            submitted: 5,
            r#final: 4,
            settled: 3,
            cluster_cpu_ms: 900,
            client_cpu_ms: 80,
            rss_mb: 300,
            disk_mb: 70,
        }],
    }
}

#[test]
fn the_format_is_the_published_one() {
    let quantiles = json!({"p50": 80.5, "p90": 90.0, "p99": 140.25, "p999": 150.0, "max": 160.0});
    let expected = json!({
        "schema_version": 1,
        "verdict": "no-progress",
        "reasons": ["3 transactions did not end"],
        "environment": {
            "commit": "abc", "rustc": "rustc 1", "cpu": "a processor", "cores": 2, "kernel": "6",
            "machine_factor": 0.5, "fdatasync_p50_us": 100
        },
        "config": {
            "command": "fresnel bench", "authorities": 4, "shards": 2, "layout": "node", "rate": 10_000,
            "duration_ms": 1_500, "seed": 1, "cross_shard": 0.1, "skew": 0.0, "accounts": 20_000,
            "faults": ["kill:3@8s"], "workload": "transfers", "without": [], "scenarios": ["--chaos 20"]
        },
        "load": {
            "offered_tps": 0.0, "submitted": 100, "admitted": 0, "resubmitted": 0, "orphaned": 0,
            "rejected": {"overloaded": 4}, "late_sends": 0
        },
        "throughput": {"ordered_tps": 0.0, "executed_tps": 0.0, "final_tps": 0.0, "settled_tps": 9_998.4},
        "failed": {"void_nonce": 2},
        "latency_ms": {
            "ordered": quantiles, "executed": quantiles, "final": quantiles, "settled": quantiles,
            "final_within_shard": quantiles, "settled_cross_shard": quantiles
        },
        "cpu": {
            "us_per_tx": 41.0,
            "by_stage": {
                "execute": 15.0, "order": 2.5, "verify": 20.0, "disseminate": 1.0, "store": 2.0, "other": 0.5,
                "client": 1.0
            },
            "loadgen_share": 0.024
        },
        "memory": {"rss_mb_max": {"authority-0": 77.0}},
        "audit": {
            "supply_conserved": false, "records_agree": false, "commits_agree": false, "every_final_once": false,
            "in_flight": 1
        },
        "execution": {
            "1": {"threads": 2, "serial": 60, "speculative": 40, "ahead": 41, "reexecuted": 1, "switches": 3}
        },
        "scaled": {"final_tps": 20_000.0, "cpu_us_per_tx": 20.5},
        "scenario": {"recovered_after_ms": 1_500.0},
        "probes": [],
        "timeline": [{
            "second": 0, "submitted": 5, "final": 4, "settled": 3, "cluster_cpu_ms": 900, "client_cpu_ms": 80,
            "rss_mb": 300, "disk_mb": 70
        }]
    });
    let report = report();
    let written: Value = serde_json::to_value(&report).expect("a report is JSON");
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<Report>(written).expect("its own format"), report);
}

#[test]
fn how_transactions_were_executed_is_told_by_shard() {
    let table = report().table();
    let told = "2 threads, 40.0 % speculative, of these 2.50 % executed twice, 3 changes of mode";
    assert!(table.contains(told), "{table}");
    let none = ExecutionCounts { threads: 1, ..ExecutionCounts::default() };
    assert_eq!(describe(&none), "one after the other, without an engine");
}

#[test]
fn verdicts_print_as_they_are_written_and_rank_by_gravity() {
    for verdict in [Verdict::Pass, Verdict::Missed, Verdict::NoProgress, Verdict::Lost, Verdict::Diverged] {
        assert_eq!(json!(verdict), json!(verdict.to_string()));
    }
    assert!(Verdict::Pass < Verdict::NoProgress && Verdict::Lost < Verdict::Diverged);
}

#[test]
fn people_see_what_matters() {
    let table = report().table();
    for part in
        ["9998", "140.2", "4 overloaded", "2 void_nonce", "records agree NO", "did not end", "no-progress"]
    {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let line = report().line();
    assert!(
        !line.contains('\n')
            && line.contains("10000/s for 1.5 s, 10 % cross-shard, kill:3@8s, --chaos 20 | settled 9998/s"),
        "{line}"
    );
}

#[test]
fn the_page_holds_everything_needs_nothing_and_escapes_what_others_wrote() {
    let mut report = report();
    report.reasons = vec!["<script>alert('x')</script> & \"more\"".to_owned()];
    report.environment.cpu = "a <b>fast</b> one".to_owned();
    report.timeline.push(Second { second: 3, submitted: 7, r#final: 6, settled: 6, ..Second::default() });
    let page = report.html();
    for part in [
        "no-progress",
        "fresnel bench",
        "9,998",
        "140.2",
        "kill:3@8s",
        "a &lt;b&gt;fast&lt;/b&gt; one",
        "prefers-color-scheme",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    assert!(
        page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;more&quot;"),
        "{page}"
    );
    for outside in ["<script", "http:", "https:", "src=", "href=", "url(", "@import", "NaN"] {
        assert!(!page.contains(outside), "{outside} in\n{page}");
    }
    assert_eq!(page.matches("<svg").count(), 3);
    assert_eq!(page.matches("<circle").count(), 3 * 4, "a second without news is a zero");
    // Every element that is opened is closed.
    for element in
        ["main", "div", "table", "tr", "td", "th", "svg", "figure", "text", "ul", "li", "h2", "title"]
    {
        let opened =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}

#[test]
fn what_was_left_out_stands_in_every_title() {
    let mut report = report();
    assert_eq!(report.title(), "fresnel bench");
    report.config.without = [Part::Tree, Part::Signatures].into_iter().collect();
    report.config.workload = "opaque".to_owned();
    report.probes.push(Probe {
        rate: 1_000,
        duration_ms: 5_000,
        kept_up: true,
        verdict: Verdict::Pass,
        final_tps: 999.5,
        final_p99_ms: 80.0,
        cpu_us_per_tx: 20.0,
    });
    let title = "fresnel bench, opaque, highest rate WITHOUT signatures,tree";
    for text in [report.table(), report.line(), report.html()] {
        assert!(text.contains(title), "{title} is missing in\n{text}");
    }
    assert!(report.table().contains("1000/s for 5 s: kept up (pass"), "{}", report.table());
}

#[test]
fn nothing_settled_divides_by_nothing() {
    assert_eq!(
        Cpu::of(&BTreeMap::new(), 0, 0),
        Cpu { by_stage: [("client".to_owned(), 0.0)].into(), ..Cpu::default() }
    );
}
