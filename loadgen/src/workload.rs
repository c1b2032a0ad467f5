//! Which transfers a load is made of.
