//! What a database is to take in: a table beside it, written in the order of its keys, that becomes a part of it in one step.

use std::{fs, io, path::PathBuf};

use fresnel_types::checkpoint::Extension;
use rocksdb::{DB, IngestExternalFileOptions, Options, SstFileWriter};

use super::{Family, Held, META, META_KEY, Numbers, StoreError, description};

/// A table that is being written.
pub(super) struct Table<'a> {
    db: &'a DB,
    path: PathBuf,
    writer: SstFileWriter<'a>,
    /// The key put last, with its family.
    key: Vec<u8>,
    bytes: usize,
}

impl<'a> Table<'a> {
    /// Begins one for `db`.
    pub(super) fn begin(db: &'a DB, options: &'a Options) -> Result<Self, StoreError> {
        let path = db.path().join(NAME);
        // One that a process left when it ended may be a part of the database already, under its name there, and must not
        // be written to.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::Folder(error)),
            _ => {}
        }
        let writer = SstFileWriter::create(options);
        writer.open(&path)?;
        Ok(Self { db, path, writer, key: Vec::new(), bytes: 0 })
    }

    fn key(&mut self, family: Family, key: &[u8]) {
        self.key.clear();
        self.key.push(family.0);
        self.key.extend_from_slice(key);
        self.bytes += self.key.len();
    }

    /// Keys ascend, in this and in everything below.
    pub(super) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.key(family, key);
        self.bytes += value.len();
        Ok(self.writer.put(&self.key, value)?)
    }

    pub(super) fn delete(&mut self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        self.key(family, key);
        Ok(self.writer.delete(&self.key)?)
    }

    /// Deletes all that the database holds, but nothing that is put here.
    pub(super) fn delete_everything(&mut self) -> Result<(), StoreError> {
        Ok(self.writer.delete_range([0], [META.0])?)
    }

    /// Adds items and forgets old ones; which are held then.
    pub(super) fn extend<'e>(
        &mut self,
        family: Family,
        held: Numbers,
        extensions: impl Iterator<Item = &'e Extension> + Clone,
    ) -> Result<Numbers, StoreError> {
        let mut kept = held;
        for Extension { first, items, oldest } in extensions.clone() {
            if kept.first == kept.next {
                kept = Numbers { first: *first, next: *first };
            }
            assert_eq!(kept.next, *first, "a checkpoint continues the sequences of the one before");
            let next = first + items.len() as u64;
            kept = Numbers { first: (*oldest).clamp(kept.first, next), next };
        }
        for number in held.first..held.next.min(kept.first) {
            self.delete(family, &number.to_be_bytes())?;
        }
        for Extension { first, items, .. } in extensions {
            for (number, item) in (*first..).zip(items).filter(|(number, _)| *number >= kept.first) {
                self.put(family, &number.to_be_bytes(), item)?;
            }
        }
        Ok(kept)
    }

    /// Puts items in the place of those held, which are numbered from 0 on.
    pub(super) fn replace(
        &mut self,
        family: Family,
        held: Numbers,
        items: &[Vec<u8>],
    ) -> Result<Numbers, StoreError> {
        for (number, item) in (0_u64..).zip(items) {
            self.put(family, &number.to_be_bytes(), item)?;
        }
        let kept = Numbers { first: 0, next: items.len() as u64 };
        for number in kept.next..held.next {
            self.delete(family, &number.to_be_bytes())?;
        }
        Ok(kept)
    }

    /// Makes it a part of the database, which then holds this. Durable when this returns; before, it is there whole or not at
    /// all. Returns the bytes written.
    pub(super) fn finish(mut self, held: &Held) -> Result<usize, StoreError> {
        self.put(META, META_KEY, &description(Some(held)))?;
        self.writer.finish()?;
        let mut how = IngestExternalFileOptions::default();
        how.set_move_files(true);
        self.db.ingest_external_file_opts(&how, vec![&self.path])?;
        Ok(self.bytes)
    }
}

/// In the folder of the database, which knows it by another name once it has taken it in.
const NAME: &str = "taken-in.new";
