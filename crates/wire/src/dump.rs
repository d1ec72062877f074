//! Messages taken apart for people: every field with its offset, broken messages too.
//!
//! Where [`Message::decode`] says *no* and why, a [`Dump`] also says what is there.

mod walk;

use std::fmt;

use crate::error::DecodeError;
use crate::message::{Message, Protocol};
use crate::param::Load;

/// A message taken apart, and what is wrong with it.
///
/// Any octets can be taken apart. It takes memory in proportion to their number.
///
/// `Display` prints a line for each field: offset, name, value, inner fields below and indented; a
/// line of stars says what is wrong, below the field where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dump {
    /// The message as a whole.
    pub root: Node,
    /// Why the message cannot be decoded, `None` where it can.
    pub error: Option<DecodeError>,
}

/// A part of a message: a message, a parameter, an error cause, a field or padding.
///
/// Inner nodes come in the order of their octets and never overlap.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its first octet, counted from the first octet of the message.
    pub offset: usize,
    /// Its octets: header and value, without its padding.
    pub octets: usize,
    /// The RFC's name.
    pub name: &'static str,
    /// The header of a message, parameter or cause, `None` for everything else.
    pub header: Option<Header>,
    /// The value, `None` where the inner nodes are the value.
    pub value: Option<Value>,
    /// What it consists of.
    pub inner: Vec<Self>,
}

/// What stands in front of a message, parameter or cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What it stands in front of.
    pub kind: HeaderKind,
    /// Message type, parameter type or cause code.
    pub number: u16,
    /// The length field as received, in octets; not always what there is.
    pub length: u16,
}

/// What a [`Header`] stands in front of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderKind {
    /// A message; the number is its type.
    Message,
    /// A parameter; the number is its type.
    Parameter,
    /// A cause of an error; the number is its code.
    Cause,
}

/// The value of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Number(i64),
    /// An identifier.
    Id(u32),
    /// A fraction of `u32::MAX`: a load or a distance penalty factor.
    Fraction(u32),
    /// An address, a name, a choice.
    Text(String),
    /// Octets without a known meaning.
    Octets(Box<[u8]>),
}

impl Dump {
    /// A dump takes at most so many times the memory of the message, which has at least 4 octets.
    pub const MEMORY_FACTOR: usize = 128;

    /// Takes a message apart.
    pub fn new(protocol: Protocol, octets: &[u8]) -> Self {
        let error = Message::decode(protocol, octets).err();
        Self { root: walk::message(protocol, octets), error }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = self.error.as_ref();
        write_node(&self.root, 0, &mut error, f)?;
        write_error(error, f)
    }
}

/// Writes a node and what is in it; the error comes before the first line behind its offset.
fn write_node(
    node: &Node,
    depth: usize,
    error: &mut Option<&DecodeError>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if let Some(due) = error.take_if(|error| error.offset < node.offset) {
        write_error(Some(due), f)?;
    }
    write!(f, "{:>5}  {:indent$}{}", node.offset, "", node.name, indent = 2 * depth)?;
    if let Some(Header { kind, number, length }) = node.header {
        let kind = match kind {
            HeaderKind::Message | HeaderKind::Parameter => "type",
            HeaderKind::Cause => "cause",
        };
        write!(f, ", {kind} {number:#x}, length {length}")?;
    }
    if let Some(value) = &node.value {
        write!(f, ": {value}")?;
    }
    writeln!(f)?;
    node.inner.iter().try_for_each(|inner| write_node(inner, depth + 1, error, f))
}

fn write_error(error: Option<&DecodeError>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    error.map_or(Ok(()), |error| writeln!(f, "{:>5}  ****** {}", error.offset, error.kind))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Id(id) => write!(f, "{id:#010x}"),
            Self::Fraction(share) => {
                write!(f, "{:.2} % ({share:#010x})", 100.0 * Load(*share).fraction())
            }
            Self::Text(text) => f.write_str(text),
            Self::Octets(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
        }
    }
}
