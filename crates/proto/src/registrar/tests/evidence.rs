//! Why an element was removed.

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, USER, element};
use crate::machine::{Carrier, Input, Peer};
use crate::registrar::{Event, Evidence, LeaveReason};

/// The elements that left with the last input.
fn left(lab: &Lab) -> Vec<(u32, LeaveReason, Evidence)> {
    let of = |event: &Event| match event {
        Event::Left { id, reason, evidence, .. } => Some((id.0, *reason, (**evidence).clone())),
        _ => None,
    };
    lab.events.iter().filter_map(of).collect()
}

fn only(lab: &Lab) -> (LeaveReason, Evidence) {
    let left = left(lab);
    let [(1, reason, evidence)] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(evidence.remote.map(|remote| remote.ip()), Some(ELEMENT_ADDRESS));
    assert_eq!(evidence.carrier, Some(Carrier::Sctp));
    (*reason, evidence.clone())
}

fn ms(span: Option<std::time::Duration>) -> Option<u128> {
    span.map(|span| span.as_millis())
}

#[test]
fn an_association_that_ended_says_where_it_went_and_when_it_was_heard() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.wait(412);
    lab.input(Input::Down(ELEMENT));
    let (reason, evidence) = only(&lab);
    assert_eq!((reason, ms(evidence.heard_ago)), (LeaveReason::AssociationLost, Some(412)));
    assert_eq!((evidence.asked_ago, evidence.round_trip, evidence.reports), (None, None, 0));
}

#[test]
fn an_element_that_fell_silent_says_when_it_was_asked_and_who_reported_it() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.report(USER, 1);
    lab.wait(30);
    lab.acknowledge(ELEMENT, 1);
    lab.wait(10);
    lab.report(USER, 1);
    let asked = lab.now;
    while left(&lab).is_empty() {
        lab.timeout();
    }
    let waited = lab.now - asked;
    let (reason, evidence) = only(&lab);
    assert_eq!(reason, LeaveReason::Silent);
    assert_eq!((evidence.asked_ago, ms(evidence.round_trip)), (Some(waited), Some(30)));
    assert_eq!((evidence.reports, evidence.extensions), (1, 0));
    assert!(evidence.heard_ago > evidence.asked_ago);
}

#[test]
fn very_many_that_are_lost_together_all_say_why_and_nothing_is_kept_of_it() {
    let mut lab = Lab::new();
    let associations = [ELEMENT, OTHER, Peer::accepted(4)];
    lab.input(Input::Up(associations[2], super::lab::link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
    for (number, peer) in (0..).zip(associations) {
        for id in 1..=100 {
            lab.register(
                peer,
                element(
                    number * 1000 + id,
                    &[if number == 1 { super::lab::OTHER_ADDRESS } else { ELEMENT_ADDRESS }],
                ),
            );
        }
    }
    let mut all = Vec::new();
    for peer in associations {
        lab.input(Input::Down(peer));
        all.extend(left(&lab));
        super::bounds::assert_bounded(&lab.registrar);
    }
    while all.len() < 300 {
        lab.timeout();
        all.extend(left(&lab));
        super::bounds::assert_bounded(&lab.registrar);
    }
    assert!(all.iter().all(|(_, reason, _)| *reason == LeaveReason::AssociationLost));
    assert!(all.iter().all(|(_, _, evidence)| evidence.heard_ago.is_some()));
    let over_tcp = all.iter().filter(|(_, _, it)| it.carrier == Some(Carrier::Tcp)).count();
    assert_eq!(over_tcp, 100);
    let kept = lab.registrar.sizes().into_iter().find(|size| size.name == "ended").unwrap();
    assert_eq!(kept.len, 0);
}

#[test]
fn who_leaves_by_itself_was_heard_just_now() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.wait(5);
    lab.deregister(ELEMENT, 1);
    let (reason, evidence) = only(&lab);
    assert_eq!((reason, ms(evidence.heard_ago)), (LeaveReason::Deregistered, Some(0)));
}
