//! Where atomics, locks and yielding come from. Tests under the features `loom` and `shuttle` put in those of the two
//! model checkers, which then decide how threads interleave; everything else runs on the standard library's.

#[cfg(feature = "loom")]
pub(crate) use loom::{
    hint,
    sync::{Mutex, MutexGuard, atomic},
    thread,
};
#[cfg(all(feature = "shuttle", not(feature = "loom")))]
pub(crate) use shuttle::{
    hint,
    sync::{Mutex, MutexGuard, atomic},
    thread,
};
#[cfg(not(any(feature = "loom", feature = "shuttle")))]
pub(crate) use std::{
    hint,
    sync::{Mutex, MutexGuard, atomic},
    thread,
};

/// What these mutexes guard is whole at every instant, also where a panic let go of them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
