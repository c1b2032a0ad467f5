//! What a process logs, and how that is changed while it runs.

use std::{fmt, sync::Mutex};

/// The filter of a process' log lines. Whoever set up the logging says how to replace it.
pub struct LogFilter {
    current: Mutex<String>,
    replace: Box<Replace>,
}

/// Puts the filter that the text says in place of the one before, or says what is wrong with it.
type Replace = dyn Fn(&str) -> Result<(), String> + Send + Sync;

impl LogFilter {
    /// A filter that is `current` now; `replace` puts another in its place, or says what is wrong with it.
    pub fn new(
        current: String,
        replace: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { current: Mutex::new(current), replace: Box::new(replace) }
    }

    /// The filter as it was written.
    pub fn current(&self) -> String {
        self.current.lock().expect("nobody panics with the lock held").clone()
    }

    /// Puts another filter in its place.
    ///
    /// # Errors
    /// What is wrong with it; the one before stays.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let mut current = self.current.lock().expect("nobody panics with the lock held");
        (self.replace)(text)?;
        text.clone_into(&mut current);
        Ok(())
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LogFilter").field(&self.current()).finish()
    }
}
