//! What every store must pass: checkpoints come back as they were stored, each on top of the one before, also from a
//! store that was closed and opened again. For tests; a store that does not pass makes it panic.

use fresnel_types::{
    BlockIndex, EntryNumber, StateKey, WriteSet,
    checkpoint::{Checkpoint, Extension},
};

use super::{CheckpointStore, Contents};

/// Runs everything. `fresh` makes an empty store; `reopened` closes one and opens it where it was.
///
/// # Panics
/// When a store fails or gives back something else than was stored.
pub fn run<S: CheckpointStore>(mut fresh: impl FnMut() -> S, mut reopened: impl FnMut(S) -> S) {
    an_empty_store_holds_nothing(fresh(), &mut reopened);
    nothing_at_all_is_a_checkpoint_too(fresh(), &mut reopened);
    leaves_are_added_changed_and_deleted(fresh(), &mut reopened);
    sequences_grow_and_are_forgotten(fresh(), &mut reopened);
    what_was_in_hand_is_replaced(fresh(), &mut reopened);
    for seed in 0..SEEDS {
        any_checkpoints_come_back_as_their_meaning_says(seed, fresh(), &mut reopened);
    }
}

fn an_empty_store_holds_nothing<S: CheckpointStore>(store: S, reopened: &mut impl FnMut(S) -> S) {
    assert_eq!(store.load().expect("a working store"), None);
    assert_eq!(reopened(store).load().expect("a working store"), None);
}

fn nothing_at_all_is_a_checkpoint_too<S: CheckpointStore>(store: S, reopened: &mut impl FnMut(S) -> S) {
    let mut checked = Checked::new(store);
    checked.store(&checkpoint(1));
    checked.reopen(reopened);
    checked.store(&checkpoint(2));
    checked.reopen(reopened);
}

fn leaves_are_added_changed_and_deleted<S: CheckpointStore>(store: S, reopened: &mut impl FnMut(S) -> S) {
    let changes = |changes: &[(u8, Option<&'static [u8]>)]| -> WriteSet {
        changes.iter().map(|(key, value)| (StateKey([*key; 32]), *value)).collect()
    };
    let mut checked = Checked::new(store);
    let first = changes(&[(0, Some(b"a")), (7, Some(b"")), (200, Some(b"c")), (255, Some(&[9; 5_000]))]);
    checked.store(&Checkpoint { leaves: first, ..checkpoint(3) });
    checked.reopen(reopened);
    let second =
        changes(&[(0, None), (1, Some(b"d")), (2, None), (200, Some(b"longer than before")), (255, None)]);
    checked.store(&Checkpoint { leaves: second, ..checkpoint(8) });
    checked.reopen(reopened);
    let keys: Vec<u8> = checked.contents.clone().restored().leaves.iter().map(|(key, _)| key.0[0]).collect();
    assert_eq!(keys, [1, 7, 200]);
}

fn sequences_grow_and_are_forgotten<S: CheckpointStore>(store: S, reopened: &mut impl FnMut(S) -> S) {
    let mut checked = Checked::new(store);
    // Numbers around a change of the byte lengths that a store might order by.
    for (first, count, oldest) in
        [(250, 10, 250), (260, 0, 250), (260, 300, 0), (560, 1, 555), (561, 2, 1_000), (7, 3, 7), (10, 1, 9)]
    {
        let extension = |tag| Extension { first, items: items(tag, first, count), oldest };
        let (records, outcomes) = (extension(1), extension(2));
        checked.store(&Checkpoint { records, outcomes, ..checkpoint(first) });
        checked.reopen(reopened);
    }
    assert_eq!(checked.contents.clone().restored().records, items(1, 9, 2));
}

fn what_was_in_hand_is_replaced<S: CheckpointStore>(store: S, reopened: &mut impl FnMut(S) -> S) {
    let mut checked = Checked::new(store);
    for count in [300, 2, 0, 3] {
        let in_hand = items(u64::from(count == 2), 0, count);
        checked.store(&Checkpoint { in_hand, ..checkpoint(count) });
        checked.reopen(reopened);
    }
}

fn any_checkpoints_come_back_as_their_meaning_says<S: CheckpointStore>(
    seed: u64,
    store: S,
    reopened: &mut impl FnMut(S) -> S,
) {
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut checked = Checked::new(store);
    let mut next = [draw.below(1_000), draw.below(1_000)];
    for step in 0..STEPS {
        let mut keys: Vec<u8> = (0..draw.below(60)).map(|_| draw.below(80) as u8).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut leaves = WriteSet::default();
        for key in keys {
            let value = vec![key; draw.below(200) as usize];
            leaves.push(StateKey([key; 32]), (draw.below(3) > 0).then_some(&value));
        }
        let anew = draw.below(6) == 0;
        let [records, outcomes] = std::array::from_fn(|which| {
            if anew {
                next[which] = draw.below(1_000);
            }
            let (first, count) = (next[which], draw.below(20));
            next[which] += count;
            let oldest = next[which].saturating_sub(draw.below(40));
            Extension { first, items: items(draw.below(9), first, count), oldest }
        });
        let in_hand = items(step, 0, draw.below(20));
        checked.store(&Checkpoint { anew, leaves, records, outcomes, in_hand, ..checkpoint(step) });
        if draw.below(2) == 0 {
            checked.reopen(reopened);
        }
    }
    checked.reopen(reopened);
}

/// A store beside what it must hold.
struct Checked<S> {
    store: Option<S>,
    contents: Contents,
}

impl<S: CheckpointStore> Checked<S> {
    fn new(store: S) -> Self {
        Self { store: Some(store), contents: Contents::default() }
    }

    fn store(&mut self, checkpoint: &Checkpoint) {
        self.store.as_mut().expect(OPEN).store(checkpoint).expect("a working store");
        self.contents.take_over(checkpoint);
        self.check();
    }

    fn reopen(&mut self, reopened: &mut impl FnMut(S) -> S) {
        self.store = self.store.take().map(reopened);
        self.check();
    }

    fn check(&self) {
        let loaded = self.store.as_ref().expect(OPEN).load().expect("a working store");
        assert_eq!(loaded, Some(self.contents.clone().restored()));
    }
}

fn checkpoint(number: u64) -> Checkpoint {
    Checkpoint {
        block: BlockIndex(number),
        entry: EntryNumber(1_000 * number),
        anew: false,
        leaves: WriteSet::default(),
        records: Extension::default(),
        outcomes: Extension::default(),
        in_hand: Vec::new(),
    }
}

/// Items that tell their sequence and number, some of them empty and some large.
fn items(tag: u64, first: u64, count: u64) -> Vec<Vec<u8>> {
    let item =
        |number: u64| [tag.to_le_bytes(), number.to_le_bytes()].concat().repeat((number % 5) as usize * 40);
    (first..first + count).map(item).collect()
}

/// Numbers that look random (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

const SEEDS: u64 = 3;
const STEPS: u64 = 20;
const OPEN: &str = "a store is only away while it is reopened";

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use fresnel_types::{checkpoint::Restored, decode, encode};

    use super::*;

    /// The simplest store: what it holds, as bytes.
    #[derive(Default)]
    struct Bytes(Option<Vec<u8>>);

    impl CheckpointStore for Bytes {
        type Error = Infallible;

        fn load(&self) -> Result<Option<Restored>, Infallible> {
            let contents = self.0.as_ref().map(|bytes| decode::<Contents>(bytes).expect("own bytes"));
            Ok(contents.map(Contents::restored))
        }

        fn store(&mut self, checkpoint: &Checkpoint) -> Result<(), Infallible> {
            let mut contents =
                self.0.as_ref().map_or_else(Contents::default, |bytes| decode(bytes).expect("own bytes"));
            contents.take_over(checkpoint);
            self.0 = Some(encode(&contents));
            Ok(())
        }
    }

    #[test]
    fn the_simplest_store_passes() {
        run(Bytes::default, |store| store);
    }

    #[test]
    #[should_panic(expected = "assertion `left == right` failed")]
    fn a_store_that_forgets_does_not_pass() {
        run(Bytes::default, |_| Bytes::default());
    }

    #[test]
    #[should_panic(expected = "continues the sequences")]
    fn a_gap_in_a_sequence_is_a_broken_invariant() {
        let mut contents = Contents::default();
        for first in [4, 6] {
            let records = Extension { first, items: items(0, first, 1), oldest: 0 };
            contents.take_over(&Checkpoint { records, ..checkpoint(first) });
        }
    }
}
