//! The subscriptions: news about a transaction until it is settled, and commits as they are made.

use std::{future::Future, sync::Arc};

use fresnel_types::{
    CommitIndex,
    frame::Role,
    rpc::{CommitNews, CommitsParams, Failure, SubscribeParams},
    status::Level,
};
use jsonrpsee_core::{SubscriptionError, client::Subscription};
use jsonrpsee_server::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::to_raw_value};

use super::{
    COMMITS, Names, PROGRESS,
    calls::{Call, Calls, Place, parse, raw},
    commits::Subscriber,
    fault::Fault,
};
use crate::limits::RPC_ANSWER_TIMEOUT;

/// Adds them to the methods.
pub(super) fn register(methods: &mut RpcModule<Calls>) {
    subscription(methods, PROGRESS, |calls, call, params, pending| async move {
        calls.follow(call, params, pending).await
    });
    subscription(methods, COMMITS, |calls, call, params, pending| async move {
        calls.follow_commits(call, params, pending).await
    });
}

/// A subscription that ends without a word when the body does, or with the fault that it gives.
fn subscription<P, Fun, Fut>(
    module: &mut RpcModule<Calls>,
    (subscribe, notification, unsubscribe): Names,
    body: Fun,
) where
    P: DeserializeOwned + Send,
    Fun: Fn(Arc<Calls>, Call, P, PendingSubscriptionSink) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Fault>> + Send,
{
    let registered = module.register_subscription(
        subscribe,
        notification,
        unsubscribe,
        move |params, pending, calls, extensions| {
            let body = body.clone();
            let call = Call::new(subscribe, &params, &extensions);
            // A subscription is no open call.
            drop(extensions);
            async move {
                match parse(subscribe, &params) {
                    Ok(asked) => body(calls, call, asked, pending)
                        .await
                        .map_err(|fault| SubscriptionError::from_json(fault.as_notification())),
                    Err(fault) => {
                        pending.reject(fault).await;
                        Ok(())
                    }
                }
            }
        },
    );
    registered.expect("every subscription is registered once");
}

impl Calls {
    async fn follow(
        &self,
        call: Call,
        params: SubscribeParams,
        pending: PendingSubscriptionSink,
    ) -> Result<(), Fault> {
        let SubscribeParams { transaction, shard, proof } = params;
        let place = match self.locate(transaction, shard, &call).await {
            Ok(place) => place,
            Err(fault) => return reject(pending, fault).await,
        };
        match place {
            Place::Here(shard) => {
                let mut news = match self.news(shard, transaction).await {
                    Ok(news) => news,
                    Err(fault) => return reject(pending, fault).await,
                };
                let Ok(sink) = pending.accept().await else { return Ok(()) };
                let mut level = Level::Admitted;
                loop {
                    let told = async {
                        let mut info = self.reach(&mut news, shard, transaction, level).await?;
                        if proof && info.progress.level >= Level::Final {
                            info.proof = Some(self.proof_of(&info).await?);
                        }
                        Ok::<_, Fault>(info)
                    };
                    let info = tokio::select! {
                        info = told => info?,
                        () = sink.closed() => return Ok(()),
                    };
                    tell(&sink, &info).await;
                    match above(info.progress.level) {
                        Some(next) => level = next,
                        None => return Ok(()),
                    }
                }
            }
            Place::There(shard, sibling) => {
                let (subscribe, _, unsubscribe) = PROGRESS;
                let params = raw(&SubscribeParams { shard: Some(shard), ..params });
                let theirs = sibling.subscribe(subscribe, params, unsubscribe, RPC_ANSWER_TIMEOUT).await;
                let is_last = |news: &Value| news["level"] == "settled";
                pass_on(pending, theirs, is_last).await
            }
        }
    }

    async fn follow_commits(
        &self,
        call: Call,
        params: CommitsParams,
        pending: PendingSubscriptionSink,
    ) -> Result<(), Fault> {
        let sibling = match self.elsewhere(Role::Beacon, &call) {
            Ok(sibling) => sibling,
            Err(fault) => return reject(pending, fault).await,
        };
        if let Some(sibling) = sibling {
            let (subscribe, _, unsubscribe) = COMMITS;
            let theirs = sibling.subscribe(subscribe, call.params, unsubscribe, RPC_ANSWER_TIMEOUT).await;
            return pass_on(pending, theirs, |_| false).await;
        }
        let mut subscriber: Subscriber<'_> = match self.commits.subscribe(params.from).await {
            Ok(subscriber) => subscriber,
            Err(fault) => return reject(pending, fault).await,
        };
        let Ok(sink) = pending.accept().await else { return Ok(()) };
        loop {
            let (index, digest): (CommitIndex, _) = tokio::select! {
                news = subscriber.next() => news?,
                () = sink.closed() => return Ok(()),
            };
            tell(&sink, &CommitNews { index, digest }).await;
        }
    }
}

/// The level after `level`.
fn above(level: Level) -> Option<Level> {
    match level {
        Level::Admitted => Some(Level::Ordered),
        Level::Ordered => Some(Level::Executed),
        Level::Executed => Some(Level::Final),
        Level::Final => Some(Level::Settled),
        Level::Settled => None,
    }
}

/// Tells a subscriber what a sibling tells, until `is_last` or either side ends it.
async fn pass_on(
    pending: PendingSubscriptionSink,
    theirs: Result<Subscription<Value>, Fault>,
    is_last: impl Fn(&Value) -> bool,
) -> Result<(), Fault> {
    let mut theirs = match theirs {
        Ok(theirs) => theirs,
        Err(fault) => return reject(pending, fault).await,
    };
    let Ok(sink) = pending.accept().await else { return Ok(()) };
    loop {
        let news = tokio::select! {
            news = theirs.next() => news,
            () = sink.closed() => return Ok(()),
        };
        let Some(Ok(news)) = news else {
            return Err(Fault::failed(Failure::Unreachable, "the process with the machine ended it"));
        };
        tell(&sink, &news).await;
        if is_last(&news) {
            return Ok(());
        }
    }
}

/// Waits for room. A subscriber that is gone is seen by whoever waits for the end of the subscription.
async fn tell(sink: &SubscriptionSink, news: &impl Serialize) {
    let news = to_raw_value(news).expect("news have numbers, strings and JSON");
    let _ = sink.send(news).await;
}

async fn reject(pending: PendingSubscriptionSink, fault: Fault) -> Result<(), Fault> {
    pending.reject(fault).await;
    Ok(())
}
