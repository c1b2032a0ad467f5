//! Clients that pay and read at random while processes are killed and restarted, and write down what they see.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use fresnel_client::{Client, ClientError, Session, Wallet};
use fresnel_types::{
    Amount, ChainId, Nonce, RejectionCode, ShardId, SignedTransaction, Timestamp, TransactionId,
    frame::Role,
    limits::NONCE_WINDOW,
    status::{Answer, Level, Progress, Query, WorkerStatus},
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use super::{History, Payment, Seen};
use crate::{Cluster, Fault, limits::CATCH_UP_MAX, workload::Accounts};

/// How a cluster is played with.
#[derive(Clone, Debug)]
pub struct Game {
    /// Of all choices.
    pub seed: u64,
    /// How many clients there are at a time.
    pub clients: usize,
    /// For how long they pay.
    pub lasts: Duration,
    /// What each account has at the start: little, so that some payments fail.
    pub funds: Amount,
    /// What happens meanwhile, in order.
    pub faults: Vec<Fault>,
}

/// What all clients write into and read from.
struct Shared {
    chain: ChainId,
    accounts: Accounts,
    /// By authority and shard, where its worker listens.
    places: BTreeMap<(usize, ShardId), SocketAddr>,
    authorities: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    payments: Vec<Payment>,
    transactions: Vec<SignedTransaction>,
    numbers: BTreeMap<TransactionId, usize>,
    /// Heard ordered or more by somebody.
    ordered: BTreeSet<usize>,
}

/// Plays and gives what was seen. The accounts are those of the cluster's genesis, and nobody else uses them.
///
/// # Errors
/// When the cluster cannot be reached, or does not come to rest.
pub async fn play(cluster: &mut Cluster, accounts: Accounts, game: &Game) -> Result<History> {
    let mut places = BTreeMap::new();
    for endpoint in cluster.endpoints() {
        for role in &endpoint.roles {
            if let Role::Worker(shard) = role {
                places.insert((endpoint.authority.index(), *shard), endpoint.address);
            }
        }
    }
    let authorities = cluster.genesis().authorities.len();
    let chain = cluster.genesis().chain();
    let shared = Arc::new(Shared { chain, accounts, places, authorities, book: Mutex::default() });
    let until = Instant::now() + game.lasts;
    let players = (0..game.clients).map(|number| {
        let player = Player::new(Arc::clone(&shared), game, number);
        tokio::spawn(player.run(until))
    });
    let players: Vec<_> = players.collect();
    let start = Instant::now();
    for fault in &game.faults {
        sleep((start + fault.at).saturating_duration_since(Instant::now())).await;
        cluster.strike(fault)?;
    }
    let mut clients = Vec::new();
    for player in players {
        clients.push(player.await.context("a client panicked")?);
    }
    shared.end(game, clients).await
}

impl Shared {
    fn shard(&self, account: usize) -> ShardId {
        self.accounts.shard(account as u32)
    }

    /// Waits until every payment that anybody heard of has ended at every authority, and reads all balances.
    async fn end(&self, game: &Game, mut clients: Vec<Vec<Seen>>) -> Result<History> {
        let deadline = Instant::now() + CATCH_UP_MAX;
        self.rest(deadline).await?;
        let (payments, transactions, ordered) = {
            let book = self.book.lock().expect("no client panics with it");
            (book.payments.clone(), book.transactions.clone(), book.ordered.clone())
        };
        let mut last_words = Vec::new();
        let mut vanished = Vec::new();
        for authority in 0..self.authorities {
            let mut links = Links::default();
            for (number, signed) in transactions.iter().enumerate() {
                let (id, shard) = (signed.transaction.id(), self.shard(payments[number].sender));
                loop {
                    let client = links.to(self, authority, shard).await;
                    let answer = match client {
                        Some(client) => client.query(Role::Worker(shard), Query::Transaction(id)).await.ok(),
                        None => None,
                    };
                    let news = match answer {
                        Some(Answer::Transaction(news)) => news,
                        _ => {
                            links.0.remove(&(authority, shard));
                            None
                        }
                    };
                    let is_over = news.is_some_and(|news| {
                        last_words.push(seen(number, authority, &news));
                        news.level == Level::Settled
                    });
                    // What nobody heard ordered may never have come anywhere.
                    if is_over || !ordered.contains(&number) {
                        break;
                    }
                    if Instant::now() >= deadline {
                        vanished.push(number);
                        break;
                    }
                    sleep(POLL).await;
                }
            }
        }
        clients.push(last_words);
        let mut last = Vec::new();
        let mut links = Links::default();
        for account in 0..self.accounts.count() {
            let shard = self.shard(account);
            let client = links.to(self, 0, shard).await.context("authority 0 is gone in the end")?;
            let found = client.account(shard, self.accounts.address(account as u32)).await?;
            last.push(found.map_or(Amount(0), |account| account.balance));
        }
        let accounts = (0..self.accounts.count()).map(|account| (game.funds, self.shard(account)));
        Ok(History { accounts: accounts.collect(), payments, clients, vanished, last })
    }
}

impl Shared {
    /// Waits until no worker has anything pending or in flight.
    async fn rest(&self, deadline: Instant) -> Result<()> {
        let mut links = Links::default();
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            quiet += 1;
            for &(authority, shard) in self.places.keys() {
                let status = match links.to(self, authority, shard).await {
                    Some(client) => client.query(Role::Worker(shard), Query::Status).await.ok(),
                    None => None,
                };
                let rests = |status: &WorkerStatus| status.pending == 0 && status.in_flight == 0;
                if !matches!(&status, Some(Answer::Worker(status)) if rests(status)) {
                    quiet = 0;
                    links.0.remove(&(authority, shard));
                }
            }
            if Instant::now() >= deadline {
                bail!("the cluster does not come to rest");
            }
            sleep(POLL).await;
        }
        Ok(())
    }
}

/// The connections of one client.
#[derive(Default)]
struct Links(BTreeMap<(usize, ShardId), Client>);

impl Links {
    async fn to(&mut self, shared: &Shared, authority: usize, shard: ShardId) -> Option<&mut Client> {
        let place = (authority, shard);
        if let Entry::Vacant(vacant) = self.0.entry(place) {
            vacant.insert(Client::connect(*shared.places.get(&place)?, shared.chain).await.ok()?);
        }
        self.0.get_mut(&place)
    }
}

/// One client. It pays from accounts that only it uses.
struct Player {
    shared: Arc<Shared>,
    random: ChaCha12Rng,
    own: Vec<usize>,
    nonces: BTreeMap<usize, u64>,
    /// The payments that it made, to be asked about and sent again.
    made: Vec<usize>,
    session: Session,
    links: Links,
    seen: Vec<Seen>,
    most: u64,
}

impl Player {
    fn new(shared: Arc<Shared>, game: &Game, number: usize) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(game.seed);
        random.set_stream(number as u64);
        let own = (0..shared.accounts.count()).filter(|account| account % game.clients == number).collect();
        let most = game.funds.0 / 4;
        Self {
            shared,
            random,
            own,
            nonces: BTreeMap::new(),
            made: Vec::new(),
            session: Session::default(),
            links: Links::default(),
            seen: Vec::new(),
            most,
        }
    }

    async fn run(mut self, until: Instant) -> Vec<Seen> {
        while Instant::now() < until {
            let place = self.below(self.shared.authorities);
            // Whoever is down is asked again later.
            let step = async {
                match self.below(8) {
                    0..3 => self.pay(place).await,
                    3 => self.send_again(place).await,
                    4..6 => self.ask(place).await,
                    _ => self.read(place).await,
                }
            };
            if !matches!(timeout(PATIENCE, step).await, Ok(Ok(()))) {
                self.links.0.retain(|(authority, _), _| *authority != place);
            }
            sleep(PAUSE).await;
        }
        self.seen
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.random.next_u32()) * bound as u64) >> 32) as usize
    }

    async fn pay(&mut self, authority: usize) -> Result<()> {
        let place = self.below(self.own.len());
        let sender = self.own[place];
        let recipient = self.below(self.shared.accounts.count());
        let nonce = self.nonces.get(&sender).copied().unwrap_or(0);
        if recipient == sender || nonce >= NONCE_WINDOW {
            return Ok(());
        }
        self.nonces.insert(sender, nonce + 1);
        let (amount, fee) = (Amount(1 + self.below(self.most as usize) as u64), Amount(1));
        let wallet = Wallet::new(self.shared.chain, self.shared.accounts.key(sender as u32).clone());
        let to = self.shared.accounts.address(recipient as u32);
        let signed = wallet.transfer(Nonce(nonce), to, amount, fee, valid_until()?);
        let number = {
            let mut book = self.shared.book.lock().expect("no client panics with it");
            book.payments.push(Payment { sender, recipient, amount, fee });
            book.transactions.push(signed.clone());
            let number = book.payments.len() - 1;
            book.numbers.insert(signed.transaction.id(), number);
            number
        };
        self.made.push(number);
        self.submit(authority, number, signed).await
    }

    async fn send_again(&mut self, authority: usize) -> Result<()> {
        if self.made.is_empty() {
            return Ok(());
        }
        let place = self.below(self.made.len());
        let number = self.made[place];
        let signed = self.shared.book.lock().expect("no client panics with it").transactions[number].clone();
        self.submit(authority, number, signed).await
    }

    async fn submit(&mut self, authority: usize, number: usize, signed: SignedTransaction) -> Result<()> {
        let sender = self.shared.book.lock().expect("no client panics with it").payments[number].sender;
        let shard = self.shared.shard(sender);
        let client = self.links.to(&self.shared, authority, shard).await.context("nobody there")?;
        let admission = client.submit(shard, vec![signed]).await?;
        match admission.results[..] {
            [None | Some(RejectionCode::Duplicate)] => {}
            // Refusals leave no trace, so that a later attempt may still succeed.
            [Some(_)] => return Ok(()),
            _ => bail!("one transaction has one result"),
        }
        // What comes soon; the rest is asked for.
        while let Ok(news) = timeout(SOON, client.progress()).await {
            for news in news? {
                note(&self.shared, &mut self.seen, &mut self.session, authority, &news);
            }
        }
        Ok(())
    }

    async fn ask(&mut self, authority: usize) -> Result<()> {
        if self.made.is_empty() {
            return Ok(());
        }
        let place = self.below(self.made.len());
        let number = self.made[place];
        let (sender, id) = {
            let book = self.shared.book.lock().expect("no client panics with it");
            (book.payments[number].sender, book.transactions[number].transaction.id())
        };
        let shard = self.shared.shard(sender);
        let client = self.links.to(&self.shared, authority, shard).await.context("nobody there")?;
        if let Answer::Transaction(Some(news)) =
            client.query(Role::Worker(shard), Query::Transaction(id)).await?
        {
            note(&self.shared, &mut self.seen, &mut self.session, authority, &news);
        }
        Ok(())
    }

    async fn read(&mut self, authority: usize) -> Result<()> {
        let account = self.below(self.shared.accounts.count());
        let shard = self.shared.shard(account);
        let address = self.shared.accounts.address(account as u32);
        let client = self.links.to(&self.shared, authority, shard).await.context("nobody there")?;
        match self.session.account(client, shard, address).await {
            Ok((block, found)) => {
                let balance = found.map_or(Amount(0), |account| account.balance);
                self.seen.push(Seen::Balance { account, block, balance });
                Ok(())
            }
            // Right of it to say so.
            Err(ClientError::Behind { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn note(shared: &Shared, seen_by: &mut Vec<Seen>, session: &mut Session, authority: usize, news: &Progress) {
    let mut book = shared.book.lock().expect("no client panics with it");
    let Some(&number) = book.numbers.get(&news.transaction) else { return };
    if news.level >= Level::Ordered {
        book.ordered.insert(number);
    }
    session.heard(shared.shard(book.payments[number].sender), news);
    seen_by.push(seen(number, authority, news));
}

fn seen(payment: usize, authority: usize, news: &Progress) -> Seen {
    let end = news.outcome.map(|outcome| (outcome, news.block));
    Seen::News { payment, authority, level: news.level, end, bounced: news.bounced }
}

#[expect(clippy::disallowed_methods, reason = "transactions are valid until an instant of the real clock")]
fn valid_until() -> Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(Timestamp(u64::try_from(since.as_micros())?).plus(VALID_MICROS))
}

/// Between two steps of a client.
const PAUSE: Duration = Duration::from_millis(2);

/// For how long a client waits for news after a submission.
const SOON: Duration = Duration::from_millis(3);

/// For how long a step may take before its authority is taken for dead.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often in a row everything must look quiet: a block is executed between two looks.
const QUIET_LOOKS: u32 = 10;

/// Between two questions about what has not ended.
const POLL: Duration = Duration::from_millis(50);

/// For how long payments are valid: longer than any game.
const VALID_MICROS: u64 = 30 * 60 * 1_000_000;
