//! The log itself: opening, appending, syncing, going on to the next segment, forgetting old ones.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
};

use fresnel_types::{
    Entries, EntryNumber, LogEntry,
    codec::{encode_into, encoded_len},
    decode,
};

use crate::{
    Disk,
    segment::{self, HEADER_BYTES, Header, NoHeader, Place, Scan},
};

/// How a log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The size of new segments. No entry may be larger. A log may be opened with another size than before.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// What opening a log found.
#[derive(Debug)]
pub struct Recovered {
    /// Everything ever synced and not forgotten, in order, and maybe some of what was appended after. Durable from now
    /// on.
    pub entries: Entries,
    /// The torn tail that was cut, if there was one.
    pub cut: Option<Cut>,
}

/// A torn tail: bytes written and never synced, of which the disk kept a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of the segment, always the last.
    pub segment: u64,
    /// Where it was cut.
    pub offset: u64,
    /// How far behind that there was anything.
    pub bytes: u64,
}

/// What a call of [`Log::forget`] deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Segments.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Why a log cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed. After a failed write or sync every later call says [`LogError::Poisoned`].
    #[error("the disk of the log failed")]
    Disk(#[from] io::Error),
    /// There is no room for the next segment. Nothing was appended, and what was before is as it was: the call may be
    /// repeated when there is room.
    #[error("no room is left for the log")]
    Full(#[source] io::Error),
    /// An earlier write or sync failed: what is durable is unknown until the log is opened again.
    #[error("the log failed before and must be opened again")]
    Poisoned,
    /// Entries that were durable once are lost or altered.
    #[error("the log is damaged in segment {segment} at {offset}")]
    Damaged {
        /// The number of the segment.
        segment: u64,
        /// The first place that is not as it was written.
        offset: u64,
    },
    /// An entry is whole but not one of this version of the code.
    #[error("the log holds an unknown entry in segment {segment} at {offset}")]
    Unknown {
        /// The number of the segment.
        segment: u64,
        /// Where it stands.
        offset: u64,
    },
    /// The segment was written by another version of the code.
    #[error("segment {segment} of the log is of version {version}")]
    Version {
        /// The number of the segment.
        segment: u64,
        /// Its version.
        version: u32,
    },
    /// The entry does not fit into a segment.
    #[error("a log entry of {bytes} bytes does not fit into a segment")]
    TooLarge {
        /// Its encoded bytes.
        bytes: usize,
    },
}

/// A machine's log.
#[derive(Debug)]
pub struct Log<D> {
    disk: D,
    options: Options,
    /// The segments before the last, ascending.
    closed: VecDeque<Closed>,
    place: Place,
    /// The number of the next entry.
    next: EntryNumber,
    /// Segment and offset of every entry before it that is not forgotten.
    places: VecDeque<(u64, u32)>,
    /// The checksum over all record heads so far: the next segment's `chain`.
    chain: u32,
    /// The size of the last segment.
    size: usize,
    /// Where the next record goes in the last segment, and where its writes end so far: between them is `buffer`.
    end: usize,
    written: usize,
    buffer: Vec<u8>,
    /// Up to where the last segment is synced.
    synced: usize,
    poisoned: bool,
}

/// A segment that gets no more entries.
#[derive(Clone, Copy, Debug)]
struct Closed {
    segment: u64,
    /// The number of the first entry behind it.
    next: EntryNumber,
    /// Bytes in use.
    bytes: u64,
}

impl<D: Disk> Log<D> {
    /// Opens the log on `disk`, or begins one where there is none. What is recovered is durable when this returns.
    ///
    /// # Errors
    /// When the disk fails, or the log lost or altered anything that was durable and not forgotten.
    pub fn open(mut disk: D, options: Options) -> Result<(Self, Recovered), LogError> {
        let segments: BTreeSet<u64> = disk.files()?.iter().filter_map(|file| segment::number(file)).collect();
        let Some((&oldest, &last)) = segments.first().zip(segments.last()) else {
            return Ok((Self::begin(disk, options)?, Recovered { entries: Entries::default(), cut: None }));
        };
        let mut reader = Reader::new(oldest);
        let mut closed = VecDeque::new();
        for segment in oldest..last {
            let bytes =
                if segments.contains(&segment) { disk.read(&segment::name(segment))? } else { Vec::new() };
            let place = reader.place(segment, &bytes)?;
            let scan = segment::scan(place, &bytes);
            if segment::rest(&bytes, scan.end) > 0 {
                return Err(LogError::Damaged { segment, offset: scan.end as u64 });
            }
            reader.take(segment, &scan)?;
            closed.push_back(Closed { segment, next: reader.next(), bytes: scan.end as u64 });
        }
        let name = segment::name(last);
        let bytes = disk.read(&name)?;
        let has_header = Header::parse(&bytes) != Err(NoHeader::Missing);
        let (place, scan) = if has_header {
            let place = reader.place(last, &bytes)?;
            (place, segment::scan(place, &bytes))
        } else {
            let chain = reader.chain.ok_or(LogError::Damaged { segment: last, offset: 0 })?;
            (Place { segment: last, chain }, Scan { records: Vec::new(), end: HEADER_BYTES, chain })
        };
        let bad = if has_header { scan.end } else { 0 };
        let torn = segment::rest(&bytes, bad);
        let mut cut = None;
        if torn > 0 {
            if segment::was_synced(place, &bytes, bad) {
                return Err(LogError::Damaged { segment: last, offset: bad as u64 });
            }
            cut = Some(Cut { segment: last, offset: bad as u64, bytes: torn as u64 });
            for start in (bad..bad + torn).step_by(BUFFER_BYTES) {
                disk.write(&name, start as u64, &vec![0; BUFFER_BYTES.min(bad + torn - start)])?;
            }
        }
        if !has_header {
            let header = Header { chain: place.chain, number: last, first: reader.next() };
            disk.write(&name, 0, &header.to_bytes())?;
        }
        reader.take(last, &scan)?;
        // What a crashed process wrote and never synced may be among the entries; from here on it counts as durable.
        disk.sync(&name)?;
        let log = Self {
            disk,
            options,
            closed,
            place,
            next: reader.next(),
            places: reader.places,
            chain: scan.chain,
            size: bytes.len(),
            end: scan.end,
            written: scan.end,
            buffer: Vec::new(),
            synced: scan.end,
            poisoned: false,
        };
        Ok((log, Recovered { entries: reader.entries, cut }))
    }

    /// Appends an entry. It is durable after the next [`Log::sync`], and may be lost or kept until then.
    ///
    /// # Errors
    /// When it does not fit a segment, which changes nothing, or when the disk fails.
    pub fn append(&mut self, entry: &LogEntry) -> Result<(), LogError> {
        self.guard(|log| {
            let body = encoded_len(entry);
            let bytes = segment::record_bytes(body);
            if log.end + bytes > log.size {
                if HEADER_BYTES as u64 + bytes as u64 > log.options.segment_bytes {
                    return Err(LogError::TooLarge { bytes: body });
                }
                log.next_segment()?;
            }
            log.buffer.reserve(bytes);
            let (place, synced, kind) = (log.place, log.synced as u64, segment::kind(entry));
            let head = segment::append_record(&mut log.buffer, place, log.end, synced, kind, |buffer| {
                encode_into(buffer, entry)
            });
            log.chain = segment::extend_chain(log.chain, &head);
            log.places.push_back((place.segment, log.end as u32));
            log.end += bytes;
            log.next.0 += 1;
            if log.buffer.len() >= BUFFER_BYTES { log.flush() } else { Ok(()) }
        })
    }

    /// Makes everything appended before durable.
    ///
    /// # Errors
    /// When the disk fails: nothing that depends on these entries may leave then, and the log must be opened again.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.guard(|log| {
            log.flush()?;
            if log.synced < log.end {
                log.disk.sync(&segment::name(log.place.segment))?;
                log.synced = log.end;
            }
            Ok(())
        })
    }

    /// Deletes segments that hold only entries numbered below `before`, from the oldest on, as long as more than
    /// `retained_bytes` of such segments are left. What is deleted stays deleted when this returns; if it is
    /// interrupted, fewer are.
    ///
    /// # Errors
    /// When the disk fails: the log must be opened again.
    pub fn forget(&mut self, before: EntryNumber, retained_bytes: u64) -> Result<Forgotten, LogError> {
        let mut forgotten = Forgotten::default();
        self.guard(|log| {
            // Without its own header the last segment needs the one before it.
            let needed = usize::from(log.synced < HEADER_BYTES);
            let forgettable = log.closed.iter().take_while(|closed| closed.next <= before);
            let mut left: u64 = forgettable.map(|closed| closed.bytes).sum();
            while log.closed.len() > needed && left > retained_bytes {
                let oldest = log.closed[0];
                log.disk.remove(&segment::name(oldest.segment))?;
                log.closed.pop_front();
                while log.places.pop_front_if(|(segment, _)| *segment == oldest.segment).is_some() {}
                left -= oldest.bytes;
                forgotten.segments += 1;
                forgotten.bytes += oldest.bytes;
            }
            Ok(())
        })?;
        Ok(forgotten)
    }

    /// Reads an entry again; none when it is forgotten, or was never appended.
    ///
    /// # Errors
    /// When the disk fails or the entry is not as it was written.
    pub fn read(&self, number: EntryNumber) -> Result<Option<LogEntry>, LogError> {
        let first = self.next.0 - self.places.len() as u64;
        let place =
            number.0.checked_sub(first).and_then(|place| self.places.get(usize::try_from(place).ok()?));
        let Some(&(segment, offset)) = place else { return Ok(None) };
        let at = offset as usize;
        let record = if segment == self.place.segment && at >= self.written {
            let record = &self.buffer[at - self.written..];
            record[..segment::HEAD_BYTES + segment::body_bytes(record)].to_vec()
        } else {
            let name = segment::name(segment);
            let head = self.disk.read_part(&name, u64::from(offset), segment::HEAD_BYTES)?;
            let bytes = segment::HEAD_BYTES + segment::body_bytes(&head);
            self.disk.read_part(&name, u64::from(offset), bytes)?
        };
        let damaged = LogError::Damaged { segment, offset: u64::from(offset) };
        segment::body(&record).and_then(|body| decode(body).ok()).map(Some).ok_or(damaged)
    }

    /// Whether anything was appended and not synced.
    pub fn is_dirty(&self) -> bool {
        self.synced < self.end
    }

    /// Bytes of all segments that are in use.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|closed| closed.bytes).sum::<u64>() + self.end as u64
    }

    /// The disk, given back as it is: what was appended and not synced may not be written.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// The disk below, for a driver that measures or disturbs it.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// A log without entries.
    fn begin(disk: D, options: Options) -> Result<Self, LogError> {
        let mut log = Self {
            disk,
            options,
            closed: VecDeque::new(),
            place: Place { segment: 0, chain: 0 },
            next: EntryNumber(0),
            places: VecDeque::new(),
            chain: 0,
            size: 0,
            end: 0,
            written: 0,
            buffer: Vec::new(),
            synced: 0,
            poisoned: false,
        };
        log.create(0)?;
        log.start_segment()?;
        Ok(log)
    }

    fn next_segment(&mut self) -> Result<(), LogError> {
        // The existence of the next segment proves that this one was synced; see `segment`.
        self.flush()?;
        let segment = self.place.segment;
        self.disk.sync(&segment::name(segment))?;
        self.synced = self.end;
        self.create(segment + 1)?;
        self.closed.push_back(Closed { segment, next: self.next, bytes: self.end as u64 });
        self.place = Place { segment: segment + 1, chain: self.chain };
        self.start_segment()
    }

    /// Makes the file of a segment.
    fn create(&mut self, segment: u64) -> Result<(), LogError> {
        let made = self.disk.create(&segment::name(segment), self.options.segment_bytes);
        made.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => LogError::Full(error),
            _ => LogError::Disk(error),
        })
    }

    fn start_segment(&mut self) -> Result<(), LogError> {
        let Place { segment, chain } = self.place;
        self.size = usize::try_from(self.options.segment_bytes)
            .map_err(|_| io::Error::other("a segment is larger than the address space"))?;
        self.buffer.extend(Header { chain, number: segment, first: self.next }.to_bytes());
        (self.written, self.synced, self.end) = (0, 0, HEADER_BYTES);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if !self.buffer.is_empty() {
            self.disk.write(&segment::name(self.place.segment), self.written as u64, &self.buffer)?;
            self.written = self.end;
            if self.buffer.capacity() > 2 * BUFFER_BYTES {
                self.buffer = Vec::new();
            } else {
                self.buffer.clear();
            }
        }
        Ok(())
    }

    /// Runs a step that touches the disk; a failure of the disk ends the use of this log.
    fn guard(&mut self, step: impl FnOnce(&mut Self) -> Result<(), LogError>) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let result = step(self);
        self.poisoned = matches!(result, Err(LogError::Disk(_)));
        result
    }
}

/// Reads segments, each after the one before it.
struct Reader {
    /// What the next segment's header must say; unknown while what was before the oldest segment is forgotten.
    chain: Option<u32>,
    entries: Entries,
    places: VecDeque<(u64, u32)>,
}

impl Reader {
    fn new(oldest: u64) -> Self {
        Self { chain: (oldest == 0).then_some(0), entries: Entries::default(), places: VecDeque::new() }
    }

    /// The number that the next entry gets.
    fn next(&self) -> EntryNumber {
        self.entries.next()
    }

    /// Where the records of `segment` stand, if its header belongs to it and continues what was read.
    fn place(&mut self, segment: u64, bytes: &[u8]) -> Result<Place, LogError> {
        let damaged = LogError::Damaged { segment, offset: 0 };
        let Header { chain, number, first } = match Header::parse(bytes) {
            Ok(header) => header,
            Err(NoHeader::Version(version)) => return Err(LogError::Version { segment, version }),
            Err(NoHeader::Missing | NoHeader::Damaged) => return Err(damaged),
        };
        if self.chain.is_none() {
            self.entries.first = first;
        }
        let continues = *self.chain.get_or_insert(chain) == chain && first == self.next();
        if number == segment && continues { Ok(Place { segment, chain }) } else { Err(damaged) }
    }

    fn take(&mut self, segment: u64, scan: &Scan<'_>) -> Result<(), LogError> {
        for (offset, kind, body) in &scan.records {
            let entry = decode(body).ok().filter(|entry| segment::kind(entry) == *kind);
            let unknown = LogError::Unknown { segment, offset: *offset as u64 };
            self.entries.entries.push(entry.ok_or(unknown)?);
            self.places.push_back((segment, *offset as u32));
        }
        self.chain = Some(scan.chain);
        Ok(())
    }
}

/// How much is gathered before it is handed to the disk without waiting for a sync.
const BUFFER_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
