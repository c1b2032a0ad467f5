//! The audit on records made by a toy model of two shards, and on every way of spoiling them.

use fresnel_types::{
    Address, BlockIndex, Epoch, LogDigest, Parameters, Shards, StateRoot, genesis::Allocation, hash::Root,
    record::Pair,
};

use super::*;

const FUNDS: u64 = 1_000;

fn genesis() -> Genesis {
    let account = |first: u8| Allocation { address: Address([first; 32]), amount: Amount(FUNDS) };
    Genesis {
        protocol: fresnel_types::limits::PROTOCOL_VERSION,
        name: "audit".to_owned(),
        shards: Shards::new(2).expect("valid"),
        parameters: Parameters::default(),
        authorities: Vec::new(),
        accounts: vec![account(0x01), account(0x81)],
    }
}

/// A shard with its books.
struct Toy(Record);

impl Toy {
    fn new(shard: u16) -> Self {
        Self(Record {
            epoch: Epoch(0),
            shard: ShardId(shard),
            block: BlockIndex(0),
            log: LogDigest::default(),
            position: 0,
            earlier: Root::default(),
            state: StateRoot::default(),
            outbox: Root::default(),
            results: Root::default(),
            supply: Amount(FUNDS),
            burned: Amount(0),
            pairs: vec![Pair::default(); 2],
        })
    }

    fn send(&mut self, to: usize, amount: u64) {
        self.0.supply.0 -= amount + 1;
        self.0.burned.0 += 1;
        self.0.pairs[to].sent.add(Amount(amount));
    }

    fn consume(&mut self, from: usize, amount: u64, applied: bool) {
        self.0.pairs[from].consumed.add(Amount(amount));
        if applied {
            self.0.supply.0 += amount;
        } else {
            self.0.pairs[from].bounced.add(Amount(amount));
        }
    }

    fn take_back(&mut self, from: usize, amount: u64) {
        self.0.pairs[from].returned.add(Amount(amount));
        self.0.supply.0 += amount;
    }

    fn record(&mut self) -> Record {
        let record = self.0.clone();
        self.0.position += 1;
        self.0.block.0 += 2;
        record
    }
}

/// Two sent, one applied, one bounced and taken back: at each authority the same records.
fn history() -> Evidence {
    let (mut source, mut destination) = (Toy::new(0), Toy::new(1));
    source.send(1, 100);
    source.send(1, 50);
    let mut of_source = vec![source.record()];
    destination.consume(0, 100, true);
    destination.consume(0, 50, false);
    let of_destination = vec![destination.record()];
    source.take_back(1, 50);
    of_source.push(source.record());
    let mut evidence = Evidence::default();
    for authority in (0..4).map(AuthorityIndex) {
        evidence.records.insert((authority, ShardId(0)), of_source.clone());
        evidence.records.insert((authority, ShardId(1)), of_destination.clone());
        let commits = (1..=5 + u64::from(authority.0)).map(|c| (CommitIndex(c), CommitDigest([c as u8; 32])));
        evidence.commits.insert(authority, commits.collect());
    }
    evidence
}

fn paid(fees: u64) -> Paid {
    Paid { least: Amount(fees), most: Amount(fees), contradictions: 0 }
}

fn worker(authority: u16, shard: u16) -> (AuthorityIndex, ShardId) {
    (AuthorityIndex(authority), ShardId(shard))
}

#[test]
fn a_clean_history_passes() {
    let judgement = judge(&genesis(), &history(), paid(2));
    assert_eq!(judgement.reasons, Vec::<String>::new());
    let all = Audit {
        supply_conserved: true,
        records_agree: true,
        commits_agree: true,
        every_final_once: true,
        in_flight: 0,
    };
    assert_eq!((judgement.audit, judgement.quiet), (all, true));
}

#[test]
fn nothing_happened_is_clean_too() {
    let judgement = judge(&genesis(), &Evidence::default(), paid(0));
    assert!(judgement.audit.supply_conserved && judgement.audit.every_final_once && judgement.quiet);
}

#[test]
fn value_in_flight_is_counted_whatever_the_cut() {
    // Where the source lags behind its destination, the bounce alone is seen to be on its way.
    for (source, destination, in_flight) in [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 1), (2, 1, 0)] {
        let mut evidence = history();
        for ((_, shard), records) in &mut evidence.records {
            records.truncate(if *shard == ShardId(0) { source } else { destination });
        }
        let judgement = judge(&genesis(), &evidence, paid(if source == 0 { 0 } else { 2 }));
        assert!(judgement.audit.supply_conserved, "{source} {destination}: {:?}", judgement.reasons);
        assert_eq!(judgement.audit.in_flight, in_flight);
        assert_eq!(judgement.quiet, in_flight == 0);
    }
}

#[test]
fn value_from_nowhere_shows() {
    let mut evidence = history();
    for records in evidence.records.values_mut() {
        records.last_mut().expect("not empty").supply.0 += 1;
    }
    let judgement = judge(&genesis(), &evidence, paid(2));
    assert!(!judgement.audit.supply_conserved && judgement.audit.records_agree);
    assert_eq!(judgement.reasons.len(), 1);
}

#[test]
fn a_different_record_or_one_too_many_shows() {
    let mut evidence = history();
    evidence.records.get_mut(&worker(2, 0)).expect("there")[0].state = StateRoot([1; 32]);
    assert!(!judge(&genesis(), &evidence, paid(2)).audit.records_agree);

    let mut evidence = history();
    let records = evidence.records.get_mut(&worker(3, 0)).expect("there");
    records[1].block.0 += 1;
    assert!(!judge(&genesis(), &evidence, paid(2)).audit.records_agree);

    let mut evidence = history();
    evidence.diverged.push(worker(1, 1));
    assert!(!judge(&genesis(), &evidence, paid(2)).audit.records_agree);
}

#[test]
fn a_worker_without_its_early_records_agrees_and_one_behind_is_not_quiet() {
    let mut evidence = history();
    evidence.records.get_mut(&worker(2, 0)).expect("there").remove(0);
    let judgement = judge(&genesis(), &evidence, paid(2));
    assert!(judgement.audit.records_agree && judgement.quiet);

    evidence.records.get_mut(&worker(3, 0)).expect("there").pop();
    let judgement = judge(&genesis(), &evidence, paid(2));
    assert!(judgement.audit.records_agree && judgement.audit.supply_conserved);
    assert!(!judgement.quiet);
    assert!(judgement.reasons.iter().any(|reason| reason.contains("authority 3 is behind")));

    evidence.records.get_mut(&worker(3, 0)).expect("there").clear();
    let judgement = judge(&genesis(), &evidence, paid(2));
    assert!(!judgement.quiet, "a worker without any record is behind");
}

#[test]
fn different_commits_show_and_shorter_ones_do_not() {
    let mut evidence = history();
    evidence.commits.get_mut(&AuthorityIndex(1)).expect("there")[2].1 = CommitDigest([99; 32]);
    let judgement = judge(&genesis(), &evidence, paid(2));
    assert!(!judgement.audit.commits_agree);
    assert!(judgement.reasons[0].contains("different commits 3"), "{:?}", judgement.reasons);
}

#[test]
fn a_fee_too_many_or_too_few_is_a_transaction_twice_or_never() {
    for fees in [1, 3] {
        let judgement = judge(&genesis(), &history(), paid(fees));
        assert!(!judgement.audit.every_final_once && judgement.audit.supply_conserved);
    }
    let open = Paid { least: Amount(1), most: Amount(4), contradictions: 0 };
    assert!(judge(&genesis(), &history(), open).audit.every_final_once, "two of up to four");
    let contradicted = Paid { contradictions: 1, ..paid(2) };
    assert!(!judge(&genesis(), &history(), contradicted).audit.every_final_once);
}
