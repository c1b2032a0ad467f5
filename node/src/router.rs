//! Where messages go: to an inbox of this process, to a link, or to a client. Runs on the threads of the machines and
//! therefore never waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fresnel_crypto::Verifier;
use fresnel_types::{
    Input, Message, Party,
    frame::{Role, message_frame, readdress},
    verify::Rules,
};

use crate::{
    counters::{Counters, count},
    driver::Outlet,
    gates::Gates,
    inbox::Inbox,
    ingest::Clients,
    links::Peer,
    roles,
    stream::Frame,
};

/// Who is where.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) rules: Arc<Rules>,
    /// The machines of this process.
    pub(crate) local: BTreeMap<Party, Inbox>,
    /// The machines of others, with the process that hosts each.
    pub(crate) remote: BTreeMap<Party, Arc<Peer>>,
    pub(crate) clients: Arc<Clients>,
    /// Of the own workers.
    pub(crate) gates: Arc<Gates>,
    pub(crate) counters: Arc<Counters>,
}

impl Router {
    /// The inbox of a machine of this process.
    pub(crate) fn inbox(&self, party: Party) -> Option<&Inbox> {
        self.local.get(&party)
    }

    /// The machines of this process that ever talk to `party`.
    pub(crate) fn acquainted(&self, party: Party) -> impl Iterator<Item = &Inbox> {
        self.local.iter().filter(move |(machine, _)| are_acquainted(**machine, party)).map(|(_, inbox)| inbox)
    }
}

/// Whether two machines ever talk to one another.
pub(crate) fn are_acquainted(left: Party, right: Party) -> bool {
    match (left, right) {
        (Party::Beacon(a), Party::Beacon(b)) => a != b,
        (Party::Beacon(a), Party::Worker(b, _)) | (Party::Worker(a, _), Party::Beacon(b)) => a == b,
        (Party::Worker(a, s), Party::Worker(b, t)) => (a == b) != (s == t),
        (Party::Client(_), _) | (_, Party::Client(_)) => false,
    }
}

/// The outlet of one machine.
pub(crate) struct Postman {
    router: Arc<Router>,
    from: Party,
    verifier: Verifier,
    /// Machines of this process whose inbox was full when there was a message for them.
    missed: BTreeSet<Party>,
}

impl Postman {
    pub(crate) fn new(router: Arc<Router>, from: Party, verifier: Verifier) -> Self {
        Self { router, from, verifier, missed: BTreeSet::new() }
    }

    fn deliver(&mut self, to: Party, message: Message) {
        let Some(inbox) = self.router.local.get(&to) else { return };
        // Between machines of one process nothing is signed, so this costs a look at the form.
        let message = self
            .router
            .rules
            .verify_one(&mut self.verifier, message)
            .expect("a machine of this process sends only what every process accepts");
        if inbox.offer(Input::Message { from: self.from, message }).is_err() {
            count(&self.router.counters.inbox_overflows);
            self.missed.insert(to);
        }
    }
}

impl Outlet for Postman {
    fn release(&mut self, to: Vec<Party>, message: Message) {
        self.router.gates.hear(self.from, &message);
        self.router.counters.rejections.count(self.from, &message);
        let mut frames = Frames { from: roles::of(self.from), message: &message, encoded: Vec::new() };
        let mut local = Vec::new();
        for party in to {
            if let Party::Client(client) = party {
                self.router.clients.send(client, frames.to(Role::Client));
            } else if let Some(peer) = self.router.remote.get(&party) {
                peer.send(message.plane(), frames.to(roles::of(party)));
            } else {
                local.push(party);
            }
        }
        if let Some(last) = local.pop() {
            for party in local {
                self.deliver(party, message.clone());
            }
            self.deliver(last, message);
        }
    }

    /// Two machines of this process between which a message was lost are told that their connection is new, as if a
    /// link had broken, as soon as there is room again.
    fn settle(&mut self) -> bool {
        let (router, from) = (&self.router, self.from);
        self.missed.retain(|&party| {
            let inboxes = router.inbox(party).zip(router.inbox(from));
            let done = inboxes.is_none_or(|(theirs, own)| {
                theirs.has_room()
                    && own.has_room()
                    && theirs.offer(Input::Connected(from)).is_ok()
                    && own.offer(Input::Connected(party)).is_ok()
            });
            !done
        });
        !self.missed.is_empty()
    }
}

/// The frames of one message: encoded once, copied once more per further role that receives it.
struct Frames<'a> {
    from: Role,
    message: &'a Message,
    encoded: Vec<(Role, Frame)>,
}

impl Frames<'_> {
    fn to(&mut self, role: Role) -> Frame {
        if let Some((_, frame)) = self.encoded.iter().find(|(to, _)| *to == role) {
            return Arc::clone(frame);
        }
        let frame = match self.encoded.first() {
            Some((_, encoded)) => {
                let mut frame = encoded.to_vec();
                readdress(&mut frame, role);
                frame
            }
            None => message_frame(self.from, role, self.message),
        };
        let frame = Arc::new(frame);
        self.encoded.push((role, Arc::clone(&frame)));
        frame
    }
}

#[cfg(test)]
mod tests {
    use fresnel_types::{AuthorityIndex, ShardId};

    use super::*;

    #[test]
    fn who_talks_to_whom() {
        let beacon = |authority| Party::Beacon(AuthorityIndex(authority));
        let worker = |authority, shard| Party::Worker(AuthorityIndex(authority), ShardId(shard));
        for (left, right, expected) in [
            (beacon(0), beacon(1), true),
            (beacon(0), beacon(0), false),
            (beacon(0), worker(0, 1), true),
            (beacon(0), worker(1, 1), false),
            (worker(0, 0), worker(1, 0), true),
            (worker(0, 0), worker(0, 1), true),
            (worker(0, 0), worker(0, 0), false),
            (worker(0, 0), worker(1, 1), false),
        ] {
            assert_eq!(are_acquainted(left, right), expected, "{left:?} {right:?}");
            assert_eq!(are_acquainted(right, left), expected, "{right:?} {left:?}");
        }
    }
}
