//! What clients do: mostly transfers, and everything that the other programs offer, well or badly.

use fresnel_types::{
    Action, Address, Amount,
    action::{BankAction, Bytes, KvOperation, TokenAction},
};

use crate::{
    options::{ACCOUNT_MINIMUM, FUNDS},
    random::Random,
};

/// An action of `sender`, about itself or others. None of it leaves the sender without its next fee.
pub(super) fn draw(random: &mut Random, sender: Address, others: &[Address]) -> Action {
    let other = |random: &mut Random| random.pick(others);
    match random.below(10) {
        0..=5 => Action::Transfer { recipient: recipient(random, others), amount: amount(random) },
        6 => Action::Kv((0..random.between(1, 3)).map(|_| operation(random, others)).collect()),
        7 => {
            let other = other(random);
            Action::Bank(bank(random, sender, other))
        }
        _ => {
            let (token, recipient) = (random.pick(&others[..others.len().min(TOKENS)]), other(random));
            Action::Token(match random.below(4) {
                0 => TokenAction::Create { cap: random.between(1, 10_000), open: true },
                1 => TokenAction::Mint { token, amount: random.between(1, 100) },
                _ => TokenAction::Transfer { token, recipient, amount: random.between(1, 20) },
            })
        }
    }
}

/// A payment, which nothing but a full window can stop, to one of those that are `wanted`.
pub(super) fn pay(random: &mut Random, others: &[Address], wanted: impl Fn(&Address) -> bool) -> Action {
    let wanted: Vec<Address> = others.iter().copied().filter(|other| wanted(other)).collect();
    let amount = Amount(random.between(ACCOUNT_MINIMUM.0, 200));
    Action::Transfer { recipient: random.pick(&wanted), amount }
}

fn recipient(random: &mut Random, others: &[Address]) -> Address {
    match random.below(10) {
        // Nobody's address yet: below the minimum it fails or comes back, otherwise it opens an account.
        0..=2 => Address(random.bytes()),
        _ => random.pick(others),
    }
}

fn amount(random: &mut Random) -> Amount {
    Amount(match random.below(10) {
        0..=3 => random.between(1, ACCOUNT_MINIMUM.0 - 1),
        // More than anybody can ever own.
        4 => FUNDS.0 * 1_000,
        _ => random.between(ACCOUNT_MINIMUM.0, 200),
    })
}

fn operation(random: &mut Random, others: &[Address]) -> KvOperation {
    let owner = if random.below(2) == 0 { None } else { Some(random.pick(others)) };
    let name = Bytes(vec![random.below(2) as u8]);
    match random.below(4) {
        0 => KvOperation::Read { owner, name },
        1 => KvOperation::Add { owner, name, amount: random.below(9) },
        _ => {
            // A number, something short, something long.
            let length = random.pick(&[8, 8, 3, 100]);
            let value = Bytes(vec![random.below(4) as u8; length]);
            KvOperation::Put { owner, name, value, shared: random.below(3) > 0 }
        }
    }
}

fn bank(random: &mut Random, sender: Address, other: Address) -> BankAction {
    let amount = amount(random);
    match random.below(7) {
        0 => BankAction::Balance { customer: other },
        1 => BankAction::DepositChecking { customer: other, amount },
        2 => BankAction::TransactSavings { amount, withdraw: false },
        3 => BankAction::TransactSavings { amount, withdraw: true },
        4 => BankAction::Amalgamate { recipient: sender },
        5 => BankAction::WriteCheck { recipient: other, amount },
        _ => BankAction::SendPayment { recipient: other, amount },
    }
}

/// Owners whose tokens the others deal in.
const TOKENS: usize = 3;
