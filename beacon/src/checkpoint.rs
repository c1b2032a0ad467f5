//! A checkpoint of the beacon as entries of its own log: from the last complete one on, the log restores the beacon.
//!
//! The first piece holds the [`Head`], the others the *body*: sections, each behind its length as a little-endian u64, cut
//! into pieces without regard to where a section ends. First come the pasts of the own payload, one per shard, then who
//! was ever seen, the evidence against others, then the sections of the [`LedgerState`]. What vertices the DAG holds above the floor, who voted for what, and the commits that
//! ordered them are not in it: those entries of the log stay.

use std::sync::Arc;

use fresnel_types::{
    Commit, CommitIndex, Entries, EntryNumber, Evidence, LogEntry, Round, SignedHead, Timestamp, codec,
    log_entry::CheckpointPiece, verify::Rules,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::{
    ledger::{LedgerState, StateError},
    limits::CHECKPOINT_PIECE_BYTES,
    pending::Past,
};

/// Where a checkpoint stands.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Head {
    /// The commit after which it was taken; its state hash is that of the state.
    pub(crate) commit: Commit,
    /// The first entry of the log that the checkpoint does not stand for.
    pub(crate) entry: EntryNumber,
    /// The round of the last own vertex: there is never another one at or below it.
    pub(crate) round: Round,
    /// The time of the last own vertex.
    pub(crate) time: Timestamp,
    /// The round above which anything may be signed; none when that is not known yet.
    pub(crate) resumed: Option<Round>,
}

/// A checkpoint as it is read back.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) head: Head,
    pub(crate) past: Vec<Past>,
    pub(crate) known: Vec<SignedHead>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) state: LedgerState,
}

/// Why a complete checkpoint is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Its head, its payload or a section of the state is malformed.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The commit names another state.
    #[error("its state is not the one that the commit names")]
    State,
}

impl Checkpoint {
    /// The last complete one of a log. Pieces that a power cut left without a last one are passed over.
    ///
    /// # Errors
    /// When it is damaged; an earlier one may stand for entries that are gone, so none is tried.
    pub(crate) fn last_of(
        log: &Entries,
        rules: &Arc<Rules>,
    ) -> Result<Option<Self>, (CommitIndex, CheckpointError)> {
        let mut found: Vec<&CheckpointPiece> = vec![];
        let mut open: Vec<&CheckpointPiece> = vec![];
        for entry in &log.entries {
            let LogEntry::Checkpoint(piece) = entry else { continue };
            if open.first().is_some_and(|first| first.commit != piece.commit) || piece.number == 0 {
                open.clear();
            }
            if u32::try_from(open.len()) == Ok(piece.number) {
                open.push(piece);
                if piece.last {
                    found = std::mem::take(&mut open);
                }
            }
        }
        let Some((head, body)) = found.split_first() else { return Ok(None) };
        let body = body.iter().map(|piece| piece.bytes.as_slice()).collect::<Vec<_>>().concat();
        Self::read(&head.bytes, &body, rules).map(Some).map_err(|error| (head.commit, error))
    }

    fn read(head: &[u8], body: &[u8], rules: &Rules) -> Result<Self, CheckpointError> {
        let head: Head = codec::decode(head).map_err(malformed)?;
        let mut sections = Sections(body);
        let past = rules.shards.iter().map(|_| {
            let section = sections.next().ok_or(StateError::Sections).map_err(malformed)?;
            codec::decode(section).map_err(malformed)
        });
        let past = past.collect::<Result<_, CheckpointError>>()?;
        let mut section = || sections.next().ok_or(StateError::Sections).map_err(malformed);
        let known = codec::decode(section()?).map_err(malformed)?;
        let evidence = codec::decode(section()?).map_err(malformed)?;
        let state = LedgerState::of_sections(rules, &mut sections).map_err(malformed)?;
        if !sections.0.is_empty() || state.digest() != head.commit.state {
            return Err(CheckpointError::State);
        }
        Ok(Self { head, past, known, evidence, state })
    }
}

/// The body of a checkpoint.
pub(crate) fn body<'a>(
    past: impl Iterator<Item = &'a Past>,
    known: &Vec<SignedHead>,
    evidence: &Vec<Evidence>,
    state: &LedgerState,
) -> Vec<u8> {
    joined(
        past.map(codec::encode)
            .chain([codec::encode(known), codec::encode(evidence)])
            .chain(state.sections()),
    )
}

/// Sections, each behind its length.
fn joined(sections: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = vec![];
    for section in sections {
        bytes.extend((section.len() as u64).to_le_bytes());
        bytes.extend(section);
    }
    bytes
}

/// The piece with this number.
pub(crate) fn piece(head: &Head, body: &[u8], number: u32) -> CheckpointPiece {
    let mut chunks = body.chunks(CHECKPOINT_PIECE_BYTES);
    let last = number as usize >= chunks.len();
    let bytes = match number.checked_sub(1) {
        None => codec::encode(head),
        Some(chunk) => chunks.nth(chunk as usize).unwrap_or_default().to_vec(),
    };
    CheckpointPiece { commit: head.commit.index, number, last, bytes }
}

/// The sections of a body; what does not end with a whole section stays.
struct Sections<'a>(&'a [u8]);

impl<'a> Iterator for Sections<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<8>()?;
        let (section, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        self.0 = rest;
        Some(section)
    }
}

fn malformed(error: impl std::error::Error) -> CheckpointError {
    CheckpointError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use fresnel_types::{AuthorityIndex, BatchId, CommitDigest, VertexId, VertexRef};

    use super::*;
    use crate::{ledger::Ledger, scenario::rules};

    /// A checkpoint whose body is about that many batch ids long, as the entries of a log.
    fn pieces(rules: &Arc<Rules>, commit: u64, batches: u64) -> (LedgerState, Vec<LogEntry>) {
        let mut state = Ledger::new(Arc::clone(rules)).state().clone();
        state.commit = CommitIndex(commit);
        for n in 0..batches {
            state.batches.entry(Round(n % 7)).or_default().push(BatchId::of(&n.to_le_bytes()));
        }
        let commit = Commit {
            index: state.commit,
            previous: CommitDigest::default(),
            anchor: VertexRef { round: Round(9), author: AuthorityIndex(0), id: VertexId([0; 32]) },
            time: Timestamp(0),
            floor: Round(0),
            vertices: vec![],
            state: state.digest(),
        };
        let head = Head { commit, entry: EntryNumber(5), round: Round(9), time: Timestamp(7), resumed: None };
        let past: Vec<Past> = rules.shards.iter().map(|_| Past::default()).collect();
        let body = body(past.iter(), &vec![], &vec![], &state);
        let mut entries = vec![];
        loop {
            let next = piece(&head, &body, u32::try_from(entries.len()).expect("few"));
            let last = next.last;
            assert!(next.bytes.len() <= CHECKPOINT_PIECE_BYTES);
            entries.push(LogEntry::Checkpoint(next));
            if last {
                return (state, entries);
            }
        }
    }

    fn last_of(entries: &[LogEntry], rules: &Arc<Rules>) -> Option<LedgerState> {
        let log = Entries::from(entries.to_vec());
        Checkpoint::last_of(&log, rules).expect("undamaged").map(|checkpoint| checkpoint.state)
    }

    #[test]
    fn the_last_complete_checkpoint_is_found_however_many_pieces_it_has() {
        let rules = Arc::new(rules(4, 2, |_| ()));
        let (first, small) = pieces(&rules, 64, 10);
        let (second, large) = pieces(&rules, 128, 100_000);
        assert_eq!((small.len(), large.len()), (2, 5));
        let log = [small.clone(), large.clone()].concat();
        for end in 0..=log.len() {
            let expected = match end {
                0 | 1 => None,
                2..7 => Some(&first),
                _ => Some(&second),
            };
            assert_eq!(last_of(&log[..end], &rules).as_ref(), expected, "{end} pieces");
        }
        let torn = [&large[..3], &small[..], &large[3..]].concat();
        assert_eq!(last_of(&torn, &rules), Some(first.clone()), "pieces of two attempts make no checkpoint");
        let again = [&large[..3], &large[..]].concat();
        assert_eq!(last_of(&again, &rules), Some(second));
    }

    #[test]
    fn a_state_that_the_commit_does_not_name_is_refused() {
        let rules = Arc::new(rules(4, 2, |_| ()));
        let (_, mut entries) = pieces(&rules, 64, 10);
        let (_, other) = pieces(&rules, 64, 11);
        entries[1] = other[1].clone();
        let error = Checkpoint::last_of(&entries.into(), &rules).expect_err("another body");
        assert_eq!(error, (CommitIndex(64), CheckpointError::State));
    }
}
