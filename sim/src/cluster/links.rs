//! The links between machines: which hosts a message reaches, when, and what is read at the other end.

use std::rc::Rc;

use fresnel_types::{AuthorityIndex, Message, Party, Timestamp, Verified};

use super::{Cluster, Event, Parcel, SIBLING_DELAY};
use crate::{
    adversaries::Said,
    invariants::{Broken, hold},
    network::Fate,
};

impl Cluster {
    /// What an adversary says, from the one or the other of its instances.
    pub(super) fn misuse(&mut self, second: bool, said: Vec<Said>) {
        for said in said {
            let (from, to, delay) = (said.from, said.to, said.delay);
            self.post(from, second, to, &Rc::new(Parcel::new(said.bytes())), delay);
        }
    }

    /// Puts a message on its way from the one or the other instance of a machine, `later` microseconds from now.
    pub(super) fn post(&mut self, from: Party, second: bool, to: Party, parcel: &Rc<Parcel>, later: u64) {
        let now = self.scheduler.now();
        let (authority, peer) = (of(from), of(to));
        let deliver = |to, incarnation| Event::Deliver { to, from, parcel: Rc::clone(parcel), incarnation };
        if peer == authority {
            // A constant delay keeps the order.
            let index = if second { self.twins[&to] } else { self.index[&to] };
            let incarnation = self.hosts[index].incarnation;
            self.scheduler.after(SIBLING_DELAY, deliver(index, Some(incarnation)));
            return;
        }
        for index in self.met(now, authority, second, to) {
            match self.network.send(now, authority, peer) {
                Fate::Arrives(delays) => {
                    delays
                        .into_iter()
                        .for_each(|delay| self.scheduler.after(later + delay, deliver(index, None)));
                }
                Fate::Lost => self.report.lost += 1,
            }
        }
    }

    /// The hosts of a machine that an instance of another authority talks to now: one, unless either has a twin.
    fn met(&self, now: Timestamp, authority: AuthorityIndex, second: bool, to: Party) -> Vec<usize> {
        let peer = of(to);
        if !self.adversaries.meet(now, authority, second, peer) {
            return Vec::new();
        }
        let hosts = self.hosts_of(to).into_iter();
        hosts.filter(|host| self.adversaries.meet(now, peer, self.is_second(*host), authority)).collect()
    }

    pub(super) fn hosts_of(&self, party: Party) -> Vec<usize> {
        let first = *self.index.get(&party).expect("machines know only machines that exist");
        [first].into_iter().chain(self.twins.get(&party).copied()).collect()
    }

    pub(super) fn is_second(&self, index: usize) -> bool {
        index >= self.index.len()
    }

    /// Reads and checks what came over a link, as a process does.
    pub(super) fn read(
        &mut self,
        to: usize,
        from: Party,
        parcel: &Parcel,
    ) -> Result<Verified<Message>, Broken> {
        let party = self.hosts[to].party;
        let message = parcel.open(&self.setup.rules, &mut self.verifier, from)?;
        let kind = message.kind();
        hold!("S1", message.may_pass(from, party), "{from:?} sends {kind:?} to {party:?}");
        Ok(message)
    }
}

fn of(machine: Party) -> AuthorityIndex {
    machine.authority().expect("clients are no machines")
}
