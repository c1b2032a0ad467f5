//! Scenarios of workers under a toy order: one authority, so that whatever a worker attests is certified at the next
//! commit. What a cluster of authorities adds is tested by simulation.

mod checkpoints;
mod disk;
mod proofs;
mod recovery;
mod scenarios;
mod toy;
