//! Messages made by hand, and how they are refused.

use hex_literal::hex;
use rserpool_wire::asap::{Deregistration, HandleResolution};
use rserpool_wire::codec::Writer;
use rserpool_wire::param::{Cause, PeId, PoolHandle};
use rserpool_wire::registry::{AsapType, CauseCode, ParamType};
use rserpool_wire::{Asap, DecodeError, Decoded, Message, Protocol};

pub(crate) const HANDLE: [u8; 12] = hex!("0009000c 4563686f506f6f6c");
pub(crate) const ID: [u8; 8] = hex!("000e0008 11223344");
pub(crate) const SCTP: [u8; 16] = hex!("00040010 00070001 00010008 c000020a");
pub(crate) const ROUND_ROBIN: [u8; 8] = hex!("00080008 00000001");

pub(crate) fn asap(octets: &[u8]) -> Result<Decoded, DecodeError> {
    Message::decode(Protocol::Asap, octets)
}

/// A message around parameters, with the padding of the last one.
pub(crate) fn message(ty: AsapType, flags: u8, parameters: &[&[u8]]) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(ty.0, flags, |w| parameters.iter().for_each(|octets| w.slice(octets)));
    w.into_octets()
}

pub(crate) fn parameter(ty: u16, value: &[u8]) -> Vec<u8> {
    let mut w = Writer::default();
    w.param(ParamType(ty), |w| w.slice(value));
    w.into_octets()
}

/// A registration whose element has these parameters.
pub(crate) fn registration(parameters: &[&[u8]]) -> Vec<u8> {
    let element = [&hex!("11223344 00000000 0000012c")[..], &parameters.concat()].concat();
    message(AsapType::REGISTRATION, 0, &[&HANDLE, &parameter(0xa, &element)])
}

/// The causes with which octets are refused.
pub(crate) fn refused(octets: &[u8]) -> Vec<Cause> {
    asap(octets).unwrap_err().cause(octets).into_iter().collect()
}

/// The parameter that octets are refused for, as an invalid value (RFC 5354 §3.12.4).
#[track_caller]
pub(crate) fn refused_parameter(octets: &[u8]) -> Vec<u8> {
    let causes = refused(octets);
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].code, CauseCode::INVALID_VALUES);
    causes[0].info.to_vec()
}

pub(crate) fn deregistration() -> Message {
    let handle = PoolHandle::new(*b"EchoPool").unwrap();
    Asap::Deregistration(Deregistration { handle, id: PeId(0x1122_3344) }).into()
}

pub(crate) fn resolution(handle: &str) -> Message {
    let handle = PoolHandle::new(handle.as_bytes()).unwrap();
    let (want_updates, items) = (false, None);
    Asap::HandleResolution(HandleResolution { want_updates, handle, items }).into()
}

/// A deregistration with parameters between its own two.
pub(crate) fn with_unknown(parameters: &[&[u8]]) -> Vec<u8> {
    let unknown = parameters.concat();
    message(AsapType::DEREGISTRATION, 0, &[&HANDLE, &unknown, &ID])
}
