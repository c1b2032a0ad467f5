//! New commits for those who subscribe to them. While there are any, the beacon is asked for what is new at short
//! intervals, once for all of them; who falls behind fetches what it missed from the beacon.

use std::{sync::Arc, time::Duration};

use fresnel_types::{
    CommitDigest, CommitIndex,
    frame::Role,
    rpc::Failure,
    status::{Answer, Query},
};
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
    },
    time::sleep,
};

use super::{desk::Desk, fault::Fault};
use crate::limits::{RPC_ANSWER_TIMEOUT, RPC_COMMITS_INTERVAL, RPC_COMMITS_WAITING};

type News = (CommitIndex, CommitDigest);

/// Where new commits are told.
pub(super) struct Commits {
    desk: Arc<Desk>,
    news: broadcast::Sender<News>,
    subscribed: Notify,
}

impl Commits {
    /// Nobody subscribes yet.
    pub(super) fn new(desk: Arc<Desk>) -> Arc<Self> {
        let (news, _) = broadcast::channel(RPC_COMMITS_WAITING);
        Arc::new(Self { desk, news, subscribed: Notify::new() })
    }

    /// Asks the beacon while somebody listens, for as long as the process runs.
    pub(super) async fn run(self: Arc<Self>) {
        let mut next = None;
        loop {
            if self.news.receiver_count() == 0 {
                next = None;
                self.subscribed.notified().await;
            }
            // A beacon that does not answer is asked again.
            if let Ok(news) = self.since(next, RPC_ANSWER_TIMEOUT).await {
                next = Some(news.last().map_or(next.unwrap_or_default(), |(index, _)| index.next()));
                for new in news {
                    // The last subscriber may have left.
                    let _ = self.news.send(new);
                }
            }
            sleep(RPC_COMMITS_INTERVAL).await;
        }
    }

    /// All commits from `from` on, or from the next one on, in order and without a gap.
    pub(super) async fn subscribe(&self, from: Option<CommitIndex>) -> Result<Subscriber<'_>, Fault> {
        let news = self.news.subscribe();
        self.subscribed.notify_one();
        let next = match from {
            Some(from) => from.max(CommitIndex(1)),
            None => self.last(RPC_ANSWER_TIMEOUT).await?.next(),
        };
        Ok(Subscriber { commits: self, news, next, missed: Vec::new(), is_behind: from.is_some() })
    }

    /// The beacon's last commit.
    pub(super) async fn last(&self, patience: Duration) -> Result<CommitIndex, Fault> {
        match self.desk.ask(Role::Beacon, Query::Status, patience).await? {
            Answer::Beacon(status) => Ok(status.commit),
            _ => Err(Fault::failed(Failure::Internal, "the beacon answered another question")),
        }
    }

    /// Commits from `from` on, as many as fit an answer; just the last one when there is no `from`.
    async fn since(&self, from: Option<CommitIndex>, patience: Duration) -> Result<Vec<News>, Fault> {
        let from = match from {
            Some(from) => from,
            None => self.last(patience).await?,
        };
        match self.desk.ask(Role::Beacon, Query::Commits(from), patience).await? {
            Answer::Commits(commits) => Ok(commits),
            _ => Err(Fault::failed(Failure::Internal, "the beacon answered another question")),
        }
    }
}

/// One who wants every commit.
pub(super) struct Subscriber<'a> {
    commits: &'a Commits,
    news: broadcast::Receiver<News>,
    next: CommitIndex,
    /// Fetched and not told yet, last first.
    missed: Vec<News>,
    is_behind: bool,
}

impl Subscriber<'_> {
    /// The next commit.
    pub(super) async fn next(&mut self) -> Result<News, Fault> {
        loop {
            if let Some(news) = self.missed.pop() {
                return self.tell(news);
            }
            if self.is_behind {
                self.missed = self.commits.since(Some(self.next), RPC_ANSWER_TIMEOUT).await?;
                self.missed.reverse();
                self.is_behind = !self.missed.is_empty();
                continue;
            }
            match self.news.recv().await {
                Ok(news) if news.0 < self.next => {}
                Ok(news) if news.0 == self.next => return self.tell(news),
                Ok(_) | Err(RecvError::Lagged(_)) => self.is_behind = true,
                Err(RecvError::Closed) => {
                    return Err(Fault::failed(Failure::Unreachable, "the process stops"));
                }
            }
        }
    }

    fn tell(&mut self, news: News) -> Result<News, Fault> {
        if news.0 != self.next {
            let sentence = format!("commit {} is not kept any more, the next is {}", self.next, news.0);
            return Err(Fault::failed(Failure::UnknownCommit, sentence));
        }
        self.next = news.0.next();
        Ok(news)
    }
}
