//! Where a run took place.
