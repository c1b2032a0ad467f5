//! `kv`: named values. A transaction has up to sixteen operations, which see what those before them wrote and stand or
//! fall together.
//!
//! A value of up to 16 bytes stands in the words of its slot. Of a longer one the slot has length and sharing only, since
//! executions look at nothing else; its bytes are taken from the transaction that wrote it when the block is over.

use fresnel_types::{
    Address, FailureCode,
    action::KvOperation,
    leaves::{self, ValueHead, inline_words},
    limits::KV_OPERATIONS_MAX,
};

use super::{Payer, Reads, Step, Use};
use crate::{
    engine::View,
    resolve::Wanted,
    slots::{EXISTS, Place, UNKNOWN, Value},
};

/// An operation with the place of its value, [`UNKNOWN`] when in another shard or not there.
pub(crate) struct Operation {
    place: Place,
    is_local: bool,
    is_own: bool,
    kind: Kind,
}

enum Kind {
    Read,
    /// The words of the value; its head says whether it is shared.
    Put(Value),
    Add(u64),
}

/// Which operations of the block are those of one transaction.
pub(super) struct Kv {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// The operations of one transaction.
pub(super) struct Operations<'a>(pub(super) &'a [Operation]);

impl Kv {
    /// Those among all of the block.
    pub(super) fn of<'a>(&self, operations: &'a [Operation]) -> &'a [Operation] {
        &operations[self.first as usize..][..self.count as usize]
    }
}

pub(super) fn uses(
    operations: &[KvOperation],
    sender: &Address,
    is_local: impl Fn(&Address) -> bool,
    wanted: &mut Wanted,
) {
    for operation in operations {
        let owner = operation.owner().unwrap_or(*sender);
        let with = match operation {
            _ if !is_local(&owner) => Use::Elsewhere,
            KvOperation::Put { .. } if owner == *sender => Use::Opens,
            _ => Use::Finds,
        };
        wanted.leaf(with, || leaves::Value::key(&owner, operation.name()));
    }
}

impl Operation {
    /// With the place that [`uses`] asked for.
    pub(super) fn new(
        operation: &KvOperation,
        sender: &Address,
        place: Place,
        is_local: impl Fn(&Address) -> bool,
    ) -> Self {
        let owner = operation.owner().unwrap_or(*sender);
        let kind = match operation {
            KvOperation::Read { .. } => Kind::Read,
            KvOperation::Add { amount, .. } => Kind::Add(*amount),
            KvOperation::Put { value, shared, .. } => {
                let head = ValueHead { length: value.0.len(), shared: *shared };
                let inline = if head.is_inline() { &value.0[..] } else { &[] };
                let [one, two, third] = inline_words(head, inline);
                Kind::Put([one, two, third | EXISTS])
            }
        };
        Self { place, is_local: is_local(&owner), is_own: owner == *sender, kind }
    }

    /// Whether it writes a value, and where.
    pub(super) fn puts(&self) -> Option<Place> {
        matches!(self.kind, Kind::Put(_)).then_some(self.place)
    }
}

/// What is written, in order; a later write at a place takes the place of an earlier.
pub(super) struct Plan {
    writes: [(Place, Value); KV_OPERATIONS_MAX],
    count: usize,
}

impl Plan {
    fn find(&self, place: Place) -> Option<&Value> {
        self.writes[..self.count].iter().find(|write| write.0 == place).map(|write| &write.1)
    }

    fn set(&mut self, place: Place, value: Value) {
        match self.writes[..self.count].iter_mut().find(|write| write.0 == place) {
            Some(write) => write.1 = value,
            None => {
                self.writes[self.count] = (place, value);
                self.count += 1;
            }
        }
    }
}

impl Step for Operations<'_> {
    type Plan = Plan;

    fn decide(&self, payer: &mut Payer, state: &mut Reads<'_, impl View>) -> Result<Plan, FailureCode> {
        let mut plan = Plan { writes: [(UNKNOWN, [0; 3]); KV_OPERATIONS_MAX], count: 0 };
        for operation in self.0 {
            if !operation.is_local {
                return Err(FailureCode::WrongShard);
            }
            operation.decide(payer, state, &mut plan)?;
        }
        Ok(plan)
    }

    fn write(plan: Plan, view: &mut impl View) {
        for (place, value) in &plan.writes[..plan.count] {
            view.write(*place, *value);
        }
    }
}

impl Operation {
    fn decide(
        &self,
        payer: &mut Payer,
        state: &mut Reads<'_, impl View>,
        plan: &mut Plan,
    ) -> Result<(), FailureCode> {
        let place = self.place;
        let mut value = || plan.find(place).copied().or_else(|| state.read(place));
        match self.kind {
            Kind::Read => value().map(|_| ()).ok_or(FailureCode::Missing),
            // The owner writes whatever is there, so that only who makes the value conflicts with others' writes.
            Kind::Put(new) if self.is_own => {
                if plan.find(place).is_none() && !state.exists(place) {
                    payer.pay_leaf()?;
                }
                plan.set(place, new);
                Ok(())
            }
            Kind::Put([one, two, third]) => {
                let head = value().map(|value| ValueHead::from_word(value[2])).ok_or(FailureCode::Missing)?;
                self.check_may_change(head)?;
                let shared = ValueHead { shared: true, ..ValueHead::from_word(third) };
                plan.set(place, [one, two, shared.to_word() | EXISTS]);
                Ok(())
            }
            Kind::Add(amount) => {
                let [number, two, third] = value().ok_or(FailureCode::Missing)?;
                let head = ValueHead::from_word(third);
                self.check_may_change(head)?;
                if head.length != size_of::<u64>() {
                    return Err(FailureCode::WrongKind);
                }
                let sum = number.checked_add(amount).ok_or(FailureCode::Overflow)?;
                plan.set(place, [sum, two, third]);
                Ok(())
            }
        }
    }

    fn check_may_change(&self, head: ValueHead) -> Result<(), FailureCode> {
        if self.is_own || head.shared { Ok(()) } else { Err(FailureCode::Forbidden) }
    }
}
