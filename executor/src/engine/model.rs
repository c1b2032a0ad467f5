//! The protocol of a speculation under model checkers. `loom` visits all interleavings up to some preemptions, with what the
//! memory model allows each load to see, of few transactions on two threads. `shuttle` visits random interleavings of more.
//!
//! Each execution of a model runs the worker loop that production runs, on all threads, and compares with serial execution:
//! outcomes, slots, counters, and which slots count as changed. That it ends at all is checked, too.

use std::sync::Arc;

use super::*;
use crate::{
    engine::{
        pool::Job,
        records::{Change, Records},
        versions::Lists,
    },
    slots::{EXISTS, Place, Slots},
    sync::{atomic::AtomicU32, thread},
};

/// Transactions that read one place and write what follows from it to another, or credit it, or add to a counter.
struct Steps(Vec<Step>);

#[derive(Clone, Copy)]
enum Step {
    Write { from: Place, to: Place },
    Credit { from: Place, to: Place },
    Reserve { from: Place, to: Place },
}

impl Program for Steps {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn places(&self, _: usize) -> impl Iterator<Item = Place> {
        std::iter::empty()
    }

    fn execute(&self, transaction: usize, view: &mut impl View) -> u64 {
        match self.0[transaction] {
            Step::Write { from, to } => {
                let seen = view.read(from)[0];
                view.write(to, [seen * 3 + transaction as u64 + 1, 0, EXISTS]);
                seen
            }
            Step::Credit { from, to } => {
                let seen = view.read(from)[0];
                view.credit(to, transaction as u64 + 1);
                seen
            }
            Step::Reserve { from, to } => {
                let seen = view.read(from)[0];
                let allowed = view.reserve(0, 1);
                view.write(to, [seen + u64::from(allowed), 1, EXISTS]);
                seen << 1 | u64::from(allowed)
            }
        }
    }
}

fn slots() -> Slots {
    let slots = Slots::default();
    (0..2).for_each(|place| slots.get(place).set_value(&[10, 0, EXISTS]));
    slots
}

/// Runs the steps on so many threads as production does, and compares.
fn check(steps: &[Step], threads: u32, chunk: u32, helps: bool) {
    let start = [Counter { value: 0, limit: 1 }];
    let program = Arc::new(Steps(steps.to_vec()));
    let (serial, mut expected_counters, mut changed) = (slots(), start, vec![]);
    let mut direct = Direct {
        slots: &serial,
        epoch: 1,
        changed: &mut changed,
        counters: &mut expected_counters,
        published: 0,
        met_list: false,
        added_to: 0,
    };
    let expected: Vec<u64> = (0..steps.len()).map(|number| program.execute(number, &mut direct)).collect();

    let window = 2 * chunk;
    let job = Arc::new(Speculation {
        program,
        start: 0,
        count: steps.len() as u32,
        slots: slots(),
        epoch: 1,
        turn: 1,
        sums: Sums::new(&start),
        shape: Shape { chunk, window, gives_up: false, helps, denies_one_in: 0 },
        memory: Arc::new(Memory::new(threads as usize, window, 16)),
        cursor: Padded::default(),
        committed: Padded::default(),
        stop: Padded::default(),
        lacks_room: false.into(),
        frontier: Padded(Mutex::new(Frontier::new(vec![], &start))),
    });
    let helpers: Vec<_> = (1..threads as usize)
        .map(|worker| {
            let job = job.clone();
            thread::spawn(move || job.work(worker))
        })
        .collect();
    job.work(0);
    helpers.into_iter().for_each(|helper| helper.join().expect("no step panics"));

    let job = Arc::into_inner(job).expect("all threads ended");
    let frontier = job.frontier.0.into_inner().expect("nobody panicked");
    assert_eq!(frontier.outcomes, expected);
    assert_eq!(*frontier.counters, expected_counters);
    for place in 0..2 {
        assert_eq!(job.slots.get(place).value(), serial.get(place).value());
    }
    let mut noted: Vec<Place> =
        job.memory.workers.iter().flat_map(|worker| lock(worker).changed.clone()).collect();
    noted.sort_unstable();
    noted.dedup();
    changed.sort_unstable();
    assert_eq!(noted, changed, "every change is noted");
}

/// Two threads enter at one place while a third value is read: a read ends and gives what stood there or what a lower
/// transaction wrote, and once both are done, what the highest that was not missed wrote.
fn check_lists() {
    let (slots, committed) = (slots(), AtomicU32::new(0));
    let records = Records::new(2, 4, 8);
    let shared = Arc::new((slots, committed, records));
    let lists = |shared: &(Slots, AtomicU32, Records), run: &dyn Fn(Lists<'_>)| {
        let (slots, committed, records) = shared;
        run(Lists { slots, records, committed, epoch: 1, turn: 1 });
    };
    let enter = |lists: Lists<'_>, worker: u32, writer: u32| {
        let record = lists.records.get(worker, 1, writer);
        let mut draft = record.draft();
        draft.add_write(0, Change::Value([u64::from(writer), 7, EXISTS]));
        record.complete(0, &draft);
        lists.enter(0, writer, worker, 0);
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || lists(&shared, &|lists| enter(lists, 1, 1)))
    };
    lists(&shared, &|lists| {
        enter(lists, 0, 0);
        enter(lists, 0, 2);
        let seen = lists.read(0, 3);
        assert!(
            [[2, 7, EXISTS], [1, 7, EXISTS]].contains(&seen),
            "{seen:?}: an own write is missed at most for a later one"
        );
        let seen = lists.read(0, 1);
        assert!(
            [[0, 7, EXISTS], [10, 0, EXISTS]].contains(&seen),
            "{seen:?} is of a lower transaction or the slot"
        );
    });
    other.join().expect("entering does not panic");
    lists(&shared, &|lists| {
        let seen = lists.read(0, 3);
        assert!(seen == [2, 7, EXISTS] || seen == [1, 7, EXISTS]);
        lists.committed.store(3, std::sync::atomic::Ordering::Release);
        assert_eq!(lists.read(0, 3), [10, 0, EXISTS], "below the frontier, the slot says what is true");
    });
}

const CHAIN: [Step; 3] =
    [Step::Write { from: 0, to: 0 }, Step::Write { from: 0, to: 0 }, Step::Write { from: 0, to: 1 }];
const CREDITS: [Step; 3] =
    [Step::Credit { from: 1, to: 0 }, Step::Credit { from: 0, to: 0 }, Step::Write { from: 0, to: 1 }];
const COUNTER: [Step; 3] =
    [Step::Reserve { from: 0, to: 0 }, Step::Reserve { from: 1, to: 1 }, Step::Credit { from: 0, to: 1 }];

#[cfg(feature = "loom")]
mod with_loom {
    use super::*;

    /// All interleavings with at most two preemptions; what is not visited within the time is left to other runs.
    fn model(check: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.max_branches = 20_000;
        builder.max_duration = Some(std::time::Duration::from_secs(60));
        builder.check(check);
    }

    #[test]
    fn claims_commits_and_the_end() {
        model(|| check(&CHAIN[..2], 2, 1, false));
    }

    /// As far as the time allows.
    #[test]
    fn claims_commits_and_the_end_of_three() {
        model(|| check(&CHAIN, 2, 1, false));
    }

    #[test]
    fn helping_takes_nothing_twice() {
        model(|| check(&COUNTER[..2], 2, 1, true));
    }

    #[test]
    fn credits_count_once() {
        model(|| check(&CREDITS[..2], 2, 1, false));
    }

    #[test]
    fn lists_give_what_lower_transactions_wrote() {
        model(check_lists);
    }
}

#[cfg(all(feature = "shuttle", not(feature = "loom")))]
mod with_shuttle {
    use super::*;

    /// Random interleavings, and such as delay one thread at chosen points.
    fn model(check: impl Fn() + Send + Sync + Copy + 'static) {
        shuttle::check_random(check, 20_000);
        shuttle::check_pct(check, 20_000, 3);
    }

    fn mixed() -> Vec<Step> {
        [CHAIN, CREDITS, COUNTER, CHAIN].concat()
    }

    #[test]
    fn two_workers() {
        model(|| check(&mixed()[..7], 2, 1, false));
    }

    #[test]
    fn three_workers_that_help() {
        model(|| check(&mixed()[..7], 3, 1, true));
    }

    #[test]
    fn three_workers_with_chunks() {
        model(|| check(&mixed(), 3, 3, false));
    }

    #[test]
    fn lists_give_what_lower_transactions_wrote() {
        model(check_lists);
    }
}
