//! Becoming a registrar among others (RFC 5353 §3.2), and being the mentor of one.

use rserpool_wire::asap::{Asap, HandleResolution, Registration};
use rserpool_wire::enrp::{Body, TableResponse};
use rserpool_wire::param::{PeId, PoolElement, RegistrationLife};
use rserpool_wire::{Enrp, Message};

use super::colleague::{
    EMPTY, SELF, add, enrp_link, from, homed, list, part, presence, rejected_list, rejected_table,
    rid, sent, server, table_request,
};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, USER, element, pool};
use crate::dialect::Dialect;
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::{Command, Config, Event, Phase, State, SyncFailure};

/// A registrar that has dialed its configured ones: 0x22 as number 0, 0x33 as number 1…
fn starting(peers: usize) -> Lab {
    let enrp = Some(server(SELF).transport);
    let mut lab = Lab::with(Config { peers, enrp, ..Config::default() });
    let outputs = lab.input(Input::Command(Command::Start));
    let dials = outputs.iter().filter(|output| matches!(output, Output::Connect(..)));
    assert_eq!(dials.count(), peers);
    lab
}

/// The configured registrar of this number answers; what it is asked.
fn answers(lab: &mut Lab, number: u64) -> Vec<Body> {
    let id = u32::try_from(0x22 + 0x11 * number).unwrap();
    let peer = Peer::dialed(number + 1);
    let outputs = lab.input(Input::Up(peer, enrp_link(Carrier::Sctp, id)));
    assert_eq!(sent(&outputs), [(peer, presence(SELF, EMPTY, true))]);
    let outputs = lab.enrp_over(peer, id, presence(id, EMPTY, false));
    sent(&outputs).into_iter().map(|(_, body)| body).collect()
}

// Checklist 147.
#[test]
fn without_anyone_to_ask_a_registrar_serves_at_once() {
    let lab = Lab::with(Config::default());
    assert_eq!(lab.registrar.state(), State::Serving);
}

// Checklist 146, 148, 149, 152, 154, 156.
#[test]
fn a_registrar_asks_a_mentor_for_the_list_and_then_for_the_table() {
    let mut lab = starting(1);
    assert_eq!(answers(&mut lab, 0), [Body::ListRequest]);
    assert_eq!(lab.registrar.state(), State::Starting(Phase::List(rid(0x22))));
    let mentor = Peer::dialed(1);
    let outputs = lab.enrp_over(mentor, 0x22, list(vec![server(0x22), server(0x44)]));
    assert!(matches!(outputs[0], Output::Connect(..)), "{outputs:?}");
    assert_eq!(sent(&outputs), [(mentor, table_request(false))]);
    let outputs = lab.enrp_over(mentor, 0x22, part(vec![homed(1, 0x22)], true));
    assert_eq!(sent(&outputs), [(mentor, table_request(false))]);
    // What changes meanwhile is newer than the table.
    let newer = PoolElement { life: RegistrationLife(7), ..homed(2, 0x22) };
    lab.enrp_over(mentor, 0x22, add(newer.clone()));
    lab.enrp_over(mentor, 0x22, part(vec![homed(2, 0x22), homed(3, 0x22)], false));
    assert_eq!(lab.registrar.state(), State::Serving);
    assert!(lab.events.contains(&Event::Serving { synchronised: true }));
    let handlespace = lab.registrar.handlespace();
    let index = handlespace.find(&pool(), PeId(2)).unwrap();
    assert_eq!(handlespace.element(index).unwrap().element, &newer);
    assert_eq!(lab.len(), 3);
}

// Checklist 143, 150, 157.
#[test]
fn who_starts_is_no_mentor_and_answers_no_elements_and_users_yet() {
    let mut lab = starting(1);
    lab.meet(0x55);
    assert_eq!(sent(&lab.enrp(0x55, Body::ListRequest)), [(from(0x55), rejected_list())]);
    assert_eq!(sent(&lab.enrp(0x55, table_request(false))), [(from(0x55), rejected_table())]);
    let registration = Registration { handle: pool(), element: element(1, &[ELEMENT_ADDRESS]) };
    assert_eq!(lab.asap(ELEMENT, Asap::Registration(registration)), []);
    let question = HandleResolution { want_updates: false, handle: pool(), items: None };
    assert_eq!(lab.asap(USER, Asap::HandleResolution(question)), []);
    // When it serves, they are answered in order.
    let outputs = lab.pass(2_000);
    let asap = outputs.iter().filter_map(|output| match output {
        Output::Send(peer, Message::Asap(message)) => Some((*peer, message)),
        _ => None,
    });
    let asap: Vec<_> = asap.collect();
    assert!(matches!(asap[0], (ELEMENT, Asap::RegistrationResponse(answer)) if !answer.rejected));
    assert!(
        matches!(asap[1], (USER, Asap::HandleResolutionResponse(answer)) if answer.elements.len() == 1)
    );
}

// Checklist 148, 151, 158.
#[test]
fn a_mentor_that_is_of_no_use_is_followed_by_the_next() {
    for fail in 0..5 {
        let mut lab = starting(2);
        answers(&mut lab, 0);
        assert_eq!(answers(&mut lab, 1), []);
        let (mentor, backup) = (Peer::dialed(1), Peer::dialed(2));
        let outputs = match fail {
            0 => lab.pass(301),
            1 => lab.enrp_over(mentor, 0x22, rejected_list()),
            2 => lab.input(Input::Down(mentor)),
            3 => {
                lab.enrp_over(mentor, 0x22, list(vec![]));
                lab.enrp_over(mentor, 0x22, rejected_table())
            }
            _ => {
                lab.enrp_over(mentor, 0x22, list(vec![]));
                lab.enrp_over(mentor, 0x22, part(vec![homed(1, 0x22)], true));
                lab.pass(301)
            }
        };
        assert!(sent(&outputs).contains(&(backup, Body::ListRequest)), "{fail}: {outputs:?}");
        lab.enrp_over(backup, 0x33, list(vec![]));
        lab.enrp_over(backup, 0x33, part(vec![homed(1, 0x22)], false));
        assert_eq!(lab.registrar.state(), State::Serving);
        assert_eq!(lab.home(1), Some(rid(0x22)));
    }
}

#[test]
fn where_nobody_answers_a_registrar_serves_alone_and_says_so() {
    let mut lab = starting(2);
    lab.input(Input::Down(Peer::dialed(1)));
    assert_eq!(lab.events, []);
    lab.input(Input::Down(Peer::dialed(2)));
    assert_eq!(lab.events, [Event::Serving { synchronised: false }]);
    // Or nothing at all comes of it.
    let mut lab = starting(1);
    lab.pass(1_999);
    assert_eq!(lab.events, []);
    lab.pass(1);
    assert_eq!(lab.events, [Event::Serving { synchronised: false }]);
}

#[test]
fn a_registrar_that_is_not_started_does_nothing() {
    let mut lab = Lab::with(Config { peers: 1, ..Config::default() });
    assert_eq!(lab.registrar.state(), State::Starting(Phase::Waiting));
    assert_eq!(lab.pass(59_000), []);
}

#[test]
fn elements_of_a_home_that_nobody_knows_are_taken_over() {
    let mut lab = starting(1);
    answers(&mut lab, 0);
    let mentor = Peer::dialed(1);
    lab.enrp_over(mentor, 0x22, list(vec![]));
    lab.enrp_over(mentor, 0x22, part(vec![homed(1, 0x99)], false));
    for _ in 0..4 {
        lab.enrp_over(mentor, 0x22, presence(0x22, EMPTY, false));
        lab.pass(350);
    }
    assert!(lab.home(1) == Some(rid(SELF)) || !lab.events.is_empty(), "{:?}", lab.events);
    lab.enrp_over(mentor, 0x22, presence(0x22, EMPTY, false));
    lab.pass(350);
    assert_eq!(lab.home(1), Some(rid(SELF)));
}

/// The identifiers in a table response, and whether there are more.
fn told(outputs: &[Output<Event>]) -> (Vec<u32>, bool) {
    match &sent(outputs)[..] {
        [(_, Body::TableResponse(TableResponse { rejected: false, more, pools }))] => {
            let elements = pools.iter().flat_map(|pool| &pool.elements);
            (elements.map(|element| element.id.0).collect(), *more)
        }
        other => panic!("{other:?}"),
    }
}

// Checklist 144, 153, 181; design 9.8.
#[test]
fn a_mentor_tells_everything_once_in_parts_that_are_small_enough() {
    let mut lab = Lab::among_with(&[0x22], |config| config.dialect = Dialect::Rsplib);
    (1..=100).for_each(|id| drop(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]))));
    lab.enrp(0x22, add(homed(500, 0x22)));
    for own_only in [true, false] {
        let mut all = Vec::new();
        loop {
            let outputs = lab.enrp(0x22, table_request(own_only));
            let (_, body) = &sent(&outputs)[0];
            let message = Enrp { sender: None, receiver: None, body: body.clone() };
            assert!(Message::from(message).encode().len() <= 1_400);
            let (ids, more) = told(&outputs);
            all.extend(ids);
            // Who goes in between is not missed, who comes is told if it comes behind.
            if all.len() > 20 && all.len() < 40 {
                lab.deregister(ELEMENT, 1);
            }
            if !more {
                break;
            }
        }
        let expected: Vec<u32> = (1..=100).chain((!own_only).then_some(500)).collect();
        let expected: Vec<u32> = expected.into_iter().filter(|id| own_only || *id != 1).collect();
        assert_eq!(all, expected);
    }
}

#[test]
fn a_large_table_fills_messages() {
    let mut lab = Lab::among(&[0x22]);
    (1..=2_000).for_each(|id| drop(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]))));
    let outputs = lab.enrp(0x22, table_request(false));
    let (_, body) = &sent(&outputs)[0];
    let message = Enrp { sender: None, receiver: None, body: body.clone() };
    let octets = Message::from(message).encode().len();
    assert!((65_000..65_536).contains(&octets), "{octets}");
    assert!(told(&outputs).1);
}

// Checklist 158.
#[test]
fn a_download_that_stops_is_forgotten() {
    let mut lab = Lab::among_with(&[0x22, 0x33], |config| {
        (config.dialect, config.downloads_max) = (Dialect::Rsplib, 1);
    });
    let life = RegistrationLife(300_000);
    let element = |id| PoolElement { life, ..element(id, &[ELEMENT_ADDRESS]) };
    (1..=100).for_each(|id| drop(lab.register(ELEMENT, element(id))));
    let first = told(&lab.enrp(0x22, table_request(false))).0;
    // One at a time is what this registrar can bear.
    assert_eq!(sent(&lab.enrp(0x33, table_request(false))), [(from(0x33), rejected_table())]);
    lab.pass(601);
    assert_eq!(told(&lab.enrp(0x33, table_request(false))).0, first);
    lab.input(Input::Down(from(0x33)));
    assert_eq!(told(&lab.enrp(0x22, table_request(false))).0, first);
}

// Design 9.9.
#[test]
fn an_observer_gets_the_table_and_is_no_registrar() {
    let mut lab = Lab::among(&[]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.input(Input::Up(from(0x22), enrp_link(Carrier::Sctp, 0x22)));
    assert_eq!(told(&lab.enrp_over(from(0x22), 0, table_request(false))), (vec![1], false));
    assert_eq!(sent(&lab.enrp_over(from(0x22), 0, Body::ListRequest)).len(), 1);
    assert_eq!(lab.enrp_over(from(0x22), 0, add(homed(2, 0x22))), []);
    assert_eq!((lab.registrar.peers().count(), lab.len()), (0, 1));
}

#[test]
fn a_table_that_fails_while_serving_leaves_things_as_they_were() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    lab.input(Input::Down(from(0x22)));
    let reason = SyncFailure::Lost;
    assert_eq!(lab.events[0], Event::SyncFailed { peer: rid(0x22), reason });
    assert_eq!(lab.home(1), Some(rid(0x22)));
}

#[test]
fn registrars_heard_by_multicast_are_dialed_where_that_is_wanted() {
    for discover in [true, false] {
        let mut lab = Lab::among_with(&[], |config| config.discover = discover);
        let message =
            Enrp { sender: Some(rid(0x22)), receiver: None, body: presence(0x22, EMPTY, false) };
        let source = server(0x22).transport.addresses[0];
        let outputs = lab.input(Input::Announce(source, message.into()));
        assert_eq!(matches!(outputs[..], [Output::Connect(..)]), discover);
    }
}
