//! Memory for slots: as much as fills one large page, and on such a page where the system has them. With pages of 4 KiB, finding the
//! page of an account costs as much as fetching the account.

use std::{ops::Index, sync::Arc};

use fresnel_crypto::large_pages;

use crate::slots::Slot;

/// Slots side by side, numbered from zero. They never move.
#[cfg_attr(not(any(feature = "loom", feature = "shuttle", miri)), repr(align(0x20_0000)))]
pub(crate) struct Segment([Slot; SEGMENT]);

impl Segment {
    /// Slots in which nothing stands.
    pub(crate) fn new() -> Arc<Self> {
        let mut memory = Arc::<Self>::new_uninit();
        let segment = Arc::get_mut(&mut memory).expect("nobody else has it yet");
        // Asked for before anything is written, so that nothing is copied.
        large_pages(std::slice::from_ref(segment));
        let slots = segment.as_mut_ptr().cast::<Slot>();
        for number in 0..SEGMENT {
            // SAFETY: a segment is an array of so many slots and begins with the first.
            unsafe { slots.add(number).write(Slot::default()) };
        }
        // SAFETY: every slot of the segment was written just now, and it has nothing else.
        unsafe { memory.assume_init() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter()
    }
}

impl Index<usize> for Segment {
    type Output = Slot;

    #[inline]
    fn index(&self, number: usize) -> &Slot {
        &self.0[number]
    }
}

/// Slots of a segment: 2 MiB, a large page of the processors we know.
#[cfg(not(any(feature = "loom", feature = "shuttle", miri)))]
pub(crate) const SEGMENT: usize = 1 << 15;
/// Models and interpreters follow every word.
#[cfg(any(feature = "loom", feature = "shuttle", miri))]
pub(crate) const SEGMENT: usize = 2;

#[cfg(not(any(feature = "loom", feature = "shuttle", miri)))]
const _: () = assert!(size_of::<Segment>() == align_of::<Segment>());
