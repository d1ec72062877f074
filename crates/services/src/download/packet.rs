//! Files: from which octet on, what there is, and what all of it must hash to.
//!
//! There is no cookie: the client knows best how much it has, and asks the next server for the
//! rest.
//!
//! ```text
//! type          fields behind the header (type u8, flags u8 = 0, length u16)
//! 1 Fetch       offset u64, path
//! 2 Found       size of the whole file u64
//! 3 Data        offset u64, octets
//! 4 End         SHA-256 of the whole file, 32 octets
//! 5 Refused     reason u8, text
//! ```

use rserpool::transport::Ppid;
use rserpool::wire::error::{DecodeError, DecodeErrorKind};

use crate::packet;

/// The payload protocol identifier; not an assigned one.
pub const PPID: Ppid = Ppid(0x5253_5002);
/// Octets of a file in one message.
pub const CHUNK_MAX: usize = 32 * 1024;
/// Octets of a path.
const PATH_MAX: usize = 4096;

/// A message of this protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// A client wants a file.
    Fetch {
        /// The first octet that it wants.
        offset: u64,
        /// Below the server's root, with slashes.
        path: String,
    },
    /// There is one.
    Found {
        /// Octets of the whole file.
        size: u64,
    },
    /// A piece of it.
    Data {
        /// Where the piece belongs.
        offset: u64,
        /// The piece.
        octets: Vec<u8>,
    },
    /// That was the last piece.
    End {
        /// Of the whole file.
        digest: [u8; 32],
    },
    /// There is nothing to be had.
    Refused {
        /// Why, for programs.
        reason: Refusal,
        /// Why, for people.
        text: String,
    },
}

/// Why a file is not to be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// There is none of that name, or none that may be had.
    NotFound = 1,
    /// It is shorter than the offset: not the file that another server began to send.
    Shorter = 2,
    /// It cannot be read.
    Unreadable = 3,
}

impl Packet {
    /// The octets; paths, texts and pieces that do not fit are cut off, which who makes them sees to.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, fields): (u8, Vec<u8>) = match self {
            Self::Fetch { offset, path } => {
                (1, [&offset.to_be_bytes()[..], cut(path.as_bytes(), PATH_MAX)].concat())
            }
            Self::Found { size } => (2, size.to_be_bytes().into()),
            Self::Data { offset, octets } => {
                (3, [&offset.to_be_bytes()[..], cut(octets, CHUNK_MAX)].concat())
            }
            Self::End { digest } => (4, digest.to_vec()),
            Self::Refused { reason, text } => {
                (5, [&[*reason as u8], cut(text.as_bytes(), PATH_MAX)].concat())
            }
        };
        packet::encode(kind, |octets| octets.extend(fields))
    }

    /// Takes a message apart.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        packet::decode(octets, |kind, fields| {
            let packet = match kind {
                1 => {
                    let offset = packet::u64(fields, "offset")?;
                    let path = fields.remainder();
                    if path.len() > PATH_MAX {
                        let kind = DecodeErrorKind::Length { field: "path", length: path.len() };
                        return Err(fields.error(kind));
                    }
                    Self::Fetch { offset, path: String::from_utf8_lossy(path).into_owned() }
                }
                2 => Self::Found { size: packet::u64(fields, "size")? },
                3 => {
                    let offset = packet::u64(fields, "offset")?;
                    Self::Data { offset, octets: fields.remainder().into() }
                }
                4 => Self::End { digest: fields.array("digest")? },
                5 => {
                    let known = [Refusal::NotFound, Refusal::Shorter, Refusal::Unreadable];
                    let reason = packet::one_of(fields, "reason", known, |reason| *reason as u8)?;
                    Self::Refused { reason, text: packet::text(fields) }
                }
                kind => return Err(fields.error(DecodeErrorKind::Message(kind))),
            };
            packet::finish(fields, packet)
        })
    }
}

fn cut(octets: &[u8], most: usize) -> &[u8] {
    &octets[..octets.len().min(most)]
}
