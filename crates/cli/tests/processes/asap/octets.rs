//! Messages as RFC 5352 and RFC 5354 draw them, written by hand.

use std::net::Ipv4Addr;

/// The pool that most tests are about, as a parameter.
pub(super) const ECHO_POOL: &str = "0009000c 4563686f506f6f6c";
/// Round robin, as a parameter.
pub(super) const ROUND_ROBIN: &str = "00080008 00000001";
/// The element 0x11223344 as a PE Identifier parameter.
pub(super) const PE_ID: &str = "000e0008 11223344";
/// TCP port 7 of 127.0.0.1, as a parameter.
pub(super) const TCP_7: &str = "00050010 00070000 00010008 7f000001";

/// Octets from hexadecimal digits; blanks and line ends do not count.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|it| !it.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half an octet in {text}");
    let octet = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// Hexadecimal digits, four octets a group: what a failed test shows.
pub(super) fn digits(octets: &[u8]) -> String {
    let group = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.chunks(4).map(group).collect::<Vec<String>>().join(" ")
}

/// A message: type, flags, and its length before the parameters; all of them end aligned.
pub(super) fn message(ty: u8, flags: u8, parameters: &[&[u8]]) -> Vec<u8> {
    let value = parameters.concat();
    let length = u16::try_from(4 + value.len()).unwrap();
    [&[ty, flags][..], &length.to_be_bytes(), &value].concat()
}

/// A parameter, or an error cause: type and length before its value, padding behind it.
pub(super) fn tlv(ty: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut octets = [&ty.to_be_bytes()[..], &length.to_be_bytes(), value].concat();
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

pub(super) fn handle(name: &[u8]) -> Vec<u8> {
    tlv(9, name)
}

pub(super) fn pe_id(id: u32) -> Vec<u8> {
    tlv(14, &id.to_be_bytes())
}

pub(super) fn address(ip: [u8; 4]) -> Vec<u8> {
    tlv(1, &ip)
}

pub(super) fn tcp(port: u16, ip: [u8; 4]) -> Vec<u8> {
    tlv(5, &[&port.to_be_bytes()[..], &[0, 0], &address(ip)].concat())
}

pub(super) fn sctp(port: u16, transport_use: u16, ips: &[[u8; 4]]) -> Vec<u8> {
    let addresses: Vec<u8> = ips.iter().flat_map(|ip| address(*ip)).collect();
    tlv(4, &[&port.to_be_bytes()[..], &transport_use.to_be_bytes(), &addresses].concat())
}

/// A policy parameter with its fields.
pub(super) fn policy(ty: u32, fields: &[u32]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
    tlv(8, &[&ty.to_be_bytes()[..], &fields].concat())
}

/// A Pool Element parameter.
pub(super) fn element(id: u32, home: u32, life: i32, inside: &[&[u8]]) -> Vec<u8> {
    let head = [id.to_be_bytes(), home.to_be_bytes(), life.to_be_bytes()].concat();
    tlv(10, &[&head, &inside.concat()[..]].concat())
}

/// An element of EchoPool on this host, round robin, for 300 s.
pub(super) fn simple_element(id: u32, port: u16) -> Vec<u8> {
    element(id, 0, 300, &[&tcp(port, Ipv4Addr::LOCALHOST.octets()), &hex(ROUND_ROBIN)])
}

/// An Operation Error parameter.
pub(super) fn causes(causes: &[(u16, &[u8])]) -> Vec<u8> {
    let causes: Vec<u8> = causes.iter().flat_map(|(code, info)| tlv(*code, info)).collect();
    tlv(12, &causes)
}

pub(super) fn registration(handle: &[u8], element: &[u8]) -> Vec<u8> {
    message(1, 0, &[handle, element])
}

pub(super) fn deregistration(handle: &[u8], id: u32) -> Vec<u8> {
    message(2, 0, &[handle, &pe_id(id)])
}

/// A positive REGISTRATION_RESPONSE.
pub(super) fn registered(handle: &[u8], id: u32) -> Vec<u8> {
    message(3, 0, &[handle, &pe_id(id)])
}

/// A REGISTRATION_RESPONSE with the R bit.
pub(super) fn rejected(handle: &[u8], id: u32, code: u16, info: &[u8]) -> Vec<u8> {
    message(3, 1, &[handle, &pe_id(id), &causes(&[(code, info)])])
}

/// A DEREGISTRATION_RESPONSE without error.
pub(super) fn deregistered(handle: &[u8], id: u32) -> Vec<u8> {
    message(4, 0, &[handle, &pe_id(id)])
}

/// A HANDLE_RESOLUTION for all elements.
pub(super) fn resolution(handle: &[u8]) -> Vec<u8> {
    message(5, 0, &[handle])
}

/// A HANDLE_RESOLUTION for at most so many (draft-dreibholz-rserpool-asap-hropt).
pub(super) fn resolution_of(handle: &[u8], items: u32) -> Vec<u8> {
    message(5, 0, &[handle, &tlv(0x803f, &items.to_be_bytes())])
}

/// A positive HANDLE_RESOLUTION_RESPONSE.
pub(super) fn resolved(handle: &[u8], policy: &[u8], elements: &[Vec<u8>]) -> Vec<u8> {
    message(6, 0, &[handle, policy, &elements.concat()])
}

/// The negative HANDLE_RESOLUTION_RESPONSE for a pool that is unknown.
pub(super) fn unknown_pool(handle: &[u8]) -> Vec<u8> {
    message(6, 0, &[handle, &causes(&[(9, &[])])])
}
