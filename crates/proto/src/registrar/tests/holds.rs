//! Elements that operators take out of lists, or out of their pools.

use std::time::Duration;

use rserpool_wire::asap::{Asap, HandleResolution, Registration};
use rserpool_wire::param::{Cause, PeId};
use rserpool_wire::registry::CauseCode;

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, element, pool};
use crate::machine::{Input, Output};
use crate::registrar::{Command, Event, Evicted, HOLD_MOST, HOLDS_MAX, Hold, LeaveReason, NotHeld};

fn hold(ms: u64) -> Hold {
    let lasting = Duration::from_millis(ms);
    Hold { lasting, by: "ops".into(), reason: "kernel".into() }
}

fn held(id: u32, ms: u64) -> Input<Command> {
    Input::Command(Command::Hold { handle: pool(), id: PeId(id), hold: hold(ms) })
}

/// So many milliseconds pass, and who waits for that is told.
fn pass(lab: &mut Lab, ms: u64) {
    lab.wait(ms);
    lab.input(Input::Timeout);
}

fn two() -> Lab {
    let mut lab = Lab::new();
    assert!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])).is_empty());
    assert!(lab.register(OTHER, element(2, &[OTHER_ADDRESS])).is_empty());
    lab
}

/// The identifiers that a user is told, in order.
fn listed(lab: &mut Lab) -> Vec<u32> {
    let question = HandleResolution { want_updates: true, handle: pool(), items: None };
    match lab.ask(USER, Asap::HandleResolution(question)) {
        Asap::HandleResolutionResponse(answer) => {
            let mut ids: Vec<u32> = answer.elements.iter().map(|it| it.id.0).collect();
            ids.sort_unstable();
            ids
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_element_that_is_held_stays_and_is_told_to_nobody_until_the_time_is_over() {
    let mut lab = two();
    assert_eq!(listed(&mut lab), [1, 2]);
    let (checksum, id) = (lab.registrar.handlespace().checksum(lab.registrar.id()), PeId(1));
    let outputs = lab.input(held(1, 60_000));
    // The subscriber is told at once, and nobody else is told anything.
    assert!(matches!(&outputs[..], [Output::Send(USER, _)]), "{outputs:?}");
    let lasting = Duration::from_secs(60);
    assert_eq!(lab.events, [Event::Held { handle: pool(), id, lasting }]);
    assert_eq!(listed(&mut lab), [2]);
    assert_eq!(lab.registrar.handlespace().checksum(lab.registrar.id()), checksum);
    // It registers again, goes, and comes: the hold is of the element, not of its association.
    assert!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])).is_empty());
    assert!(lab.deregister(ELEMENT, 1).is_empty());
    assert!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])).is_empty());
    assert_eq!(listed(&mut lab), [2]);
    let row = lab.registrar.element_detail(lab.now, &pool(), id).unwrap();
    assert!(!row.is_listed && row.supervision.is_some());
    assert_eq!(lab.registrar.pool_detail(&pool()).unwrap().listed, 1);
    let page = lab.registrar.hold_page(lab.now, None, 9);
    assert_eq!((page.items.len(), page.items[0].by.as_str(), &page.next), (1, "ops", &None));
    pass(&mut lab, 60_000);
    assert!(lab.events.contains(&Event::Released { handle: pool(), id, has_run_out: true }));
    assert_eq!(listed(&mut lab), [1, 2]);
    assert_eq!(lab.registrar.hold_page(lab.now, None, 9).items, []);
}

#[test]
fn a_hold_can_be_made_longer_shorter_and_ended() {
    let mut lab = two();
    lab.input(held(1, 1000));
    lab.input(held(1, 10_000));
    pass(&mut lab, 2000);
    assert_eq!(listed(&mut lab), [2]);
    lab.input(held(1, 1000));
    pass(&mut lab, 1000);
    assert_eq!(listed(&mut lab), [1, 2]);
    lab.input(held(1, 1000));
    let release = || Input::Command(Command::Release { handle: pool(), id: PeId(1) });
    lab.input(release());
    assert_eq!(lab.events, [Event::Released { handle: pool(), id: PeId(1), has_run_out: false }]);
    assert_eq!(listed(&mut lab), [1, 2]);
    lab.input(release());
    assert_eq!(lab.events, []);
    // No longer than a day, whatever is asked for.
    lab.input(held(1, u64::MAX));
    assert_eq!(lab.events, [Event::Held { handle: pool(), id: PeId(1), lasting: HOLD_MOST }]);
}

#[test]
fn the_last_one_is_held_by_force_only() {
    let mut lab = two();
    let may = |lab: &Lab, id, force| lab.registrar.may_hold(&pool(), PeId(id), force);
    assert_eq!(may(&lab, 3, true), Err(NotHeld::Unknown));
    assert_eq!(may(&lab, 1, false), Ok(()));
    lab.input(held(1, 1000));
    assert_eq!((may(&lab, 1, false), may(&lab, 2, true)), (Ok(()), Ok(())));
    assert_eq!(may(&lab, 2, false), Err(NotHeld::LastListed));
    // A pool without anybody to offer is answered as one that is not there.
    lab.input(held(2, 1000));
    assert_eq!(listed(&mut lab), [0; 0]);
    pass(&mut lab, 1000);
    assert_eq!(listed(&mut lab), [1, 2]);
}

#[test]
fn there_is_an_end_to_holds_and_bans() {
    let mut lab = two();
    for id in 10..10 + u32::try_from(HOLDS_MAX).unwrap() + 5 {
        lab.input(held(id, 1000));
        let ban = Command::Evict { handle: pool(), id: PeId(id), ban: hold(1000) };
        lab.input(Input::Command(ban));
    }
    assert_eq!(lab.registrar.may_hold(&pool(), PeId(1), false), Err(NotHeld::TooMany));
    assert_eq!(lab.registrar.may_evict(&pool(), PeId(1)), Err(NotHeld::TooMany));
    // All of them come, by page, and each once.
    let (mut seen, mut after) = (0, None);
    loop {
        let page = lab.registrar.hold_page(lab.now, after.as_ref(), 500);
        seen += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 2 * HOLDS_MAX);
    pass(&mut lab, 1000);
    assert_eq!(lab.registrar.hold_page(lab.now, None, 500).items, []);
}

#[test]
fn who_is_evicted_is_out_and_not_let_in_for_a_while() {
    let mut lab = two();
    assert_eq!(lab.registrar.may_evict(&pool(), PeId(1)), Ok(Evicted::Removed));
    assert_eq!(lab.registrar.may_evict(&pool(), PeId(9)), Ok(Evicted::NotThere));
    let evict = Command::Evict { handle: pool(), id: PeId(1), ban: hold(30_000) };
    lab.input(Input::Command(evict));
    let is_left = |event: &Event| {
        matches!(event, Event::Left { id: PeId(1), reason: LeaveReason::Evicted, .. })
    };
    assert!(lab.events.iter().any(is_left), "{:?}", lab.events);
    assert_eq!((listed(&mut lab), lab.registrar.stats().evicted), (vec![2], 1));
    let refused = vec![Cause::new(CauseCode::SECURITY)];
    assert_eq!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])), refused);
    pass(&mut lab, 30_000);
    let again = Registration { handle: pool(), element: element(1, &[ELEMENT_ADDRESS]) };
    lab.asap(ELEMENT, Asap::Registration(again));
    assert_eq!(listed(&mut lab), [1, 2]);
}
