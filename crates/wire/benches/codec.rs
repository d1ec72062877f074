//! How long it takes to read and to write messages.
//!
//! `cargo bench -p rserpool-wire`

use std::hint::black_box;
use std::net::Ipv4Addr;

use divan::Bencher;
use divan::counter::BytesCount;
use rserpool_wire::asap::{HandleResolution, HandleResolutionResponse, KeepAlive, Registration};
use rserpool_wire::dump::Dump;
use rserpool_wire::enrp::{Body, PoolEntry, TableResponse};
use rserpool_wire::param::{
    Load, PeId, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport,
    Transport, TransportUse,
};
use rserpool_wire::{Asap, Enrp, Message};

fn main() {
    divan::main();
}

const MESSAGES: [&str; 5] =
    ["keep-alive", "registration", "resolution", "resolution of 3", "table of 64 KiB"];

fn handle() -> PoolHandle {
    PoolHandle::new(*b"EchoPool").expect("it is not empty")
}

fn element(id: u32) -> PoolElement {
    let sctp = |port, transport_use| SctpTransport {
        port,
        transport_use,
        addresses: [Ipv4Addr::from(0x0a00_0000 + id).into()].into_iter().collect(),
    };
    PoolElement {
        id: PeId(id),
        home: RegistrarId::new(1),
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(sctp(7, TransportUse::DataPlusControl)),
        policy: Policy::least_used(Load(id)),
        asap_transport: Some(sctp(4711, TransportUse::DataOnly)),
    }
}

fn message(name: &str) -> Message {
    let handle = handle();
    match name {
        "keep-alive" => {
            let (sender, id) = (RegistrarId::new(1), Some(PeId(1)));
            Asap::KeepAlive(KeepAlive { claim_home: false, sender, handle, id }).into()
        }
        "registration" => Asap::Registration(Registration { handle, element: element(1) }).into(),
        "resolution" => {
            let (want_updates, items) = (false, Some(3));
            Asap::HandleResolution(HandleResolution { want_updates, handle, items }).into()
        }
        "resolution of 3" => Asap::HandleResolutionResponse(HandleResolutionResponse {
            updates_accepted: false,
            handle,
            policy: Some(Policy::round_robin()),
            elements: (1..=3).map(element).collect(),
            causes: vec![],
        })
        .into(),
        _ => {
            let pools = vec![PoolEntry { handle, elements: (1..=1000).map(element).collect() }];
            let body = Body::TableResponse(TableResponse { rejected: false, more: true, pools });
            Enrp { sender: RegistrarId::new(1), receiver: None, body }.into()
        }
    }
}

#[divan::bench(args = MESSAGES)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let message = message(name);
    let (protocol, octets) = (message.protocol(), message.encode());
    bencher
        .counter(BytesCount::new(octets.len()))
        .bench(|| Message::decode(protocol, black_box(&octets)));
}

#[divan::bench(args = MESSAGES)]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let message = message(name);
    bencher.counter(BytesCount::new(message.encode().len())).bench(|| black_box(&message).encode());
}

#[divan::bench(args = MESSAGES)]
fn dump(bencher: Bencher<'_, '_>, name: &str) {
    let message = message(name);
    let (protocol, octets) = (message.protocol(), message.encode());
    bencher
        .counter(BytesCount::new(octets.len()))
        .bench(|| Dump::new(protocol, black_box(&octets)).to_string());
}
