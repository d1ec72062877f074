//! Ping, pong, and the state between them, as rsplib's programs speak.
//!
//! ```text
//! Ping (1)                             Pong (2)
//! +------+-------+--------+            +------+-------+--------+
//! | type | flags | length |            | type | flags | length |
//! +------+-------+--------+            +------+-------+--------+
//! |    message number     |            |    message number     |
//! |        (u64)          |            |        (u64)          |
//! +-----------------------+            +-----------------------+
//! |  any text, sent back  |            |     reply number      |
//! +-----------------------+            |        (u64)          |
//!                                      +-----------------------+
//!                                      |   the ping's text     |
//!                                      +-----------------------+
//! ```

use rserpool::transport::Ppid;
use rserpool::wire::error::{DecodeError, DecodeErrorKind};

use crate::packet;

/// The payload protocol identifier.
pub const PPID: Ppid = Ppid(33);

const PING: u8 = 1;
const PONG: u8 = 2;
const COOKIE_START: &[u8; 8] = b"<PP-TD1>";

/// A message of this protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// A question.
    Ping {
        /// The client's count.
        message: u64,
        /// Sent back as it is.
        text: Vec<u8>,
    },
    /// Its answer.
    Pong {
        /// The question's.
        message: u64,
        /// The server's count.
        reply: u64,
        /// The question's.
        text: Vec<u8>,
    },
}

impl Packet {
    /// The octets; a text of more than 65 000 is cut off.
    pub fn encode(&self) -> Vec<u8> {
        const TEXT_MAX: usize = 65_000;
        let cut = |text: &[u8]| text[..text.len().min(TEXT_MAX)].to_vec();
        match self {
            Self::Ping { message, text } => packet::encode(PING, |octets| {
                octets.extend(message.to_be_bytes());
                octets.extend(cut(text));
            }),
            Self::Pong { message, reply, text } => packet::encode(PONG, |octets| {
                octets.extend(message.to_be_bytes());
                octets.extend(reply.to_be_bytes());
                octets.extend(cut(text));
            }),
        }
    }

    /// Takes a message apart.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        packet::decode(octets, |kind, fields| {
            let mut number = |field| packet::u64(fields, field);
            match kind {
                PING => {
                    let message = number("message number")?;
                    Ok(Self::Ping { message, text: fields.remainder().to_vec() })
                }
                PONG => {
                    let (message, reply) = (number("message number")?, number("reply number")?);
                    Ok(Self::Pong { message, reply, text: fields.remainder().to_vec() })
                }
                kind => Err(fields.error(DecodeErrorKind::Message(kind))),
            }
        })
    }
}

/// The state that goes to the next server: which number its first reply has.
pub fn cookie(next_reply: u64) -> Vec<u8> {
    [&COOKIE_START[..], &next_reply.to_be_bytes()].concat()
}

/// The number in such a state; `None` for anything else.
pub fn next_reply(cookie: &[u8]) -> Option<u64> {
    let number = cookie.strip_prefix(COOKIE_START)?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}
