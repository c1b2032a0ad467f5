//! The one way from bytes of others to something a machine takes: form and signatures, checked in batches.
//!
//! Nothing here depends on state, a clock or configuration beyond the genesis, so every honest process gives the same
//! verdict on the same bytes.

use std::ops::Deref;

use fresnel_crypto::{Item, Verifier, is_small_order};

use crate::{
    Ablation, Address, AuthorityIndex, AuthoritySet, Batch, Certificate, ChainId, CommitVote, Committee,
    Epoch, Genesis, Message, Parameters, PublicKey, RejectionCode, ShardHeader, ShardId, Shards, Signature,
    SignedHead, SignedTransaction, SignedVertex, Transaction, VertexHead, Vote,
    ablation::{NotForBenchmarks, Part},
    codec,
    identities::{Unsigned, addresses},
    limits::{ATTESTATIONS_PER_HEADER_MAX, BATCH_BYTES_MAX, SUBMISSIONS_TOGETHER_MAX},
    message::StatePiece,
    snapshot::{SnapshotAnswer, SnapshotOffer},
    vertex::{vertex_signing_digest, vote_signing_digest},
};

/// Something whose form and signatures were checked. Only this module makes one; decoding never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The checked value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What is wrong with a message. The sender is at fault, whoever made the contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A signature does not verify.
    #[error("a signature does not verify")]
    Signature,
    /// Signed for another chain or epoch.
    #[error("it belongs to another chain or epoch")]
    Chain,
    /// Names an authority or shard that does not exist.
    #[error("it names an authority or shard that does not exist")]
    Unknown,
    /// A vertex breaks a rule of its form.
    #[error("vertex: {0}")]
    Vertex(&'static str),
    /// A certificate without a quorum, or with signatures that do not match its signers.
    #[error("the certificate has no quorum of signatures")]
    Certificate,
    /// A piece of a state whose commit a quorum did not name.
    #[error("no quorum named the commit of the state")]
    State,
    /// A batch that is malformed, too large, or holds a malformed transaction.
    #[error("batch: {0}")]
    Batch(&'static str),
    /// A bundle whose receipts are not those of its record.
    #[error("the bundle's receipts are not those of its record")]
    Bundle,
    /// An offered record that the later one does not commit to, or not one of a shard.
    #[error("the offered record is not one that the later one commits to")]
    Snapshot,
    /// More items than the protocol allows.
    #[error("more items than allowed")]
    TooMany,
    /// A client's message where a peer's is expected.
    #[error("not a message between machines")]
    Misplaced,
}

/// What checking needs to know of a chain.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The chain.
    pub chain: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The committee of the epoch.
    pub committee: Committee,
    /// Number of shards.
    pub shards: Shards,
    /// Constants of the protocol.
    pub parameters: Parameters,
    /// What a benchmark leaves out.
    ablation: Ablation,
}

/// Items in one frame of votes, requests or certificates; a committee's worth for some rounds.
const ITEMS_MAX: usize = 4_096;

impl Rules {
    /// The rules of a chain in its first epoch.
    pub fn of(genesis: &Genesis) -> Self {
        Self {
            chain: genesis.chain(),
            epoch: genesis.epoch(),
            committee: genesis.committee(),
            shards: genesis.shards,
            parameters: genesis.parameters.clone(),
            ablation: Ablation::default(),
        }
    }

    /// The same, leaving out `ablation`.
    ///
    /// # Errors
    /// When that is anything and the chain is not for benchmarks.
    pub fn without(self, ablation: Ablation) -> Result<Self, NotForBenchmarks> {
        if !ablation.is_empty() && !self.parameters.bench {
            return Err(NotForBenchmarks(ablation));
        }
        Ok(Self { ablation, ..self })
    }

    /// Whether a benchmark leaves out `part`.
    pub fn leaves_out(&self, part: Part) -> bool {
        self.ablation.contains(part)
    }

    /// Checks messages of peers together; one verdict each, in order.
    pub fn verify(
        &self,
        verifier: &mut Verifier,
        messages: Vec<Message>,
    ) -> Vec<Result<Verified<Message>, VerifyError>> {
        let mut signatures = Signatures::default();
        let mut verdicts: Vec<Result<(), VerifyError>> = Vec::with_capacity(messages.len());
        for (owner, message) in messages.iter().enumerate() {
            let kept = signatures.items.len();
            let verdict = self.form(message, owner, &mut signatures);
            if verdict.is_err() {
                signatures.items.truncate(kept);
            }
            verdicts.push(verdict);
        }
        for owner in signatures.bad_owners(verifier) {
            verdicts[owner] = Err(VerifyError::Signature);
        }
        messages
            .into_iter()
            .zip(verdicts)
            .map(|(message, verdict)| verdict.map(|()| Verified(message)))
            .collect()
    }

    /// Checks one message of a peer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify_one(
        &self,
        verifier: &mut Verifier,
        message: Message,
    ) -> Result<Verified<Message>, VerifyError> {
        self.verify(verifier, vec![message]).pop().expect("one verdict per message")
    }

    /// Checks a client's transactions for `shard` together; one verdict each, in order. Beyond
    /// [`SUBMISSIONS_TOGETHER_MAX`] they are refused as overload.
    pub fn verify_submission(
        &self,
        verifier: &mut Verifier,
        shard: ShardId,
        transactions: Vec<SignedTransaction>,
    ) -> Vec<Result<Verified<SignedTransaction>, RejectionCode>> {
        let mut signatures = Signatures::default();
        let mut verdicts = Vec::with_capacity(transactions.len());
        let hashed = Hashed::of(&transactions[..transactions.len().min(SUBMISSIONS_TOGETHER_MAX)]);
        for (owner, signed) in transactions.iter().enumerate() {
            let verdict = match hashed.addresses.get(owner) {
                Some(sender) => self.transaction_form(shard, &signed.transaction, sender),
                None => Err(RejectionCode::Overloaded),
            };
            if verdict.is_ok() && !self.leaves_out(Part::Signatures) {
                signatures.transaction(owner, signed, hashed.digests[owner]);
            }
            verdicts.push(verdict);
        }
        for owner in signatures.bad_owners(verifier) {
            verdicts[owner] = Err(RejectionCode::BadSignature);
        }
        transactions
            .into_iter()
            .zip(verdicts)
            .map(|(signed, verdict)| verdict.map(|()| Verified(signed)))
            .collect()
    }

    /// Whether bytes alone make `transaction`, whose sender has this address, one of `shard`.
    fn transaction_form(
        &self,
        shard: ShardId,
        transaction: &Transaction,
        sender: &Address,
    ) -> Result<(), RejectionCode> {
        if !transaction.action.is_well_formed() || is_small_order(&transaction.sender.0) {
            Err(RejectionCode::Malformed)
        } else if transaction.chain != self.chain {
            Err(RejectionCode::WrongChain)
        } else if self.shards.of_prefix(sender.prefix()) != shard {
            Err(RejectionCode::WrongShard)
        } else {
            Ok(())
        }
    }

    fn form(&self, message: &Message, owner: usize, signatures: &mut Signatures) -> Result<(), VerifyError> {
        let bounded = |count: usize| if count <= ITEMS_MAX { Ok(()) } else { Err(VerifyError::TooMany) };
        match message {
            Message::Proposal(vertex) => self.vertex(vertex, owner, signatures),
            Message::Votes(votes) => {
                bounded(votes.len())?;
                votes.iter().try_for_each(|vote| self.vote(vote, owner, signatures))
            }
            Message::Certificates(certificates) => {
                bounded(certificates.len())?;
                certificates
                    .iter()
                    .try_for_each(|certificate| self.certificate(certificate, owner, signatures))
            }
            Message::Vertices(vertices) => {
                bounded(vertices.len())?;
                vertices.iter().try_for_each(|certified| {
                    self.vertex(&certified.vertex, owner, signatures)?;
                    match &certified.certificate {
                        Some(certificate)
                            if certificate.vertex != certified.vertex.vertex.head.reference() =>
                        {
                            Err(VerifyError::Certificate)
                        }
                        Some(certificate) => self.certificate(certificate, owner, signatures),
                        None => Ok(()),
                    }
                })
            }
            Message::CommitRange(commits) => {
                bounded(commits.len())?;
                commits.iter().try_for_each(|commit| {
                    let named = commit.commit.vertices.iter();
                    let given = commit.vertices.iter().map(|vertex| vertex.vertex.head.reference());
                    if commit.vertices.len() != commit.commit.vertices.len() || !named.copied().eq(given) {
                        return Err(VerifyError::Vertex(
                            "a commit comes with exactly the vertices that it orders",
                        ));
                    }
                    commit.vertices.iter().try_for_each(|vertex| self.vertex(vertex, owner, signatures))
                })
            }
            Message::VertexRequest(references) => bounded(references.len()),
            Message::Status(status) => bounded(status.held.len()),
            Message::Stored(batches) => bounded(batches.len()),
            Message::BatchStored(batches) | Message::BatchRequest(batches) => bounded(batches.len()),
            Message::State(piece) => self.state_piece(piece, owner, signatures),
            Message::RoundAnswer { yours, highest, .. } => {
                yours.iter().try_for_each(|head| self.signed_head(head, owner, signatures))?;
                highest.iter().try_for_each(|highest| self.certificate(highest, owner, signatures))
            }
            Message::Batch(bytes) => self.batch(bytes, owner, signatures),
            Message::Bundle(bundle) => {
                if !self.shards.contains(bundle.record.shard) || !self.shards.contains(bundle.destination) {
                    Err(VerifyError::Unknown)
                } else if bundle.record.pairs.len() != self.shards.count() || !bundle.is_consistent() {
                    Err(VerifyError::Bundle)
                } else {
                    Ok(())
                }
            }
            Message::Snapshot(SnapshotAnswer::Offer(Some(offer))) => self.offered(offer),
            Message::CommitRequest(_)
            | Message::SnapshotRequest(_)
            | Message::Snapshot(_)
            | Message::OrderGone(_)
            | Message::RoundRequest(_)
            | Message::StateRequest { .. }
            | Message::Offer(_)
            | Message::OrderRequest(_)
            | Message::OrderStored(_)
            | Message::Proposing(_)
            | Message::Require { .. }
            | Message::Order(_)
            | Message::BundleRequest { .. }
            | Message::Query { .. } => Ok(()),
            Message::Submit { .. }
            | Message::Admission { .. }
            | Message::Progress(_)
            | Message::Answer { .. } => Err(VerifyError::Misplaced),
        }
    }

    fn offered(&self, offer: &SnapshotOffer) -> Result<(), VerifyError> {
        let record = &offer.published.record;
        if !self.shards.contains(record.shard) {
            return Err(VerifyError::Unknown);
        }
        let later = offer.later.as_ref();
        let follows =
            later.is_none_or(|later| later.record.shard == record.shard && later.commits_to(record));
        if follows && record.pairs.len() == self.shards.count() { Ok(()) } else { Err(VerifyError::Snapshot) }
    }

    fn vertex(
        &self,
        signed: &SignedVertex,
        owner: usize,
        signatures: &mut Signatures,
    ) -> Result<(), VerifyError> {
        let head = &signed.vertex.head;
        if head.chain != self.chain || head.epoch != self.epoch {
            return Err(VerifyError::Chain);
        }
        let author = self.committee.authority(head.author).ok_or(VerifyError::Unknown)?;
        self.links(head)?;
        if !signed.vertex.headers.is_sorted_by(|a, b| a.shard < b.shard) {
            return Err(VerifyError::Vertex("headers ascend by shard, each shard once"));
        }
        signed.vertex.headers.iter().try_for_each(|header| self.header(header, head.author))?;
        if !signed.vertex.roots_match() {
            return Err(VerifyError::Vertex("the roots are not those of the payload"));
        }
        signatures.push(owner, author.consensus_key, vertex_signing_digest(&head.id()), signed.signature);
        Ok(())
    }

    fn links(&self, head: &VertexHead) -> Result<(), VerifyError> {
        let error = |reason| Err(VerifyError::Vertex(reason));
        let Some(before) = head.round.0.checked_sub(1) else {
            return error("nobody makes a vertex of round 0");
        };
        if head.parents.iter().any(|parent| parent.round.0 != before) {
            return error("a parent is not of the round before");
        }
        if !head.parents.is_sorted_by(|a, b| a.author < b.author) {
            return error("parents ascend by author");
        }
        if head.links().any(|link| self.committee.authority(link.author).is_none()) {
            return Err(VerifyError::Unknown);
        }
        if !self.committee.is_quorum(&head.parents.iter().map(|parent| parent.author).collect()) {
            return error("the parents are no quorum");
        }
        if head.weak.len() > self.committee.size() || !head.weak.is_sorted_by(|a, b| a < b) {
            return error("weak links ascend and are at most one per authority in number");
        }
        if head.weak.iter().any(|link| link.round.0 >= before) {
            return error("a weak link is not of an earlier round than the parents");
        }
        Ok(())
    }

    fn header(&self, header: &ShardHeader, author: AuthorityIndex) -> Result<(), VerifyError> {
        let error = |reason| Err(VerifyError::Vertex(reason));
        if !self.shards.contains(header.shard) || header.author != author {
            return error("a header is of another author or of no shard");
        }
        if header.batches.len() as u64 > self.parameters.header_batches_max {
            return error("too many batches in a header");
        }
        let fits = |bytes: u32| bytes as usize <= BATCH_BYTES_MAX;
        if header.batches.iter().any(|batch| batch.count == 0 || !fits(batch.bytes)) {
            return error("a batch is empty or too large");
        }
        if header.batches.iter().map(|batch| u64::from(batch.bytes)).sum::<u64>()
            > self.parameters.header_bytes_max
        {
            return error("too many bytes in a header");
        }
        if header.attestations.len() > ATTESTATIONS_PER_HEADER_MAX
            || header.attestations.iter().any(|attestation| attestation.shard != header.shard)
            || !header.attestations.is_sorted_by(|a, b| a.block < b.block)
        {
            return error("attestations are of the header's shard, ascend by block, and are few");
        }
        if header.held.len() != self.shards.count() {
            return error("held has one entry per shard");
        }
        Ok(())
    }

    fn vote(&self, vote: &Vote, owner: usize, signatures: &mut Signatures) -> Result<(), VerifyError> {
        if self.committee.authority(vote.vertex.author).is_none() {
            return Err(VerifyError::Unknown);
        }
        self.signature_of_voter(vote, owner, signatures)
    }

    fn certificate(
        &self,
        certificate: &Certificate,
        owner: usize,
        signatures: &mut Signatures,
    ) -> Result<(), VerifyError> {
        if self.committee.authority(certificate.vertex.author).is_none() {
            return Err(VerifyError::Unknown);
        }
        if certificate.signatures.len() != certificate.signers.len()
            || !self.committee.is_quorum(&certificate.signers)
            || !certificate.stored.difference(&certificate.signers).is_empty()
            || !self.committee.is_valid(&certificate.stored)
        {
            return Err(VerifyError::Certificate);
        }
        certificate.votes().try_for_each(|vote| self.signature_of_voter(&vote, owner, signatures))
    }

    fn signature_of_voter(
        &self,
        vote: &Vote,
        owner: usize,
        signatures: &mut Signatures,
    ) -> Result<(), VerifyError> {
        let authority = self.committee.authority(vote.voter).ok_or(VerifyError::Unknown)?;
        let digest = vote_signing_digest(&self.chain, self.epoch, vote);
        signatures.push(owner, authority.consensus_key, digest, vote.signature);
        Ok(())
    }

    /// A piece of a state says what commit it is of; the first comes with a quorum of authors who named that commit.
    fn state_piece(
        &self,
        piece: &StatePiece,
        owner: usize,
        signatures: &mut Signatures,
    ) -> Result<(), VerifyError> {
        let named = CommitVote { index: piece.commit.index, digest: piece.commit.digest() };
        if !piece.voters.is_sorted_by(|a, b| a.head.author < b.head.author)
            || piece.voters.iter().any(|voter| voter.head.commit_vote != named)
        {
            return Err(VerifyError::State);
        }
        let authors: AuthoritySet = piece
            .voters
            .iter()
            .map(|voter| self.committee.authority(voter.head.author).map(|_| voter.head.author))
            .collect::<Option<_>>()
            .ok_or(VerifyError::Unknown)?;
        if piece.number == 0 && !self.committee.is_quorum(&authors) {
            return Err(VerifyError::State);
        }
        piece.voters.iter().try_for_each(|voter| self.signed_head(voter, owner, signatures))
    }

    fn signed_head(
        &self,
        signed: &SignedHead,
        owner: usize,
        signatures: &mut Signatures,
    ) -> Result<(), VerifyError> {
        let SignedHead { head, signature } = signed;
        if head.chain != self.chain || head.epoch != self.epoch {
            return Err(VerifyError::Chain);
        }
        let author = self.committee.authority(head.author).ok_or(VerifyError::Unknown)?;
        signatures.push(owner, author.consensus_key, vertex_signing_digest(&head.id()), *signature);
        Ok(())
    }

    fn batch(&self, bytes: &[u8], owner: usize, signatures: &mut Signatures) -> Result<(), VerifyError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(VerifyError::Batch("too large"));
        }
        let batch: Batch = codec::decode(bytes).map_err(|_| VerifyError::Batch("malformed"))?;
        if self.committee.authority(batch.author).is_none() || !self.shards.contains(batch.shard) {
            return Err(VerifyError::Unknown);
        }
        if batch.transactions.is_empty() {
            return Err(VerifyError::Batch("empty"));
        }
        let hashed = Hashed::of(&batch.transactions);
        for ((signed, sender), digest) in batch.transactions.iter().zip(&hashed.addresses).zip(hashed.digests)
        {
            self.transaction_form(batch.shard, &signed.transaction, sender)
                .map_err(|_| VerifyError::Batch("a transaction is malformed or of another chain or shard"))?;
            if !self.leaves_out(Part::Signatures) {
                signatures.transaction(owner, signed, digest);
            }
        }
        Ok(())
    }
}

/// What checking transactions hashes, all of them at once.
struct Hashed {
    /// Of the senders.
    addresses: Vec<Address>,
    /// What the signatures cover.
    digests: Vec<[u8; 32]>,
}

impl Hashed {
    fn of(transactions: &[SignedTransaction]) -> Self {
        let unsigned = Unsigned::of(transactions.iter().map(|signed| &signed.transaction));
        let addresses = addresses(transactions.iter().map(|signed| &signed.transaction.sender));
        Self { addresses, digests: unsigned.signing_digests() }
    }
}

/// Signatures collected from several messages, each with the position of the message that it came from.
#[derive(Default)]
struct Signatures {
    items: Vec<(usize, PublicKey, [u8; 32], Signature)>,
}

impl Signatures {
    fn push(&mut self, owner: usize, key: PublicKey, digest: [u8; 32], signature: Signature) {
        self.items.push((owner, key, digest, signature));
    }

    fn transaction(&mut self, owner: usize, signed: &SignedTransaction, digest: [u8; 32]) {
        self.push(owner, signed.transaction.sender, digest, signed.signature);
    }

    fn bad_owners(&self, verifier: &mut Verifier) -> Vec<usize> {
        let items: Vec<Item<'_>> = self
            .items
            .iter()
            .map(|(_, key, message, signature)| Item { key: &key.0, message, signature: &signature.0 })
            .collect();
        verifier.verify(&items).into_iter().map(|index| self.items[index].0).collect()
    }
}

#[cfg(test)]
mod tests;
