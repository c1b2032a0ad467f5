//! Checking proofs with nothing but the genesis, and asking for them.

use fresnel_crypto::Verifier;
use fresnel_state::MultiProof;
use fresnel_types::{
    Address, ChainId, FailureCode, Genesis, Outcome, Proof, ShardId, StateKey, Transaction,
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

    /// Checks a proof of how a transaction ended in its sender's shard, and gives the end: what `final` stands for.
    ///
    /// # Errors
    /// The first link that does not hold; also when the proof is of something else. That a naming of the transaction was
    /// void is no end: it may have executed in an earlier block, or may yet in a later one.
    pub fn check_final(&mut self, transaction: &Transaction, proof: &Proof) -> Result<Outcome, ProofError> {
        self.check(proof)?;
        match &proof.claim {
            Claim::Outcome { transaction: id, outcome, .. }
                if *id == transaction.id()
                    && proof.record.shard == self.shard_of(transaction.sender.address())
                    && !matches!(outcome, Outcome::Void(_)) =>
            {
                Ok(*outcome)
            }
            _ => Err(ProofError::Other),
        }
    }

    /// Checks a proof that nothing of a transaction is under way any more, and gives its end: what `settled` stands for. A
    /// transaction that failed, or that sent nothing to another shard, is proven by its outcome; one that did, by the
    /// consumption of its receipt there.
    ///
    /// # Errors
    /// As for [`Self::check_final`].
    pub fn check_settled(&mut self, transaction: &Transaction, proof: &Proof) -> Result<Ending, ProofError> {
        let source = self.shard_of(transaction.sender.address());
        let recipient =
            transaction.action.payment().map(|Payment { recipient, .. }| self.shard_of(recipient));
        let destination = recipient.unwrap_or(source);
        if let Claim::Applied { applied, .. } = &proof.claim {
            self.check(proof)?;
            let is_its_own = applied.transaction == transaction.id()
                && (applied.source, proof.record.shard) == (source, destination)
                && source != destination;
            return if is_its_own {
                Ok(applied.bounced.map_or(Ending::Done, Ending::Returned))
            } else {
                Err(ProofError::Other)
            };
        }
        match self.check_final(transaction, proof)? {
            Outcome::Success if source == destination => Ok(Ending::Done),
            Outcome::Failed(code) => Ok(Ending::Failed(code)),
            Outcome::Success | Outcome::Void(_) => Err(ProofError::Other),
        }
    }

    /// Checks a proof that a payment took effect where its recipient is: in one shard by its outcome, in two by the
    /// consumption of its receipt.
    ///
    /// # Errors
    /// The first link that does not hold; also when the proof is of another transaction, of another shard, of one that failed
    /// or came back, or of no payment.
    pub fn check_payment(&mut self, payment: &Transaction, proof: &Proof) -> Result<(), ProofError> {
        let ending = self.check_settled(payment, proof)?;
        let is_payment = payment.action.payment().is_some();
        if is_payment && ending == Ending::Done { Ok(()) } else { Err(ProofError::Other) }
    }

    fn shard_of(&self, address: Address) -> ShardId {
        self.genesis.shards.of_prefix(address.prefix())
    }
}

/// How a transaction ended for good, as certified records have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did all that it says; what it sent has arrived.
    Done,
    /// It used its fee and its nonce, and did nothing else.
    Failed(FailureCode),
    /// The recipient's shard has sent back what it sent.
    Returned(FailureCode),
}

/// What a proof, whose claim holds, says about an account.
///
/// # Errors
/// When it says nothing about it.
pub fn account(address: &Address, proof: &Proof) -> Result<Option<Account>, ProofError> {
    let read = |value: &[u8]| codec::decode(value).map_err(|_| ProofError::Claim);
    leaf(&Account::key(address), proof)?.map(read).transpose()
}

/// What a proof, whose claim holds, says that a key of the state holds.
///
/// # Errors
/// When it says nothing about it.
pub fn leaf<'a>(key: &StateKey, proof: &'a Proof) -> Result<Option<&'a [u8]>, ProofError> {
    let Claim::State { leaves, .. } = &proof.claim else { return Err(ProofError::Other) };
    let (_, value) = leaves.iter().find(|(other, _)| other == key).ok_or(ProofError::Other)?;
    Ok(value.as_deref())
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
