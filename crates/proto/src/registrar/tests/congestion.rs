//! Registrars that take less than they are sent: nothing is kept for them but that they are behind.

use rserpool_wire::enrp::{Body, Update};

use super::colleague::{SELF, from, part, presence, sent, table_request};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, pool};
use crate::machine::{Input, Output, Peer};
use crate::registrar::Event;

/// To whom which elements were told by updates.
fn told(outputs: &[Output<Event>]) -> Vec<(Peer, u32)> {
    let one = |(peer, body): (Peer, Body)| match body {
        Body::Update(Update { element, .. }) => Some((peer, element.id.0)),
        _ => None,
    };
    sent(outputs).into_iter().filter_map(one).collect()
}

fn register(lab: &mut Lab, id: u32) -> Vec<Output<Event>> {
    let (handle, element) = (pool(), element(id, &[ELEMENT_ADDRESS]));
    let registration = rserpool_wire::asap::Registration { handle, element };
    lab.asap(ELEMENT, rserpool_wire::Asap::Registration(registration))
}

#[test]
fn who_takes_less_than_is_sent_gets_no_updates_and_others_do() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    assert_eq!(told(&register(&mut lab, 1)), [(from(0x22), 1), (from(0x33), 1)]);
    lab.input(Input::Congested(from(0x22)));
    for id in 2..1_000 {
        assert_eq!(told(&register(&mut lab, id)), [(from(0x33), id)]);
    }
    assert_eq!(lab.registrar.stats().updates_withheld, 998);
    // It is told once how far this registrar is, and whatever comes after.
    let checksum = lab.registrar.handlespace().checksum(lab.registrar.id()).0;
    let outputs = lab.input(Input::Drained(from(0x22)));
    assert_eq!(sent(&outputs), [(from(0x22), presence(SELF, checksum, false))]);
    assert_eq!(told(&register(&mut lab, 1_000)), [(from(0x22), 1_000), (from(0x33), 1_000)]);
}

#[test]
fn who_has_missed_nothing_is_told_nothing_once_it_has_taken_all() {
    let mut lab = Lab::among(&[0x22]);
    lab.input(Input::Congested(from(0x22)));
    assert_eq!(lab.input(Input::Drained(from(0x22))), []);
    assert_eq!(lab.input(Input::Drained(from(0x22))), []);
}

#[test]
fn who_fetches_what_it_lacks_gets_it_also_while_much_waits_for_it() {
    let mut lab = Lab::among(&[0x22]);
    register(&mut lab, 1);
    lab.input(Input::Congested(from(0x22)));
    let outputs = lab.enrp(0x22, table_request(true));
    assert!(matches!(&sent(&outputs)[..], [(_, Body::TableResponse(table))] if !table.rejected));
}

#[test]
fn that_an_association_is_congested_ends_with_it() {
    let mut lab = Lab::among(&[0x22]);
    lab.input(Input::Congested(from(0x22)));
    register(&mut lab, 1);
    lab.input(Input::Down(from(0x22)));
    lab.meet(0x22);
    assert_eq!(told(&register(&mut lab, 2)), [(from(0x22), 2)]);
}

#[test]
fn names_of_associations_that_are_gone_change_nothing() {
    let mut lab = Lab::among(&[0x22]);
    for peer in [from(0x99), ELEMENT] {
        assert_eq!(lab.input(Input::Congested(peer)), []);
        assert_eq!(lab.input(Input::Drained(peer)), []);
    }
    assert_eq!(told(&register(&mut lab, 1)), [(from(0x22), 1)]);
}

#[test]
fn elements_that_two_look_after_decide_no_faster_than_the_other_registrar_hears_of_it() {
    let mut lab = Lab::among(&[0x10]);
    let ids = 1..=1_000;
    for id in ids.clone() {
        register(&mut lab, id);
    }
    let claimed = ids.map(|id| super::colleague::homed(id, 0x10)).collect::<Vec<_>>();
    let outputs = lab.enrp(0x10, presence(0x10, 1, false));
    assert_eq!(sent(&outputs), [(from(0x10), table_request(true))]);
    lab.enrp(0x10, part(claimed.clone(), true));
    let asked = |lab: &Lab| lab.registrar.stats().disputes;
    assert_eq!(asked(&lab), 256);
    // Each that decides makes room for the next.
    assert_eq!(told(&lab.acknowledge(ELEMENT, 1)), [(from(0x10), 1)]);
    assert_eq!(asked(&lab), 257);
    lab.input(Input::Congested(from(0x10)));
    assert_eq!(told(&lab.acknowledge(ELEMENT, 2)), []);
    assert_eq!(asked(&lab), 257);
    lab.input(Input::Drained(from(0x10)));
    assert_eq!(asked(&lab), 258);
    // However often the same is claimed.
    lab.enrp(0x10, part(claimed, true));
    assert_eq!(asked(&lab), 258);
}
