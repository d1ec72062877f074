//! Octets from the RFC drawings and from rsplib, what they mean, and what is wrong with broken ones.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod vectors;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rserpool_wire::asap::{
    Announce, BusinessCard, Deregistration, DeregistrationResponse, HandleResolution,
    HandleResolutionResponse, KeepAlive, KeepAliveAck, Registration, RegistrationResponse,
    Unreachable,
};
use rserpool_wire::codec::padding_len;
use rserpool_wire::dump::Dump;
use rserpool_wire::enrp::{
    Body, ListResponse, PoolEntry, Presence, TableRequest, TableResponse, Takeover, Update,
    UpdateAction,
};
use rserpool_wire::param::{
    Cause, Cookie, PeChecksum, PeId, Policy, PoolElement, PoolHandle, RegistrarId,
    RegistrationLife, SctpTransport, ServerInformation, Transport, TransportUse,
};
use rserpool_wire::registry::{CauseCode, PolicyType};
use rserpool_wire::{Asap, Enrp, Message};

use vectors::{Vector, assert_golden, vectors};

const ID: PeId = PeId(0x1122_3344);

fn handle() -> PoolHandle {
    PoolHandle::new(*b"EchoPool").unwrap()
}

fn registrar(id: u32) -> Option<RegistrarId> {
    Some(RegistrarId::new(id).unwrap())
}

fn sctp(port: u16, addresses: &[IpAddr]) -> SctpTransport {
    SctpTransport { port, transport_use: TransportUse::DataOnly, addresses: addresses.into() }
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn element() -> PoolElement {
    let transport_use = TransportUse::DataPlusControl;
    PoolElement {
        id: ID,
        home: None,
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(SctpTransport { transport_use, ..sctp(7, &[v4(10)]) }),
        policy: Policy::round_robin(),
        asap_transport: None,
    }
}

fn element_of(home: u32) -> PoolElement {
    PoolElement { home: registrar(home), ..element() }
}

fn registration(policy: PolicyType, fields: &[u32]) -> Message {
    let policy = Policy::new(policy, fields).unwrap();
    let element = PoolElement { policy, ..element() };
    Asap::Registration(Registration { handle: handle(), element }).into()
}

fn registration_response(causes: Vec<Cause>) -> Message {
    let rejected = !causes.is_empty();
    let answer = RegistrationResponse { rejected, handle: handle(), id: ID, causes };
    Asap::RegistrationResponse(answer).into()
}

fn resolution(pool: &str, items: Option<u32>) -> Message {
    let handle = PoolHandle::new(pool.as_bytes()).unwrap();
    Asap::HandleResolution(HandleResolution { want_updates: false, handle, items }).into()
}

fn resolution_response(policy: Option<Policy>, elements: &[PoolElement]) -> Message {
    let unknown = elements.is_empty().then(|| Cause::new(CauseCode::UNKNOWN_POOL_HANDLE));
    let answer = HandleResolutionResponse {
        updates_accepted: false,
        handle: handle(),
        policy,
        elements: elements.to_vec(),
        causes: unknown.into_iter().collect(),
    };
    Asap::HandleResolutionResponse(answer).into()
}

fn keep_alive(id: Option<PeId>) -> Message {
    let sender = registrar(0xaabb_ccdd);
    Asap::KeepAlive(KeepAlive { claim_home: true, sender, handle: handle(), id }).into()
}

fn announce(transports: &[Transport]) -> Message {
    let (sender, transports) = (registrar(0xaabb_ccdd), transports.to_vec());
    Asap::Announce(Announce { sender, transports }).into()
}

fn cookie(text: &str) -> Cookie {
    Cookie::new(text.as_bytes()).unwrap()
}

fn enrp(sender: u32, receiver: u32, body: Body) -> Message {
    let (sender, receiver) = (RegistrarId::new(sender), RegistrarId::new(receiver));
    Enrp { sender, receiver, body }.into()
}

fn update(action: UpdateAction, takeover_suggested: bool) -> Message {
    let asap_transport = Some(sctp(4711, &[v4(10)]));
    let element = PoolElement { asap_transport, ..element_of(0xaabb_ccdd) };
    let update = Update { takeover_suggested, action, handle: handle(), element };
    enrp(0xaabb_ccdd, 0, Body::Update(update))
}

fn asap_meaning(name: &str) -> Option<Message> {
    Some(match name {
        "registration" => registration(PolicyType::ROUND_ROBIN, &[]),
        "handle-resolution-unaligned" | "handle-resolution-unaligned-padding-counted" => {
            resolution("Echo1", None)
        }
        "handle-resolution-3-items" => resolution("EchoPool", Some(3)),
        "handle-resolution-response" => {
            resolution_response(Some(Policy::round_robin()), &[element_of(0xaabb_ccdd)])
        }
        "handle-resolution-response-without-policy" => {
            resolution_response(None, &[element_of(0xaabb_ccdd)])
        }
        "handle-resolution-response-unknown-pool" => resolution_response(None, &[]),
        "registration-response" => registration_response(vec![]),
        "registration-response-rejected" => {
            registration_response(vec![Cause::inconsistent_policy(&Policy::round_robin())])
        }
        "registration-response-two-causes" => registration_response(vec![
            Cause::inconsistent_policy(&Policy::round_robin()),
            Cause::new(CauseCode::LACK_OF_RESOURCES),
        ]),
        "deregistration" => {
            Asap::Deregistration(Deregistration { handle: handle(), id: ID }).into()
        }
        "deregistration-response" => {
            let answer = DeregistrationResponse { handle: handle(), id: ID, causes: vec![] };
            Asap::DeregistrationResponse(answer).into()
        }
        "keep-alive-ack" => Asap::KeepAliveAck(KeepAliveAck { handle: handle(), id: ID }).into(),
        "unreachable" => Asap::Unreachable(Unreachable { handle: handle(), id: ID }).into(),
        "keep-alive-claim" => keep_alive(None),
        "keep-alive-claim-with-id" => keep_alive(Some(ID)),
        "announce" => announce(&[]),
        "announce-with-transport" => announce(&[Transport::Sctp(sctp(3863, &[v4(1)]))]),
        "cookie" => Asap::Cookie(cookie("abcdefgh")).into(),
        "cookie-unaligned" => Asap::Cookie(cookie("abcde")).into(),
        "cookie-echo" => Asap::CookieEcho(cookie("abcdefgh")).into(),
        "business-card" => {
            let elements = vec![element_of(0xaabb_ccdd)];
            Asap::BusinessCard(BusinessCard { handle: handle(), elements }).into()
        }
        "asap-error-unrecognized-parameter" => {
            let info = b"\xc0\xff\x00\x08abcd";
            let cause = Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, info);
            Asap::Error(vec![cause]).into()
        }
        _ => return None,
    })
}

fn enrp_meaning(name: &str) -> Option<Message> {
    let target = registrar(0x0a0b_0c0d);
    Some(match name {
        "presence-reply-required" => {
            let (id, transport) = (registrar(0xaabb_ccdd), sctp(9901, &[v4(1)]));
            let presence = Presence {
                reply_required: true,
                checksum: Some(PeChecksum(0x4deb)),
                server: Some(ServerInformation { id, transport }),
            };
            enrp(0xaabb_ccdd, 0, Body::Presence(presence))
        }
        "table-request-own-only" => {
            enrp(0xaabb_ccdd, 0x0102_0304, Body::TableRequest(TableRequest { own_only: true }))
        }
        "table-response-rejected" => {
            let answer = TableResponse { rejected: true, more: false, pools: vec![] };
            enrp(0xaabb_ccdd, 0x0102_0304, Body::TableResponse(answer))
        }
        "table-response-more" => {
            let asap_transport = Some(sctp(4711, &[v4(10)]));
            let elements = vec![PoolElement { asap_transport, ..element_of(0xaabb_ccdd) }];
            let pools = vec![PoolEntry { handle: handle(), elements }];
            let answer = TableResponse { rejected: false, more: true, pools };
            enrp(0xaabb_ccdd, 0x0102_0304, Body::TableResponse(answer))
        }
        "update-add" => update(UpdateAction::AddElement, false),
        "update-delete" => update(UpdateAction::DeleteElement, false),
        "update-add-takeover-suggested" => update(UpdateAction::AddElement, true),
        "list-request" => enrp(0xaabb_ccdd, 0x0102_0304, Body::ListRequest),
        "list-response" => {
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3).into();
            let server = |id, transport| ServerInformation { id: registrar(id), transport };
            let servers = vec![
                server(0x0102_0304, sctp(9901, &[v4(2)])),
                server(0x0a0b_0c0d, sctp(9901, &[v4(3), v6])),
            ];
            let answer = ListResponse { rejected: false, servers };
            enrp(0x0102_0304, 0xaabb_ccdd, Body::ListResponse(answer))
        }
        "takeover-init" => enrp(0xaabb_ccdd, 0, Body::TakeoverInit(Takeover { target })),
        "takeover-ack" => enrp(0x0102_0304, 0xaabb_ccdd, Body::TakeoverAck(Takeover { target })),
        "takeover-done" => enrp(0xaabb_ccdd, 0, Body::TakeoverDone(Takeover { target })),
        "enrp-error-unrecognized-message" => {
            let cause = Cause::with_info(CauseCode::UNRECOGNIZED_MESSAGE, &[0x5f, 0, 0, 4]);
            enrp(0xaabb_ccdd, 0x0102_0304, Body::Error(vec![cause]))
        }
        _ => return None,
    })
}

fn policy_meaning(name: &str) -> Option<Message> {
    let (policy, fields): (_, &[u32]) = match name.strip_prefix("registration-")? {
        "weighted-round-robin" => (PolicyType::WEIGHTED_ROUND_ROBIN, &[10]),
        "priority" => (PolicyType::PRIORITY, &[9]),
        "least-used" => (PolicyType::LEAST_USED, &[0x8000_0000]),
        "least-used-degradation" => {
            (PolicyType::LEAST_USED_DEGRADATION, &[0x8000_0000, 0x0100_0000])
        }
        "weighted-random-dpf" => (PolicyType::WEIGHTED_RANDOM_DPF, &[10, u32::MAX, 50]),
        "least-used-dpf" => (PolicyType::LEAST_USED_DPF, &[1, 2, 50]),
        "least-used-degradation-dpf" => (PolicyType::LEAST_USED_DEGRADATION_DPF, &[1, 2, 3, 50]),
        _ => return None,
    };
    Some(registration(policy, fields))
}

/// A message for each line, taken apart.
fn dumps(vectors: &[Vector]) -> String {
    let mut text = String::new();
    for Vector { name, protocol, octets } in vectors {
        writeln!(text, "{name}\n{}", Dump::new(*protocol, octets)).unwrap();
    }
    text
}

/// Checks that what we encode for what a message says is the message, but for two things: rsplib
/// counts the final padding in the message length (RFC 5354 §4 does not), and parameters that
/// nobody knows are left out.
fn assert_encodes_to_itself(vector: &Vector) {
    let Vector { name, protocol, octets } = vector;
    let decoded = Message::decode(*protocol, octets).unwrap_or_else(|e| panic!("{name}: {e}"));
    let ours = decoded.message.encode();

    let mut expected = octets.clone();
    for skipped in decoded.skipped.iter().rev() {
        let start = skipped.offset as usize;
        let length = usize::from(u16::from_be_bytes([octets[start + 2], octets[start + 3]]));
        expected.drain(start..start + length + padding_len(length));
    }
    let cut = octets.len() - expected.len();
    let length = usize::from(u16::from_be_bytes([octets[2], octets[3]])) - cut;
    let our_length = usize::from(u16::from_be_bytes([ours[2], ours[3]]));
    assert!(
        length == our_length || length == our_length + padding_len(our_length),
        "{name}: length {length}, ours {our_length}"
    );
    expected[2..4].copy_from_slice(&ours[2..4]);
    assert_eq!(ours, expected, "{name}");
}

#[test]
fn every_drawing_means_what_it_says_and_is_what_we_send() {
    let drawings = vectors("drawings");
    assert_eq!(drawings.len(), 43);
    for vector in drawings {
        let name = &*vector.name;
        let meaning = asap_meaning(name).or_else(|| enrp_meaning(name));
        let meaning = meaning.or_else(|| policy_meaning(name)).unwrap_or_else(|| panic!("{name}"));
        let decoded = Message::decode(vector.protocol, &vector.octets).unwrap();
        assert_eq!(decoded.message, meaning, "{name}");
        assert_encodes_to_itself(&vector);
    }
}

#[test]
fn every_drawing_can_be_taken_apart() {
    assert_golden("drawings.txt", &dumps(&vectors("drawings")));
}

#[test]
fn what_rsplib_creates_is_understood_but_for_its_business_card() {
    let mut vectors = vectors("rsplib-creator");
    assert_eq!(vectors.len(), 50);
    assert_golden("rsplib-creator.txt", &dumps(&vectors));

    // rsplib puts a policy between the pool handle and the elements (RFC 5352 §2.2.13 does not).
    let card = vectors.iter().position(|vector| vector.name == "asap-business-card").unwrap();
    let Vector { protocol, octets, .. } = vectors.remove(card);
    let error = Message::decode(protocol, &octets).unwrap_err();
    assert_eq!(error.to_string(), "Pool Element is missing at octet 16");
    vectors.iter().for_each(assert_encodes_to_itself);
}

#[test]
fn every_message_that_rsplib_sends_is_understood() {
    let captures = vectors("rsplib-captures");
    assert_eq!(captures.len(), 290);
    captures.iter().for_each(assert_encodes_to_itself);
}

/// What is wrong with each message, where, and what the sender is told.
fn errors(vectors: &[Vector]) -> String {
    let mut text = String::new();
    for Vector { name, protocol, octets } in vectors {
        let Err(error) = Message::decode(*protocol, octets) else {
            panic!("{name} is understood");
        };
        write!(text, "{name}: {error}; ").unwrap();
        match error.cause(octets) {
            Some(cause) => writeln!(text, "reported as {cause} with {:02x?}", cause.info).unwrap(),
            None => writeln!(text, "not reported").unwrap(),
        }
    }
    text
}

#[test]
fn what_was_sent_to_rsplib_wrong_on_purpose_is_wrong_to_us_too() {
    let wrong = vectors("rsplib-errors");
    assert_eq!(wrong.len(), 14);
    assert_golden("rsplib-errors.txt", &errors(&wrong));
}

#[test]
fn broken_messages_say_what_is_wrong_and_where_and_what_to_report() {
    let negatives = vectors("negatives");
    assert_golden("negatives.txt", &errors(&negatives));
    assert_golden("negatives-dump.txt", &dumps(&negatives));
}
