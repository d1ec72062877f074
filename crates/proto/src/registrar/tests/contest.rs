//! Who may have an identifier that an element has already.

use rserpool_wire::Message;
use rserpool_wire::asap::{Asap, Registration, RegistrationResponse};
use rserpool_wire::param::{PoolElement, Transport};
use rserpool_wire::registry::CauseCode;

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, link, pool, sctp};
use super::supervision::probed;
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::{Command, Event};
use crate::time::Time;

/// Another association from the address of the element.
const NEWCOMER: Peer = Peer::accepted(9);

fn mine() -> PoolElement {
    element(1, &[ELEMENT_ADDRESS])
}

/// An element, and somebody else at its address.
fn two_of_one_address() -> Lab {
    let mut lab = Lab::new();
    assert_eq!(lab.register(ELEMENT, mine()), []);
    lab.input(Input::Up(NEWCOMER, link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
    lab
}

fn registration(element: PoolElement) -> Input<Command> {
    let message = Asap::Registration(Registration { handle: pool(), element });
    Input::Message(NEWCOMER, Message::Asap(message))
}

/// What the newcomer is answered: nothing, yes, or a cause.
fn answered(outputs: &[Output<Event>]) -> Option<Result<(), CauseCode>> {
    outputs.iter().find_map(|output| match output {
        Output::Send(NEWCOMER, Message::Asap(Asap::RegistrationResponse(answer))) => {
            let RegistrationResponse { rejected, causes, .. } = answer;
            Some(if *rejected { Err(causes[0].code) } else { Ok(()) })
        }
        _ => None,
    })
}

fn home(lab: &Lab) -> Option<Peer> {
    let index = lab.registrar.handlespace().find(&pool(), mine().id)?;
    lab.registrar.supervised.get(index)?.association
}

/// Hands in timeouts until the newcomer is answered.
fn wait_for_answer(lab: &mut Lab) -> (Time, Result<(), CauseCode>, Vec<Output<Event>>) {
    loop {
        let outputs = lab.timeout();
        if let Some(answer) = answered(&outputs) {
            return (lab.now, answer, outputs);
        }
    }
}

#[test]
fn an_element_that_answers_keeps_its_identifier() {
    let mut lab = two_of_one_address();
    // With the port of the element: it might be the same.
    let outputs = lab.input(registration(mine()));
    assert_eq!((probed(&outputs), answered(&outputs)), (vec![1], None));
    let outputs = lab.acknowledge(ELEMENT, 1);
    assert_eq!(answered(&outputs), Some(Err(CauseCode::NON_UNIQUE_PE_IDENTIFIER)));
    assert_eq!(home(&lab), Some(ELEMENT));
    // With another port: it is not.
    let other = Transport::Sctp(sctp(&[ELEMENT_ADDRESS], 666));
    let outputs = lab.input(registration(PoolElement { user_transport: other, ..mine() }));
    assert_eq!(answered(&outputs), Some(Err(CauseCode::NON_UNIQUE_PE_IDENTIFIER)));
    let index = lab.registrar.handlespace().find(&pool(), mine().id).unwrap();
    let stored = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(stored.user_transport.port(), Some(7));
    let stats = lab.registrar.stats();
    assert_eq!((stats.contests, stats.contests_lost, stats.rejections), (1, 1, 2));
}

#[test]
fn an_element_whose_old_association_is_silent_is_in_in_time_and_the_old_one_is_told() {
    let mut lab = two_of_one_address();
    let asked = lab.now;
    assert_eq!(answered(&lab.input(registration(mine()))), None);
    let (at, answer, outputs) = wait_for_answer(&mut lab);
    assert_eq!(answer, Ok(()));
    // Before T2-registration, and after one loss is repaired.
    assert_eq!((at - asked).as_millis(), 500);
    assert!(outputs.iter().any(|output| matches!(
        output,
        Output::Send(ELEMENT, Message::Asap(Asap::DeregistrationResponse(_)))
    )));
    assert_eq!(home(&lab), Some(NEWCOMER));
    // The loss of the old association does not touch it any more.
    assert_eq!(lab.input(Input::Down(ELEMENT)), []);
    assert_eq!(lab.resolve(None), Some(vec![1]));
}

#[test]
fn the_end_of_the_old_association_decides_at_once_and_nobody_misses_the_element() {
    let mut lab = two_of_one_address();
    lab.input(registration(mine()));
    let outputs = lab.input(Input::Down(ELEMENT));
    assert_eq!(answered(&outputs), Some(Ok(())));
    assert_eq!(lab.events, []);
    assert_eq!((home(&lab), lab.resolve(None)), (Some(NEWCOMER), Some(vec![1])));
}

#[test]
fn an_element_that_leaves_meanwhile_makes_room() {
    let mut lab = two_of_one_address();
    lab.input(registration(mine()));
    let message =
        Asap::Deregistration(rserpool_wire::asap::Deregistration { handle: pool(), id: mine().id });
    let outputs = lab.asap(ELEMENT, message);
    assert_eq!(answered(&outputs), Some(Ok(())));
    assert_eq!(home(&lab), Some(NEWCOMER));
}

#[test]
fn a_newcomer_that_has_gone_gets_nothing() {
    let mut lab = two_of_one_address();
    lab.input(registration(mine()));
    lab.input(Input::Down(NEWCOMER));
    assert_eq!(lab.registrar.contests.len(), 0);
    assert_eq!(answered(&lab.acknowledge(ELEMENT, 1)), None);
    assert_eq!(home(&lab), Some(ELEMENT));
}

#[test]
fn one_newcomer_at_a_time_and_its_newest_values_count() {
    let mut lab = two_of_one_address();
    let third = Peer::accepted(10);
    lab.input(Input::Up(third, link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
    lab.input(registration(mine()));
    let causes = lab.register(third, mine());
    assert_eq!(causes[0].code, CauseCode::NON_UNIQUE_PE_IDENTIFIER);
    let life = rserpool_wire::param::RegistrationLife(77);
    assert_eq!(answered(&lab.input(registration(PoolElement { life, ..mine() }))), None);
    assert_eq!(lab.registrar.contests.len(), 1);
    assert_eq!(wait_for_answer(&mut lab).1, Ok(()));
    let index = lab.registrar.handlespace().find(&pool(), mine().id).unwrap();
    assert_eq!(lab.registrar.handlespace().element(index).unwrap().element.life, life);
}

#[test]
fn a_registrar_that_was_late_decides_nothing_before_it_has_read() {
    let mut lab = two_of_one_address();
    lab.input(registration(mine()));
    lab.wait(5_000);
    assert_eq!(answered(&lab.input(Input::Timeout)), None);
    let outputs = lab.acknowledge(ELEMENT, 1);
    assert_eq!(answered(&outputs), Some(Err(CauseCode::NON_UNIQUE_PE_IDENTIFIER)));
}

#[test]
fn however_many_identifiers_one_association_wants_few_of_its_registrations_wait() {
    let mut lab = Lab::new();
    for id in 1..=1_100 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    lab.input(Input::Up(NEWCOMER, link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
    let mut refused = 0;
    for id in 1..=1_100 {
        let answer = answered(&lab.input(registration(element(id, &[ELEMENT_ADDRESS]))));
        refused += usize::from(answer == Some(Err(CauseCode::LACK_OF_RESOURCES)));
    }
    assert_eq!((refused, lab.registrar.contests.len()), (76, 1_024));
    assert_eq!(lab.registrar.stats().contests_refused, 76);
    // Nobody else is affected.
    let third = Peer::accepted(10);
    lab.input(Input::Up(third, link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
    let message = Asap::Registration(Registration {
        handle: pool(),
        element: element(1_100, &[ELEMENT_ADDRESS]),
    });
    assert!(
        lab.asap(third, message)
            .iter()
            .all(|it| !matches!(it, Output::Send(peer, _) if *peer == third))
    );
    assert_eq!(lab.registrar.contests.len(), 1_025);
    lab.input(Input::Down(ELEMENT));
    while lab.registrar.contests.len() > 0 {
        lab.timeout();
    }
    assert_eq!(lab.registrar.handlespace().len(), 1_025);
}
