//! Workloads, open-loop load, local clusters, audit, reports.
