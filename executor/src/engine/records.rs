//! What executions leave for the commit frontier: what they saw, what they wrote, how they ended.
//!
//! Only transactions within the look-ahead window have a record, so the records are a ring small enough to stay in the
//! caches. Diagram of a record's status; each state carries the turn of the speculation and the transaction, so a
//! ring is never cleared:
//!
//! ```text
//!   (another turn, or an earlier transaction of the ring)
//!        │ claim: compare-and-swap, by the worker of its chunk or by an idle one at the frontier
//!        ▼
//!     Running ──▶ Executed: complete, its writes are in the lists
//!        │
//!        └──────▶ Wasted: panicked or without room; nothing of it is in the lists
//! ```
//!
//! Executed and Wasted last until the frontier has passed: the one thread that holds the frontier commits an Executed
//! record whose checks hold, and executes any other once more, when all before it are committed. It does so without a
//! record.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::slots::{Place, Value};

/// The ring of records.
pub(crate) struct Records {
    words: Box<[AtomicU64]>,
    /// The first word that begins a cache line.
    first: usize,
    words_per_record: usize,
    mask: usize,
}

/// A state of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nobody executes the transaction yet.
    Open,
    /// Somebody does.
    Running,
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

/// A node that a transaction entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) place: Place,
    pub(crate) node: u32,
    pub(crate) is_credit: bool,
}

/// The record of a transaction. Its words are written by whoever claimed it and read after its status says Executed.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    words: &'a [AtomicU64],
    tag: u64,
}

impl Records {
    /// A ring for at least `transactions` at once, with `words` of checks and writes each.
    pub(crate) fn new(transactions: usize, words: usize) -> Self {
        let count = transactions.next_power_of_two();
        let words_per_record = (HEAD + words).next_multiple_of(WORDS_PER_LINE);
        let words: Box<[_]> =
            (0..count * words_per_record + WORDS_PER_LINE).map(|_| AtomicU64::new(0)).collect();
        let first = words.as_ptr().align_offset(WORDS_PER_LINE * size_of::<u64>()).min(WORDS_PER_LINE);
        Self { words, first, words_per_record, mask: count - 1 }
    }

    /// Words of checks and writes that fit a record.
    pub(crate) fn words(&self) -> usize {
        self.words_per_record - HEAD
    }

    /// The record of `transaction` in the speculation `turn`.
    #[inline]
    pub(crate) fn get(&self, turn: u32, transaction: u32) -> Record<'_> {
        let first = self.first + (transaction as usize & self.mask) * self.words_per_record;
        Record {
            words: &self.words[first..first + self.words_per_record],
            tag: u64::from(turn) << 32 | u64::from(transaction) << 8,
        }
    }
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn status(&self) -> Status {
        let word = self.words[STATUS].load(Acquire);
        match (word & !STATE == self.tag, word & STATE) {
            (true, RUNNING) => Status::Running,
            (true, EXECUTED) => Status::Executed,
            (true, _) => Status::Wasted,
            (false, _) => Status::Open,
        }
    }

    /// Makes the caller the one who executes. Fails when somebody did or does, or the ring went on to a later
    /// transaction, as it does when a thread slept between taking its chunk and coming here.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        let word = &self.words[STATUS];
        let now = word.load(Relaxed);
        let is_older = now >> 32 != self.tag >> 32 || now & !STATE < self.tag;
        is_older && word.compare_exchange(now, self.tag | RUNNING, Acquire, Relaxed).is_ok()
    }

    /// Ends the execution without effect.
    pub(crate) fn waste(&self) {
        self.words[STATUS].store(self.tag | WASTED, Release);
    }

    /// For the checks of an execution under way.
    #[inline]
    pub(crate) fn draft(&self) -> Draft<'a> {
        Draft { words: &self.words[HEAD..], end: 0, read_filter: 0 }
    }

    /// Ends an execution whose draft and `writes` fit.
    #[inline]
    pub(crate) fn complete(&self, outcome: u64, draft: &Draft<'_>, writes: impl Iterator<Item = Written>) {
        let checks_end = HEAD + draft.end;
        let mut end = checks_end;
        for Written { place, node, is_credit } in writes {
            let word = u64::from(node) << 33 | u64::from(is_credit) << 32 | u64::from(place);
            self.words[end].store(word, Relaxed);
            end += 1;
        }
        self.words[OUTCOME].store(outcome, Relaxed);
        self.words[ENDS].store((checks_end as u64) << 32 | end as u64, Relaxed);
        self.words[STATUS].store(self.tag | EXECUTED, Release);
    }

    /// The outcome of an executed transaction.
    #[inline]
    pub(crate) fn outcome(&self) -> u64 {
        self.words[OUTCOME].load(Relaxed)
    }

    /// What an executed transaction saw.
    #[inline]
    pub(crate) fn checks(&self) -> impl Iterator<Item = Check> + use<'a> {
        checks(&self.words[HEAD..(self.words[ENDS].load(Relaxed) >> 32) as usize])
    }

    /// What an executed transaction entered.
    #[inline]
    pub(crate) fn writes(&self) -> impl Iterator<Item = Written> + use<'a> {
        let ends = self.words[ENDS].load(Relaxed);
        self.words[(ends >> 32) as usize..ends as u32 as usize].iter().map(|word| {
            let word = word.load(Relaxed);
            Written { place: word as Place, node: (word >> 33) as u32, is_credit: word >> 32 & 1 != 0 }
        })
    }
}

/// Checks being written into a record.
pub(crate) struct Draft<'a> {
    words: &'a [AtomicU64],
    /// Words so far, those that did not fit included.
    end: usize,
    /// A bit for each place read, so that most reads need not look whether they are the second.
    read_filter: u64,
}

impl Draft<'_> {
    /// Words so far; more than fit if it is to be wasted.
    #[inline]
    pub(crate) fn words(&self) -> usize {
        self.end
    }

    /// What was read at `place` earlier, if it was and that fitted.
    #[inline]
    pub(crate) fn earlier_read(&self, place: Place) -> Option<Value> {
        if self.read_filter & filter_bit(place) == 0 {
            return None;
        }
        checks(&self.words[..self.end.min(self.words.len())]).find_map(|check| match check {
            Check::Read { place: read, value } if read == place => Some(value),
            _ => None,
        })
    }

    #[inline]
    pub(crate) fn push(&mut self, check: Check) {
        match check {
            Check::Read { place, value: [one, two, three] } => {
                self.read_filter |= filter_bit(place);
                self.put([u64::from(place), one, two, three]);
            }
            Check::Exists { place, answer } => {
                self.put([u64::from(answer) << ANSWER | EXISTS | u64::from(place)]);
            }
            Check::Reserve { counter, before, amount, answer } => {
                self.put([u64::from(answer) << ANSWER | RESERVE | u64::from(counter), before, amount]);
            }
        }
    }

    fn put<const N: usize>(&mut self, words: [u64; N]) {
        if let Some(room) = self.words.get(self.end..self.end + N) {
            for (to, word) in room.iter().zip(words) {
                to.store(word, Relaxed);
            }
        }
        self.end += N;
    }
}

/// Reads what drafts wrote. What did not fit ends it.
#[inline]
fn checks(words: &[AtomicU64]) -> impl Iterator<Item = Check> {
    let mut rest = words;
    std::iter::from_fn(move || {
        let first = rest.first()?.load(Relaxed);
        let (number, answer) = (first as u32, first >> ANSWER != 0);
        let (check, after) = match (first & (EXISTS | RESERVE), rest) {
            (EXISTS, [_, after @ ..]) => (Check::Exists { place: number, answer }, after),
            (RESERVE, [_, before, amount, after @ ..]) => {
                let (before, amount) = (before.load(Relaxed), amount.load(Relaxed));
                (Check::Reserve { counter: number, before, amount, answer }, after)
            }
            (0, [_, one, two, three, after @ ..]) => {
                let value = [one.load(Relaxed), two.load(Relaxed), three.load(Relaxed)];
                (Check::Read { place: number, value }, after)
            }
            _ => return None,
        };
        rest = after;
        Some(check)
    })
}

#[inline]
fn filter_bit(place: Place) -> u64 {
    1 << (place.wrapping_mul(0x9e37_79b1) >> 26)
}

const WORDS_PER_LINE: usize = 8;

const STATUS: usize = 0;
const OUTCOME: usize = 1;
/// Where checks end, and where writes end.
const ENDS: usize = 2;
/// Where checks begin.
const HEAD: usize = 3;

const STATE: u64 = 0xff;
const RUNNING: u64 = 1;
const EXECUTED: u64 = 2;
const WASTED: u64 = 3;

/// The kind of a check, in its first word above the place or counter; none is a read.
const EXISTS: u64 = 1 << 32;
const RESERVE: u64 = 1 << 33;
const ANSWER: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_was_put_in() {
        let records = Records::new(4, 13);
        let record = records.get(7, 5);
        assert!(record.claim() && !record.claim());
        assert_eq!(record.status(), Status::Running);
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
        let written = [
            Written { place: 9, node: (1 << 31) - 1, is_credit: true },
            Written { place: u32::MAX - 1, node: 1, is_credit: false },
        ];
        record.complete(u64::MAX, &draft, written.into_iter());
        assert_eq!(record.status(), Status::Executed);
        assert_eq!(record.checks().collect::<Vec<_>>(), seen);
        assert_eq!(record.writes().collect::<Vec<_>>(), written);
        assert_eq!(record.outcome(), u64::MAX);

        assert_eq!(records.get(7, 9).status(), Status::Open, "the same place of the ring");
        assert!(records.get(7, 9).claim());
        assert!(!record.claim(), "the ring went on");
        assert!(records.get(8, 1).claim(), "an earlier transaction of a later speculation");
    }

    #[test]
    fn a_draft_too_long_says_how_long() {
        let records = Records::new(1, 1);
        let mut draft = records.get(1, 0).draft();
        for place in 0..9 {
            draft.push(Check::Read { place, value: [0; 3] });
        }
        assert_eq!(draft.words(), 36);
        assert_eq!(draft.earlier_read(0), Some([0; 3]));
        assert_eq!(draft.earlier_read(8), None, "what does not fit is read anew");
    }
}
