//! `token`: makes tokens, mints them with a sequence number, and moves them, also to other shards.
//!
//! All mintings of a token read and write one leaf, so they are a true chain. Of a token there are never more than its cap,
//! over all shards and receipts, so no balance overflows.

use fresnel_types::{
    Address, FailureCode, PublicKey, ShardId, Shards,
    action::TokenAction,
    leaves::{self, Holding},
};

use super::{Payer, Reads, Step, Use};
use crate::{
    engine::View,
    resolve::Wanted,
    slots::{Place, UNKNOWN, Value, load, store},
};

pub(super) enum Token {
    Create {
        token: Place,
        cap: u64,
        open: bool,
    },
    Mint {
        token: Place,
        is_local: bool,
        is_issuer: bool,
        holding: Place,
        amount: u64,
    },
    /// The recipient's holding is [`UNKNOWN`] when in another shard.
    Transfer {
        holding: Place,
        recipient: Place,
        destination: ShardId,
        amount: u64,
    },
}

pub(super) fn uses(
    action: &TokenAction,
    sender: &Address,
    is_local: impl Fn(&Address) -> bool,
    wanted: &mut Wanted,
) {
    match action {
        TokenAction::Create { .. } => wanted.leaf(Use::Opens, || leaves::Token::key(sender)),
        TokenAction::Mint { token, .. } => {
            let (finds, opens) =
                if is_local(token) { (Use::Finds, Use::Opens) } else { (Use::Elsewhere, Use::Elsewhere) };
            wanted.leaf(finds, || leaves::Token::key(token));
            wanted.leaf(opens, || Holding::key(sender, token));
        }
        TokenAction::Transfer { token, recipient, .. } => {
            wanted.leaf(Use::Finds, || Holding::key(sender, token));
            let opens = if is_local(recipient) { Use::Opens } else { Use::Elsewhere };
            wanted.leaf(opens, || Holding::key(recipient, token));
        }
    }
}

impl Token {
    /// With the places that [`uses`] asked for.
    pub(super) fn new(
        action: &TokenAction,
        sender: &PublicKey,
        shards: Shards,
        places: &[Place],
        is_local: impl Fn(&Address) -> bool,
    ) -> Self {
        match *action {
            TokenAction::Create { cap, open } => Self::Create { token: places[0], cap, open },
            TokenAction::Mint { token, amount } => Self::Mint {
                token: places[0],
                is_local: is_local(&token),
                is_issuer: sender.address() == token,
                holding: places[1],
                amount,
            },
            TokenAction::Transfer { recipient, amount, .. } => Self::Transfer {
                holding: places[0],
                recipient: places[1],
                destination: shards.of_prefix(recipient.prefix()),
                amount,
            },
        }
    }
}

/// What is written, and who then gets how many.
pub(super) struct Plan {
    first: (Place, Value),
    second: Option<(Place, Value)>,
    credit: Option<(Place, u64)>,
}

impl Plan {
    fn one(place: Place, value: Value) -> Self {
        Self { first: (place, value), second: None, credit: None }
    }
}

impl Step for Token {
    type Plan = Plan;

    fn decide(&self, payer: &mut Payer, state: &mut Reads<'_, impl View>) -> Result<Plan, FailureCode> {
        match *self {
            Self::Create { token, cap, open } => {
                if state.exists(token) {
                    return Err(FailureCode::Exists);
                }
                payer.pay_leaf()?;
                Ok(Plan::one(token, store(&leaves::Token { minted: 0, cap, mintings: 0, open })))
            }
            Self::Mint { token: place, is_local, is_issuer, holding, amount } => {
                if !is_local {
                    return Err(FailureCode::WrongShard);
                }
                let found = state.read(place).and_then(|value| load::<leaves::Token>(&value));
                let mut token = found.ok_or(FailureCode::Missing)?;
                if !token.open && !is_issuer {
                    return Err(FailureCode::Forbidden);
                }
                let minted = token.minted.checked_add(amount).filter(|minted| *minted <= token.cap);
                token.minted = minted.ok_or(FailureCode::Overflow)?;
                token.mintings += 1;
                let held = state.read(holding).and_then(|value| load::<Holding>(&value));
                if held.is_none() {
                    payer.pay_leaf()?;
                }
                let balance = held.unwrap_or_default().balance.checked_add(amount);
                let balance = balance.ok_or(FailureCode::Overflow)?;
                let held = Holding { balance, minting: token.mintings };
                Ok(Plan { second: Some((holding, store(&held))), ..Plan::one(place, store(&token)) })
            }
            Self::Transfer { holding, recipient, destination, amount } => {
                let held = state.read(holding).and_then(|value| load::<Holding>(&value));
                let mut held = held.ok_or(FailureCode::InsufficientBalance)?;
                let rest = held.balance.checked_sub(amount);
                held.balance = rest.ok_or(FailureCode::InsufficientBalance)?;
                let plan = Plan::one(holding, store(&held));
                if recipient == UNKNOWN {
                    payer.pay_leaf()?;
                    state.reserve(destination)?;
                    Ok(plan)
                } else if state.exists(recipient) {
                    Ok(Plan { credit: Some((recipient, amount)), ..plan })
                } else {
                    payer.pay_leaf()?;
                    let opened = Holding { balance: amount, minting: 0 };
                    Ok(Plan { second: Some((recipient, store(&opened))), ..plan })
                }
            }
        }
    }

    fn write(plan: Plan, view: &mut impl View) {
        for (place, value) in std::iter::once(plan.first).chain(plan.second) {
            view.write(place, value);
        }
        if let Some((place, amount)) = plan.credit {
            view.credit(place, amount);
        }
    }
}
