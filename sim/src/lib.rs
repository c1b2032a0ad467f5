//! Whole clusters in one deterministic process: clock, network, disks, faults.
