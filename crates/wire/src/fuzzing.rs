//! What must hold for any octets, as functions that panic where it does not: the bodies of the
//! fuzz targets, and of tests that run what the fuzzers found.
//!
//! An input is an octet for the protocol (12 is ENRP, as in its payload protocol identifier,
//! everything else ASAP) and a message.

use crate::asap::{Asap, registration_subject};
use crate::codec::padding_len;
use crate::dump::{Dump, Node};
use crate::enrp::{Body, Enrp};
use crate::message::{Decoded, Message, Protocol};
use crate::registry::ENRP_PPID;

/// An error message is at most so many octets longer than the message that it is about: a header,
/// two identifiers, and four octets and padding for each of [`Decoded::REPORTS_MAX`] causes.
pub const REPORT_OVERHEAD: usize = 16 + 7 * Decoded::REPORTS_MAX;

/// The protocol and the message of a fuzzer's input; `None` without an octet.
pub fn split(input: &[u8]) -> Option<(Protocol, &[u8])> {
    let (&protocol, octets) = input.split_first()?;
    let is_enrp = u32::from(protocol) == ENRP_PPID;
    Some((if is_enrp { Protocol::Enrp } else { Protocol::Asap }, octets))
}

/// Whatever can be decoded is encoded to the same message, in no more octets.
///
/// # Panics
///
/// Where it is not.
pub fn round_trip(input: &[u8]) {
    let Some((protocol, octets)) = split(input) else {
        return;
    };
    let _ = registration_subject(octets);
    let Ok(decoded) = Message::decode(protocol, octets) else {
        return;
    };
    let encoded = decoded.message.encode();
    assert_eq!(encoded.len() % 4, 0, "a message is padded");
    assert!(encoded.len() <= octets.len() + padding_len(octets.len()), "a message never grows");
    let again = Message::decode(protocol, &encoded);
    assert_eq!(again, Ok(Decoded { message: decoded.message, skipped: Vec::new() }));
}

/// What is reported of a message can be sent, is understood, and is hardly longer than the message.
///
/// # Panics
///
/// Where it is not.
pub fn report(input: &[u8]) {
    let Some((protocol, octets)) = split(input) else {
        return;
    };
    let causes = match Message::decode(protocol, octets) {
        Ok(decoded) => decoded.reports(octets),
        Err(error) => {
            assert!(error.offset <= octets.len(), "{error} of {}", octets.len());
            error.cause(octets).into_iter().collect()
        }
    };
    if causes.is_empty() {
        return;
    }
    let answer: Message = match protocol {
        Protocol::Asap => Asap::Error(causes).into(),
        Protocol::Enrp => Enrp { sender: None, receiver: None, body: Body::Error(causes) }.into(),
    };
    let encoded = answer.encode();
    assert!(encoded.len() <= octets.len() + REPORT_OVERHEAD, "an error never outgrows its cause");
    let again = Message::decode(protocol, &encoded);
    assert_eq!(again, Ok(Decoded { message: answer, skipped: Vec::new() }));
}

/// Any message can be taken apart: parts stand in order, inside of what they are a part of, and
/// the last octet is in one of them.
///
/// # Panics
///
/// Where it is not so.
pub fn dump(input: &[u8]) {
    let Some((protocol, octets)) = split(input) else {
        return;
    };
    let dump = Dump::new(protocol, octets);
    assert_eq!((dump.root.offset, dump.root.octets), (0, octets.len()));
    check_inner(&dump.root);
    assert_eq!(dump.error, Message::decode(protocol, octets).err());
    let text = dump.to_string();
    let errors = text.lines().filter(|line| line.split_whitespace().nth(1) == Some("******"));
    assert_eq!(errors.count(), usize::from(dump.error.is_some()), "an error is printed once");
}

fn check_inner(node: &Node) {
    let mut end = node.offset;
    for inner in &node.inner {
        assert!(inner.offset >= end, "{node:?}");
        end = inner.offset + inner.octets;
        check_inner(inner);
    }
    assert!(end <= node.offset + node.octets, "{node:?}");
    if node.value.is_none() && node.octets > 4 {
        assert_eq!(end, node.offset + node.octets, "{node:?}");
    }
}
