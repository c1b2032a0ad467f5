//! Authorities that keep to no rule: at most f stake of them, each with its real key, for the whole of a run.
//!
//! An adversary stands between the real machines of its authority and the world. It sees what they say and hear, and
//! decides what really leaves, to whom and when; what its machines tell one another passes it, too. So its machines know
//! all that honest ones know and it lies from there. One file holds one habit; an authority may have several, and what
//! the first makes of a message is what the next one sees. Only [`Kind::Twins`] are different: two of everything run
//! with one key, and each talks to a part of the others.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use fresnel_crypto::SigningKey;
use fresnel_types::{
    AuthorityIndex, AuthoritySet, Committee, Message, Party, Timestamp, encode, verify::Rules,
};
use serde::Serialize;

use self::twins::Twins;
use crate::{Options, options::Chain, random::Random};

mod batch_withholder;
mod boaster;
mod bundle_withholder;
mod careless_voter;
mod double_voter;
mod dreamer;
mod equivocator;
mod false_attester;
mod false_bundler;
mod false_holder;
mod false_namer;
mod forger;
mod laggard;
mod mute_anchor;
mod replayer;
mod revealer;
mod silent;
mod time_liar;
mod twins;
mod versions;
mod withholder;

/// Which authorities are adversaries and of what kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// None.
    #[default]
    None,
    /// As many as f stake allows; each has habits of one to three kinds, drawn from the seed.
    Drawn,
    /// As many as f stake allows, all of this kind.
    All(Kind),
    /// One more than that: then the invariants need not hold, and a simulation that finds them kept proves little.
    TooMany(Kind),
}

/// A habit of adversaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Attests records that nobody computed.
    FalseAttester,
    /// Says that it holds bundles that it cannot have.
    FalseHolder,
    /// Names batches with false sizes, batches of others, old ones, and some that do not exist.
    FalseNamer,
    /// Names batches that it never gives to more than a few.
    BatchWithholder,
    /// Gives others bundles that its shard never made.
    FalseBundler,
    /// Gives nobody the bundles of its shards.
    BundleWithholder,
    /// Its vertices have times far from any clock.
    TimeLiar,
    /// Shows different vertices of one slot to different authorities.
    Equivocator,
    /// Proposes vertices of rounds to come, on parents that nobody made.
    Dreamer,
    /// Gives two votes for one slot.
    DoubleVoter,
    /// Votes for whatever is proposed, without its payload and its parents, and also for a second proposal.
    CarelessVoter,
    /// Lies about its position, and about commits.
    Boaster,
    /// Does not propose when it is the candidate anchor.
    MuteAnchor,
    /// Proposes and votes to a few only and gives nobody what it is asked for.
    Withholder,
    /// Says what it has to say seconds later, all at once.
    Revealer,
    /// Everything that it says arrives late.
    Laggard,
    /// Says again what it said or heard long ago.
    Replayer,
    /// Sends bytes that are no message and messages that it could not have signed.
    Forger,
    /// Ends at some instant and never comes back.
    Silent,
    /// Two of everything with one key.
    Twins,
}

impl Kind {
    /// All kinds. Earlier ones see messages first.
    pub const ALL: [Self; 20] = [
        Self::FalseAttester,
        Self::FalseHolder,
        Self::FalseNamer,
        Self::BatchWithholder,
        Self::FalseBundler,
        Self::BundleWithholder,
        Self::TimeLiar,
        Self::Equivocator,
        Self::Dreamer,
        Self::DoubleVoter,
        Self::CarelessVoter,
        Self::Boaster,
        Self::MuteAnchor,
        Self::Withholder,
        Self::Revealer,
        Self::Laggard,
        Self::Replayer,
        Self::Forger,
        Self::Silent,
        Self::Twins,
    ];

    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::FalseAttester => "false-attester",
            Self::FalseHolder => "false-holder",
            Self::FalseNamer => "false-namer",
            Self::BatchWithholder => "batch-withholder",
            Self::FalseBundler => "false-bundler",
            Self::BundleWithholder => "bundle-withholder",
            Self::TimeLiar => "time-liar",
            Self::Equivocator => "equivocator",
            Self::Dreamer => "dreamer",
            Self::DoubleVoter => "double-voter",
            Self::CarelessVoter => "careless-voter",
            Self::Boaster => "boaster",
            Self::MuteAnchor => "mute-anchor",
            Self::Withholder => "withholder",
            Self::Revealer => "revealer",
            Self::Laggard => "laggard",
            Self::Replayer => "replayer",
            Self::Forger => "forger",
            Self::Silent => "silent",
            Self::Twins => "twins",
        }
    }

    /// None for twins, who are honest each for itself.
    fn adversary(self, random: &mut Random) -> Option<Box<dyn Adversary>> {
        Some(match self {
            Self::FalseAttester => Box::new(false_attester::FalseAttester),
            Self::FalseHolder => Box::new(false_holder::FalseHolder),
            Self::FalseNamer => Box::<false_namer::FalseNamer>::default(),
            Self::BatchWithholder => Box::<batch_withholder::BatchWithholder>::default(),
            Self::FalseBundler => Box::new(false_bundler::FalseBundler),
            Self::BundleWithholder => Box::new(bundle_withholder::BundleWithholder),
            Self::TimeLiar => Box::<time_liar::TimeLiar>::default(),
            Self::Equivocator => Box::<equivocator::Equivocator>::default(),
            Self::Dreamer => Box::new(dreamer::Dreamer),
            Self::DoubleVoter => Box::new(double_voter::DoubleVoter),
            Self::CarelessVoter => Box::new(careless_voter::CarelessVoter),
            Self::Boaster => Box::<boaster::Boaster>::default(),
            Self::MuteAnchor => Box::new(mute_anchor::MuteAnchor),
            Self::Withholder => Box::<withholder::Withholder>::default(),
            Self::Revealer => Box::new(revealer::Revealer::new(random)),
            Self::Laggard => Box::new(laggard::Laggard::new(random)),
            Self::Replayer => Box::<replayer::Replayer>::default(),
            Self::Forger => Box::<forger::Forger>::default(),
            Self::Silent => Box::new(silent::Silent::new(random)),
            Self::Twins => return None,
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Drawn => "drawn",
            Self::All(kind) => kind.name(),
            Self::TooMany(kind) => return write!(f, "{TOO_MANY}{}", kind.name()),
        })
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "none" => Ok(Self::None),
            "drawn" => Ok(Self::Drawn),
            _ => {
                let choice = if name.starts_with(TOO_MANY) { Self::TooMany } else { Self::All };
                let name = name.strip_prefix(TOO_MANY).unwrap_or(name);
                let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                kind.map(choice).ok_or_else(|| {
                    let names = Kind::ALL.map(Kind::name).join(", ");
                    format!("none, drawn, or one of the following, with {TOO_MANY} in front or not: {names}")
                })
            }
        }
    }
}

/// Who is an adversary in a simulation, with its habits.
pub fn draw(options: &Options) -> BTreeMap<AuthorityIndex, Vec<Kind>> {
    if options.adversary == Choice::None {
        return BTreeMap::new();
    }
    let committee = Chain::new(options).genesis.committee();
    let mut random = Random::new(options.seed, "adversaries");
    let mut chosen = faulty(&committee, &mut random);
    if let Choice::TooMany(_) = options.adversary {
        let one_more = committee.all().difference(&chosen).iter().next();
        chosen.insert(one_more.expect("adversaries are never all"));
    }
    chosen
        .iter()
        .map(|authority| {
            let kinds = match options.adversary {
                Choice::All(kind) | Choice::TooMany(kind) => vec![kind],
                Choice::None | Choice::Drawn => habits(&mut random),
            };
            (authority, kinds)
        })
        .collect()
}

/// As many authorities as f stake allows.
fn faulty(committee: &Committee, random: &mut Random) -> AuthoritySet {
    let mut left: Vec<AuthorityIndex> = committee.indices().collect();
    let mut chosen = AuthoritySet::default();
    while !left.is_empty() {
        let next = left.swap_remove(random.index(left.len()));
        chosen.insert(next);
        if committee.is_valid(&chosen) {
            chosen.remove(next);
        }
    }
    chosen
}

fn habits(random: &mut Random) -> Vec<Kind> {
    let count = random.between(1, 3);
    let mut kinds: Vec<Kind> = (0..count).map(|_| random.pick(&Kind::ALL)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

const TOO_MANY: &str = "too-many-";

/// What adversaries did and what came of it, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Deeds(BTreeMap<&'static str, u64>);

impl Deeds {
    /// How often something was done.
    pub fn count(&self, deed: &str) -> u64 {
        self.0.get(deed).copied().unwrap_or_default()
    }

    /// Counts something `times` more.
    pub(crate) fn add(&mut self, deed: &'static str, times: u64) {
        *self.0.entry(deed).or_default() += times;
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(deed, times)| self.add(deed, *times));
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deeds: Vec<String> = self.0.iter().map(|(deed, times)| format!("{times} {deed}")).collect();
        f.write_str(&deeds.join(", "))
    }
}

/// Something on its way from a machine of an adversary to another machine.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) from: Party,
    pub(crate) to: Party,
    /// Microseconds that the adversary keeps it back.
    pub(crate) delay: u64,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every content is a message")]
pub(crate) enum Content {
    Message(Message),
    /// Not even a message.
    Bytes(Vec<u8>),
}

impl Said {
    fn new(from: Party, to: Party, message: Message) -> Self {
        Self { from, to, delay: 0, content: Content::Message(message) }
    }

    /// The other authority that it goes to; none within the own one.
    fn peer(&self) -> Option<AuthorityIndex> {
        self.to.authority().filter(|peer| self.from.authority() != Some(*peer))
    }

    /// The same with another message.
    fn with(&self, message: Message) -> Self {
        Self { content: Content::Message(message), ..self.clone() }
    }

    /// What goes over the link.
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self.content {
            Content::Message(message) => encode(&message),
            Content::Bytes(bytes) => bytes,
        }
    }
}

/// What one habit does with the messages of an authority's machines.
trait Adversary {
    /// A machine of the authority says something: what is passed to the wire leaves instead.
    fn says(&mut self, wire: &mut Wire<'_>, said: Said);

    /// A machine of the authority hears something. What is passed to the wire is said besides.
    fn hears(&mut self, _wire: &mut Wire<'_>, _to: Party, _from: Party, _message: &Message) {}
}

/// What a habit works with.
struct Wire<'a> {
    me: AuthorityIndex,
    key: &'a SigningKey,
    rules: &'a Rules,
    /// Microseconds since the start of the simulation, and what it lasts.
    elapsed: u64,
    duration: u64,
    random: &'a mut Random,
    deeds: &'a mut Deeds,
    out: Vec<Said>,
}

impl Wire<'_> {
    fn pass(&mut self, said: Said) {
        self.out.push(said);
    }

    fn did(&mut self, deed: &'static str) {
        self.deeds.add(deed, 1);
    }

    fn others(&self) -> Vec<AuthorityIndex> {
        self.rules.committee.indices().filter(|other| *other != self.me).collect()
    }

    /// Any number of the others, also none or all.
    fn some_of_others(&mut self) -> AuthoritySet {
        let others = self.others();
        let mut left = others.clone();
        let count = self.random.index(others.len() + 1);
        (0..count).map(|_| left.swap_remove(self.random.index(left.len()))).collect()
    }

    /// Says something to the beacons of all others.
    fn tell_beacons(&mut self, message: &Message) {
        for other in self.others() {
            self.pass(Said::new(Party::Beacon(self.me), Party::Beacon(other), message.clone()));
        }
    }
}

/// All adversaries of a simulation.
pub(crate) struct Adversaries {
    faulty: BTreeMap<AuthorityIndex, Faulty>,
    rules: Arc<Rules>,
    start: Timestamp,
    duration: u64,
    pub(crate) deeds: Deeds,
}

struct Faulty {
    key: SigningKey,
    random: Random,
    habits: Vec<Box<dyn Adversary>>,
    twins: Option<Twins>,
}

impl Adversaries {
    pub(crate) fn new(options: &Options, keys: &[SigningKey], rules: Arc<Rules>, start: Timestamp) -> Self {
        let faulty = draw(options)
            .into_iter()
            .map(|(authority, kinds)| {
                let mut random = Random::new(options.seed, &format!("adversary {authority}"));
                let habits = kinds.iter().filter_map(|kind| kind.adversary(&mut random)).collect();
                let twins = kinds.contains(&Kind::Twins).then(|| Twins::new(options.seed, authority));
                (authority, Faulty { key: keys[authority.index()].clone(), random, habits, twins })
            })
            .collect();
        Self { faulty, rules, start, duration: options.duration, deeds: Deeds::default() }
    }

    /// Who they are.
    pub(crate) fn set(&self) -> AuthoritySet {
        self.faulty.keys().copied().collect()
    }

    /// Whether the party is of an adversary.
    pub(crate) fn contains(&self, party: Party) -> bool {
        party.authority().is_some_and(|authority| self.faulty.contains_key(&authority))
    }

    /// Whether there are two of this machine.
    pub(crate) fn has_twin(&self, party: Party) -> bool {
        let faulty = party.authority().and_then(|authority| self.faulty.get(&authority));
        faulty.is_some_and(|faulty| faulty.twins.is_some())
    }

    /// Whether `peer` and one of the instances of `authority` hear one another now. An authority without a twin has only
    /// the first.
    pub(crate) fn meet(
        &self,
        now: Timestamp,
        authority: AuthorityIndex,
        second: bool,
        peer: AuthorityIndex,
    ) -> bool {
        let twins = self.faulty.get(&authority).and_then(|faulty| faulty.twins.as_ref());
        twins.map_or(!second, |twins| twins.meet(now.since(self.start), second, peer))
    }

    /// What leaves when `from` says `message` to `to`; only for an adversary.
    pub(crate) fn says(&mut self, now: Timestamp, from: Party, to: Party, message: Message) -> Vec<Said> {
        self.with(now, from, |wire, habits| {
            let mut said = vec![Said::new(from, to, message)];
            for habit in habits {
                for said in std::mem::take(&mut said) {
                    habit.says(wire, said);
                }
                said = std::mem::take(&mut wire.out);
            }
            said
        })
    }

    /// What an adversary says because it hears `message`; nothing unless `to` is one.
    pub(crate) fn hears(&mut self, now: Timestamp, to: Party, from: Party, message: &Message) -> Vec<Said> {
        if !self.contains(to) {
            return Vec::new();
        }
        self.with(now, to, |wire, habits| {
            for habit in habits {
                habit.hears(wire, to, from, message);
            }
            std::mem::take(&mut wire.out)
        })
    }

    fn with<T>(
        &mut self,
        now: Timestamp,
        party: Party,
        run: impl FnOnce(&mut Wire<'_>, &mut [Box<dyn Adversary>]) -> T,
    ) -> T {
        let me = party.authority().expect("adversaries are authorities");
        let faulty = self.faulty.get_mut(&me).expect("the caller knows that it is an adversary");
        let mut wire = Wire {
            me,
            key: &faulty.key,
            rules: &self.rules,
            elapsed: now.since(self.start),
            duration: self.duration,
            random: &mut faulty.random,
            deeds: &mut self.deeds,
            out: Vec::new(),
        };
        run(&mut wire, &mut faulty.habits)
    }
}

#[cfg(test)]
mod tests;
