//! The log over a disk that keeps any subset of unsynced sectors.

use std::collections::BTreeMap;

use fresnel_types::{EntryNumber, LogEntry, encode};
use proptest::prelude::*;

use super::*;

const SECTOR: usize = 512;
const SEGMENT: u64 = 8 << 10;
const OPTIONS: Options = Options { segment_bytes: SEGMENT };

/// Files whose writes and last synced contents are both kept.
#[derive(Clone, Debug, Default)]
struct TornDisk {
    files: BTreeMap<String, (Vec<u8>, Vec<u8>)>,
    fail_sync: bool,
    fail_write: bool,
    /// There is no room for another file.
    is_full: bool,
    syncs: u64,
    /// Removals until one fails.
    removals: Option<usize>,
}

impl Disk for TornDisk {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        if self.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; usize::try_from(bytes).expect("small")];
        assert!(self.files.insert(name.to_owned(), (zeros.clone(), zeros)).is_none(), "created twice");
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.files[name].0.clone())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.fail_write {
            return Err(io::Error::other("write"));
        }
        let at = usize::try_from(offset).expect("small");
        self.file(name).0[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        if self.fail_sync {
            return Err(io::Error::other("sync"));
        }
        self.syncs += 1;
        let file = self.file(name);
        file.1 = file.0.clone();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        if let Some(left) = &mut self.removals {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("remove"))?;
        }
        self.files.remove(name).map(drop).ok_or_else(|| io::Error::other("no such file"))
    }
}

impl TornDisk {
    fn file(&mut self, name: &str) -> &mut (Vec<u8>, Vec<u8>) {
        self.files.get_mut(name).expect("a file of the log")
    }

    /// Loses power: each sector that differs from its synced contents is kept where `keep` says so.
    fn lose_power(&mut self, mut keep: impl FnMut() -> bool) {
        for (written, synced) in self.files.values_mut() {
            for (new, old) in written.chunks_mut(SECTOR).zip(synced.chunks_mut(SECTOR)) {
                if new != old {
                    if keep() { old.copy_from_slice(new) } else { new.copy_from_slice(old) }
                }
            }
        }
    }

    fn flip(&mut self, segment: u64, offset: usize) {
        let (written, synced) = self.file(&segment::name(segment));
        written[offset] ^= 0x10;
        synced[offset] ^= 0x10;
    }
}

fn entry(number: usize, bytes: usize) -> LogEntry {
    LogEntry::Batch((0..bytes).map(|at| u8::try_from((number * 31 + at) % 251).expect("below 251")).collect())
}

/// The bytes of a record that was written by nobody.
fn record(place: Place, offset: usize, synced: u64, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    segment::append_record(&mut bytes, place, offset, synced, kind, |bytes| bytes.extend(body));
    bytes
}

#[test]
fn entries_are_read_again_wherever_they_stand() {
    let groups = vec![vec![300; 20], vec![5_000], vec![40; 30]];
    let (mut log, entries) = written(&groups, false);
    let extra = entry(entries.len(), 77);
    log.append(&extra).expect("a working disk");
    let entries: Vec<LogEntry> = entries.into_iter().chain([extra]).collect();
    let all = |log: &Log<TornDisk>, from: usize| {
        for (number, entry) in entries.iter().enumerate() {
            let expected = (number >= from).then(|| entry.clone());
            assert_eq!(log.read(EntryNumber(number as u64)).expect("as written"), expected, "{number}");
        }
        assert_eq!(log.read(EntryNumber(entries.len() as u64)).expect("none"), None);
    };
    all(&log, 0);
    log.sync().expect("a working disk");
    let forgotten = log.forget(EntryNumber(21), 0).expect("a working disk");
    assert!(forgotten.segments > 0);
    let (log, recovered) = open(log.into_disk());
    let first = recovered.entries.first.0 as usize;
    assert!(first > 0);
    all(&log, first);
}

fn open(disk: TornDisk) -> (Log<TornDisk>, Recovered) {
    Log::open(disk, OPTIONS).expect("no damage")
}

/// A log of `groups`, each synced but for the last when `torn`; and all its entries.
fn written(groups: &[Vec<usize>], torn: bool) -> (Log<TornDisk>, Vec<LogEntry>) {
    let (mut log, _) = open(TornDisk::default());
    let mut entries = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        for bytes in group {
            entries.push(entry(entries.len(), *bytes));
            log.append(entries.last().expect("just pushed")).expect("a working disk");
        }
        if torn && index + 1 == groups.len() {
            log.flush().expect("a working disk");
        } else {
            log.sync().expect("a working disk");
        }
    }
    (log, entries)
}

#[test]
fn entries_come_back_in_order_over_many_segments() {
    let groups: Vec<Vec<usize>> = (0..40).map(|group| vec![group * 20 + 1, 700, 3]).collect();
    let (log, entries) = written(&groups, false);
    assert!(!log.is_dirty());
    let bytes = log.bytes();
    let disk = log.into_disk();
    assert!(disk.files.len() > 5, "the test must roll");
    let (mut log, recovered) = open(disk);
    assert_eq!(recovered.entries.entries, entries);
    assert_eq!(recovered.cut, None);
    assert_eq!(log.bytes(), bytes);
    log.append(&entry(7, 7)).expect("a working disk");
    assert!(log.is_dirty());
    log.sync().expect("a working disk");
    assert_eq!(open(log.into_disk()).1.entries.entries.len(), entries.len() + 1);
}

#[test]
fn one_sync_covers_a_group_and_nothing_new_needs_none() {
    let (mut log, _) = open(TornDisk::default());
    let before = log.disk.syncs;
    for number in 0..5 {
        log.append(&entry(number, 100)).expect("a working disk");
    }
    log.sync().expect("a working disk");
    log.sync().expect("a working disk");
    assert_eq!(log.disk.syncs, before + 1);
}

#[test]
fn an_entry_that_fits_no_segment_changes_nothing() {
    let (mut log, _) = open(TornDisk::default());
    let most = usize::try_from(SEGMENT).expect("small") - HEADER_BYTES - segment::HEAD_BYTES - 12;
    let largest = entry(0, most - most % 8 + 4);
    let bytes = log.bytes();
    assert!(matches!(log.append(&entry(0, most + 8)), Err(LogError::TooLarge { .. })));
    assert_eq!(log.bytes(), bytes);
    log.append(&largest).expect("the largest entry fits");
    log.append(&largest).expect("and once more, in its own segment");
    log.sync().expect("a working disk");
    assert_eq!(open(log.into_disk()).1.entries.entries, vec![largest.clone(), largest]);
}

#[test]
fn every_truncation_of_the_unsynced_tail_gives_a_prefix() {
    let (log, entries) = written(&[vec![90, 4], vec![300, 1, 250, 40]], true);
    let (from, to) = (log.synced, log.end);
    let disk = log.into_disk();
    for cut in from..to {
        let mut disk = disk.clone();
        let file = disk.file("log-0000000000000000");
        file.0[cut..].fill(0);
        let (mut log, recovered) = open(disk);
        // A cut within the padding of the last record loses nothing.
        let whole = cut >= to - 8;
        assert!(
            recovered.entries.entries.len() >= 2
                && (whole || recovered.entries.entries.len() < entries.len())
        );
        assert_eq!(recovered.entries.entries, entries[..recovered.entries.entries.len()]);
        log.append(&entries[5]).expect("a working disk");
        log.sync().expect("a working disk");
        let again = open(log.into_disk()).1;
        assert_eq!(again.entries.entries.len(), recovered.entries.entries.len() + 1, "cut at {cut}");
        assert_eq!(again.cut, None);
    }
}

#[test]
fn what_a_crashed_process_wrote_unsynced_is_durable_once_recovered() {
    let (log, entries) = written(&[vec![90], vec![300, 40]], true);
    let (log, recovered) = open(log.into_disk());
    assert_eq!(recovered.entries.entries, entries);
    let mut disk = log.into_disk();
    disk.lose_power(|| false);
    assert_eq!(open(disk).1.entries.entries, entries);
}

#[test]
fn stale_records_never_stand_behind_new_ones() {
    // Entries of equal size in separate sectors: after the cut, the next append ends just where a stale one begins.
    let (log, entries) = written(&[vec![450], vec![450, 450, 450]], true);
    let mut disk = log.into_disk();
    let mut sector = 0;
    disk.lose_power(|| {
        sector += 1;
        sector > 2
    });
    let (mut log, recovered) = open(disk);
    assert_eq!(recovered.entries.entries, entries[..1]);
    assert!(recovered.cut.is_some());
    log.append(&entry(100, 450)).expect("a working disk");
    log.sync().expect("a working disk");
    let (_, recovered) = open(log.into_disk());
    assert_eq!(recovered.entries.entries, vec![entries[0].clone(), entry(100, 450)]);
}

#[test]
fn bytes_of_another_place_are_no_record() {
    let place = Place { segment: 3, chain: 9 };
    let record = record(place, HEADER_BYTES, 0, 4, &encode(&entry(1, 50)));
    let read = |place, offset: usize| {
        let mut bytes = vec![0; 4_096];
        bytes[offset..offset + record.len()].copy_from_slice(&record);
        segment::was_synced(place, &bytes, 0) || !segment::scan(place, &bytes).records.is_empty()
    };
    assert!(read(place, HEADER_BYTES));
    assert!(!read(place, HEADER_BYTES + 8));
    assert!(!read(Place { segment: 4, chain: 9 }, HEADER_BYTES));
    assert!(!read(Place { segment: 3, chain: 8 }, HEADER_BYTES));
}

#[test]
fn damage_below_a_synced_mark_is_found_at_every_byte() {
    let (log, _) = written(&[vec![90, 4], vec![300], vec![20]], false);
    let mark = segment::scan(log.place, &log.disk.read("log-0000000000000000").expect("there")).records[3].0;
    let disk = log.into_disk();
    for offset in 0..mark {
        let mut disk = disk.clone();
        disk.flip(0, offset);
        let result = Log::open(disk, OPTIONS);
        assert!(matches!(result, Err(LogError::Damaged { segment: 0, .. })), "flipped at {offset}");
    }
}

#[test]
fn damage_in_an_earlier_segment_is_found_at_every_byte() {
    let (log, _) = written(&[vec![3_000, 3_000], vec![4_000]], false);
    let disk = log.into_disk();
    assert_eq!(disk.files.len(), 2);
    for offset in 0..usize::try_from(SEGMENT).expect("small") {
        let mut disk = disk.clone();
        disk.flip(0, offset);
        assert!(matches!(Log::open(disk, OPTIONS), Err(LogError::Damaged { .. })), "flipped at {offset}");
    }
}

#[test]
fn a_lost_record_or_segment_is_damage() {
    let (log, _) = written(&[vec![3_000, 3_000], vec![4_000, 3_000], vec![4_000]], false);
    let disk = log.into_disk();
    assert_eq!(disk.files.len(), 3);
    let mut middle = disk.clone();
    middle.remove(&segment::name(1)).expect("there");
    assert!(matches!(Log::open(middle, OPTIONS), Err(LogError::Damaged { segment: 1, .. })));
    // The last record of a segment, gone without a trace in it.
    let mut lost = disk;
    let file = lost.file(&segment::name(0));
    file.0[3_100..].fill(0);
    assert!(matches!(Log::open(lost, OPTIONS), Err(LogError::Damaged { .. })));
}

#[test]
fn a_failed_sync_or_write_ends_the_use_of_the_log() {
    for fail in [|disk: &mut TornDisk| disk.fail_sync = true, |disk: &mut TornDisk| disk.fail_write = true] {
        let (mut log, _) = written(&[vec![10]], false);
        log.append(&entry(1, 10)).expect("a working disk");
        fail(&mut log.disk);
        assert!(matches!(log.sync(), Err(LogError::Disk(_))));
        log.disk.fail_sync = false;
        log.disk.fail_write = false;
        assert!(matches!(log.sync(), Err(LogError::Poisoned)));
        assert!(matches!(log.append(&entry(2, 10)), Err(LogError::Poisoned)));
    }
}

#[test]
fn unknown_entries_and_versions_are_errors() {
    let (log, _) = written(&[vec![10]], false);
    let (place, end) = (log.place, log.end);
    let mut disk = log.into_disk();
    let mut other = disk.clone();
    let record = record(place, end, end as u64, 99, b"later");
    disk.write(&segment::name(0), end as u64, &record).expect("within");
    assert!(matches!(Log::open(disk, OPTIONS), Err(LogError::Unknown { segment: 0, .. })));
    let mut header = *b"fresnel\n\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let crc = crc32c::crc32c(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    other.write(&segment::name(0), 0, &header).expect("within");
    assert!(matches!(Log::open(other, OPTIONS), Err(LogError::Version { version: 1, .. })));
}

/// A log of ten segments, two entries each, all synced.
fn long() -> (Log<TornDisk>, Vec<LogEntry>) {
    let (log, entries) = written(&vec![vec![3_900, 3_900]; 10], false);
    assert_eq!(log.disk.files.len(), 10);
    (log, entries)
}

#[test]
fn forgetting_deletes_whole_segments_and_numbers_stay() {
    let (mut log, entries) = long();
    let bytes = log.bytes();
    assert_eq!(log.forget(EntryNumber(1), 0).expect("a working disk"), Forgotten::default());
    let forgotten = log.forget(EntryNumber(7), 0).expect("a working disk");
    assert_eq!(forgotten, Forgotten { segments: 3, bytes: bytes / 10 * 3 });
    assert_eq!(log.bytes(), bytes / 10 * 7);
    let (mut log, recovered) = open(log.into_disk());
    assert_eq!(recovered.entries.first, EntryNumber(6));
    assert_eq!(recovered.entries.entries, entries[6..]);
    assert_eq!(recovered.entries.next(), EntryNumber(20));

    // The last segment stays, also when everything may go.
    assert_eq!(log.forget(EntryNumber(20), 0).expect("a working disk").segments, 6);
    log.append(&entry(20, 3_900)).expect("a working disk");
    log.sync().expect("a working disk");
    let recovered = open(log.into_disk()).1;
    assert_eq!(recovered.entries.first, EntryNumber(18));
    assert_eq!(recovered.entries.entries[2..], [entry(20, 3_900)]);
}

#[test]
fn what_is_retained_is_retained() {
    let (mut log, entries) = long();
    let segment = log.bytes() / 10;
    assert_eq!(log.forget(EntryNumber(10), 5 * segment).expect("a working disk").segments, 0);
    assert_eq!(log.forget(EntryNumber(10), 5 * segment - 1).expect("a working disk").segments, 1);
    assert_eq!(log.forget(EntryNumber(10), 2 * segment).expect("a working disk").segments, 2);
    assert_eq!(log.forget(EntryNumber(10), 2 * segment).expect("a working disk").segments, 0);
    assert_eq!(
        log.forget(EntryNumber(9), 0).expect("a working disk").segments,
        1,
        "of nine only eight may go"
    );
    let recovered = open(log.into_disk()).1;
    assert_eq!(recovered.entries.entries, entries[8..]);
}

#[test]
fn an_interrupted_forgetting_leaves_a_log_without_a_gap() {
    for removals in 0..8 {
        let (mut log, entries) = long();
        log.disk.removals = Some(removals);
        assert!(matches!(log.forget(EntryNumber(16), 0), Err(LogError::Disk(_))));
        assert!(matches!(log.append(&entries[0]), Err(LogError::Poisoned)));
        log.disk.removals = None;
        let recovered = open(log.into_disk()).1;
        assert_eq!(recovered.entries.first.0, 2 * removals as u64);
        assert_eq!(recovered.entries.entries, entries[2 * removals..]);
    }
}

#[test]
fn a_segment_whose_successor_may_vanish_is_kept() {
    let (mut log, entries) = long();
    log.append(&entry(20, 3_900)).expect("a working disk");
    assert_eq!(log.disk.files.len(), 11);
    assert_eq!(log.forget(EntryNumber(20), 0).expect("a working disk").segments, 9, "of ten");
    let mut disk = log.into_disk();
    disk.lose_power(|| false);
    let (mut log, recovered) = open(disk);
    assert_eq!(recovered.entries.first, EntryNumber(18));
    assert_eq!(recovered.entries.entries, entries[18..]);
    assert_eq!(log.forget(EntryNumber(20), 0).expect("a working disk").segments, 1, "opening synced it");
    let recovered = open(log.into_disk()).1;
    assert_eq!((recovered.entries.first, recovered.entries.entries.len()), (EntryNumber(20), 0));
}

#[test]
fn damage_is_found_in_what_is_left_of_a_forgotten_log() {
    let (mut log, _) = long();
    log.forget(EntryNumber(15), 0).expect("a working disk");
    let disk = log.into_disk();
    assert_eq!(disk.files.len(), 3);
    for offset in 0..HEADER_BYTES + 100 {
        let mut disk = disk.clone();
        disk.flip(7, offset);
        assert!(matches!(Log::open(disk, OPTIONS), Err(LogError::Damaged { segment: 7, .. })), "at {offset}");
    }
    let mut middle = disk.clone();
    middle.remove(&segment::name(8)).expect("there");
    assert!(matches!(Log::open(middle, OPTIONS), Err(LogError::Damaged { segment: 8, .. })));
    // A header that is whole and says something else than the segments before.
    for number in [7, 9] {
        let mut other = disk.clone();
        let mut header = Header::parse(&other.read(&segment::name(9)).expect("there")).expect("a header");
        header.first.0 += 1;
        header.number = number;
        other.write(&segment::name(9), 0, &header.to_bytes()).expect("within");
        assert!(matches!(Log::open(other, OPTIONS), Err(LogError::Damaged { segment: 9, .. })));
    }
    // Without its header and without the one before it, the last segment cannot be told from a lost one.
    let mut headless = disk;
    headless.remove(&segment::name(7)).expect("there");
    headless.remove(&segment::name(8)).expect("there");
    headless.write(&segment::name(9), 0, &[0; HEADER_BYTES]).expect("within");
    assert!(matches!(Log::open(headless, OPTIONS), Err(LogError::Damaged { segment: 9, .. })));
}

/// A few groups of entry sizes, small enough to share sectors and large enough to roll.
fn groups() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let size = prop_oneof![3 => 1..80_usize, 2 => 300..1_500_usize, 1 => 3_000..7_000_usize];
    prop::collection::vec(prop::collection::vec(size, 1..6), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// D2 for the log: whatever subset of unsynced sectors survives, opening gives a prefix with all that was synced,
    /// also when power fails again while the log is being opened, and the log goes on from there.
    #[test]
    fn any_subset_of_unsynced_sectors_gives_a_prefix_with_all_that_was_synced(
        groups in groups(),
        keep in prop::collection::vec(any::<bool>(), 64),
        after in groups(),
    ) {
        let (log, mut entries) = written(&groups, true);
        let unsynced = groups.last().map_or(0, Vec::len);
        let mut synced = entries.len() - unsynced;
        let mut disk = log.into_disk();
        let mut keep = keep.into_iter().cycle();
        for group in after.iter().take(3) {
            disk.lose_power(|| keep.next().expect("endless"));
            let (mut log, recovered) = open(disk);
            prop_assert!(recovered.entries.entries.len() >= synced);
            prop_assert_eq!(&recovered.entries.entries[..], &entries[..recovered.entries.entries.len()]);
            entries.truncate(recovered.entries.entries.len());
            // What was recovered is durable already.
            synced = entries.len();
            for bytes in group {
                entries.push(entry(entries.len() + 1_000, *bytes));
                log.append(entries.last().expect("just pushed")).expect("a working disk");
            }
            log.flush().expect("a working disk");
            disk = log.into_disk();
        }
    }
    /// D2 with forgetting: whatever is forgotten whenever, and wherever power fails, also between the removals of two
    /// segments, opening gives consecutive entries with all that was synced and not forgotten.
    #[test]
    fn forgetting_loses_nothing_that_is_needed(
        rounds in prop::collection::vec((groups(), 0..1_000_u64, 0..20_000_u64, 0..6_usize), 1..5),
        keep in prop::collection::vec(any::<bool>(), 64),
    ) {
        let mut keep = keep.into_iter().cycle();
        let (mut entries, mut synced, mut before) = (Vec::new(), 0, 0);
        let mut disk = TornDisk::default();
        for (groups, permille, retained_bytes, removals) in rounds {
            disk.lose_power(|| keep.next().expect("endless"));
            disk.removals = None;
            let (mut log, recovered) = open(disk);
            let (first, next) = (recovered.entries.first.0, recovered.entries.next().0);
            prop_assert!(first <= before && next >= synced, "{first}..{next} of {before}..{synced}");
            entries.truncate(usize::try_from(next).expect("small"));
            let kept = usize::try_from(first).expect("small");
            prop_assert_eq!(&recovered.entries.entries[..], &entries[kept..]);
            synced = next;
            for group in &groups {
                for bytes in group {
                    entries.push(entry(entries.len(), *bytes));
                    log.append(entries.last().expect("just pushed")).expect("a working disk");
                }
                if keep.next().expect("endless") {
                    log.sync().expect("a working disk");
                    synced = entries.len() as u64;
                }
            }
            before = before.max(synced * permille / 999);
            log.disk.removals = Some(removals);
            let bytes = log.bytes();
            if let Ok(forgotten) = log.forget(EntryNumber(before), retained_bytes) {
                prop_assert_eq!(log.bytes() + forgotten.bytes, bytes);
            }
            disk = log.into_disk();
        }
    }
}

/// D2: what was appended stays, and what did not fit is appended once it does.
#[test]
fn a_full_disk_refuses_an_entry_and_takes_it_later() {
    let (mut log, _) = open(TornDisk::default());
    let mut appended = Vec::new();
    for number in 0..40 {
        let entry = entry(number, 700);
        log.disk_mut().is_full = true;
        let mut refused = 0;
        while let Err(error) = log.append(&entry) {
            assert!(matches!(error, LogError::Full(_)), "{error}");
            log.sync().expect("what is there can be synced");
            refused += 1;
            log.disk_mut().is_full = refused < 3;
        }
        assert!([0, 3].contains(&refused));
        appended.push(entry);
        let mut lost = log.disk_mut().clone();
        lost.is_full = false;
        lost.lose_power(|| false);
        let (_, recovered) = open(lost);
        let entries = recovered.entries.entries;
        assert!(entries.len() + 1 >= number && entries == appended[..entries.len()], "{number}");
        log.sync().expect("a working disk");
    }
    let (_, recovered) = open(log.into_disk());
    assert_eq!(recovered.entries.entries, appended);
    assert!(recovered.cut.is_none());
}
