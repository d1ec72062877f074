//! What can be wrong with received octets.

use crate::param::Cause;
use crate::registry::{CauseCode, ParamType, Unrecognized};

/// A received message that cannot be decoded.
///
/// The value says *what* is wrong and *where*; what to answer the peer is the protocol's decision,
/// answered by the machines, never returned by them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind} at octet {offset}")]
#[non_exhaustive]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Offset of the offending field from the first octet of the message.
    pub offset: usize,
    /// Offset of the innermost parameter around it, `None` in a fixed part of the message.
    pub parameter: Option<usize>,
}

/// The kinds of [`DecodeError`], from framing to meaning.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The octets end inside a field.
    #[error("{field} needs {needed} octets, {left} left")]
    Truncated {
        /// The field, in the RFC's words.
        field: &'static str,
        /// Octets that the field takes.
        needed: usize,
        /// Octets that were left.
        left: usize,
    },
    /// A length field that is smaller than its own header, or larger or smaller than what it must
    /// cover.
    #[error("length {length} of {field} is impossible")]
    Length {
        /// The field, in the RFC's words.
        field: &'static str,
        /// The length as received.
        length: usize,
    },
    /// A field with a value that has no meaning.
    #[error("{value:#x} is no {field}")]
    Value {
        /// The field, in the RFC's words.
        field: &'static str,
        /// The value as received.
        value: u32,
    },
    /// A message type that is not assigned; the octet is the type.
    #[error("unrecognized message type {0:#x}")]
    Message(u8),
    /// A parameter that is not known and may not be skipped (its type starts with bit 0).
    #[error("unrecognized parameter {0}")]
    Parameter(ParamType),
    /// A message without a parameter that its format demands.
    #[error("{0} is missing")]
    Missing(ParamType),
    /// A known parameter where the format has no place for it.
    #[error("{0} does not belong here")]
    Unexpected(ParamType),
}

impl DecodeError {
    /// The cause with which the RFCs want this reported to the sender; `None` where the message is
    /// to be dropped silently (RFC 5354 §3, §4). `octets` is the message that failed to decode.
    pub fn cause(&self, octets: &[u8]) -> Option<Cause> {
        match self.kind {
            DecodeErrorKind::Message(ty) => {
                (ty >> 6 == 0b01).then(|| Cause::with_info(CauseCode::UNRECOGNIZED_MESSAGE, octets))
            }
            DecodeErrorKind::Parameter(ty) => (ty.unrecognized() == Unrecognized::DiscardAndReport)
                .then(|| {
                    let tlv = parameter_at(octets, self.offset);
                    Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, tlv)
                }),
            DecodeErrorKind::Unexpected(_) if self.parameter.is_none() => {
                let tlv = parameter_at(octets, self.offset);
                Some(Cause::with_info(CauseCode::INVALID_VALUES, tlv))
            }
            // Without a whole header there is no message to speak of.
            _ if octets.len() < 4 => None,
            DecodeErrorKind::Value { .. } if self.parameter.is_none() => {
                Some(Cause::new(CauseCode::INVALID_VALUES))
            }
            // Invalid Values is about a parameter; without one there is no better cause than none.
            _ => Some(match self.parameter {
                Some(start) => {
                    Cause::with_info(CauseCode::INVALID_VALUES, parameter_at(octets, start))
                }
                None => Cause::new(CauseCode::UNSPECIFIED),
            }),
        }
    }
}

/// The parameter that starts at `start`, as far as there are octets.
pub(crate) fn parameter_at(octets: &[u8], start: usize) -> &[u8] {
    let rest = octets.get(start..).unwrap_or_default();
    let length = match rest {
        [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => rest.len(),
    };
    &rest[..length.clamp(4, rest.len().max(4)).min(rest.len())]
}
