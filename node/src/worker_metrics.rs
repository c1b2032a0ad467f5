//! What a worker counted and what waits in it, as Prometheus reads it: per shard, since a process may host several.

use fresnel_types::{Outcome, RejectionCode, status::WorkerCounts};
use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Says what each metric is.
pub(crate) fn describe() {
    for (name, help) in [
        ("worker_admitted", "Transactions admitted."),
        ("worker_rejected", "Transactions refused at the door."),
        ("worker_rejections", "Of these, those that the worker refused itself, by reason."),
        ("worker_batches_sealed", "Own batches sealed."),
        ("worker_batches_offered", "Own batches offered to the beacon; once more where they were void."),
        ("worker_batched_transactions", "Transactions in the batches offered."),
        ("worker_batched_bytes", "Bytes of the batches offered."),
        ("worker_batches_stored", "Batches of others stored."),
        ("worker_batches_refused", "Batches of others not taken."),
        ("worker_batches_resent", "Times a batch was sent again."),
        ("worker_batches_requested", "Requests for missing batches."),
        ("worker_blocks", "Blocks executed."),
        ("worker_outcomes", "Transactions executed, by how they ended."),
        ("worker_receipts_applied", "Receipts of other shards applied."),
        ("worker_receipts_bounced", "Receipts of other shards sent back."),
        ("worker_executed_serially", "Transactions that the engine executed one after the other."),
        ("worker_executed_speculatively", "Transactions committed by speculations."),
        ("worker_executed_ahead", "Executions ahead of the commit frontier, those in vain included."),
        ("worker_executed_in_turn", "Transactions that speculations executed without any execution ahead."),
        ("worker_validations", "Executions ahead whose checks were looked at."),
        (
            "worker_reexecuted",
            "Second executions, by what the first saw otherwise: a value, existence, a counter; or it was wasted.",
        ),
        (
            "worker_execution_switches",
            "Changes between serial execution and speculation: transactions are cheap, dear, conflict, or were slower.",
        ),
        ("worker_execution_microseconds", "Time in the execution of transactions, by mode."),
    ] {
        describe_counter!(format!("fresnel_{name}_total"), help);
    }
    for (name, help) in [
        ("worker_queue_transactions", "Transactions admitted and not ordered."),
        (
            "worker_queue_age_seconds",
            "How long the oldest of them has waited, or, by blocks, what is ordered to be certified.",
        ),
        ("worker_blocks_waiting", "Closed blocks that were not executed."),
        ("worker_window_used", "Requests towards another shard whose end this one has not seen."),
        ("worker_window_limit", "How many of these there may be."),
        ("worker_execution_threads", "Threads that execute transactions."),
    ] {
        describe_gauge!(format!("fresnel_{name}"), help);
    }
}

/// Records the counts of one worker.
pub(crate) fn record(machine: &str, counts: &WorkerCounts) {
    for (name, count) in [
        ("admitted", counts.admitted),
        ("rejected", counts.rejected),
        ("batches_sealed", counts.batches_sealed),
        ("batches_offered", counts.batches_offered),
        ("batched_transactions", counts.batched),
        ("batched_bytes", counts.batch_bytes),
        ("batches_stored", counts.batches_stored),
        ("batches_refused", counts.batches_refused),
        ("batches_resent", counts.batches_resent),
        ("batches_requested", counts.batches_requested),
        ("blocks", counts.blocks),
        ("receipts_applied", counts.applied),
        ("receipts_bounced", counts.bounced),
        ("executed_serially", counts.execution.serial),
        ("executed_speculatively", counts.execution.speculative),
        ("executed_ahead", counts.execution.ahead),
        ("executed_in_turn", counts.causes.in_turn),
        ("validations", counts.causes.validations),
    ] {
        counter!(format!("fresnel_worker_{name}_total"), "machine" => machine.to_owned()).absolute(count);
    }
    let causes = &counts.causes;
    for (name, label, value, count) in [
        ("reexecuted", "cause", "value", causes.reexecuted_value),
        ("reexecuted", "cause", "existence", causes.reexecuted_existence),
        ("reexecuted", "cause", "counter", causes.reexecuted_counter),
        ("reexecuted", "cause", "wasted", causes.reexecuted_wasted),
        ("execution_switches", "cause", "cheap", causes.switched_cheap),
        ("execution_switches", "cause", "dear", causes.switched_dear),
        ("execution_switches", "cause", "conflicts", causes.switched_conflicts),
        ("execution_switches", "cause", "slow", causes.switched_slow),
        ("execution_microseconds", "mode", "serial", causes.serial_us),
        ("execution_microseconds", "mode", "speculative", causes.speculation_us),
    ] {
        let name = format!("fresnel_worker_{name}_total");
        counter!(name, "machine" => machine.to_owned(), label => value).absolute(count);
    }
    for (outcome, count) in &counts.outcomes {
        counter!(
            "fresnel_worker_outcomes_total", "machine" => machine.to_owned(), "code" => code(*outcome)
        )
        .absolute(*count);
    }
    let set = |name: &'static str, value: f64| gauge!(name, "machine" => machine.to_owned()).set(value);
    set("fresnel_worker_queue_transactions", counts.unordered as f64);
    set("fresnel_worker_queue_age_seconds", counts.queue_age as f64 / 1e6);
    set("fresnel_worker_blocks_waiting", counts.blocks_waiting as f64);
    set("fresnel_worker_execution_threads", counts.execution.threads as f64);
    for (destination, used, limit) in &counts.windows {
        for (name, value) in [("fresnel_worker_window_used", used), ("fresnel_worker_window_limit", limit)] {
            let destination = destination.to_string();
            gauge!(name, "machine" => machine.to_owned(), "destination" => destination).set(*value as f64);
        }
    }
}

/// Records how many transactions a worker refused for one reason.
pub(crate) fn rejected(machine: &str, code: RejectionCode, count: u64) {
    counter!(
        "fresnel_worker_rejections_total", "machine" => machine.to_owned(), "code" => word(serde_json::to_value(code))
    )
    .absolute(count);
}

fn word(value: Result<serde_json::Value, serde_json::Error>) -> String {
    let word = value.ok().and_then(|value| value.as_str().map(str::to_owned));
    word.unwrap_or_else(|| "unknown".to_owned())
}

/// How a transaction ended, in one word, as reports of benchmarks have it.
fn code(outcome: Outcome) -> String {
    match outcome {
        Outcome::Success => "success".to_owned(),
        Outcome::Failed(failure) => word(serde_json::to_value(failure)),
        Outcome::Void(void) => format!("void_{}", word(serde_json::to_value(void))),
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{FailureCode, ShardId, status::ExecutionCauses, transaction::VoidCode};
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn counts_are_told_by_machine_code_and_destination() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let counts = WorkerCounts {
            admitted: 7,
            queue_age: 1_500_000,
            outcomes: vec![
                (Outcome::Success, 5),
                (Outcome::Failed(FailureCode::WindowFull), 2),
                (Outcome::Void(VoidCode::Nonce), 1),
            ],
            windows: vec![(ShardId(1), 3, 64)],
            causes: ExecutionCauses { reexecuted_value: 4, serial_us: 9, ..ExecutionCauses::default() },
            ..WorkerCounts::default()
        };
        metrics::with_local_recorder(&recorder, || {
            describe();
            record("worker-0", &counts);
            rejected("worker-0", RejectionCode::Quota, 4);
        });
        let text = handle.render();
        for line in [
            "fresnel_worker_admitted_total{machine=\"worker-0\"} 7",
            "fresnel_worker_outcomes_total{machine=\"worker-0\",code=\"success\"} 5",
            "fresnel_worker_outcomes_total{machine=\"worker-0\",code=\"window_full\"} 2",
            "fresnel_worker_outcomes_total{machine=\"worker-0\",code=\"void_nonce\"} 1",
            "fresnel_worker_queue_age_seconds{machine=\"worker-0\"} 1.5",
            "fresnel_worker_rejections_total{machine=\"worker-0\",code=\"quota\"} 4",
            "fresnel_worker_reexecuted_total{machine=\"worker-0\",cause=\"value\"} 4",
            "fresnel_worker_execution_microseconds_total{machine=\"worker-0\",mode=\"serial\"} 9",
            "fresnel_worker_window_used{machine=\"worker-0\",destination=\"1\"} 3",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        let told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let unexplained: Vec<_> = told
            .iter()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| !text.contains(&format!("# HELP {name} ")))
            .collect();
        assert_eq!(unexplained, Vec::<&str>::new());
    }
}
