//! What happens when: a queue of events, each at its instant, those of one instant in the order they were put in.

use std::collections::BTreeMap;

use fresnel_types::Timestamp;

/// Events to come.
#[derive(Debug)]
pub struct Scheduler<E> {
    now: Timestamp,
    next: u64,
    queue: BTreeMap<(Timestamp, u64), E>,
}

impl<E> Scheduler<E> {
    /// An empty queue at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now, next: 0, queue: BTreeMap::new() }
    }

    /// The instant of the last event taken.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many events are to come.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts in an event at `at`, or now if that has passed.
    pub fn at(&mut self, at: Timestamp, event: E) {
        self.queue.insert((at.max(self.now), self.next), event);
        self.next += 1;
    }

    /// Puts in an event `micros` from now.
    pub fn after(&mut self, micros: u64, event: E) {
        self.at(self.now.plus(micros), event);
    }

    /// Takes the next event not after `until` and goes on to its instant; goes on to `until` when there is none.
    pub fn pop(&mut self, until: Timestamp) -> Option<E> {
        match self.queue.first_entry() {
            Some(entry) if entry.key().0 <= until => {
                self.now = entry.key().0;
                Some(entry.remove())
            }
            _ => {
                self.now = self.now.max(until);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_then_of_putting_in() {
        let mut scheduler = Scheduler::new(Timestamp(100));
        scheduler.after(5, "c");
        scheduler.after(3, "a");
        scheduler.after(3, "b");
        scheduler.at(Timestamp(1), "late");
        let mut taken = Vec::new();
        while let Some(event) = scheduler.pop(Timestamp(104)) {
            taken.push((scheduler.now().0, event));
        }
        assert_eq!(taken, vec![(100, "late"), (103, "a"), (103, "b")]);
        assert_eq!((scheduler.now(), scheduler.len()), (Timestamp(104), 1));
    }
}
