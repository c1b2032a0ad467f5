//! The format of a segment, and what its bytes prove after a loss of power.
//!
//! A segment is a file of fixed size: a header `magic [8] | version u32 | chain u32 | number u64 | crc u32 | first crc u32 |
//! first u64`, then records at multiples of 8: `length u32 | kind u32 | synced u64 | body crc u32 | head crc u32 | body |
//! padding`, all little-endian, checksums crc32c. Zeros follow the last record. The header up to `crc` is the same in all
//! versions, so that another version is not taken for damage. `first` is the number in the log of the segment's first
//! entry, so that numbers outlive the segments before. The body is the codec's bytes of the entry; `kind` is the
//! entry's, so that a tool can skim.
//!
//! *Stale or foreign bytes never pass.* The head's checksum is seeded with the segment's number, the record's offset
//! and `chain`, a checksum over all record heads of the segments before. So a record is valid at one place of one log
//! only, and what a client managed to get stored inside a body cannot pose as a record there: it would have to foretell
//! `chain`. (The first segment has no past; there only chance of timing hides the offset.)
//!
//! *Torn tail or damage?* A disk keeps any subset of the sectors written since the last sync (see
//! [`Disk`](crate::Disk)), so after a loss of power a good record may well follow a bad one, and "bad, then good" proves
//! nothing. What proves something is `synced`: the offset in this segment up to which everything was synced when the
//! record was appended. Let `bad` be the offset of the first bad record:
//! - If some later head is valid and has `synced > bad`, then the bytes at `bad` were durable once: the disk has lost
//!   acknowledged entries. This is *damage*, and the log refuses to open.
//! - The next segment is made only after a sync of this one, so a bad record in any but the last segment is damage too;
//!   as is a difference between `chain` or `first` of a segment and the records before it.
//! - Otherwise the record at `bad` and all behind it were appended after the last sync that any surviving record knows
//!   of. Every group of appends behind a completed sync says `synced` above the group before it; so unless the disk
//!   damaged the very last synced group (of which no later record could tell), nothing at or behind `bad` was ever
//!   synced, nothing that it protects ever left, and it is cut. Telling that last case apart would take a second sync
//!   per group; it remains, and counts as the loss of a log does.
//!
//! Cutting writes zeros over all that follows and syncs before the log is used, so that a stale record can never come
//! to stand behind a new one.
//!
//! *Forgetting* removes segments from the oldest on, each durably before the next, so what is left is always without a
//! gap, and its first segment says where it begins. A header lies within a sector: until it is synced it is there whole or
//! the sector is zeros, and then all that it should say follows from the segment before, which is therefore kept.

use fresnel_types::{EntryNumber, LogEntry};

/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 40;

/// Bytes of a record before its body.
pub(crate) const HEAD_BYTES: usize = 24;

/// The name of a segment's file.
pub(crate) fn name(segment: u64) -> String {
    format!("{PREFIX}{segment:016x}")
}

/// The segment that a file's name names, if any.
pub(crate) fn number(file: &str) -> Option<u64> {
    let digits = file.strip_prefix(PREFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (name(number) == file).then_some(number)
}

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) chain: u32,
    pub(crate) number: u64,
    pub(crate) first: EntryNumber,
}

/// Why the first bytes of a segment are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// They are zeros: it was never written.
    Missing,
    /// It was written by another version of the code.
    Version(u32),
    /// It is not as it was written.
    Damaged,
}

impl Header {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.chain.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        let first = self.first.0.to_le_bytes();
        bytes[28..32].copy_from_slice(&crc32c::crc32c_append(crc, &first).to_le_bytes());
        bytes[32..].copy_from_slice(&first);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NoHeader> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(NoHeader::Damaged)?;
        let first = EntryNumber(u64_at(bytes, 32));
        let header = Self { chain: u32_at(bytes, 12), number: u64_at(bytes, 16), first };
        let version = u32_at(bytes, 8);
        if header.to_bytes() == bytes {
            Ok(header)
        } else if is_zero(bytes) {
            Err(NoHeader::Missing)
        } else if bytes[..8] == *MAGIC
            && version != VERSION
            && crc32c::crc32c(&bytes[..24]) == u32_at(bytes, 24)
        {
            Err(NoHeader::Version(version))
        } else {
            Err(NoHeader::Damaged)
        }
    }
}

/// Where a record stands: what its head's checksum is seeded with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) chain: u32,
}

impl Place {
    fn seed(self, offset: usize) -> u32 {
        let seed = crc32c::crc32c_append(self.chain, &self.segment.to_le_bytes());
        crc32c::crc32c_append(seed, &(offset as u64).to_le_bytes())
    }
}

/// Appends a record, padding included, that is to stand at `offset`; `write` appends its body. Gives its head.
pub(crate) fn append_record(
    buffer: &mut Vec<u8>,
    place: Place,
    offset: usize,
    synced: u64,
    kind: u32,
    write: impl FnOnce(&mut Vec<u8>),
) -> [u8; HEAD_BYTES] {
    let start = buffer.len();
    buffer.resize(start + HEAD_BYTES, 0);
    write(buffer);
    let body = &buffer[start + HEAD_BYTES..];
    let length = u32::try_from(body.len()).expect("a record fits its segment, far below 4 GiB");
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..8].copy_from_slice(&kind.to_le_bytes());
    head[8..16].copy_from_slice(&synced.to_le_bytes());
    head[16..20].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let head_crc = crc32c::crc32c_append(place.seed(offset), &head[..20]);
    head[20..].copy_from_slice(&head_crc.to_le_bytes());
    let end = start + record_bytes(body.len());
    buffer[start..start + HEAD_BYTES].copy_from_slice(&head);
    buffer.resize(end, 0);
    head
}

/// The bytes that a record with a body of `body` bytes takes.
pub(crate) fn record_bytes(body: usize) -> usize {
    HEAD_BYTES + body.next_multiple_of(ALIGNMENT)
}

/// Carries `chain` over one more record, given its head.
pub(crate) fn extend_chain(chain: u32, head: &[u8]) -> u32 {
    crc32c::crc32c_append(chain, head)
}

/// A valid head, and the range of its body in the segment.
struct Head {
    kind: u32,
    synced: u64,
    body_crc: u32,
    body: std::ops::Range<usize>,
}

fn head_at(place: Place, bytes: &[u8], offset: usize) -> Option<Head> {
    let head = bytes.get(offset..offset.checked_add(HEAD_BYTES)?)?;
    let length = u32_at(head, 0) as usize;
    let start = offset + HEAD_BYTES;
    let body = start..start.checked_add(length)?;
    let synced = u64_at(head, 8);
    let possible = length > 0 && body.end <= bytes.len() && synced <= offset as u64;
    let crc = || crc32c::crc32c_append(place.seed(offset), &head[..HEAD_BYTES - 4]);
    (possible && crc() == u32_at(head, 20)).then(|| Head {
        kind: u32_at(head, 4),
        synced,
        body_crc: u32_at(head, 16),
        body,
    })
}

/// The length of the body of a record, of which these are the first bytes.
pub(crate) fn body_bytes(head: &[u8]) -> usize {
    u32_at(head, 0) as usize
}

/// The body of a record, when it is as it was written.
pub(crate) fn body(record: &[u8]) -> Option<&[u8]> {
    let body = record.get(HEAD_BYTES..)?;
    (crc32c::crc32c(body) == u32_at(record, 16)).then_some(body)
}

/// The good records at the beginning of a segment.
pub(crate) struct Scan<'a> {
    /// Offset, kind and body of each.
    pub(crate) records: Vec<(usize, u32, &'a [u8])>,
    /// The offset behind the last of them: of the first bad record or the end.
    pub(crate) end: usize,
    /// The checksum over their heads and all before.
    pub(crate) chain: u32,
}

/// Reads the records of a segment up to the first bad one.
pub(crate) fn scan(place: Place, bytes: &[u8]) -> Scan<'_> {
    let mut scan = Scan { records: Vec::new(), end: HEADER_BYTES, chain: place.chain };
    while let Some(head) = head_at(place, bytes, scan.end) {
        let body = &bytes[head.body];
        let after = scan.end + record_bytes(body.len());
        let padding = bytes.get(scan.end + HEAD_BYTES + body.len()..after);
        if crc32c::crc32c(body) != head.body_crc || padding.is_none_or(|bytes| !is_zero(bytes)) {
            break;
        }
        scan.chain = extend_chain(scan.chain, &bytes[scan.end..scan.end + HEAD_BYTES]);
        scan.records.push((scan.end, head.kind, body));
        scan.end = after;
    }
    scan
}

/// Whether a valid head behind `bad` proves that the bytes at `bad` were synced once.
pub(crate) fn was_synced(place: Place, bytes: &[u8], bad: usize) -> bool {
    let first = bad.next_multiple_of(ALIGNMENT).max(HEADER_BYTES);
    (first..bytes.len())
        .step_by(ALIGNMENT)
        .any(|offset| head_at(place, bytes, offset).is_some_and(|head| head.synced > bad as u64))
}

/// The bytes from `end` to the last that is not zero.
pub(crate) fn rest(bytes: &[u8], end: usize) -> usize {
    let tail = &bytes[end..];
    // Whole zero chunks are skipped at the speed of a comparison: most of a segment is usually still empty.
    let used = tail.chunks(CHUNK).rposition(|chunk| !is_zero(chunk));
    used.map_or(0, |chunk| {
        let until = ((chunk + 1) * CHUNK).min(tail.len());
        tail[..until].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The kind of an entry, as it stands in a head: its tag in the codec's layout.
pub(crate) fn kind(entry: &LogEntry) -> u32 {
    match entry {
        LogEntry::Vertex(_) => 0,
        LogEntry::Vote(_) => 1,
        LogEntry::Certificate(_) => 2,
        LogEntry::Commit(_) => 3,
        LogEntry::Batch(_) => 4,
        LogEntry::Order(_) => 5,
        LogEntry::Bundle(_) => 6,
        LogEntry::Checkpoint(_) => 7,
        LogEntry::Sync(_) => 8,
        LogEntry::Evidence(_) => 9,
        LogEntry::Resumed(_) => 10,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

const MAGIC: &[u8; 8] = b"fresnel\n";
const VERSION: u32 = 2;
const PREFIX: &str = "log-";
const ALIGNMENT: usize = 8;
const CHUNK: usize = 4_096;
