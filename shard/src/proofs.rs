//! Proofs of accounts for clients. The tree knows its newest state only, which is not certified yet; so a proof is
//! taken from it at once, and handed out when the record with that state is certified. No old state is kept for it.

use std::collections::VecDeque;

use fresnel_types::{
    BlockIndex, ClientId, Effect, Message, Party,
    leaves::Account,
    status::{AccountProof, Answer, Unproven},
};

use crate::{
    chain::Chain,
    limits::{PROOF_RECORDS_MAX, PROOFS_WAITING_MAX},
};

/// Proofs that wait for their record to be certified, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    client: ClientId,
    request: u64,
    proof: Box<AccountProof>,
}

impl Proofs {
    /// `client` asked with number `request` for a proof of `account`, whose way in the newest state is `path`. The
    /// answer comes now or later.
    pub(crate) fn ask(
        &mut self,
        client: ClientId,
        request: u64,
        account: Option<Account>,
        path: Vec<u8>,
        chain: &Chain,
        effects: &mut Vec<Effect>,
    ) {
        let refused = if chain.diverged().is_some() {
            Unproven::Diverged
        } else if self.waiting.len() == PROOFS_WAITING_MAX {
            Unproven::Busy
        } else if let Some((record, range)) = chain.newest() {
            let (record, range) = (record.clone(), range.clone());
            let proof = AccountProof { account, path, record, range, between: Vec::new(), head: None };
            self.waiting.push_back(Waiting { client, request, proof: Box::new(proof) });
            return self.release(chain, effects);
        } else {
            Unproven::NoRecord
        };
        answer(client, request, Answer::Unproven(refused), effects);
    }

    /// The client is gone.
    pub(crate) fn forget_client(&mut self, client: ClientId) {
        self.waiting.retain(|waiting| waiting.client != client);
    }

    /// Hands out what became certified, and gives up what never will be.
    pub(crate) fn release(&mut self, chain: &Chain, effects: &mut Vec<Effect>) {
        while let Some(first) = self.waiting.front() {
            let block = first.proof.record.block;
            let certified = chain.confirmed() >= block;
            if !certified && chain.diverged().is_none() {
                return;
            }
            let Some(Waiting { client, request, mut proof }) = self.waiting.pop_front() else { return };
            let result = if !certified {
                Answer::Unproven(Unproven::Diverged)
            } else if link(&mut proof, block, chain) {
                Answer::Proof(proof)
            } else {
                Answer::Unproven(Unproven::Busy)
            };
            answer(client, request, result, effects);
        }
    }
}

/// Ties the record of `block` to the certified one; false when they are too far apart.
fn link(proof: &mut AccountProof, block: BlockIndex, chain: &Chain) -> bool {
    let mut later = chain.after(block).take_while(|(record, _)| record.block <= chain.confirmed()).peekable();
    while let Some((record, digest)) = later.next() {
        if later.peek().is_none() {
            proof.head = Some(record.clone());
        } else if proof.between.len() < PROOF_RECORDS_MAX {
            proof.between.push(*digest);
        } else {
            return false;
        }
    }
    true
}

fn answer(client: ClientId, request: u64, answer: Answer, effects: &mut Vec<Effect>) {
    let message = Message::Answer { request, answer };
    effects.push(Effect::Send { to: vec![Party::Client(client)], message });
}

#[cfg(test)]
mod tests;
