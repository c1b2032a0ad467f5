//! Checks of form and signatures: what passes, and the typed error for each kind of fault.
