//! A growing array that never moves what it holds.

use std::ops::{Index, IndexMut};

/// Elements by number, in chunks of fixed size. A single growing buffer of a large tree would be copied whole, now and
/// then, in the middle of a block.
pub(super) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Chunked<T> {
    pub(super) fn new() -> Self {
        Self { chunks: vec![] }
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Appends an element and gives its number.
    pub(super) fn push(&mut self, element: T) -> u32 {
        let number = u32::try_from(self.len()).expect("fewer than 2^32 nodes fit in memory");
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(element),
            // The first chunk grows as it fills, so that a small tree is small.
            None => self.chunks.push(vec![element]),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(element);
                self.chunks.push(chunk);
            }
        }
        number
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

/// Elements of a chunk. The first one is copied as it grows: 8 MiB of pairs at most, which takes a few milliseconds.
const CHUNK: usize = 1 << 17;
