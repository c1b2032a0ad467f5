//! `report.html`: the report as a page that needs nothing beside itself, readable in light and in dark.

use std::fmt::Write;

use super::{
    Quantiles, Report, Scaled, Verdict,
    svg::{self, Line, number},
};

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        let mut page = String::new();
        let (verdict, title) = (self.verdict.to_string(), escaped(&self.title()));
        let _ = writeln!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title}: {verdict}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        );
        self.head(&mut page, &verdict);
        self.plots(&mut page);
        self.tables(&mut page);
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    fn head(&self, page: &mut String, verdict: &str) {
        let Self { config, throughput, latency_ms, cpu, .. } = self;
        let class = if self.verdict == Verdict::Pass { "pass" } else { "fail" };
        let _ = writeln!(
            page,
            "<h1>{} <span class=\"verdict {class}\">{verdict}</span></h1>",
            escaped(&self.title())
        );
        let _ = writeln!(
            page,
            "<p>{} authorities, {} shards, {} transactions per second for {} s, {} % to another shard{}</p>",
            config.authorities,
            config.shards,
            number(config.rate as f64),
            config.duration_ms as f64 / 1_000.0,
            number(config.cross_shard * 100.0),
            escaped(
                &config
                    .faults
                    .iter()
                    .chain(&config.scenarios)
                    .map(|what| format!(", {what}"))
                    .collect::<String>()
            ),
        );
        if !self.reasons.is_empty() {
            page.push_str("<ul class=\"reasons\">\n");
            for reason in &self.reasons {
                let _ = writeln!(page, "<li>{}</li>", escaped(reason));
            }
            page.push_str("</ul>\n");
        }
        page.push_str("<div class=\"tiles\">\n");
        for (value, unit, what) in [
            (throughput.settled_tps, "/s", "settled"),
            (latency_ms.r#final.p50, "ms", "median to final"),
            (latency_ms.settled.p50, "ms", "median to settled"),
            (cpu.us_per_tx, "µs", "CPU per transaction"),
        ] {
            let _ = writeln!(page, "<div><b>{} {unit}</b>{what}</div>", number(value));
        }
        page.push_str("</div>\n");
        let _ = writeln!(page, "<h2>To repeat it</h2>\n<pre>{}</pre>", escaped(&config.command));
    }

    fn plots(&self, page: &mut String) {
        let over_time = |of: fn(&super::Second) -> u64| {
            let mut values = vec![0.0; self.timeline.last().map_or(0, |second| second.second as usize + 1)];
            for second in &self.timeline {
                if let Some(value) = values.get_mut(second.second as usize) {
                    *value = of(second) as f64;
                }
            }
            values
        };
        let lines = [
            Line { name: "submitted", values: over_time(|second| second.submitted) },
            Line { name: "final", values: over_time(|second| second.r#final) },
            Line { name: "settled", values: over_time(|second| second.settled) },
        ];
        let levels: Vec<(&str, Vec<f64>)> = self
            .levels()
            .into_iter()
            .map(|(name, _, Quantiles { p50, p90, p99, p999, .. })| (name, vec![p50, p90, p99, p999]))
            .collect();
        let mut stages: Vec<(&str, f64)> =
            self.cpu.by_stage.iter().map(|(stage, micros)| (stage.as_str(), *micros)).collect();
        stages.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (title, plot) in [
            ("Throughput", svg::lines("Transactions in each second of the run", "per second", &lines)),
            (
                "Latency",
                svg::groups(
                    "Latency percentiles of each level",
                    "ms from the intended instant",
                    &["p50", "p90", "p99", "p99.9"],
                    &levels,
                ),
            ),
            ("CPU time per settled transaction", svg::stack("CPU time by stage", "µs", &stages)),
        ] {
            let _ = writeln!(page, "<h2>{title}</h2>\n<figure>{plot}</figure>");
        }
    }

    fn tables(&self, page: &mut String) {
        page.push_str(
            "<h2>Figures</h2>\n<div class=\"wide\"><table class=\"figures\"><thead><tr><th></th><th>per second</th><th>p50 ms</th>\
             <th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr></thead><tbody>\n",
        );
        for (name, rate, Quantiles { p50, p90, p99, p999, max }) in self.levels() {
            let rate = rate.map_or_else(String::new, |rate| number(rate.round()));
            let _ = write!(page, "<tr><th>{name}</th><td>{rate}</td>");
            for value in [p50, p90, p99, p999, max] {
                let _ = write!(page, "<td>{value:.1}</td>");
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody></table></div>\n");
        for (title, rows) in [
            ("Load and audit", self.outcome()),
            ("Configuration", self.asked()),
            ("Environment", self.place()),
        ] {
            let _ = writeln!(page, "<h2>{title}</h2>\n<table><tbody>");
            for (name, value) in rows {
                let _ = writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escaped(&name), escaped(&value));
            }
            page.push_str("</tbody></table>\n");
        }
    }

    fn outcome(&self) -> Vec<(String, String)> {
        let Self { load, audit, memory, .. } = self;
        let counts = [
            ("submitted", load.submitted),
            ("admitted", load.admitted),
            ("resubmitted", load.resubmitted),
            ("orphaned", load.orphaned),
            ("sent late", load.late_sends),
        ];
        let mut rows: Vec<_> =
            counts.map(|(name, count)| (name.to_owned(), number(count as f64))).into_iter().collect();
        for (kind, codes) in [("rejected", &load.rejected), ("failed", &self.failed)] {
            rows.extend(codes.iter().map(|(code, count)| (format!("{kind}: {code}"), number(*count as f64))));
        }
        let Scaled { final_tps, cpu_us_per_tx } = self.scaled;
        rows.push(("final per second, scaled".to_owned(), number(final_tps)));
        rows.push(("CPU per transaction, scaled".to_owned(), format!("{} µs", number(cpu_us_per_tx))));
        rows.extend(self.scenario.iter().map(|(name, figure)| (name.replace('_', " "), number(*figure))));
        rows.extend(
            (1..).zip(&self.probes).map(|(place, probe)| (format!("probe {place}"), probe.to_string())),
        );
        let checks = [
            ("supply conserved", audit.supply_conserved),
            ("records agree", audit.records_agree),
            ("commits agree", audit.commits_agree),
            ("every final once", audit.every_final_once),
        ];
        let yes = |holds| if holds { "yes" } else { "NO" };
        rows.extend(checks.map(|(name, holds)| (name.to_owned(), yes(holds).to_owned())));
        rows.push(("receipts in flight".to_owned(), number(audit.in_flight as f64)));
        rows.extend(
            memory.rss_mb_max.iter().map(|(name, mb)| (format!("memory of {name}"), format!("{mb} MB"))),
        );
        rows.push((
            "the load's share of CPU".to_owned(),
            format!("{} %", number(self.cpu.loadgen_share * 100.0)),
        ));
        rows
    }

    fn asked(&self) -> Vec<(String, String)> {
        let config = &self.config;
        [
            ("authorities", config.authorities.to_string()),
            ("shards", config.shards.to_string()),
            ("layout", config.layout.clone()),
            ("rate", format!("{} /s", number(config.rate as f64))),
            ("duration", format!("{} ms", number(config.duration_ms as f64))),
            ("cross-shard share", config.cross_shard.to_string()),
            ("skew", config.skew.to_string()),
            ("accounts", number(config.accounts as f64)),
            ("seed", config.seed.to_string()),
            ("workload", config.workload.clone()),
            (
                "left out",
                if config.without.is_empty() { "nothing".to_owned() } else { config.without.to_string() },
            ),
            ("faults", if config.faults.is_empty() { "none".to_owned() } else { config.faults.join(", ") }),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn place(&self) -> Vec<(String, String)> {
        let environment = &self.environment;
        [
            ("commit", environment.commit.clone()),
            ("rustc", environment.rustc.clone()),
            ("processor", environment.cpu.clone()),
            ("cores", environment.cores.to_string()),
            ("kernel", environment.kernel.clone()),
            ("machine factor", environment.machine_factor.to_string()),
            ("fdatasync p50", format!("{} µs", environment.fdatasync_p50_us)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Text that may stand in an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Colours told apart by the colour-blind as well (Okabe and Ito), lighter in the dark.
const STYLE: &str = "
:root { color-scheme: light dark; --page: #ffffff; --text: #1c1e21; --faint: #60656c; --grid: #dfe2e6; --panel: #f5f6f8;
  --c0: #8a9099; --c1: #0072b2; --c2: #d55e00; --c3: #009e73; --c4: #cc79a7; --c5: #e69f00; --c6: #56b4e9; --c7: #6b5bd2;
  --pass: #00784f; --fail: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14161a; --text: #e6e8eb; --faint: #9aa1ab; --grid: #2e333a; --panel: #1d2026;
    --c0: #8a9099; --c1: #4ba3e3; --c2: #ff8a3d; --c3: #2fc79a; --c4: #e49fc4; --c5: #f2b632; --c6: #8ed1f7; --c7: #a99cff;
    --pass: #0d8a5f; --fail: #d6453d; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 820px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 24px; margin: 0 0 8px; }
h2 { font-size: 17px; margin: 32px 0 8px; }
p { margin: 0 0 12px; color: var(--faint); }
.verdict { margin-left: 8px; padding: 2px 12px; border-radius: 999px; color: #fff; font-size: 17px; vertical-align: 2px; }
.pass { background: var(--pass); } .fail { background: var(--fail); }
.reasons { margin: 0 0 16px; padding: 8px 12px 8px 32px; border-left: 4px solid var(--fail); background: var(--panel); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tiles div { background: var(--panel); border-radius: 8px; padding: 12px 14px; color: var(--faint); font-size: 13px; }
.tiles b { display: block; color: var(--text); font-size: 21px; font-weight: 600; }
pre { background: var(--panel); border-radius: 8px; padding: 12px 14px; margin: 0; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; }
figure { margin: 0; overflow-x: auto; } .wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 560px; height: auto; }
svg text { fill: var(--faint); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--grid); } .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.dot, .bar { fill: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 8px 4px 0; border-bottom: 1px solid var(--grid); font-weight: 400; overflow-wrap: anywhere; }
tbody th { color: var(--faint); width: 38%; } thead th { color: var(--faint); }
.figures th, .figures td { white-space: nowrap; width: auto; }
.figures td, .figures thead th { text-align: right; padding-left: 8px; }
";
