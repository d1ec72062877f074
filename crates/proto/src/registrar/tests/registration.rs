use std::net::IpAddr;

use rserpool_wire::Message;
use rserpool_wire::Protocol;
use rserpool_wire::asap::Asap;
use rserpool_wire::codec::Codec;
use rserpool_wire::param::{
    Cause, PeId, Policy, PolicyField, PoolElement, PoolHandle, RegistrationLife, Transport,
    TransportUse,
};
use rserpool_wire::registry::{CauseCode, PolicyType};

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, element, link, pool, sctp};
use crate::dialect::Dialect;
use crate::handlespace;
use crate::machine::{Carrier, Input, Output, Peer, read};
use crate::registrar::{AddressScope, Config, Event};

fn codes(causes: &[Cause]) -> Vec<CauseCode> {
    causes.iter().map(|cause| cause.code).collect()
}

fn mine() -> PoolElement {
    element(1, &[ELEMENT_ADDRESS])
}

// RFC 5352 §3.1 rules 1 and 4; checklist 68, 69, 72, 73, 74.
#[test]
fn the_first_registration_founds_the_pool_and_makes_this_registrar_its_home() {
    let mut lab = Lab::new();
    assert_eq!(lab.register(ELEMENT, mine()), []);
    assert_eq!(lab.events, [Event::Joined { handle: pool(), id: PeId(1) }]);
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let stored = lab.registrar.handlespace().element(index).unwrap().element.clone();
    assert_eq!(stored.home, Some(lab.registrar.id()));
    assert_eq!(stored.asap_transport, Some(sctp(&[ELEMENT_ADDRESS], 4711)));
    assert_eq!(lab.resolve(None), Some(vec![1]));
}

// RFC 5352 §3.1 rule 3; checklist 71.
#[test]
fn a_registration_again_changes_the_element_and_nothing_else() {
    let mut lab = Lab::new();
    let policy = Policy::of_type(PolicyType::WEIGHTED_ROUND_ROBIN);
    for weight in [1, 5, 5] {
        let policy = policy.clone().with(PolicyField::Weight, weight);
        assert_eq!(lab.register(ELEMENT, PoolElement { policy, ..mine() }), []);
    }
    assert_eq!(lab.events, []);
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let stored = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(stored.policy.get(PolicyField::Weight), Some(5));
    assert_eq!(lab.registrar.handlespace().len(), 1);
}

// RFC 5352 §3.1 rule 2; checklist 70, 75.
#[test]
fn who_does_not_fit_the_pool_stays_out() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, mine());
    let other = element(2, &[OTHER_ADDRESS]);
    let random = Policy::of_type(PolicyType::RANDOM);
    let causes = lab.register(OTHER, PoolElement { policy: random, ..other.clone() });
    assert_eq!(causes, [Cause::inconsistent_policy(&Policy::round_robin())]);
    let udp = Transport::Udp { port: 7, address: OTHER_ADDRESS };
    let causes = lab.register(OTHER, PoolElement { user_transport: udp, ..other.clone() });
    assert_eq!(codes(&causes), [CauseCode::INCONSISTENT_TRANSPORT]);
    let mut control = sctp(&[OTHER_ADDRESS], 7);
    control.transport_use = TransportUse::DataPlusControl;
    let control = Transport::Sctp(control);
    let causes = lab.register(OTHER, PoolElement { user_transport: control, ..other });
    assert_eq!(codes(&causes), [CauseCode::INCONSISTENT_TRANSPORT_USE]);
    assert_eq!(lab.registrar.handlespace().len(), 1);
    assert_eq!(lab.registrar.stats().rejections, 3);
}

// The same checks hold for a registration again; checklist 71.
#[test]
fn an_element_cannot_change_its_pools_policy() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, mine());
    let causes = lab.register(
        ELEMENT,
        PoolElement { policy: Policy::least_used(Default::default()), ..mine() },
    );
    assert_eq!(codes(&causes), [CauseCode::INCONSISTENT_POLICY]);
    assert_eq!(lab.resolve(None), Some(vec![1]));
}

#[test]
fn values_that_no_element_can_have_are_refused_with_cause_3_and_leave_nothing() {
    let mut lab = Lab::new();
    let no_port = Transport::Sctp(sctp(&[ELEMENT_ADDRESS], 0));
    let unknown = Policy::from_octets(&[0, 8, 0, 8, 0x40, 0, 0, 9]).unwrap();
    let unspecified = Transport::Sctp(sctp(&["0.0.0.0".parse().unwrap()], 7));
    for wrong in [
        PoolElement { id: PeId(0), ..mine() },
        PoolElement { life: RegistrationLife(0), ..mine() },
        PoolElement { user_transport: no_port, ..mine() },
        PoolElement { user_transport: unspecified, ..mine() },
        PoolElement { policy: unknown, ..mine() },
        element(1, &[OTHER_ADDRESS]),
    ] {
        let causes = lab.register(ELEMENT, wrong.clone());
        assert_eq!(codes(&causes), [CauseCode::INVALID_VALUES], "{wrong:?}");
        assert!(!causes[0].info.is_empty());
    }
    assert!(lab.registrar.handlespace().is_empty());
}

#[test]
fn beyond_a_limit_there_is_cause_6() {
    let mut config = Config::default();
    config.handlespace.limits = handlespace::Limits { elements_max: 1, ..Default::default() };
    let mut lab = Lab::with(config);
    assert_eq!(lab.register(ELEMENT, mine()), []);
    let causes = lab.register(OTHER, element(2, &[OTHER_ADDRESS]));
    assert_eq!(codes(&causes), [CauseCode::LACK_OF_RESOURCES]);
}

// RFC 5352 §2.2.1; checklist 43.
#[test]
fn only_addresses_of_the_association_are_taken() {
    let mut lab = Lab::new();
    assert_eq!(lab.register(ELEMENT, element(1, &[OTHER_ADDRESS, ELEMENT_ADDRESS])), []);
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let stored = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(stored.user_transport.addresses(), [ELEMENT_ADDRESS]);
}

#[test]
fn behind_nat_an_element_advertises_what_the_operator_allows() {
    let mut lab = Lab::with(Config { allow_advertised: true, ..Config::default() });
    assert_eq!(lab.register(ELEMENT, element(1, &["192.0.2.1".parse().unwrap()])), []);
}

#[test]
fn loopback_counts_for_elements_of_this_host_only() {
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let mut lab = Lab::with(Config { allow_advertised: true, ..Config::default() });
    let causes = lab.register(ELEMENT, element(1, &[loopback]));
    assert_eq!(codes(&causes), [CauseCode::INVALID_VALUES]);
    let local = Peer::accepted(9);
    lab.input(Input::Up(local, link(Carrier::Sctp, &[loopback])));
    assert_eq!(lab.register(local, element(1, &[loopback])), []);
}

#[test]
fn the_address_scope_is_the_operators() {
    let mut lab = Lab::with(Config { address_scope: AddressScope::Global, ..Config::default() });
    assert_eq!(codes(&lab.register(ELEMENT, mine())), [CauseCode::INVALID_VALUES]);
}

#[test]
fn an_identifier_in_use_elsewhere_is_cause_4() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, mine());
    let causes = lab.register(OTHER, element(1, &[OTHER_ADDRESS]));
    assert_eq!(codes(&causes), [CauseCode::NON_UNIQUE_PE_IDENTIFIER]);
    // Once its association is gone, anyone may have the identifier.
    lab.input(Input::Down(ELEMENT));
    assert_eq!(lab.register(OTHER, element(1, &[OTHER_ADDRESS])), []);
}

// Checklist 33 is a deliberate deviation: TCP is served unless the operator says no.
#[test]
fn registration_over_tcp_is_the_operators_choice() {
    for (allowed, expected) in [(true, vec![]), (false, vec![CauseCode::SECURITY])] {
        let mut lab = Lab::with(Config { tcp_registration: allowed, ..Config::default() });
        let peer = Peer::accepted(9);
        lab.input(Input::Up(peer, link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
        let message = rserpool_wire::asap::Registration { handle: pool(), element: mine() };
        let outputs = lab.asap(peer, Asap::Registration(message));
        let [Output::Send(_, Message::Asap(Asap::RegistrationResponse(answer))), rest @ ..] =
            outputs.as_slice()
        else {
            panic!("{outputs:?}")
        };
        assert_eq!(codes(&answer.causes), expected);
        assert_eq!(rest == [Output::Close(peer)], !allowed);
    }
}

// RFC 5352 §3.2; checklist 77 to 80.
#[test]
fn deregistration_takes_the_element_out_and_unknown_ones_are_out_already() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, mine());
    assert_eq!(lab.deregister(ELEMENT, 1), []);
    assert_eq!(lab.resolve(None), None);
    assert_eq!(lab.deregister(ELEMENT, 1), []);
    assert_eq!(lab.deregister(OTHER, 77), []);
}

// RFC 5352 §2.2.2; checklist 65.
#[test]
fn nobody_deregisters_someone_elses_element() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, mine());
    assert_eq!(codes(&lab.deregister(OTHER, 1)), [CauseCode::SECURITY]);
    assert_eq!(lab.resolve(None), Some(vec![1]));
    assert_eq!(lab.registrar.stats().foreign_deregistrations, 1);
}

fn malformed(peer: Peer, octets: &[u8]) -> Input<crate::registrar::Command> {
    read(peer, Protocol::Asap, octets).0
}

#[test]
fn a_registration_that_cannot_be_read_is_refused_as_far_as_it_can_be_read() {
    let mut lab = Lab::new();
    let message = rserpool_wire::asap::Registration { handle: pool(), element: mine() };
    let mut octets = Asap::Registration(message).to_octets();
    // The transport use, which is 0 or 1.
    let at = octets.windows(4).position(|w| w == [0, 4, 0, 16]).unwrap() + 7;
    octets[at] = 9;
    let outputs = lab.input(malformed(ELEMENT, &octets));
    let [Output::Send(ELEMENT, Message::Asap(Asap::RegistrationResponse(answer)))] =
        outputs.as_slice()
    else {
        panic!("{outputs:?}")
    };
    assert!(answer.rejected);
    assert_eq!((answer.id, codes(&answer.causes)), (PeId(1), vec![CauseCode::INVALID_VALUES]));
    assert!(matches!(lab.events[..], [Event::Malformed { peer: ELEMENT, from: Some(_), .. }]));
}

#[test]
fn what_cannot_be_read_is_reported_and_errors_are_not() {
    let mut lab = Lab::new();
    // A handle resolution without a pool handle.
    let outputs = lab.input(malformed(ELEMENT, &[5, 0, 0, 4]));
    assert!(matches!(
        outputs.as_slice(),
        [Output::Send(ELEMENT, Message::Asap(Asap::Error(causes)))]
            if codes(causes) == [CauseCode::UNSPECIFIED]
    ));
    // An error without a cause; then an unknown message; then garbage without a header.
    for silent in [&[0x0e, 0, 0, 4][..], &[0x1f, 0, 0, 4], &[1]] {
        assert_eq!(lab.input(malformed(ELEMENT, silent)), [], "{silent:?}");
    }
    assert_eq!(lab.registrar.stats().malformed, 4);
    assert_eq!(lab.register(ELEMENT, mine()), []);
}

#[test]
fn among_registrars_of_rsplib_no_handle_is_taken_that_would_end_them() {
    for (dialect, taken) in [(Dialect::Rfc, true), (Dialect::Rsplib, false)] {
        let limits = handlespace::Limits { handle_octets_max: 255, ..Default::default() };
        let handlespace = handlespace::Config { limits, ..Default::default() };
        let mut lab = Lab::with(Config { dialect, handlespace, ..Config::default() });
        lab.input(Input::Up(ELEMENT, link(Carrier::Sctp, &[ELEMENT_ADDRESS])));
        let handle = PoolHandle::new([b'x'; 33].as_slice()).unwrap();
        let message = rserpool_wire::asap::Registration { handle, element: mine() };
        lab.input(Input::Message(ELEMENT, Asap::Registration(message).into()));
        assert_eq!(lab.registrar.handlespace().is_empty(), !taken, "{dialect:?}");
    }
}
