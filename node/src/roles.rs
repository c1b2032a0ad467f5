//! Roles as people write them: `beacon`, `worker-0`. Also the names of the machines' threads and log folders.

use fresnel_types::{AuthorityIndex, Party, ShardId, frame::Role};
use serde::{Deserialize, Deserializer, Serializer, de::Error, ser::SerializeSeq};

/// The written form of a role.
pub fn name(role: Role) -> String {
    match role {
        Role::Beacon => "beacon".to_owned(),
        Role::Worker(shard) => format!("worker-{shard}"),
        Role::Client => "client".to_owned(),
    }
}

/// Reads the written form of a role that a process can host.
///
/// # Errors
/// A sentence that names what is allowed.
pub fn parse(text: &str) -> Result<Role, String> {
    let shard = |text: &str| {
        text.strip_prefix("worker-")?
            .parse()
            .ok()
            .filter(|shard| name(Role::Worker(ShardId(*shard))) == *text)
    };
    match text {
        "beacon" => Ok(Role::Beacon),
        _ => shard(text)
            .map(|shard| Role::Worker(ShardId(shard)))
            .ok_or_else(|| format!("{text:?} is no role: `beacon`, or `worker-N` for shard N")),
    }
}

/// The machine of `authority` in a role; none for a client.
pub fn party(authority: AuthorityIndex, role: Role) -> Option<Party> {
    match role {
        Role::Beacon => Some(Party::Beacon(authority)),
        Role::Worker(shard) => Some(Party::Worker(authority, shard)),
        Role::Client => None,
    }
}

/// The role of a machine, or that of clients.
pub fn of(party: Party) -> Role {
    match party {
        Party::Beacon(_) => Role::Beacon,
        Party::Worker(_, shard) => Role::Worker(shard),
        Party::Client(_) => Role::Client,
    }
}

/// For `#[serde(with = "roles")]` on a list of roles.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(roles: &[Role], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(roles.len()))?;
    for role in roles {
        list.serialize_element(&name(*role))?;
    }
    list.end()
}

/// For `#[serde(with = "roles")]` on a list of roles.
///
/// # Errors
/// When an element is no role.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Role>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| parse(text).map_err(D::Error::custom))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nothing_else_is_one() {
        for role in [Role::Beacon, Role::Worker(ShardId(0)), Role::Worker(ShardId(255))] {
            assert_eq!(parse(&name(role)), Ok(role));
        }
        for text in ["", "client", "worker", "worker-", "worker-+1", "worker-01", "worker-70000", "Beacon"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
