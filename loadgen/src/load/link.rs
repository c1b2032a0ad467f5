//! The connection to one process, kept up by a task of its own: it connects, hands over what comes, and connects again
//! with growing waits when the process goes away.

use std::net::SocketAddr;

use fresnel_client::{Client, Event, Requests};
use fresnel_types::{ChainId, frame::Role};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use crate::limits::RECONNECT;

/// What a link tells the driver.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// It is up; requests go this way.
    Up(Requests),
    /// Something came.
    Event(Event),
    /// It broke.
    Down,
}

/// The task of a link. Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Link(JoinHandle<()>);

impl Link {
    /// Keeps a link to `address` up, a process that hosts `roles`. Events carry `number`.
    pub(super) fn keep(
        number: usize,
        address: SocketAddr,
        chain: ChainId,
        roles: Vec<Role>,
        events: mpsc::Sender<(usize, LinkEvent)>,
    ) -> Self {
        Self(tokio::spawn(async move {
            let mut wait = RECONNECT.0;
            loop {
                match Client::connect(address, chain).await {
                    Ok(client) if roles.iter().all(|role| client.roles().contains(role)) => {
                        wait = RECONNECT.0;
                        if follow(number, client, &events).await.is_none() {
                            return;
                        }
                    }
                    _ => {
                        sleep(wait).await;
                        wait = (wait * 2).min(RECONNECT.1);
                    }
                }
            }
        }))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Hands over what comes until the connection ends; `None` when nobody listens any more.
async fn follow(number: usize, client: Client, out: &mpsc::Sender<(usize, LinkEvent)>) -> Option<()> {
    let (requests, mut events) = client.split();
    out.send((number, LinkEvent::Up(requests))).await.ok()?;
    loop {
        let event = match events.next().await {
            Event::Closed(_) => {
                out.send((number, LinkEvent::Down)).await.ok()?;
                return Some(());
            }
            event => LinkEvent::Event(event),
        };
        out.send((number, event)).await.ok()?;
    }
}
