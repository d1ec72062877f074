//! Registrars that are not what they say, or more than there should be.

use rserpool_wire::asap::{
    Announce, Asap, Deregistration, DeregistrationResponse, HandleResolution, KeepAlive,
    KeepAliveAck, Registration, Unreachable,
};
use rserpool_wire::enrp::{Body, Presence};
use rserpool_wire::param::{
    Cause, Cookie, PeId, PoolElement, RegistrarId, RegistrationLife, ServerInformation,
};
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Enrp, Protocol};

use super::colleague::{EMPTY, SELF, add, enrp_link, from, homed, presence, rid, sent, server};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, pool};
use super::net::Net;
use crate::machine::{Carrier, Input, Malformed, Output, Peer};
use crate::registrar::Event;

#[test]
fn who_has_the_same_identifier_is_noticed_once_and_not_believed() {
    let mut lab = Lab::among(&[]);
    for attempt in 0..3 {
        let peer = Peer::accepted(500 + attempt);
        lab.input(Input::Up(peer, enrp_link(Carrier::Sctp, 0x77)));
        let body = Body::Presence(Presence {
            reply_required: true,
            checksum: None,
            server: Some(ServerInformation { id: Some(rid(SELF)), ..server(0x77) }),
        });
        let outputs = lab.enrp_over(peer, SELF, body);
        assert_eq!(outputs, [Output::Close(peer)]);
        let is_told = matches!(&lab.events[..], [Event::DuplicateId { .. }]);
        assert_eq!(is_told, attempt == 0, "{:?}", lab.events);
    }
    assert_eq!(lab.registrar.peers().count(), 0);
}

#[test]
fn who_announces_the_same_identifier_is_noticed_once_and_its_own_announce_is_not() {
    let mut lab = Lab::among_with(&[], |config| config.discover = true);
    let announced = |lab: &mut Lab, from: u32, transport: u32| {
        let server = Some(ServerInformation { id: Some(rid(SELF)), ..server(transport) });
        let presence = Presence { reply_required: false, checksum: None, server };
        let message =
            Enrp { sender: Some(rid(SELF)), receiver: None, body: Body::Presence(presence) };
        let source = server_address(from);
        assert_eq!(lab.input(Input::Announce(source, message.into())), []);
        lab.events.clone()
    };
    assert_eq!(announced(&mut lab, SELF, SELF), []);
    let addresses = vec![server_address(0x77)];
    assert_eq!(announced(&mut lab, 0x77, 0x77), [Event::DuplicateId { addresses, port: None }]);
    assert_eq!(announced(&mut lab, 0x77, 0x77), []);
    assert_eq!((lab.registrar.peers().count(), lab.registrar.stats().own_id_heard), (0, 2));
    // Anyone can send such a thing: there is an end to it.
    let told: usize = (1..200).map(|from| announced(&mut lab, from, 0x77).len()).sum();
    assert_eq!(told, 64 - 1);
}

fn server_address(id: u32) -> std::net::IpAddr {
    server(id).transport.addresses[0]
}

#[test]
fn two_registrars_with_one_identifier_both_say_so_and_keep_their_elements() {
    let mut net = Net::new();
    let twins = |config: &mut crate::registrar::Config| config.id = RegistrarId::new(0x77);
    net.registrar(vec![], twins);
    net.registrar(vec![0], twins);
    net.registrar(vec![0, 1], |_| {});
    (0..3).for_each(|place| net.start(place));
    net.run(4_000);
    let elements = [0, 1, 2].map(|place| net.element(vec![place]));
    net.run(10_000);
    for place in [0, 1] {
        let is_told = |event: &&Event| matches!(event, Event::DuplicateId { .. });
        assert_eq!(net.told(place).into_iter().filter(is_told).count(), 1, "{place}");
        assert_eq!(net.at(place).peers().count(), 1);
    }
    for (place, element) in [0, 1, 2].into_iter().zip(elements) {
        let registrar = net.at(place);
        assert_eq!(net.element_at(element).home().and_then(|it| it.id), Some(registrar.id()));
        assert_eq!(registrar.supervised.len(), 1, "{place}");
    }
}

#[test]
fn a_registrar_that_dials_itself_notices_and_does_it_no_more() {
    let mut lab = Lab::among_with(&[], |config| config.peers = 1);
    let dialed = Peer::dialed(1);
    lab.input(Input::Up(dialed, enrp_link(Carrier::Sctp, SELF)));
    let outputs = lab.enrp_over(dialed, SELF, presence(SELF, EMPTY, true));
    assert_eq!(outputs, [Output::Close(dialed)]);
    assert_eq!(lab.events, [Event::Serving { synchronised: false }]);
    let outputs = lab.pass(120_000);
    assert!(outputs.iter().all(|output| !matches!(output, Output::Connect(..))), "{outputs:?}");
}

#[test]
fn another_identifier_on_a_known_association_is_not_believed() {
    let mut lab = Lab::among(&[0x22]);
    for id in 0x100..0x200 {
        lab.enrp_over(from(0x22), id, presence(id, EMPTY, false));
    }
    assert_eq!(lab.registrar.peers().count(), 1);
    assert_eq!(lab.registrar.stats().impostors, 0x100);
}

#[test]
fn registrars_beyond_the_limit_are_turned_away_and_told_once() {
    let mut lab = Lab::among_with(&[0x22], |config| config.peers_max = 2);
    lab.meet(0x33);
    for id in 0x44..0x48 {
        lab.input(Input::Up(from(id), enrp_link(Carrier::Sctp, id)));
        let outputs = lab.enrp(id, presence(id, EMPTY, false));
        assert!(outputs.contains(&Output::Close(from(id))));
        assert_eq!(lab.events.contains(&Event::PeersFull), id == 0x44);
    }
    assert_eq!(lab.registrar.peers().count(), 2);
    assert_eq!(lab.registrar.stats().peers_refused, 4);
}

#[test]
fn messages_for_someone_else_are_dropped() {
    let mut lab = Lab::among(&[0x22]);
    let message =
        Enrp { sender: Some(rid(0x22)), receiver: Some(rid(0x99)), body: add(homed(1, 0x22)) };
    assert_eq!(lab.input(Input::Message(from(0x22), message.into())), []);
    assert_eq!((lab.len(), lab.registrar.stats().misaddressed), (0, 1));
}

// RFC 5352 §4; checklist 134.
#[test]
fn what_is_for_registrars_is_handled_and_all_else_counted() {
    let element = || element(1, &[ELEMENT_ADDRESS]);
    let (handle, id, causes) = (pool, PeId(1), Vec::new);
    let registration = Registration { handle: handle(), element: element() };
    let resolution = HandleResolution { want_updates: false, handle: handle(), items: None };
    let gone = DeregistrationResponse { handle: handle(), id, causes: causes() };
    let keep_alive = KeepAlive { claim_home: true, sender: None, handle: handle(), id: None };
    let cookie = || Cookie::new([1]).unwrap();
    let done = |lab: &Lab| {
        let it = lab.registrar.stats();
        let handled = [it.registrations, it.resolutions, it.reports, it.deregistrations];
        (handled.iter().sum::<u64>() + it.errors_received + it.keep_alive_acks, it.unexpected)
    };
    let mut lab = Lab::new();
    let for_registrars = [
        Asap::Registration(registration),
        Asap::HandleResolution(resolution),
        Asap::Unreachable(Unreachable { handle: handle(), id }),
        Asap::KeepAliveAck(KeepAliveAck { handle: handle(), id }),
        Asap::Deregistration(Deregistration { handle: handle(), id }),
        Asap::Error(vec![Cause::new(CauseCode::UNRECOGNIZED_MESSAGE)]),
    ];
    for (count, message) in (1..).zip(for_registrars) {
        lab.asap(ELEMENT, message);
        assert_eq!(done(&lab), (count, 0));
    }
    let announce = Announce { sender: None, transports: Vec::new() };
    let for_others = [
        Asap::DeregistrationResponse(gone),
        Asap::KeepAlive(keep_alive),
        Asap::Announce(announce),
        Asap::Cookie(cookie()),
        Asap::CookieEcho(cookie()),
    ];
    for (count, message) in (1..).zip(for_others) {
        assert_eq!(lab.asap(ELEMENT, message), []);
        assert_eq!(done(&lab), (6, count));
    }
}

#[test]
fn where_tcp_is_not_wanted_it_is_refused_with_its_cause() {
    let mut lab = Lab::among_with(&[], |config| config.enrp_tcp = false);
    let outputs = lab.input(Input::Up(from(0x22), enrp_link(Carrier::Tcp, 0x22)));
    let [(_, Body::Error(causes))] = &sent(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(causes[0].code, CauseCode::SECURITY);
    assert_eq!(outputs.last(), Some(&Output::Close(from(0x22))));
}

// Checklist 183.
#[test]
fn what_cannot_be_read_is_reported_but_no_error_is() {
    let mut lab = Lab::among(&[0x22]);
    let cause = Cause::new(CauseCode::UNRECOGNIZED_MESSAGE);
    let malformed = |message_type| Malformed {
        protocol: Protocol::Enrp,
        error: None,
        message_type: Some(message_type),
        subject: None,
        causes: vec![cause.clone()],
    };
    let outputs = lab.input(Input::Malformed(from(0x22), malformed(0x55)));
    assert_eq!(sent(&outputs), [(from(0x22), Body::Error(vec![cause.clone()]))]);
    assert_eq!(lab.input(Input::Malformed(from(0x22), malformed(0x0a))), []);
    assert_eq!(lab.enrp(0x22, Body::Error(vec![cause])), []);
}

#[test]
fn a_registrar_of_rsplib_in_a_scope_that_speaks_otherwise_is_told_of_once() {
    let mut lab = Lab::among(&[0x22]);
    let is_told = |event: &Event| match event {
        Event::OtherDialect { peer, from } => *peer == rid(0x22) && from.is_some(),
        _ => false,
    };
    let told = |lab: &Lab| lab.events.iter().any(is_told);
    let update = |lab: &mut Lab, life, receiver| {
        let element = PoolElement { life: RegistrationLife(life), ..homed(1, 0x22) };
        let sender = RegistrarId::new(0x22);
        lab.input(Input::Message(from(0x22), Enrp { sender, receiver, body: add(element) }.into()));
    };
    update(&mut lab, 90_000, None);
    update(&mut lab, 300, Some(rid(SELF)));
    assert!(!told(&lab));
    update(&mut lab, 90_000, Some(rid(SELF)));
    assert!(told(&lab));
    update(&mut lab, 90_000, Some(rid(SELF)));
    assert!(!told(&lab));
}
