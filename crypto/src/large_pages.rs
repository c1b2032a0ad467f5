//! A hint to the system, for tables that are read all over: with pages of 4 KiB, finding the page costs as much as the line.

/// Asks the system to keep `memory` on large pages from now on, as far as whole ones fit. Nothing else changes, and where it cannot be
/// done nothing does; so this belongs to tables of many megabytes, once, when they are made.
pub fn large_pages<T>(memory: &[T]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let start = memory.as_ptr().cast::<u8>();
        let skipped = start.addr().wrapping_neg() % PAGE;
        let length = size_of_val(memory).saturating_sub(skipped) / PAGE * PAGE;
        if length < LARGE_PAGE {
            return;
        }
        for advice in [libc::MADV_HUGEPAGE, libc::MADV_COLLAPSE] {
            let address = start.wrapping_add(skipped).cast_mut().cast();
            // SAFETY: these whole pages lie within `memory`; either advice changes which pages hold the bytes, and no byte. An
            // error says that the system has no such pages, or none to spare.
            _ = unsafe { libc::madvise(address, length, advice) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = memory;
}

#[cfg(all(target_os = "linux", not(miri)))]
const PAGE: usize = 1 << 12;
/// Of the processors we know; others find no whole one or make smaller ones.
#[cfg(all(target_os = "linux", not(miri)))]
const LARGE_PAGE: usize = 1 << 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_what_stands_there() {
        for length in [0, 1, 1 << 12, (1 << 21) + 7, 9 << 20] {
            let mut bytes: Vec<u8> = (0..length).map(|at: usize| (at * 31 / 16) as u8).collect();
            large_pages(&bytes[length / 3..]);
            large_pages(&bytes);
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at * 31 / 16) as u8));
            bytes.fill(7);
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
    }
}
