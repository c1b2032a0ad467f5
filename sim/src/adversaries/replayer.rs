//! Says again what it said or heard long ago, to anybody.

use std::collections::VecDeque;

use fresnel_types::{Message, Party};

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Replayer {
    /// With the own machine that said or heard it.
    heard: VecDeque<(Party, Message)>,
}

impl Replayer {
    fn remember(&mut self, wire: &mut Wire<'_>, machine: Party, message: &Message) {
        if wire.random.chance(REMEMBERED_PERMILLE) {
            self.heard.push_back((machine, message.clone()));
            if self.heard.len() > REMEMBERED {
                self.heard.pop_front();
            }
        }
    }
}

impl Adversary for Replayer {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        if let (Some(_), Content::Message(message)) = (said.peer(), &said.content) {
            self.remember(wire, said.from, message);
            if wire.random.chance(REPLAYED_PERMILLE) && !self.heard.is_empty() {
                let (from, message) = self.heard[wire.random.index(self.heard.len())].clone();
                let other = wire.others()[wire.random.index(wire.rules.committee.size() - 1)];
                let to = match from {
                    Party::Worker(_, shard) => Party::Worker(other, shard),
                    Party::Beacon(_) | Party::Client(_) => Party::Beacon(other),
                };
                wire.did("replays");
                wire.pass(Said::new(from, to, message));
            }
        }
        wire.pass(said);
    }

    fn hears(&mut self, wire: &mut Wire<'_>, to: Party, from: Party, message: &Message) {
        if from.authority() != to.authority() {
            self.remember(wire, to, message);
        }
    }
}

const REMEMBERED: usize = 512;
const REMEMBERED_PERMILLE: u64 = 100;
const REPLAYED_PERMILLE: u64 = 100;
