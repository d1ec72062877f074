//! Registrars that are not what they say, or more than there should be.

use rserpool_wire::enrp::{Body, Presence};
use rserpool_wire::param::{Cause, PoolElement, RegistrarId, RegistrationLife, ServerInformation};
use rserpool_wire::registry::CauseCode;
use rserpool_wire::{Enrp, Protocol};

use super::colleague::{EMPTY, SELF, add, enrp_link, from, homed, presence, rid, sent, server};
use super::lab::Lab;
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
    let told = |lab: &Lab| lab.events.contains(&Event::OtherDialect { peer: rid(0x22) });
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
