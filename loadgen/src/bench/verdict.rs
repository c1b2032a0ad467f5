//! The verdict on a run: the worst that load, audit and processes show.

use crate::{
    audit::Judgement,
    report::{Audit, Verdict},
};

/// What a run showed beside the audit.
pub(super) struct Findings {
    /// Transactions not at their end.
    pub(super) open: u64,
    /// Of these, reported ordered and unknown to everybody.
    pub(super) absent: u64,
    /// Successes that settled.
    pub(super) settled: u64,
    /// Whether all shards went on executing while the audit looked.
    pub(super) moving: bool,
    /// Processes that ended by themselves or did not stop in order.
    pub(super) failures: Vec<String>,
    /// What a scenario asked for and did not get.
    pub(super) missed: Vec<String>,
}

/// The worst that applies, and everything that speaks against a pass.
pub(super) fn verdict(findings: &Findings, judgement: &Judgement) -> (Verdict, Vec<String>) {
    let Findings { open, absent, settled, moving, ref failures, ref missed } = *findings;
    let Audit { supply_conserved, records_agree, commits_agree, every_final_once, in_flight } =
        judgement.audit;
    let mut reasons = judgement.reasons.clone();
    let mut verdict = Verdict::Pass;
    let mut at_least = |least: Verdict| verdict = verdict.max(least);
    if !missed.is_empty() {
        at_least(Verdict::Missed);
        reasons.extend(missed.iter().cloned());
    }
    if !records_agree || !commits_agree {
        at_least(Verdict::Diverged);
    }
    if !supply_conserved || !every_final_once {
        at_least(Verdict::Lost);
    }
    if absent > 0 {
        // Where a shard stands still, what is ordered may be executed yet.
        at_least(if moving { Verdict::Lost } else { Verdict::NoProgress });
        reasons.push(format!("{absent} transactions were reported ordered and nobody knows them"));
    }
    if open > 0 {
        at_least(Verdict::NoProgress);
        reasons.push(format!("{open} transactions did not end"));
    }
    if in_flight > 0 {
        at_least(Verdict::NoProgress);
        reasons.push(format!("{in_flight} receipts are on their way"));
    }
    if settled == 0 {
        at_least(Verdict::NoProgress);
        reasons.push("nothing settled".to_owned());
    }
    if !judgement.quiet || !failures.is_empty() {
        at_least(Verdict::NoProgress);
        reasons.extend(failures.iter().cloned());
    }
    // Who is behind or unreachable was waited for; it is worth a word only when that was in vain.
    if verdict == Verdict::Pass { (verdict, Vec::new()) } else { (verdict, reasons) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> (Findings, Judgement) {
        let audit = Audit {
            supply_conserved: true,
            records_agree: true,
            commits_agree: true,
            every_final_once: true,
            in_flight: 0,
        };
        let findings = Findings {
            open: 0,
            absent: 0,
            settled: 9,
            moving: true,
            failures: Vec::new(),
            missed: Vec::new(),
        };
        (findings, Judgement { audit, quiet: true, reasons: Vec::new() })
    }

    #[test]
    fn the_verdict_is_the_worst_that_applies() {
        let check = |spoil: &dyn Fn(&mut Findings, &mut Judgement), expected| {
            let (mut findings, mut judgement) = clean();
            spoil(&mut findings, &mut judgement);
            let (verdict, reasons) = verdict(&findings, &judgement);
            assert_eq!(verdict, expected, "{reasons:?}");
        };
        check(&|_, _| {}, Verdict::Pass);
        check(&|findings, _| findings.missed.push("a gap".to_owned()), Verdict::Missed);
        check(&|findings, _| findings.open = 1, Verdict::NoProgress);
        check(&|findings, _| findings.settled = 0, Verdict::NoProgress);
        check(&|findings, _| findings.failures.push("it ended".to_owned()), Verdict::NoProgress);
        check(&|_, judgement| judgement.quiet = false, Verdict::NoProgress);
        check(&|_, judgement| judgement.audit.in_flight = 1, Verdict::NoProgress);
        check(&|findings, _| findings.absent = 1, Verdict::Lost);
        check(&|findings, _| (findings.absent, findings.moving) = (1, false), Verdict::NoProgress);
        check(&|_, judgement| judgement.audit.supply_conserved = false, Verdict::Lost);
        check(&|_, judgement| judgement.audit.every_final_once = false, Verdict::Lost);
        check(
            &|findings, judgement| (findings.open, judgement.audit.commits_agree) = (1, false),
            Verdict::Diverged,
        );
        check(&|_, judgement| judgement.audit.records_agree = false, Verdict::Diverged);
    }
}
