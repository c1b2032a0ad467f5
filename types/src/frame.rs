//! How messages stand on a stream: `length u32 | version u8 | kind u8 | from u16 | to u16 | body`, little-endian, the
//! length counting everything behind it. The header is judged before the body is read, so nobody can make a process
//! allocate more than a kind's limit. The first frame in each direction is a [`Hello`].

use wincode::{SchemaRead, SchemaWrite};

use crate::{
    ChainId, CodecError, Message, ShardId, codec,
    message::{Kind, Plane},
};

/// Version of the framing.
pub const FRAME_VERSION: u8 = 1;

/// Bytes of a frame before its body, the length included.
pub const HEADER_BYTES: usize = 10;

/// The most body bytes of any frame.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// The kind byte of a [`Hello`], which is no [`Message`].
const HELLO_KIND: u8 = 0;

/// Body bytes of a hello.
const HELLO_BYTES_MAX: usize = 4_096;

/// A machine within a process, or the client at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
pub enum Role {
    /// The authority's beacon.
    Beacon,
    /// The authority's worker for a shard.
    Worker(ShardId),
    /// Whoever connected to the client listener.
    Client,
}

/// What each side says first. TLS has proved the key; this says for what it is used.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Hello {
    /// Must be the same on both sides.
    pub chain: ChainId,
    /// The machines that the process hosts; empty for a client.
    pub roles: Vec<Role>,
    /// What this connection carries; clients use [`Plane::Bulk`].
    pub plane: Plane,
}

/// Why a stream is given up.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Another version of the framing.
    #[error("frame version {0}, expected {FRAME_VERSION}")]
    Version(u8),
    /// A kind that does not exist.
    #[error("frame of unknown kind {0}")]
    Kind(u8),
    /// A body longer than its kind allows, or a length too short for the header.
    #[error("frame of kind {kind} with a body of {bytes} bytes, allowed {limit}")]
    Length {
        /// The kind byte.
        kind: u8,
        /// What the header announces.
        bytes: usize,
        /// What the kind allows.
        limit: usize,
    },
    /// A body that is not of its kind.
    #[error("a frame's body is unreadable")]
    Body(#[from] CodecError),
    /// A body of another kind than the header says.
    #[error("a frame's body is of kind {body:?}, its header says {header:?}")]
    Mismatch {
        /// What the header says.
        header: Kind,
        /// What the body is.
        body: Kind,
    },
}

/// A frame's header, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of the message; `None` is a hello.
    pub kind: Option<Kind>,
    /// The sending machine.
    pub from: Role,
    /// The receiving machine.
    pub to: Role,
    /// Bytes of the body that follows.
    pub body_bytes: usize,
}

impl Header {
    /// Reads and judges a header.
    ///
    /// # Errors
    /// When no such frame may follow; the stream is then useless.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let (version, kind) = (bytes[4], bytes[5]);
        if version != FRAME_VERSION {
            return Err(FrameError::Version(version));
        }
        let (known, limit) = if kind == HELLO_KIND {
            (None, HELLO_BYTES_MAX)
        } else {
            let kind = Kind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
            (Some(kind), kind.body_bytes_max())
        };
        let body_bytes = length.wrapping_sub(HEADER_BYTES - 4);
        if body_bytes > limit {
            return Err(FrameError::Length { kind, bytes: body_bytes, limit });
        }
        let role = |at: usize| Role::from_wire(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        Ok(Self { kind: known, from: role(6), to: role(8), body_bytes })
    }

    /// Reads the body of a message frame.
    ///
    /// # Errors
    /// When the bytes are no message of the header's kind.
    pub fn message(&self, body: &[u8]) -> Result<Message, FrameError> {
        let header = self.kind.ok_or(FrameError::Kind(HELLO_KIND))?;
        let message: Message = codec::decode(body)?;
        if message.kind() == header {
            Ok(message)
        } else {
            Err(FrameError::Mismatch { header, body: message.kind() })
        }
    }
}

/// The frame of a message.
pub fn message_frame(from: Role, to: Role, message: &Message) -> Vec<u8> {
    frame(message.kind() as u8, from, to, message)
}

/// The frame of a hello.
pub fn hello_frame(hello: &Hello) -> Vec<u8> {
    frame(HELLO_KIND, Role::Client, Role::Client, hello)
}

/// Changes the receiver of an encoded frame, so that a message to many is encoded once.
pub fn readdress(frame: &mut [u8], to: Role) {
    frame[8..10].copy_from_slice(&to.to_wire().to_le_bytes());
}

fn frame<T: SchemaWrite<codec::Layout, Src = T>>(kind: u8, from: Role, to: Role, body: &T) -> Vec<u8> {
    let body_bytes = codec::encoded_len(body);
    let length = u32::try_from(HEADER_BYTES - 4 + body_bytes).expect("the codec's limit is below 2^32");
    let mut frame = Vec::with_capacity(HEADER_BYTES + body_bytes);
    frame.extend(length.to_le_bytes());
    frame.extend([FRAME_VERSION, kind]);
    frame.extend(from.to_wire().to_le_bytes());
    frame.extend(to.to_wire().to_le_bytes());
    codec::encode_into(&mut frame, body);
    frame
}

impl Role {
    const BEACON: u16 = 0xffff;
    const CLIENT: u16 = 0xfffe;

    fn to_wire(self) -> u16 {
        match self {
            Self::Beacon => Self::BEACON,
            Self::Client => Self::CLIENT,
            Self::Worker(shard) => shard.0,
        }
    }

    fn from_wire(role: u16) -> Self {
        match role {
            Self::BEACON => Self::Beacon,
            Self::CLIENT => Self::Client,
            shard => Self::Worker(ShardId(shard)),
        }
    }
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// The most bytes a body of this kind may have.
    pub fn body_bytes_max(self) -> usize {
        match self {
            Self::Vertices
            | Self::CommitRange
            | Self::Proposal
            | Self::Order
            | Self::Bundle
            | Self::Snapshot => BODY_BYTES_MAX,
            _ => 1 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Round;

    #[test]
    fn frames_round_trip() {
        let message = Message::Proposing(Round(7));
        let mut frame = message_frame(Role::Beacon, Role::Client, &message);
        readdress(&mut frame, Role::Worker(ShardId(3)));
        let header = Header::parse(frame[..HEADER_BYTES].try_into().expect("ten bytes")).expect("own frame");
        assert_eq!((header.from, header.to), (Role::Beacon, Role::Worker(ShardId(3))));
        assert_eq!(header.body_bytes, frame.len() - HEADER_BYTES);
        assert_eq!(header.message(&frame[HEADER_BYTES..]).expect("own body"), message);
    }

    #[test]
    fn bad_headers_are_refused_before_the_body() {
        let mut frame = message_frame(Role::Beacon, Role::Beacon, &Message::Proposing(Round(1)));
        let parse = |frame: &[u8]| Header::parse(frame[..HEADER_BYTES].try_into().expect("ten bytes"));
        frame[4] = 9;
        assert!(matches!(parse(&frame), Err(FrameError::Version(9))));
        frame[4] = FRAME_VERSION;
        frame[5] = 200;
        assert!(matches!(parse(&frame), Err(FrameError::Kind(200))));
        frame[5] = Kind::Votes as u8;
        frame[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(parse(&frame), Err(FrameError::Length { .. })));
        frame[..4].copy_from_slice(&2_u32.to_le_bytes());
        assert!(matches!(parse(&frame), Err(FrameError::Length { .. })));
    }

    #[test]
    fn a_body_of_another_kind_is_refused() {
        let frame = message_frame(Role::Beacon, Role::Beacon, &Message::Proposing(Round(1)));
        let header = Header { kind: Some(Kind::Votes), from: Role::Beacon, to: Role::Beacon, body_bytes: 12 };
        assert!(matches!(header.message(&frame[HEADER_BYTES..]), Err(FrameError::Mismatch { .. })));
    }
}
