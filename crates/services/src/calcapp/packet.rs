//! Jobs that are only numbers, and the state in between, as rsplib's programs speak.
//!
//! ```text
//! +------+-------+-------------+
//! | type | flags | length = 24 |       The cookie is the three fields without a header.
//! +------+-------+-------------+
//! |          job (u32)         |
//! |         size (u64)         |       in calculations; 0 but for Request and Complete
//! |       completed (u64)      |       of these; 0 but for Complete
//! +----------------------------+
//! ```

use rserpool::transport::Ppid;
use rserpool::wire::codec::{Reader, Skipped};
use rserpool::wire::error::{DecodeError, DecodeErrorKind};

use crate::packet;

/// The payload protocol identifier.
pub const PPID: Ppid = Ppid(34);

/// A message of this protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// What it says.
    pub kind: Kind,
    /// About which job; the client numbers them.
    pub job: u32,
    /// The job's size in calculations.
    pub size: u64,
    /// How many of them are done.
    pub completed: u64,
}

/// What a message says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A client has a job.
    Request = 1,
    /// The server works on it.
    Accept = 2,
    /// The server has enough to do.
    Reject = 3,
    /// One side gives it up.
    Abort = 4,
    /// It is done.
    Complete = 5,
    /// Is the other side still there?
    KeepAlive = 6,
    /// It is.
    KeepAliveAck = 7,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Accept,
        Self::Reject,
        Self::Abort,
        Self::Complete,
        Self::KeepAlive,
        Self::KeepAliveAck,
    ];
}

impl Packet {
    /// A message that says all by its kind.
    pub fn about(kind: Kind, job: u32) -> Self {
        Self { kind, job, size: 0, completed: 0 }
    }

    /// The octets.
    pub fn encode(&self) -> Vec<u8> {
        packet::encode(self.kind as u8, |octets| self.write(octets))
    }

    /// Takes a message apart.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        packet::decode(octets, |number, fields| {
            let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == number);
            let kind = kind.ok_or_else(|| fields.error(DecodeErrorKind::Message(number)))?;
            let packet = Self::read(kind, fields)?;
            packet::finish(fields, packet)
        })
    }

    /// The state in which the next server goes on.
    pub fn cookie(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(20);
        self.write(&mut octets);
        octets
    }

    /// The state in a cookie, as a request; `None` for anything else.
    pub fn from_cookie(octets: &[u8]) -> Option<Self> {
        let skipped = Skipped::default();
        let mut fields = Reader::new(octets, &skipped);
        let state = Self::read(Kind::Request, &mut fields).ok()?;
        (fields.is_empty() && state.completed <= state.size).then_some(state)
    }

    fn write(&self, octets: &mut Vec<u8>) {
        octets.extend(self.job.to_be_bytes());
        octets.extend(self.size.to_be_bytes());
        octets.extend(self.completed.to_be_bytes());
    }

    fn read(kind: Kind, fields: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let job = fields.u32("job")?;
        let (size, completed) = (packet::u64(fields, "size")?, packet::u64(fields, "completed")?);
        Ok(Self { kind, job, size, completed })
    }
}
