//! What became of every transaction of a load: a pure machine fed with instants, admissions, news and broken links,
//! which says what to send where and what to ask.
//!
//! Rules. A transaction goes to the worker of its sender's shard at the sender's home authority. What was sent over a
//! link that broke goes to the next authority at once, with the same bytes; what is not known ordered in time does when
//! [`silence`] lets it, so that an overload is not made worse. What was reported ordered is never sent again, only asked
//! about: sending it again would hide that it was lost.

mod silence;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    AuthorityIndex, Outcome, RejectionCode, ShardId, TransactionId,
    status::{Level, Progress},
};

use self::silence::Silence;
use super::schedule::Schedule;
use crate::{
    limits::{ATTEMPTS_MAX, LATE_AFTER, POLL_INTERVAL, RETRY_AFTER_MIN},
    workload::Planned,
};

/// Microseconds since the start of the load.
pub(crate) type Micros = u64;

/// A worker that transactions are sent to.
pub(crate) type Worker = (AuthorityIndex, ShardId);

/// The state of a load.
pub(crate) struct Tracker {
    plan: Vec<Planned>,
    ids: Vec<TransactionId>,
    /// Transactions by the first bytes of their id.
    numbers: Vec<(u64, u32)>,
    entries: Vec<Entry>,
    authorities: u16,
    schedule: Schedule,
    attempts_max: u8,
    window: usize,
    /// The first transaction that the schedule has not released.
    scheduled: usize,
    /// Released and not sent, since no link was up or its queue was full.
    stalled: VecDeque<u32>,
    /// To be sent again, by instant.
    retries: BTreeSet<(Micros, u32)>,
    /// Sendings that led to nothing yet.
    silence: Silence,
    /// To be asked about, by instant.
    polls: BTreeSet<(Micros, u32)>,
    counts: Counts,
}

/// What is counted beside the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) submitted: u64,
    pub(crate) admitted: u64,
    pub(crate) resubmitted: u64,
    pub(crate) orphaned: u64,
    pub(crate) late_sends: u64,
    pub(crate) rejected: BTreeMap<RejectionCode, u64>,
    /// Transactions at their end.
    pub(crate) ended: u64,
    /// Of these, successes that settled.
    pub(crate) settled: u64,
    /// News that contradict earlier news.
    pub(crate) contradictions: u64,
}

/// One transaction. Compact, since a load has millions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Per level from ordered on: the instant it was heard, 0 for never.
    reached: [u32; LEVELS],
    sent: u32,
    block: u64,
    outcome: Option<Outcome>,
    authority: u16,
    attempts: u8,
    /// Sendings after silence.
    repeats: u8,
    level: Option<Level>,
    bounced: bool,
    /// Given up after refusals; nobody ever admitted it.
    refused: bool,
    /// Counted as admitted at an authority that was killed.
    orphaned: bool,
    /// Waits to be sent.
    queued: bool,
    /// Is asked about from time to time.
    polled: bool,
    /// Workers that were asked one after the other and did not know it.
    unknown_to: u8,
}

/// Levels after admission.
pub(crate) const LEVELS: usize = 4;

impl Entry {
    const NEW: Self = Self {
        reached: [0; LEVELS],
        sent: 0,
        block: 0,
        outcome: None,
        authority: 0,
        attempts: 0,
        repeats: 0,
        level: None,
        bounced: false,
        refused: false,
        orphaned: false,
        queued: false,
        polled: false,
        unknown_to: 0,
    };

    /// The instant at which `level` was heard, if it was.
    pub(crate) fn reached(&self, level: Level) -> Option<Micros> {
        let instant = self.reached[place(level)?];
        (instant != 0).then_some(Micros::from(instant))
    }

    /// When it was first sent, if it was.
    pub(crate) fn sent(&self) -> Option<Micros> {
        (self.attempts > 0).then_some(Micros::from(self.sent))
    }

    /// The block in which it was executed.
    #[cfg(test)]
    pub(crate) fn block(&self) -> u64 {
        self.block
    }

    /// How it ended, from executed on.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether it did what it was meant to do, as far as is known.
    pub(crate) fn succeeded(&self) -> bool {
        self.outcome == Some(Outcome::Success) && !self.bounced
    }

    /// Whether its value came back from the other shard.
    pub(crate) fn bounced(&self) -> bool {
        self.bounced
    }

    fn is_ordered(&self) -> bool {
        self.level >= Some(Level::Ordered)
    }

    /// Whether nothing more will be heard: settled, or final without an effect, or refused for good.
    fn has_ended(&self) -> bool {
        let without_receipt = matches!(self.outcome, Some(Outcome::Failed(_) | Outcome::Void(_)));
        self.refused
            || self.level == Some(Level::Settled)
            || self.level == Some(Level::Final) && without_receipt
    }
}

/// The place of a level's instant.
fn place(level: Level) -> Option<usize> {
    match level {
        Level::Admitted => None,
        Level::Ordered => Some(0),
        Level::Executed => Some(1),
        Level::Final => Some(2),
        Level::Settled => Some(3),
    }
}

impl Tracker {
    /// A load of the planned transactions; `window` of them may be under way at once.
    pub(crate) fn new(
        plan: Vec<Planned>,
        ids: Vec<TransactionId>,
        window: usize,
        authorities: u16,
        schedule: Schedule,
    ) -> Self {
        let mut numbers: Vec<(u64, u32)> =
            ids.iter().enumerate().map(|(number, id)| (prefix(id), number as u32)).collect();
        numbers.sort_unstable();
        Self {
            entries: vec![Entry::NEW; plan.len()],
            plan,
            ids,
            numbers,
            authorities,
            window,
            scheduled: 0,
            stalled: VecDeque::new(),
            retries: BTreeSet::new(),
            silence: Silence::new(schedule.rate()),
            schedule,
            attempts_max: ATTEMPTS_MAX,
            polls: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// The same, which sends what nobody admits at most so often.
    pub(crate) fn giving_up_after(self, attempts_max: u8) -> Self {
        Self { attempts_max, ..self }
    }

    /// When transaction `number` ought to be sent.
    pub(crate) fn intended(&self, number: usize) -> Micros {
        self.schedule.intended(number as u64)
    }

    /// All transactions with their plans, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Planned, &Entry)> {
        self.plan.iter().zip(&self.entries)
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Transactions not at their end, whether sent or not.
    pub(crate) fn open(&self) -> u64 {
        self.entries.len() as u64 - self.counts.ended
    }

    /// Reported ordered or later, not at their end, and unknown to everybody when asked in turn.
    pub(crate) fn absent(&self) -> u64 {
        let everybody = self.authorities.min(u16::from(u8::MAX));
        let lost = |entry: &&Entry| {
            entry.is_ordered() && !entry.has_ended() && u16::from(entry.unknown_to) >= everybody
        };
        self.entries.iter().filter(lost).count() as u64
    }

    /// The id of transaction `number`.
    pub(crate) fn id(&self, number: u32) -> TransactionId {
        self.ids[number as usize]
    }

    /// What is to be sent at `now`, per worker, in order. The caller hands each to [`Self::sent`] or [`Self::unsent`].
    pub(crate) fn due(&mut self, now: Micros, is_up: &dyn Fn(Worker) -> bool) -> BTreeMap<Worker, Vec<u32>> {
        self.check(now);
        let mut numbers: Vec<u32> = self.stalled.drain(..).collect();
        while self.scheduled < self.entries.len() && self.intended(self.scheduled) <= now {
            let before = self.scheduled.checked_sub(self.window).map(|number| &self.entries[number]);
            if before.is_some_and(|entry| entry.level < Some(Level::Executed) && !entry.has_ended()) {
                break;
            }
            self.entries[self.scheduled].queued = true;
            numbers.push(self.scheduled as u32);
            self.scheduled += 1;
        }
        while let Some(&(due, number)) = self.retries.first()
            && due <= now
        {
            self.retries.pop_first();
            numbers.push(number);
        }
        let mut sendings: BTreeMap<Worker, Vec<u32>> = BTreeMap::new();
        for number in numbers {
            let entry = &mut self.entries[number as usize];
            if entry.is_ordered() || entry.has_ended() {
                entry.queued = false;
                continue;
            }
            match self.worker_for(number, is_up) {
                Some(worker) => sendings.entry(worker).or_default().push(number),
                None => self.stalled.push_back(number),
            }
        }
        sendings
    }

    /// These were given to the link of `authority`.
    pub(crate) fn sent(&mut self, authority: AuthorityIndex, numbers: &[u32], now: Micros) {
        for &number in numbers {
            let late = self.intended(number as usize) + LATE_AFTER.as_micros() as Micros;
            let entry = &mut self.entries[number as usize];
            if entry.attempts == 0 {
                entry.sent = instant(now);
                self.counts.submitted += 1;
                self.counts.late_sends += u64::from(now > late);
            } else {
                self.counts.resubmitted += 1;
            }
            entry.attempts = entry.attempts.saturating_add(1);
            entry.authority = authority.0;
            entry.queued = false;
            self.silence.begins(now, number, entry.attempts, entry.repeats);
        }
    }

    /// These were not taken by a link: they go first in the next tick.
    pub(crate) fn unsent(&mut self, numbers: &[u32]) {
        self.stalled.extend(numbers);
    }

    /// The result of a sending.
    pub(crate) fn admission(
        &mut self,
        numbers: &[u32],
        results: &[Option<RejectionCode>],
        retry_after: Micros,
        now: Micros,
    ) {
        for (&number, &result) in numbers.iter().zip(results) {
            let entry = &mut self.entries[number as usize];
            match result {
                None => self.admit(number),
                // It is known there, so that worker will tell how it goes on.
                Some(RejectionCode::Duplicate) if entry.attempts > 1 => self.admit(number),
                Some(code) => {
                    *self.counts.rejected.entry(code).or_default() += 1;
                    if entry.level.is_some() {
                        // Admitted elsewhere: it is sent again when it is not ordered in time.
                    } else if code.retry_helps() && entry.attempts < self.attempts_max {
                        let wait = retry_after.max(RETRY_AFTER_MIN.as_micros() as Micros);
                        self.queue(number, now + wait);
                    } else if !entry.has_ended() {
                        entry.refused = true;
                        self.counts.ended += 1;
                    }
                }
            }
        }
    }

    /// News about a transaction, asked for or not.
    pub(crate) fn progress(&mut self, news: &Progress, now: Micros) {
        let Some(number) = self.number_of(&news.transaction) else { return };
        if news.level == Level::Admitted {
            return;
        }
        self.admit(number);
        let entry = &mut self.entries[number as usize];
        if std::mem::take(&mut entry.refused) {
            self.counts.ended -= 1;
        }
        let had_ended = entry.has_ended();
        entry.unknown_to = 0;
        if let Some(outcome) = news.outcome {
            match entry.outcome {
                Some(known) if known != outcome || entry.block != news.block.0 => {
                    self.counts.contradictions += 1;
                    return;
                }
                _ => (entry.outcome, entry.block) = (Some(outcome), news.block.0),
            }
        }
        entry.bounced |= news.bounced;
        entry.level = entry.level.max(Some(news.level));
        if entry.reached[0] == 0
            && let Some(sent) = entry.sent()
        {
            self.silence.ordered_after(now.saturating_sub(sent));
        }
        // A level that was not reported by itself was reached when a later one was heard, at the latest.
        let last = place(news.level).expect("admitted was handled above");
        for reached in entry.reached[..=last].iter_mut().filter(|reached| **reached == 0) {
            *reached = instant(now);
        }
        if entry.has_ended() && !had_ended {
            self.counts.ended += 1;
            self.counts.settled += u64::from(entry.succeeded());
        }
    }

    /// The link to some workers of `authority` broke; `killed` when that was a planned fault. What was under way over
    /// it and is not known ordered goes elsewhere; what is, is asked about.
    pub(crate) fn broken(
        &mut self,
        authority: AuthorityIndex,
        shards: &[ShardId],
        killed: bool,
        now: Micros,
    ) {
        for number in 0..self.scheduled {
            let entry = &mut self.entries[number];
            if entry.attempts == 0
                || entry.authority != authority.0
                || entry.has_ended()
                || !shards.contains(&self.plan[number].shard)
            {
                continue;
            }
            if entry.is_ordered() {
                self.poll(number as u32, now);
            } else {
                if killed && entry.level.is_some() && !entry.orphaned {
                    entry.orphaned = true;
                    self.counts.orphaned += 1;
                }
                self.queue(number as u32, now);
            }
        }
    }

    /// Up to `limit` transactions to ask about, each at a worker that is up. They come again until they end.
    pub(crate) fn polls(
        &mut self,
        now: Micros,
        limit: usize,
        is_up: &dyn Fn(Worker) -> bool,
    ) -> Vec<(Worker, u32)> {
        let mut asked = Vec::new();
        while asked.len() < limit
            && let Some(&(due, number)) = self.polls.first()
            && due <= now
        {
            self.polls.pop_first();
            if self.entries[number as usize].has_ended() {
                continue;
            }
            self.polls.insert((now + POLL_INTERVAL.as_micros() as Micros, number));
            if let Some(worker) = self.worker_for(number, is_up) {
                // Another one answers next time: one that lags must not be taken for a loss.
                self.entries[number as usize].authority = worker.0.0;
                asked.push((worker, number));
            }
        }
        asked
    }

    /// Asks about everything that is ordered and not at its end: before the last judgement.
    pub(crate) fn poll_open(&mut self, now: Micros) {
        for number in 0..self.scheduled {
            if self.entries[number].is_ordered() && !self.entries[number].has_ended() {
                self.poll(number as u32, now);
            }
        }
    }

    /// What a worker answered about transaction `number`.
    pub(crate) fn answer(&mut self, number: u32, news: Option<Progress>, now: Micros) {
        match news {
            Some(news) if news.level >= Level::Ordered => self.progress(&news, now),
            _ => {
                let entry = &mut self.entries[number as usize];
                entry.unknown_to = entry.unknown_to.saturating_add(1);
            }
        }
    }

    fn queue(&mut self, number: u32, at: Micros) {
        if !std::mem::replace(&mut self.entries[number as usize].queued, true) {
            self.retries.insert((at, number));
        }
    }

    fn poll(&mut self, number: u32, now: Micros) {
        if !std::mem::replace(&mut self.entries[number as usize].polled, true) {
            self.polls.insert((now, number));
        }
    }

    fn check(&mut self, now: Micros) {
        let Self { silence, entries, .. } = self;
        let goes_on = |number: u32, attempts: u8| {
            let entry = &entries[number as usize];
            (entry.attempts == attempts && !entry.is_ordered() && !entry.has_ended() && !entry.queued)
                .then_some(entry.repeats)
        };
        for number in silence.broken(now, &goes_on) {
            let entry = &mut self.entries[number as usize];
            entry.repeats = entry.repeats.saturating_add(1);
            self.queue(number, now);
        }
    }

    /// The first time at home, then one authority further each time; whoever is up.
    fn worker_for(&self, number: u32, is_up: &dyn Fn(Worker) -> bool) -> Option<Worker> {
        let (planned, entry) = (&self.plan[number as usize], &self.entries[number as usize]);
        let first = if entry.attempts == 0 { planned.place } else { u32::from(entry.authority) + 1 };
        (0..u32::from(self.authorities))
            .map(|step| AuthorityIndex(((first + step) % u32::from(self.authorities)) as u16))
            .map(|authority| (authority, planned.shard))
            .find(|&worker| is_up(worker))
    }

    fn admit(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        if entry.level.is_none() {
            entry.level = Some(Level::Admitted);
            self.counts.admitted += 1;
        }
    }

    fn number_of(&self, id: &TransactionId) -> Option<u32> {
        let prefix = prefix(id);
        let start = self.numbers.partition_point(|&(known, _)| known < prefix);
        self.numbers[start..]
            .iter()
            .take_while(|&&(known, _)| known == prefix)
            .map(|&(_, number)| number)
            .find(|&number| self.ids[number as usize] == *id)
    }
}

/// The code of an outcome that is no success.
pub(crate) fn failure_code(outcome: Outcome, bounced: bool) -> Option<String> {
    let code = |value: serde_json::Value| value.as_str().unwrap_or("unknown").to_owned();
    match outcome {
        Outcome::Success if bounced => Some("bounced".to_owned()),
        Outcome::Success => None,
        Outcome::Failed(failure) => Some(code(serde_json::json!(failure))),
        Outcome::Void(void) => Some(format!("void_{}", code(serde_json::json!(void)))),
    }
}

/// Whether an outcome burned the fee.
pub(crate) fn burned_fee(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Void(_))
}

fn instant(now: Micros) -> u32 {
    u32::try_from(now).unwrap_or(u32::MAX).max(1)
}

fn prefix(id: &TransactionId) -> u64 {
    u64::from_be_bytes(*id.0.first_chunk().expect("an id has 32 bytes"))
}

#[cfg(test)]
mod tests;
