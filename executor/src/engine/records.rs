//! What executions ahead of the commit frontier leave for it: what they saw, what they write, how they ended.
//!
//! Each worker writes records of its own only, in a ring as long as transactions can be ahead, so that a record is
//! mostly read again from the cache that it was written to, by the worker that committed it. There is one header of a
//! cache line and a body of one or more. In the body, checks grow from the front and writes from the back.
//!
//! ```text
//!   (a status of another turn or transaction)        nobody executed the transaction ahead
//!        │                  │
//!        ▼                  ▼
//!     Executed           Wasted: it panicked or lacked room
//! ```
//!
//! A status carries the turn of the speculation and the transaction, so a ring is never cleared, and it is written last.
//! Who holds the frontier reads the record of the transaction at the frontier, which its worker wrote once and writes
//! over only when the frontier has been published beyond. Other readers, who follow version lists, may read a
//! record while it is written over; what they make of it is a guess that is checked later. For the same reason, links of
//! lists, which anybody may write at any time, stand where nothing stands that is committed.

use crate::{
    slots::{Place, Value},
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The rings of all workers.
pub(crate) struct Records {
    rings: Box<[Ring]>,
    words: usize,
    mask: usize,
}

struct Ring {
    headers: Box<[Header]>,
    bodies: Box<[Line]>,
}

#[repr(align(64))]
#[derive(Default)]
struct Header {
    status: AtomicU64,
    outcome: AtomicU64,
    /// How many checks; the highest bit says whether a counter is among them.
    checks: AtomicU32,
    writes: AtomicU32,
    /// The next lower writer at the place of each of the first writes.
    links: [AtomicU32; LINKS],
}

#[repr(align(64))]
#[derive(Default)]
struct Line([AtomicU64; WORDS_PER_LINE]);

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
const _: () = assert!(size_of::<Header>() == 64 && size_of::<Line>() == 64);

/// How a transaction was executed ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not yet, and perhaps never.
    Open,
    /// See the diagram.
    Executed,
    /// See the diagram.
    Wasted,
}

/// Something a transaction saw, to be looked at again when it commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Read {
        place: Place,
        value: Value,
    },
    Exists {
        place: Place,
        answer: bool,
    },
    /// `before` is what the transaction itself had reserved of the counter.
    Reserve {
        counter: u32,
        before: u64,
        amount: u64,
        answer: bool,
    },
}

/// What one transaction does to one place, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Value(Value),
    /// Adds to the first word.
    Credit(u64),
}

/// The record of one transaction.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    header: &'a Header,
    lines: &'a [Line],
    tag: u64,
}

impl Records {
    /// Rings for `workers`, each for `transactions` ahead, with at least `words` for the checks and writes of each.
    pub(crate) fn new(workers: usize, transactions: usize, words: usize) -> Self {
        assert!(words <= WORDS_MAX, "records of {words} words");
        let count = transactions.next_power_of_two();
        let lines = words.div_ceil(WORDS_PER_LINE).max(1);
        let ring = |_| Ring {
            headers: (0..count).map(|_| Header::default()).collect(),
            bodies: (0..count * lines).map(|_| Line::default()).collect(),
        };
        Self { rings: (0..workers).map(ring).collect(), words: lines * WORDS_PER_LINE, mask: count - 1 }
    }

    /// Words of checks and writes that fit a record.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// The record of `transaction` by `worker` in the speculation `turn`.
    #[inline]
    pub(crate) fn get(&self, worker: u32, turn: u32, transaction: u32) -> Record<'_> {
        let ring = &self.rings[worker as usize];
        let at = transaction as usize & self.mask;
        let lines = self.words / WORDS_PER_LINE;
        Record {
            header: &ring.headers[at],
            lines: &ring.bodies[at * lines..(at + 1) * lines],
            tag: u64::from(turn) << 32 | u64::from(transaction) << 8,
        }
    }
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn status(&self) -> Status {
        let word = self.header.status.load(Acquire);
        match word.wrapping_sub(self.tag) {
            EXECUTED => Status::Executed,
            WASTED => Status::Wasted,
            _ => Status::Open,
        }
    }

    /// Begins an execution ahead.
    #[inline]
    pub(crate) fn draft(&self) -> Draft<'a> {
        Draft {
            lines: self.lines,
            checks: 0,
            writes: 0,
            read: 0,
            read_twice: 0,
            written: 0,
            latest: [0; BUCKETS],
            reserves: false,
            lacked: 0,
        }
    }

    /// Ends an execution ahead whose draft has all its checks and writes.
    #[inline]
    pub(crate) fn complete(&self, outcome: u64, draft: &Draft<'_>) {
        self.header.outcome.store(outcome, Relaxed);
        self.header.checks.store(draft.checks as u32 | if draft.reserves { RESERVES } else { 0 }, Relaxed);
        self.header.writes.store(draft.writes as u32, Relaxed);
        self.header.status.store(self.tag | EXECUTED, Release);
    }

    /// Ends an execution ahead that has no effect.
    pub(crate) fn waste(&self) {
        self.header.status.store(self.tag | WASTED, Release);
    }

    /// The outcome of what was executed.
    #[inline]
    pub(crate) fn outcome(&self) -> u64 {
        self.header.outcome.load(Relaxed)
    }

    /// What was seen.
    #[inline]
    pub(crate) fn checks(&self) -> impl Iterator<Item = Check> + use<'a> {
        checks(self.lines, (self.header.checks.load(Relaxed) & !RESERVES) as usize)
    }

    /// Whether a counter is among what was seen.
    #[inline]
    pub(crate) fn reserves(&self) -> bool {
        self.header.checks.load(Relaxed) & RESERVES != 0
    }

    /// What is written, each place once.
    #[inline]
    pub(crate) fn writes(&self) -> impl Iterator<Item = (Place, Change)> + use<'a> {
        let lines = self.lines;
        (0..self.header.writes.load(Relaxed) as usize).map(move |number| write(lines, number))
    }

    /// The number of the write at `place`, and the write, if the record is still that of its transaction.
    #[inline]
    pub(crate) fn written(&self, place: Place) -> Option<(usize, Change)> {
        if self.status() != Status::Executed {
            return None;
        }
        let writes = (self.header.writes.load(Relaxed) as usize).min(LINKS);
        (0..writes).find(|number| write_place(self.lines, *number) == place).map(|number| {
            let (_, change) = write(self.lines, number);
            (number, change)
        })
    }

    /// What the link of a write says, if it has one.
    #[inline]
    pub(crate) fn link(&self, number: usize) -> Option<&'a AtomicU32> {
        self.header.links.get(number)
    }
}

/// A record being written.
pub(crate) struct Draft<'a> {
    lines: &'a [Line],
    checks: usize,
    writes: usize,
    /// Buckets of places that were read, that several places were read of, and that were written: what is seen for the first
    /// time is not searched for, and what was read before is mostly found at once.
    read: u64,
    read_twice: u64,
    written: u64,
    /// The latest check of each bucket that was read.
    latest: [u8; BUCKETS],
    reserves: bool,
    /// Words that did not fit.
    lacked: usize,
}

impl Draft<'_> {
    /// The words that would have been enough, if those of the record were not.
    #[inline]
    pub(crate) fn words_lacked(&self) -> Option<usize> {
        (self.lacked > 0).then(|| self.lines.len() * WORDS_PER_LINE + self.lacked)
    }

    /// What was read at `place` earlier.
    #[inline]
    pub(crate) fn earlier_read(&self, place: Place) -> Option<Value> {
        let bucket = bucket(place);
        if self.read >> bucket & 1 == 0 {
            return None;
        }
        match check(self.lines, self.latest[bucket].into()) {
            Check::Read { place: read, value } if read == place => Some(value),
            _ if self.read_twice >> bucket & 1 == 0 => None,
            _ => self.search_read(place),
        }
    }

    #[cold]
    fn search_read(&self, place: Place) -> Option<Value> {
        checks(self.lines, self.checks).find_map(|check| match check {
            Check::Read { place: read, value } if read == place => Some(value),
            _ => None,
        })
    }

    /// What the transaction itself reserved of a counter so far.
    pub(crate) fn reserved(&self, counter: u32) -> u64 {
        let amount = |check| match check {
            Check::Reserve { counter: one, amount, answer: true, .. } if one == counter => amount,
            _ => 0,
        };
        if self.reserves { checks(self.lines, self.checks).map(amount).sum() } else { 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, check: Check) {
        if !self.has_room(WORDS_PER_CHECK) {
            return;
        }
        let word = |at| check_word(self.lines, self.checks, at);
        match check {
            Check::Read { place, value } => {
                let bucket = bucket(place);
                self.read_twice |= self.read & 1 << bucket;
                self.read |= 1 << bucket;
                self.latest[bucket] = self.checks as u8;
                word(0).store(u64::from(place), Relaxed);
                (1..).zip(value).for_each(|(at, value)| word(at).store(value, Relaxed));
            }
            Check::Exists { place, answer } => {
                word(0).store(u64::from(answer) << ANSWER | EXISTENCE | u64::from(place), Relaxed);
            }
            Check::Reserve { counter, before, amount, answer } => {
                self.reserves = true;
                word(0).store(u64::from(answer) << ANSWER | RESERVE | u64::from(counter), Relaxed);
                word(1).store(before, Relaxed);
                word(2).store(amount, Relaxed);
            }
        }
        self.checks += 1;
    }

    /// What the transaction itself does at `place` so far, with the number of that write.
    #[inline]
    pub(crate) fn own(&self, place: Place) -> Option<(usize, Change)> {
        if self.written >> bucket(place) & 1 == 0 {
            return None;
        }
        (0..self.writes)
            .find(|number| write_place(self.lines, *number) == place)
            .map(|number| (number, write(self.lines, number).1))
    }

    /// Adds a write at a place that has none.
    #[inline]
    pub(crate) fn add_write(&mut self, place: Place, change: Change) {
        self.written |= 1 << bucket(place);
        if self.has_room(WORDS_PER_WRITE) {
            self.writes += 1;
            self.set_write(self.writes - 1, place, change);
        }
    }

    /// Replaces a write.
    #[inline]
    pub(crate) fn set_write(&self, number: usize, place: Place, change: Change) {
        let word = |at| write_word(self.lines, number, at);
        match change {
            Change::Value(value) => {
                word(0).store(u64::from(place), Relaxed);
                (1..).zip(value).for_each(|(at, value)| word(at).store(value, Relaxed));
            }
            Change::Credit(amount) => {
                word(0).store(u64::from(place) | CREDIT, Relaxed);
                word(1).store(amount, Relaxed);
            }
        }
    }

    #[inline]
    fn has_room(&mut self, words: usize) -> bool {
        let used = self.checks * WORDS_PER_CHECK + self.writes * WORDS_PER_WRITE;
        let has_room = self.lacked == 0 && used + words <= self.lines.len() * WORDS_PER_LINE;
        self.lacked += if has_room { 0 } else { words };
        has_room
    }
}

#[inline]
fn word(lines: &[Line], at: usize) -> &AtomicU64 {
    &lines[at / WORDS_PER_LINE].0[at % WORDS_PER_LINE]
}

#[inline]
fn write_word(lines: &[Line], number: usize, at: usize) -> &AtomicU64 {
    word(lines, lines.len() * WORDS_PER_LINE - (number + 1) * WORDS_PER_WRITE + at)
}

#[inline]
fn write_place(lines: &[Line], number: usize) -> Place {
    write_word(lines, number, 0).load(Relaxed) as Place
}

#[inline]
fn write(lines: &[Line], number: usize) -> (Place, Change) {
    let word = |at| write_word(lines, number, at).load(Relaxed);
    let first = word(0);
    let is_credit = first & CREDIT != 0;
    let change = if is_credit { Change::Credit(word(1)) } else { Change::Value([word(1), word(2), word(3)]) };
    (first as Place, change)
}

#[inline]
fn check_word(lines: &[Line], number: usize, at: usize) -> &AtomicU64 {
    word(lines, number * WORDS_PER_CHECK + at)
}

#[inline]
fn check(lines: &[Line], number: usize) -> Check {
    let load = |at| check_word(lines, number, at).load(Relaxed);
    let first = load(0);
    let (number, answer) = (first as u32, first >> ANSWER != 0);
    if first & EXISTENCE != 0 {
        Check::Exists { place: number, answer }
    } else if first & RESERVE != 0 {
        Check::Reserve { counter: number, before: load(1), amount: load(2), answer }
    } else {
        Check::Read { place: number, value: [load(1), load(2), load(3)] }
    }
}

/// Reads what drafts wrote.
#[inline]
fn checks(lines: &[Line], count: usize) -> impl Iterator<Item = Check> {
    (0..count).map(|number| check(lines, number))
}

#[inline]
fn bucket(place: Place) -> usize {
    (place.wrapping_mul(0x9e37_79b1) >> (u32::BITS - BUCKETS.ilog2())) as usize
}

const WORDS_PER_LINE: usize = 8;
const WORDS_PER_CHECK: usize = 4;
const WORDS_PER_WRITE: usize = 4;

/// What needs a larger record than this executes at the frontier: 512 words are a hundred reads, and a ring of such records is
/// as large as a cache.
pub(crate) const WORDS_MAX: usize = 512;
const _: () = assert!(WORDS_MAX / WORDS_PER_CHECK <= u8::MAX as usize, "checks are numbered in a byte");

/// Of the places that an execution touches: one bit of a word each.
const BUCKETS: usize = 64;

/// Writes of a transaction that others can find ahead of the frontier: as many as fill the line of the header. What a
/// transaction writes beyond is seen once it is committed.
pub(crate) const LINKS: usize = 8;

const RESERVES: u32 = 1 << 31;

const EXECUTED: u64 = 1;
const WASTED: u64 = 2;

/// The kind of a check, in its first word above the place or counter; none is a read.
const EXISTENCE: u64 = 1 << 32;
const RESERVE: u64 = 1 << 33;
const ANSWER: u32 = 40;

/// The kind of a write, likewise; none is a value.
const CREDIT: u64 = 1 << 32;

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_was_put_in() {
        let records = Records::new(2, 4, 24);
        let record = records.get(1, 7, 5);
        assert_eq!(record.status(), Status::Open);
        let seen = [
            Check::Read { place: u32::MAX - 1, value: [1, u64::MAX, 3] },
            Check::Exists { place: 9, answer: true },
            Check::Exists { place: 8, answer: false },
            Check::Reserve { counter: 1, before: 4, amount: u64::MAX, answer: true },
        ];
        let mut draft = record.draft();
        seen.into_iter().for_each(|check| draft.push(check));
        assert_eq!(draft.earlier_read(u32::MAX - 1), Some([1, u64::MAX, 3]));
        assert_eq!(draft.earlier_read(9), None);
        assert_eq!((draft.reserved(1), draft.reserved(0)), (u64::MAX, 0));
        draft.add_write(9, Change::Credit(u64::MAX));
        draft.add_write(u32::MAX - 1, Change::Credit(1));
        let (number, _) = draft.own(u32::MAX - 1).expect("just added");
        draft.set_write(number, u32::MAX - 1, Change::Value([u64::MAX, 0, 1]));
        assert_eq!(draft.words_lacked(), None);
        record.complete(u64::MAX, &draft);
        assert_eq!(record.status(), Status::Executed);
        assert_eq!(record.checks().collect::<Vec<_>>(), seen);
        let written = [(9, Change::Credit(u64::MAX)), (u32::MAX - 1, Change::Value([u64::MAX, 0, 1]))];
        assert_eq!(record.writes().collect::<Vec<_>>(), written);
        assert_eq!(record.written(u32::MAX - 1), Some((1, written[1].1)));
        assert_eq!(record.written(8), None);
        assert_eq!(record.outcome(), u64::MAX);

        assert_eq!(records.get(0, 7, 5).status(), Status::Open, "the ring of another worker");
        assert_eq!(records.get(1, 7, 9).status(), Status::Open, "the same place of the ring");
        assert_eq!(records.get(1, 8, 5).status(), Status::Open, "a later speculation");
        records.get(1, 7, 9).waste();
        assert_eq!(records.get(1, 7, 9).status(), Status::Wasted);
        assert_eq!(record.written(9), None, "the ring went on");
    }

    #[test]
    fn a_draft_too_long_says_how_long() {
        let records = Records::new(1, 1, 1);
        let mut draft = records.get(0, 1, 0).draft();
        draft.push(Check::Read { place: 7, value: [0; 3] });
        draft.add_write(7, Change::Credit(1));
        assert_eq!(draft.words_lacked(), None);
        draft.push(Check::Exists { place: 8, answer: true });
        draft.add_write(8, Change::Credit(1));
        assert_eq!(draft.words_lacked(), Some(16));
        assert_eq!(draft.earlier_read(7), Some([0; 3]));
        assert_eq!(draft.own(8), None, "what does not fit is not there");
    }
}
