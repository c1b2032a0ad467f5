//! Checking proofs with nothing but the genesis, and asking for them.

use fresnel_crypto::Verifier;
use fresnel_state::MultiProof;
use fresnel_types::{
    Address, ChainId, Genesis, Outcome, Proof, ShardId, StateKey, Transaction,
    action::Payment,
    codec,
    frame::Role,
    leaves::Account,
    proof::{Claim, ProofError, Wanted},
    status::{Answer, Query, Unproven},
};

use crate::connection::{Client, ClientError};

/// Checks proofs against the committee of a genesis, and asks nobody.
pub struct Checker {
    genesis: Genesis,
    chain: ChainId,
    verifier: Verifier,
}

impl Checker {
    /// Trusts `genesis` and nothing else.
    ///
    /// # Errors
    /// When the system gives no random numbers, which checking several signatures at once needs.
    pub fn new(genesis: Genesis) -> Result<Self, RandomnessError> {
        let verifier = Verifier::new().map_err(|error| RandomnessError(error.to_string()))?;
        Ok(Self { chain: genesis.chain(), genesis, verifier })
    }

    /// The chain whose proofs hold.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Checks that the record is certified and says what the proof claims.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub fn check(&mut self, proof: &Proof) -> Result<(), ProofError> {
        proof.check_certified(&self.genesis, &self.chain, &mut self.verifier)?;
        let holds = match &proof.claim {
            Claim::State { leaves, tree } => {
                let (shards, shard) = (self.genesis.shards, proof.record.shard);
                let tree: MultiProof = codec::decode(tree).map_err(|_| ProofError::Malformed)?;
                leaves.iter().all(|(key, _)| key.shard(shards) == shard)
                    && tree.verify(shards, &proof.record.state, leaves)
            }
            claim => claim.holds_in_lists(&proof.record),
        };
        if holds { Ok(()) } else { Err(ProofError::Claim) }
    }

    /// Checks a proof of what an address owns, and gives it: after the block of the proof's record.
    ///
    /// # Errors
    /// The first link that does not hold; also when the proof does not say anything about this account.
    pub fn check_account(&mut self, address: &Address, proof: &Proof) -> Result<Option<Account>, ProofError> {
        self.check(proof)?;
        account(address, proof)
    }

    /// Checks a proof that a payment took effect where its recipient is: in one shard by its outcome, in two by the
    /// consumption of its receipt.
    ///
    /// # Errors
    /// The first link that does not hold; also when the proof is of another transaction, of another shard, of one that failed
    /// or came back, or of no payment.
    pub fn check_payment(&mut self, payment: &Transaction, proof: &Proof) -> Result<(), ProofError> {
        self.check(proof)?;
        let Payment { recipient, .. } = payment.action.payment().ok_or(ProofError::Other)?;
        let shard_of = |address: Address| self.genesis.shards.of_prefix(address.prefix());
        let (source, destination, id) =
            (shard_of(payment.sender.address()), shard_of(recipient), payment.id());
        let applied = match &proof.claim {
            Claim::Outcome { transaction, outcome, .. } => {
                source == destination && *transaction == id && *outcome == Outcome::Success
            }
            Claim::Applied { applied, .. } => {
                source == applied.source && applied.transaction == id && applied.bounced.is_none()
            }
            _ => false,
        };
        if applied && proof.record.shard == destination { Ok(()) } else { Err(ProofError::Other) }
    }
}

/// What a proof, whose claim holds, says about an account.
///
/// # Errors
/// When it says nothing about it.
pub fn account(address: &Address, proof: &Proof) -> Result<Option<Account>, ProofError> {
    let Claim::State { leaves, .. } = &proof.claim else { return Err(ProofError::Other) };
    let key = Account::key(address);
    let (_, value) = leaves.iter().find(|(other, _)| *other == key).ok_or(ProofError::Other)?;
    let read = |value: &Vec<u8>| codec::decode(value).map_err(|_| ProofError::Claim);
    value.as_ref().map(read).transpose()
}

/// Keys of accounts as a proof has them: ascending, each once.
pub fn account_keys(addresses: &[Address]) -> Vec<StateKey> {
    let mut keys: Vec<StateKey> = addresses.iter().map(Account::key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The system gives no random numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct RandomnessError(String);

/// Why an authority gave no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Its worker has none.
    #[error("the worker has no proof: {0:?}")]
    Unproven(Unproven),
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ClientError),
    /// Another question was answered.
    #[error("a machine answered another question")]
    Answer,
}

/// Asks a worker of `shard` for a proof, and the beacon of the same authority for its attestations. What comes is not
/// checked yet; it may lack attestations when the beacon forgot them, and then another authority may have them.
///
/// # Errors
/// When there is no proof or no answer.
pub async fn prove(
    worker: &mut Client,
    beacon: &mut Client,
    shard: ShardId,
    wanted: Wanted,
) -> Result<Proof, ProveError> {
    let mut proof = match worker.query(Role::Worker(shard), Query::Proof(wanted)).await? {
        Answer::Proof(proof) => *proof,
        Answer::Unproven(reason) => return Err(ProveError::Unproven(reason)),
        _ => return Err(ProveError::Answer),
    };
    match beacon.query(Role::Beacon, Query::Attested(proof.attestation())).await? {
        Answer::Attested(attested) => proof.attested = attested,
        _ => return Err(ProveError::Answer),
    }
    Ok(proof)
}

#[cfg(test)]
mod tests;
