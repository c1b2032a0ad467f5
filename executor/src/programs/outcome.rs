//! Outcomes as the numbers that executions give.

use fresnel_types::{FailureCode, Outcome, transaction::VoidCode};

/// The number of an outcome, below 256.
pub(super) fn encode(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failed(FailureCode::InsufficientBalance) => 1,
        Outcome::Failed(FailureCode::BelowAccountMinimum) => 2,
        Outcome::Failed(FailureCode::WindowFull) => 3,
        Outcome::Void(VoidCode::Expired) => 4,
        Outcome::Void(VoidCode::Nonce) => 5,
        Outcome::Void(VoidCode::Fee) => 6,
        Outcome::Failed(FailureCode::WrongShard) => 7,
        Outcome::Failed(FailureCode::Missing) => 8,
        Outcome::Failed(FailureCode::Exists) => 9,
        Outcome::Failed(FailureCode::Forbidden) => 10,
        Outcome::Failed(FailureCode::Overflow) => 11,
        Outcome::Failed(FailureCode::WrongKind) => 12,
    }
}

/// The outcome of a number that [`encode`] gave.
pub(super) fn decode(number: u64) -> Outcome {
    OUTCOMES[number as usize]
}

/// By number.
const OUTCOMES: [Outcome; 13] = [
    Outcome::Success,
    Outcome::Failed(FailureCode::InsufficientBalance),
    Outcome::Failed(FailureCode::BelowAccountMinimum),
    Outcome::Failed(FailureCode::WindowFull),
    Outcome::Void(VoidCode::Expired),
    Outcome::Void(VoidCode::Nonce),
    Outcome::Void(VoidCode::Fee),
    Outcome::Failed(FailureCode::WrongShard),
    Outcome::Failed(FailureCode::Missing),
    Outcome::Failed(FailureCode::Exists),
    Outcome::Failed(FailureCode::Forbidden),
    Outcome::Failed(FailureCode::Overflow),
    Outcome::Failed(FailureCode::WrongKind),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_outcomes_are_one_to_one() {
        for (number, outcome) in (0..).zip(OUTCOMES) {
            assert_eq!(encode(outcome), number);
            assert_eq!(decode(number), outcome);
        }
    }
}
