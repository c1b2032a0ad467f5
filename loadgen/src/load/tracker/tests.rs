//! The tracker, fed by hand: four authorities, two shards, 1,000 transactions per second.

use fresnel_types::{BlockIndex, FailureCode, transaction::VoidCode};

use super::*;
use crate::workload::NewLeaf;

const SHARD: ShardId = ShardId(0);
const MS: Micros = 1_000;

fn id(number: usize) -> TransactionId {
    let mut bytes = [7; 32];
    bytes[8..16].copy_from_slice(&(number as u64).to_be_bytes());
    // Two in three share the bytes by which transactions are looked up.
    bytes[0] = u8::from(number.is_multiple_of(3));
    TransactionId(bytes)
}

fn tracker(count: usize, window: usize) -> Tracker {
    let plan = (0..count)
        .map(|number| Planned {
            shard: SHARD,
            place: number as u32,
            destination: ShardId((number % 2) as u16),
            new_leaf: NewLeaf::None,
        })
        .collect();
    Tracker::new(plan, (0..count).map(id).collect(), window, 4, Schedule::from(1_000))
}

fn everybody(_: Worker) -> bool {
    true
}

fn except(down: u16) -> impl Fn(Worker) -> bool {
    move |(authority, _)| authority.0 != down
}

/// Sends whatever is due and returns what went to whom.
fn send(tracker: &mut Tracker, now: Micros, is_up: &dyn Fn(Worker) -> bool) -> Vec<(u16, Vec<u32>)> {
    let due = tracker.due(now, is_up);
    due.into_iter()
        .map(|((authority, shard), numbers)| {
            assert_eq!(shard, SHARD);
            tracker.sent(authority, &numbers, now);
            (authority.0, numbers)
        })
        .collect()
}

fn news(number: usize, level: Level) -> Progress {
    let outcome = (level >= Level::Executed).then_some(Outcome::Success);
    let block = BlockIndex(if outcome.is_some() { 5 } else { 0 });
    Progress { transaction: id(number), level, outcome, block, bounced: false }
}

#[test]
fn sends_follow_the_schedule_and_spread_over_the_authorities() {
    let mut tracker = tracker(10, 64);
    assert_eq!(send(&mut tracker, 0, &everybody), [(0, vec![0])]);
    assert_eq!(
        send(&mut tracker, 5 * MS, &everybody),
        [(0, vec![4]), (1, vec![1, 5]), (2, vec![2]), (3, vec![3])]
    );
    assert_eq!(tracker.counts().late_sends, 0);
    // Nobody looked for 50 ms: what ought to have gone at 6 to 9 ms goes now, and is late.
    assert_eq!(send(&mut tracker, 55 * MS, &everybody).len(), 4);
    assert_eq!((tracker.counts().submitted, tracker.counts().late_sends), (10, 4));
    assert!(send(&mut tracker, 60 * MS, &everybody).is_empty());
}

#[test]
fn latency_counts_from_the_intended_instant_and_skipped_levels_from_the_later_one() {
    let mut tracker = tracker(2, 64);
    send(&mut tracker, 500 * MS, &everybody);
    tracker.admission(&[0, 1], &[None, None], 0, 501 * MS);
    tracker.progress(&news(1, Level::Ordered), 510 * MS);
    tracker.progress(&news(1, Level::Final), 530 * MS);
    tracker.progress(&news(1, Level::Executed), 531 * MS);
    assert_eq!(tracker.intended(1), MS, "whenever it was sent");
    let (_, entry) = tracker.entries().nth(1).expect("the second one");
    let reached = |level| entry.reached(level).map(|instant| instant / MS);
    assert_eq!(reached(Level::Ordered), Some(510));
    assert_eq!(reached(Level::Executed), Some(530), "heard of with the level after it");
    assert_eq!(reached(Level::Final), Some(530));
    assert_eq!(reached(Level::Settled), None);
    assert_eq!((entry.sent(), entry.block()), (Some(500 * MS), 5));
    assert_eq!(tracker.open(), 2);
    tracker.progress(&news(1, Level::Settled), 540 * MS);
    tracker.progress(&news(1, Level::Settled), 541 * MS);
    assert_eq!((tracker.open(), tracker.counts().settled, tracker.counts().ended), (1, 1, 1));
}

#[test]
fn what_fails_ends_when_final_and_is_no_success() {
    let mut tracker = tracker(3, 64);
    send(&mut tracker, 10 * MS, &everybody);
    let failed = Outcome::Failed(FailureCode::WindowFull);
    tracker.progress(&Progress { outcome: Some(failed), ..news(0, Level::Final) }, 20 * MS);
    let void = Outcome::Void(VoidCode::Nonce);
    tracker.progress(&Progress { outcome: Some(void), ..news(1, Level::Final) }, 20 * MS);
    tracker.progress(&news(2, Level::Final), 20 * MS);
    tracker.progress(&Progress { bounced: true, ..news(2, Level::Settled) }, 20 * MS);
    assert_eq!((tracker.open(), tracker.counts().ended, tracker.counts().settled), (0, 3, 0));
    let codes: Vec<_> = tracker
        .entries()
        .map(|(_, entry)| failure_code(entry.outcome().expect("executed"), entry.bounced()))
        .collect();
    assert_eq!(codes, ["window_full", "void_nonce", "bounced"].map(|code| Some(code.to_owned())));
    assert!(burned_fee(failed) && !burned_fee(void));
}

#[test]
fn not_ordered_in_time_goes_to_the_next_authority() {
    let mut tracker = tracker(1, 64);
    assert_eq!(send(&mut tracker, 0, &everybody), [(0, vec![0])]);
    tracker.admission(&[0], &[None], 0, MS);
    assert!(send(&mut tracker, 4_999 * MS, &everybody).is_empty());
    assert_eq!(send(&mut tracker, 5_000 * MS, &everybody), [(1, vec![0])]);
    // It is known there, which is as good as admitted.
    tracker.admission(&[0], &[Some(RejectionCode::Duplicate)], 0, 5_001 * MS);
    assert!(tracker.counts().rejected.is_empty());
    tracker.progress(&news(0, Level::Ordered), 5_100 * MS);
    assert!(send(&mut tracker, 90_000 * MS, &everybody).is_empty(), "what is ordered is not sent again");
    let counts = tracker.counts();
    assert_eq!((counts.submitted, counts.resubmitted, counts.admitted, counts.orphaned), (1, 1, 1, 0));
}

#[test]
fn what_stays_silent_is_sent_again_ever_later_and_what_a_link_loses_at_once() {
    let mut tracker = tracker(1, 64);
    let mut sendings = Vec::new();
    for now in (0..60_000).step_by(5) {
        if !send(&mut tracker, now * MS, &everybody).is_empty() {
            sendings.push(now);
        }
    }
    assert_eq!(sendings, [0, 5_000, 15_000, 35_000, 55_000], "doubling, up to a bound");
    // Authority 0 has it for the second time.
    tracker.broken(AuthorityIndex(0), &[SHARD], false, 60_000 * MS);
    assert_eq!(send(&mut tracker, 60_000 * MS, &except(0)), [(1, vec![0])]);
    assert!(send(&mut tracker, 79_000 * MS, &everybody).is_empty(), "a new silence begins");
    assert_eq!(send(&mut tracker, 80_000 * MS, &everybody), [(2, vec![0])]);
}

#[test]
fn a_broken_link_resends_what_is_not_ordered_and_asks_about_the_rest() {
    let mut tracker = tracker(12, 64);
    send(&mut tracker, 11 * MS, &everybody);
    // 1, 5 and 9 went to authority 1; 1 is ordered, 5 admitted, 9 not answered.
    tracker.admission(&[1, 5], &[None, None], 0, 12 * MS);
    tracker.progress(&news(1, Level::Ordered), 13 * MS);
    tracker.broken(AuthorityIndex(1), &[SHARD], true, 14 * MS);
    assert_eq!(tracker.counts().orphaned, 1, "only the admitted one");
    assert_eq!(send(&mut tracker, 14 * MS, &except(1)), [(2, vec![5, 9])]);
    assert_eq!(tracker.polls(14 * MS, 10, &except(1)), [((AuthorityIndex(2), SHARD), 1)]);
    assert!(tracker.polls(15 * MS, 10, &except(1)).is_empty(), "not before the interval");
    let asked = tracker.polls(600 * MS, 10, &except(1));
    assert_eq!(asked, [((AuthorityIndex(3), SHARD), 1)], "another one each time");
    tracker.answer(1, Some(news(1, Level::Settled)), 601 * MS);
    assert!(tracker.polls(2_000 * MS, 10, &everybody).is_empty());
    assert_eq!((tracker.counts().settled, tracker.counts().resubmitted), (1, 2));
    // The other shard's worker of the authority is another link.
    tracker.broken(AuthorityIndex(2), &[ShardId(1)], true, 700 * MS);
    assert_eq!(tracker.counts().orphaned, 1);
}

#[test]
fn nothing_is_sent_while_nobody_is_up_and_all_of_it_late_afterwards() {
    let mut tracker = tracker(5, 64);
    assert!(send(&mut tracker, 100 * MS, &|_| false).is_empty());
    let sent: usize = send(&mut tracker, 200 * MS, &everybody).iter().map(|(_, numbers)| numbers.len()).sum();
    assert_eq!((sent, tracker.counts().late_sends, tracker.counts().resubmitted), (5, 5, 0));
    // A full queue gives them back; they go next time, once.
    let mut tracker = self::tracker(1, 64);
    let due = tracker.due(0, &everybody);
    tracker.unsent(&due[&(AuthorityIndex(0), SHARD)]);
    assert_eq!(send(&mut tracker, MS, &everybody), [(0, vec![0])]);
    assert!(send(&mut tracker, 2 * MS, &everybody).is_empty());
}

#[test]
fn refusals_are_retried_when_that_helps_and_end_otherwise() {
    let mut tracker = tracker(2, 64);
    send(&mut tracker, MS, &everybody);
    tracker.admission(&[0], &[Some(RejectionCode::BadSignature)], 0, 2 * MS);
    tracker.admission(&[1], &[Some(RejectionCode::Overloaded)], 300 * MS, 2 * MS);
    assert_eq!(tracker.open(), 1);
    assert!(send(&mut tracker, 301 * MS, &everybody).is_empty());
    assert_eq!(send(&mut tracker, 302 * MS, &everybody), [(2, vec![1])]);
    let mut now = 302 * MS;
    for _ in 2..ATTEMPTS_MAX {
        tracker.admission(&[1], &[Some(RejectionCode::Overloaded)], 0, now);
        now += 100 * MS;
        assert_eq!(send(&mut tracker, now, &everybody).len(), 1);
    }
    tracker.admission(&[1], &[Some(RejectionCode::Overloaded)], 0, now);
    assert_eq!((tracker.open(), tracker.counts().admitted), (0, 0));
    let rejected = [(RejectionCode::BadSignature, 1), (RejectionCode::Overloaded, u64::from(ATTEMPTS_MAX))];
    assert_eq!(tracker.counts().rejected, rejected.into());
    // News prove a refusal wrong.
    tracker.progress(&news(1, Level::Executed), now);
    assert_eq!(tracker.open(), 1);
    tracker.progress(&news(1, Level::Settled), now);
    assert_eq!((tracker.open(), tracker.counts().settled), (0, 1));
}

#[test]
fn the_window_holds_back_a_sender_whose_earlier_transaction_is_open() {
    let mut tracker = tracker(6, 4);
    let first: usize =
        send(&mut tracker, 100 * MS, &everybody).iter().map(|(_, numbers)| numbers.len()).sum();
    assert_eq!(first, 4);
    tracker.progress(&news(1, Level::Executed), 101 * MS);
    assert!(send(&mut tracker, 101 * MS, &everybody).is_empty(), "the first is open still");
    tracker.progress(&news(0, Level::Executed), 102 * MS);
    assert_eq!(send(&mut tracker, 102 * MS, &everybody), [(0, vec![4]), (1, vec![5])]);
}

#[test]
fn an_ordered_transaction_that_nobody_knows_is_absent() {
    let mut tracker = tracker(2, 64);
    send(&mut tracker, MS, &everybody);
    tracker.progress(&news(0, Level::Ordered), 2 * MS);
    tracker.admission(&[1], &[None], 0, 2 * MS);
    tracker.poll_open(3 * MS);
    let mut now = 3 * MS;
    for asked in 1..=4 {
        assert_eq!(tracker.polls(now, 10, &everybody).iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0]);
        tracker.answer(0, None, now);
        assert_eq!(tracker.absent(), u64::from(asked == 4), "after {asked} of four");
        now += 500 * MS;
    }
    tracker.answer(0, Some(news(0, Level::Executed)), now);
    assert_eq!(tracker.absent(), 0);
}

#[test]
fn another_outcome_or_block_is_a_contradiction() {
    let mut tracker = tracker(1, 64);
    send(&mut tracker, 0, &everybody);
    tracker.progress(&news(0, Level::Executed), MS);
    tracker.progress(&news(0, Level::Executed), MS);
    assert_eq!(tracker.counts().contradictions, 0);
    tracker.progress(&Progress { block: BlockIndex(6), ..news(0, Level::Final) }, MS);
    tracker
        .progress(&Progress { outcome: Some(Outcome::Void(VoidCode::Nonce)), ..news(0, Level::Final) }, MS);
    assert_eq!(tracker.counts().contradictions, 2);
    tracker.progress(&Progress { transaction: TransactionId([1; 32]), ..news(0, Level::Final) }, MS);
    assert_eq!(tracker.counts().admitted, 1, "news about others are ignored");
}
