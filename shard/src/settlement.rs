//! How far each transaction has come: ordered, executed, final, settled, and who wants to hear of it.
//!
//! A transaction without a receipt is settled when it is final. One with a request is settled when a certified record of
//! the destination has consumed it, or, if it was bounced there, when a certified own record has consumed the bounce.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fresnel_types::{
    BlockIndex, Bundle, ClientId, Effect, IdMap, Message, Outcome, Party, Receipt, ReceiptKind, Sequence,
    ShardId, TransactionId,
    status::{Level, Progress},
};

use crate::limits::{LISTENERS_MAX, NEWS_PER_MESSAGE_MAX, NEWS_RETAINED};

/// Progress of the shard's transactions.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    news: News,
    /// Executed, not certified; by their numbers.
    executed: VecDeque<(BlockIndex, Vec<u64>)>,
    /// Per destination: requests whose consumption was not seen, ascending by sequence.
    requests: BTreeMap<ShardId, VecDeque<(Sequence, TransactionId)>>,
    /// Requests that came back and await the consumption of their bounce.
    bouncing: BTreeSet<TransactionId>,
    /// Bounces consumed by own blocks that are not certified yet.
    returned: VecDeque<(BlockIndex, TransactionId)>,
    /// Per listening client that is not gone: news not told yet. A listener that is not here is gone for good.
    outbox: BTreeMap<ClientId, Vec<Progress>>,
}

/// The last news of transactions, numbered in the order in which they became known. What is touched in that order, as
/// most is, is found by its number and not by its id.
#[derive(Debug, Default)]
struct News {
    numbers: IdMap<TransactionId, u64>,
    /// Oldest first: what is forgotten when there are too many.
    known: VecDeque<Known>,
    /// How many were forgotten: the number of the oldest.
    forgotten: u64,
}

#[derive(Debug)]
struct Known {
    progress: Progress,
    /// Whether a request of it is under way.
    open: bool,
    /// Most have none or one.
    listener: Option<ClientId>,
    further: Vec<ClientId>,
}

impl Settlement {
    /// `client` wants to hear about `transaction`, admitted now or known before; what is known is told at once.
    pub(crate) fn listen(&mut self, client: ClientId, transaction: TransactionId) {
        let (_, known) = self.news.enter(transaction);
        let news = self.outbox.entry(client).or_default();
        if known.progress.level > Level::Admitted {
            news.push(known.progress);
        }
        known.add_listener(client, |listener| self.outbox.contains_key(listener));
        self.news.forget_oldest();
    }

    /// As [`Self::listen`], if the transaction is known: what is known now, and from now on what follows.
    pub(crate) fn follow(&mut self, client: ClientId, transaction: TransactionId) -> Option<Progress> {
        let progress = self.progress(&transaction)?;
        self.listen(client, transaction);
        Some(progress)
    }

    /// The client is gone; its number never comes again.
    pub(crate) fn forget_client(&mut self, client: ClientId) {
        self.outbox.remove(&client);
    }

    /// Whether the transaction was executed, whatever came of it.
    pub(crate) fn is_executed(&self, transaction: &TransactionId) -> bool {
        self.news.get(transaction).is_some_and(|known| known.progress.level >= Level::Executed)
    }

    /// The last news.
    pub(crate) fn progress(&self, transaction: &TransactionId) -> Option<Progress> {
        self.news.get(transaction).map(|known| known.progress)
    }

    /// A commit holds the transaction, which was admitted here. After a restart nobody told of it yet, and whoever was
    /// told that it is ordered before must find it so again.
    pub(crate) fn ordered(&mut self, transaction: &TransactionId) {
        let (_, known) = self.news.enter(*transaction);
        if known.progress.level < Level::Ordered {
            known.progress.level = Level::Ordered;
            tell(&mut self.outbox, known);
        }
        self.news.forget_oldest();
    }

    /// A block was executed with these outcomes and this outbox; `returned` are the transactions whose bounces it
    /// consumed. Which of the outcomes are news.
    pub(crate) fn executed(
        &mut self,
        block: BlockIndex,
        outcomes: &[(TransactionId, Outcome)],
        outbox: &[Vec<Receipt>],
        returned: impl Iterator<Item = TransactionId>,
    ) -> Vec<(TransactionId, Outcome)> {
        let mut executed = Vec::with_capacity(outcomes.len());
        let mut fresh = Vec::with_capacity(outcomes.len());
        for &(transaction, outcome) in outcomes {
            let (number, known) = self.news.enter(transaction);
            // A repetition of a transaction executed before is void by its nonce and no news.
            if known.progress.level >= Level::Executed {
                continue;
            }
            known.progress = Progress {
                transaction,
                level: Level::Executed,
                outcome: Some(outcome),
                block,
                bounced: false,
            };
            tell(&mut self.outbox, known);
            executed.push(number);
            fresh.push((transaction, outcome));
        }
        for (destination, receipts) in outbox.iter().enumerate() {
            let requests = self.requests.entry(ShardId(destination as u16)).or_default();
            for receipt in receipts {
                if matches!(receipt.kind, ReceiptKind::Request { .. }) {
                    requests.push_back((receipt.sequence, receipt.transaction));
                    if let Some(known) = self.news.find(&receipt.transaction) {
                        known.open = true;
                    }
                }
            }
        }
        self.executed.push_back((block, executed));
        self.returned.extend(returned.map(|transaction| (block, transaction)));
        self.news.forget_oldest();
        fresh
    }

    /// Own records up to `block` are the certified ones.
    pub(crate) fn certified(&mut self, block: BlockIndex) {
        while self.executed.front().is_some_and(|(executed, _)| *executed <= block) {
            for number in self.executed.pop_front().map(|(_, executed)| executed).unwrap_or_default() {
                if let Some(known) = self.news.numbered(number) {
                    // Who hears that it is settled knows that it is final.
                    known.progress.level = if known.open { Level::Final } else { Level::Settled };
                    tell(&mut self.outbox, known);
                }
            }
        }
        while self.returned.front().is_some_and(|(returned, _)| *returned <= block) {
            if let Some((_, transaction)) = self.returned.pop_front() {
                self.bouncing.remove(&transaction);
                self.settle(&transaction, true);
            }
        }
    }

    /// A certified bundle of `source` says what it consumed of ours, and brings back what it could not apply. Bundles of
    /// one source come in order; of their receipts, those numbered below `arrived` were consumed here already.
    pub(crate) fn consumed(&mut self, own: ShardId, bundle: &Bundle, arrived: u64) {
        let cursor = Sequence(bundle.record.pairs[own.index()].cursor());
        let fresh = bundle.receipts.iter().filter(|receipt| receipt.sequence.0 >= arrived);
        self.consumed_below(bundle.record.shard, cursor, fresh);
    }

    /// A certified record of `source` has consumed what is numbered below `cursor`; `receipts` come from it and are not
    /// consumed here yet.
    pub(crate) fn consumed_below<'a>(
        &mut self,
        source: ShardId,
        cursor: Sequence,
        receipts: impl IntoIterator<Item = &'a Receipt>,
    ) {
        for receipt in receipts {
            if matches!(receipt.kind, ReceiptKind::Bounce { .. }) {
                self.bouncing.insert(receipt.transaction);
            }
        }
        let Some(requests) = self.requests.get_mut(&source) else { return };
        let consumed = requests.partition_point(|(sequence, _)| *sequence < cursor);
        let consumed: Vec<TransactionId> = requests.drain(..consumed).map(|(_, id)| id).collect();
        for transaction in consumed {
            if !self.bouncing.contains(&transaction) {
                self.settle(&transaction, false);
            }
        }
    }

    /// Transactions of the shard that sent value whose end is not certified yet.
    pub(crate) fn in_flight(&self) -> u64 {
        let requests: usize = self.requests.values().map(VecDeque::len).sum();
        (requests + self.bouncing.len()) as u64
    }

    /// Whether a transaction executed here is not settled.
    pub(crate) fn is_open(&self) -> bool {
        self.in_flight() > 0 || self.executed.iter().any(|(_, executed)| !executed.is_empty())
    }

    /// The news since the last call, for the clients that listen.
    pub(crate) fn flush(&mut self, effects: &mut Vec<Effect>) {
        for (client, waiting) in &mut self.outbox {
            let mut news = std::mem::take(waiting);
            while !news.is_empty() {
                let rest = news.split_off(news.len().min(NEWS_PER_MESSAGE_MAX));
                effects.push(Effect::Send {
                    to: vec![Party::Client(*client)],
                    message: Message::Progress(news),
                });
                news = rest;
            }
        }
    }

    fn settle(&mut self, transaction: &TransactionId, bounced: bool) {
        if let Some(known) = self.news.find(transaction) {
            known.progress.bounced = bounced;
            known.open = false;
            // The destination consumes only what is certified, but that this shard's record is may be heard later.
            if known.progress.level >= Level::Final {
                known.progress.level = Level::Settled;
                tell(&mut self.outbox, known);
            }
        }
    }
}

impl News {
    /// The last news of a transaction.
    fn get(&self, transaction: &TransactionId) -> Option<&Known> {
        let number = self.numbers.get(transaction)?;
        self.known.get((number - self.forgotten) as usize)
    }

    /// The same, to change them.
    fn find(&mut self, transaction: &TransactionId) -> Option<&mut Known> {
        let number = self.numbers.get(transaction)?;
        self.known.get_mut((number - self.forgotten) as usize)
    }

    /// Those of the transaction with a number, unless they are forgotten.
    fn numbered(&mut self, number: u64) -> Option<&mut Known> {
        self.known.get_mut(number.checked_sub(self.forgotten)? as usize)
    }

    /// The news of a transaction, which becomes known if it was not, with its number.
    fn enter(&mut self, transaction: TransactionId) -> (u64, &mut Known) {
        let next = self.forgotten + self.known.len() as u64;
        let number = *self.numbers.get_or_insert_with(transaction, || next);
        if number == next {
            let level = Level::Admitted;
            let progress =
                Progress { transaction, level, outcome: None, block: BlockIndex(0), bounced: false };
            self.known.push_back(Known { progress, open: false, listener: None, further: Vec::new() });
        }
        let known = self.known.get_mut((number - self.forgotten) as usize);
        (number, known.expect("what has a number is known"))
    }

    fn forget_oldest(&mut self) {
        while self.known.len() > NEWS_RETAINED
            && let Some(oldest) = self.known.pop_front()
        {
            self.numbers.remove(&oldest.progress.transaction);
            self.forgotten += 1;
        }
    }
}

impl Known {
    fn listeners(&self) -> impl Iterator<Item = &ClientId> {
        self.listener.iter().chain(&self.further)
    }

    /// Adds a listener; where there are too many, instead of one that is not `here` any more.
    fn add_listener(&mut self, client: ClientId, here: impl Fn(&ClientId) -> bool) {
        if self.listeners().any(|listener| *listener == client) {
            return;
        }
        if self.listeners().count() >= LISTENERS_MAX {
            self.listener = self.listener.filter(&here);
            self.further.retain(&here);
        }
        if self.listener.is_none() {
            self.listener = Some(client);
        } else if self.listeners().count() < LISTENERS_MAX {
            self.further.push(client);
        }
    }
}

fn tell(outbox: &mut BTreeMap<ClientId, Vec<Progress>>, known: &Known) {
    for listener in known.listeners() {
        if let Some(news) = outbox.get_mut(listener) {
            news.push(known.progress);
        }
    }
}

#[cfg(test)]
mod tests;
