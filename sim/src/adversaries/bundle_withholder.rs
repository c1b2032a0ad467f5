//! Gives nobody the bundles of its shards, its own siblings least of all: they have to get them from other authorities.

use fresnel_types::Message;

use super::{Adversary, Content, Said, Wire};

/// See the module.
#[derive(Debug)]
pub(super) struct BundleWithholder;

impl Adversary for BundleWithholder {
    fn says(&mut self, wire: &mut Wire<'_>, said: Said) {
        if let Content::Message(Message::Bundle(_)) = said.content
            && wire.random.chance(WITHHELD_PERMILLE)
        {
            return wire.did("withheld bundles");
        }
        wire.pass(said);
    }
}

const WITHHELD_PERMILLE: u64 = 900;
