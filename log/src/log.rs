//! The log itself: opening, appending, syncing, going on to the next segment.

use std::{collections::BTreeSet, io};

use fresnel_types::{LogEntry, decode, encode};

use crate::{
    Disk,
    segment::{self, HEADER_BYTES, Header, Place},
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
    /// Everything ever synced, in order, and maybe some of what was appended after. Durable from now on.
    pub entries: Vec<LogEntry>,
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

/// Why a log cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed. After a failed write or sync every later call says [`LogError::Poisoned`].
    #[error("the disk of the log failed")]
    Disk(#[from] io::Error),
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
    place: Place,
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
    /// Bytes in the segments before.
    earlier: u64,
    poisoned: bool,
}

impl<D: Disk> Log<D> {
    /// Opens the log on `disk`, or begins one where there is none. What is recovered is durable when this returns.
    ///
    /// # Errors
    /// When the disk fails, or the log lost or altered anything that was durable.
    pub fn open(mut disk: D, options: Options) -> Result<(Self, Recovered), LogError> {
        let segments: BTreeSet<u64> = disk.files()?.iter().filter_map(|file| segment::number(file)).collect();
        let mut recovered = Recovered { entries: Vec::new(), cut: None };
        let Some((&first, &last)) = segments.first().zip(segments.last()) else {
            return Ok((Self::begin(disk, options, Place { segment: 0, chain: 0 }, 0)?, recovered));
        };
        let mut earlier = 0;
        let mut chain = None;
        for segment in first..last {
            let bytes =
                if segments.contains(&segment) { disk.read(&segment::name(segment))? } else { Vec::new() };
            let header = Header::parse(&bytes).ok_or(LogError::Damaged { segment, offset: 0 })?;
            let place = check_header(segment, header, chain)?;
            let scan = segment::scan(place, &bytes);
            if segment::rest(&bytes, scan.end) > 0 {
                return Err(LogError::Damaged { segment, offset: scan.end as u64 });
            }
            read_entries(segment, &scan.records, &mut recovered.entries)?;
            earlier += scan.end as u64;
            chain = Some(scan.chain);
        }
        let name = segment::name(last);
        let bytes = disk.read(&name)?;
        if bytes.len() < HEADER_BYTES {
            return Err(LogError::Damaged { segment: last, offset: 0 });
        }
        let (place, scan, bad) = match Header::parse(&bytes) {
            Some(header) => {
                let place = check_header(last, header, chain)?;
                let scan = segment::scan(place, &bytes);
                let bad = scan.end;
                (place, scan, bad)
            }
            // The first write to a segment may be torn like any other; what it should say is known.
            None => {
                let chain = chain.or((last == 0).then_some(0));
                let chain = chain.ok_or(LogError::Damaged { segment: last, offset: 0 })?;
                let scan = segment::Scan { records: Vec::new(), end: HEADER_BYTES, chain };
                (Place { segment: last, chain }, scan, 0)
            }
        };
        let torn = segment::rest(&bytes, bad);
        if torn > 0 {
            if segment::was_synced(place, &bytes, bad) {
                return Err(LogError::Damaged { segment: last, offset: bad as u64 });
            }
            recovered.cut = Some(Cut { segment: last, offset: bad as u64, bytes: torn as u64 });
            for start in (bad..bad + torn).step_by(BUFFER_BYTES) {
                disk.write(&name, start as u64, &vec![0; BUFFER_BYTES.min(bad + torn - start)])?;
            }
        }
        if bad == 0 {
            disk.write(&name, 0, &Header::new(last, place.chain).to_bytes())?;
        }
        read_entries(last, &scan.records, &mut recovered.entries)?;
        // What a crashed process wrote and never synced may be among the entries; from here on it counts as durable.
        disk.sync(&name)?;
        let log = Self {
            disk,
            options,
            place,
            chain: scan.chain,
            size: bytes.len(),
            end: scan.end,
            written: scan.end,
            buffer: Vec::new(),
            synced: scan.end,
            earlier,
            poisoned: false,
        };
        Ok((log, recovered))
    }

    /// Appends an entry. It is durable after the next [`Log::sync`], and may be lost or kept until then.
    ///
    /// # Errors
    /// When it does not fit a segment, which changes nothing, or when the disk fails.
    pub fn append(&mut self, entry: &LogEntry) -> Result<(), LogError> {
        self.guard(|log| {
            let body = encode(entry);
            let bytes = segment::record_bytes(body.len());
            if log.end + bytes > log.size {
                if HEADER_BYTES as u64 + bytes as u64 > log.options.segment_bytes {
                    return Err(LogError::TooLarge { bytes: body.len() });
                }
                log.next_segment()?;
            }
            let record = segment::record(log.place, log.end, log.synced as u64, segment::kind(entry), &body);
            log.chain = segment::extend_chain(log.chain, &record);
            log.buffer.extend(record);
            log.end += bytes;
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

    /// Whether anything was appended and not synced.
    pub fn is_dirty(&self) -> bool {
        self.synced < self.end
    }

    /// Bytes of all segments that are in use.
    pub fn bytes(&self) -> u64 {
        self.earlier + self.end as u64
    }

    /// The disk, given back as it is: what was appended and not synced may not be written.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// The disk below, for a driver that measures or disturbs it.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    /// A log whose last segment is new and empty.
    fn begin(disk: D, options: Options, place: Place, earlier: u64) -> Result<Self, LogError> {
        let mut log = Self {
            disk,
            options,
            place,
            chain: place.chain,
            size: 0,
            end: 0,
            written: 0,
            buffer: Vec::new(),
            synced: 0,
            earlier,
            poisoned: false,
        };
        log.start_segment()?;
        Ok(log)
    }

    fn next_segment(&mut self) -> Result<(), LogError> {
        // The existence of the next segment proves that this one was synced; see `segment`.
        self.flush()?;
        self.disk.sync(&segment::name(self.place.segment))?;
        self.earlier += self.end as u64;
        self.place = Place { segment: self.place.segment + 1, chain: self.chain };
        self.start_segment()
    }

    fn start_segment(&mut self) -> Result<(), LogError> {
        self.disk.create(&segment::name(self.place.segment), self.options.segment_bytes)?;
        self.size = usize::try_from(self.options.segment_bytes)
            .map_err(|_| io::Error::other("a segment is larger than the address space"))?;
        self.buffer.extend(Header::new(self.place.segment, self.place.chain).to_bytes());
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

/// Whether the header belongs to `segment` and continues the segments before it.
fn check_header(segment: u64, header: Header, chain: Option<u32>) -> Result<Place, LogError> {
    if !header.is_readable() {
        return Err(LogError::Version { segment, version: header.version });
    }
    if header.number != segment || chain.is_some_and(|chain| chain != header.chain) {
        return Err(LogError::Damaged { segment, offset: 0 });
    }
    Ok(Place { segment, chain: header.chain })
}

fn read_entries(
    segment: u64,
    records: &[(usize, u32, &[u8])],
    entries: &mut Vec<LogEntry>,
) -> Result<(), LogError> {
    for (offset, kind, body) in records {
        let entry = decode(body).ok().filter(|entry| segment::kind(entry) == *kind);
        entries.push(entry.ok_or(LogError::Unknown { segment, offset: *offset as u64 })?);
    }
    Ok(())
}

/// How much is gathered before it is handed to the disk without waiting for a sync.
const BUFFER_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
