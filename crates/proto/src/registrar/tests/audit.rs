//! Who has what: updates, the audit, and resynchronisation (RFC 5353 §3.3, §3.6).

use rserpool_wire::asap::{Asap, Deregistration, Registration};
use rserpool_wire::checksum::ChecksumSum;
use rserpool_wire::enrp::{Body, UpdateAction};
use rserpool_wire::param::{PeId, Policy, PoolElement, RegistrationLife};
use rserpool_wire::registry::PolicyType;

use super::colleague::{
    EMPTY, SELF, add, delete, from, homed, part, presence, rejected_table, rid, sent, table_request,
};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, link, pool};
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::{Event, SyncFailure};

// Checklist 179 to 182.
#[test]
fn a_checksum_that_differs_is_followed_by_a_resynchronisation() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.enrp(0x22, add(homed(2, 0x22)));
    lab.enrp(0x33, add(homed(3, 0x33)));
    let outputs = lab.enrp(0x22, presence(0x22, 0x1234, false));
    assert_eq!(sent(&outputs), [(from(0x22), table_request(true))]);
    // One at a time.
    assert_eq!(lab.enrp(0x22, presence(0x22, 0x1234, false)), []);
    let outputs = lab.enrp(0x22, part(vec![homed(2, 0x22)], true));
    assert_eq!(sent(&outputs), [(from(0x22), table_request(true))]);
    // What an update brings meanwhile counts more than the table; others' elements do not count.
    lab.enrp(0x22, add(homed(5, 0x22)));
    let outputs = lab.enrp(0x22, part(vec![homed(4, 0x22), homed(3, 0x22), homed(6, 0x33)], false));
    assert_eq!(outputs, []);
    let done = Event::Synchronised { peer: rid(0x22), elements: 4, removed: 1 };
    assert_eq!(lab.events, [done]);
    assert_eq!(
        [1, 2, 4, 5, 6].map(|id| lab.home(id)),
        [None, Some(rid(0x22)), Some(rid(0x22)), Some(rid(0x22)), None]
    );
}

/// Goes on for so long, while 0x22 tells that it lives and that its checksum is this one; how often
/// its table is asked for.
fn tables_asked_for(lab: &mut Lab, seconds: u32) -> usize {
    let mut asked = 0;
    for _ in 0..seconds * 5 {
        let outputs = lab.enrp(0x22, presence(0x22, checksum_of(&[1]), false));
        if sent(&outputs).contains(&(from(0x22), table_request(true))) {
            asked += 1;
            lab.enrp(0x22, part(vec![homed(1, 0x22), invisible()], false));
        }
        lab.pass(200);
    }
    asked
}

/// The checksum over elements of the pool.
fn checksum_of(ids: &[u32]) -> u16 {
    let mut sum = ChecksumSum::default();
    ids.iter().for_each(|id| sum.add(&pool(), PeId(*id)));
    sum.checksum().0
}

/// An element that changes nothing in the checksum of its home.
fn invisible() -> PoolElement {
    let is_invisible = |id: &u32| checksum_of(&[1, *id]) == checksum_of(&[1]);
    let id = (2..=0x2_0000).find(is_invisible).expect("one in 65 535");
    homed(id, 0x22)
}

#[test]
fn an_element_that_the_checksum_does_not_show_is_found_after_a_new_association() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    assert_eq!(tables_asked_for(&mut lab, 10), 1);
    assert_eq!(lab.len(), 2);
    assert_eq!(lab.home(invisible().id.0), Some(rid(0x22)));
    // And after a silence.
    lab.input(Input::Down(from(0x22)));
    lab.meet(0x22);
    assert_eq!(tables_asked_for(&mut lab, 10), 1);
}

#[test]
fn a_table_is_fetched_now_and_then_even_where_its_checksum_agrees() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    assert_eq!(tables_asked_for(&mut lab, 10), 1);
    let asked = tables_asked_for(&mut lab, 3_600);
    assert!((6..=8).contains(&asked), "{asked} times in an hour");
}

#[test]
fn an_empty_last_part_ends_a_table() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    lab.enrp(0x22, part(Vec::new(), false));
    assert_eq!(lab.len(), 0);
}

#[test]
fn a_resynchronisation_cannot_hang() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    lab.pass(301);
    let failed = |reason| Event::SyncFailed { peer: rid(0x22), reason };
    assert_eq!(lab.events, [failed(SyncFailure::Silent)]);
    // Nothing was lost, and the next presence begins anew.
    assert_eq!(lab.home(1), Some(rid(0x22)));
    let outputs = lab.enrp(0x22, presence(0x22, EMPTY, false));
    assert_eq!(sent(&outputs), [(from(0x22), table_request(true))]);
    lab.enrp(0x22, rejected_table());
    assert_eq!(lab.events, [failed(SyncFailure::Rejected)]);
    assert_eq!(lab.home(1), Some(rid(0x22)));
}

#[test]
fn a_registrar_that_was_too_busy_to_tell_is_asked_again_soon() {
    let mut lab = Lab::among(&[0x22]);
    let mut asked = 0;
    for _ in 0..300 {
        let outputs = lab.enrp(0x22, presence(0x22, 1, false));
        asked += usize::from(sent(&outputs).contains(&(from(0x22), table_request(true))));
        lab.pass(100);
    }
    // Each time it is waited for 300 ms, and four presences more at most.
    assert!((12..=30).contains(&asked), "{asked} times in half a minute");
}

#[test]
fn an_endless_table_ends() {
    let mut lab = Lab::among_with(&[0x22], |config| {
        config.handlespace.limits.elements_max = 10;
    });
    lab.enrp(0x22, presence(0x22, 1, false));
    let mut parts = 0;
    while lab.events.is_empty() {
        lab.enrp(0x22, part(vec![homed(1, 0x22)], true));
        parts += 1;
        assert!(parts < 100);
    }
    let reason = SyncFailure::Endless;
    assert!(lab.events.contains(&Event::SyncFailed { peer: rid(0x22), reason }));
}

#[test]
fn a_checksum_that_never_agrees_is_not_fetched_for_ever() {
    let mut lab = Lab::among(&[0x22]);
    let mut fetched = 0;
    for millis in 0..600 {
        let checksum = u16::try_from(millis).unwrap();
        let outputs = lab.enrp(0x22, presence(0x22, checksum, false));
        if sent(&outputs).contains(&(from(0x22), table_request(true))) {
            fetched += 1;
            lab.enrp(0x22, part(Vec::new(), false));
        }
        lab.pass(100);
    }
    assert!((3..=10).contains(&fetched), "{fetched} times in a minute");
}

fn updates(outputs: &[Output<Event>]) -> Vec<(Peer, UpdateAction, PoolElement)> {
    let one = |(peer, body): (Peer, Body)| match body {
        Body::Update(update) => Some((peer, update.action, update.element)),
        _ => None,
    };
    sent(outputs).into_iter().filter_map(one).collect()
}

// Checklist 159, 161: each registration and each removal, complete, to everyone.
#[test]
fn whatever_happens_to_an_element_is_told_to_all() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    let registration = || {
        Asap::Registration(Registration { handle: pool(), element: element(1, &[ELEMENT_ADDRESS]) })
    };
    // Again: that heals what was lost.
    for _ in 0..2 {
        let told = updates(&lab.asap(ELEMENT, registration()));
        let [(first, UpdateAction::AddElement, element), (second, ..)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!((*first, *second), (from(0x22), from(0x33)));
        assert_eq!(element.home, Some(rid(SELF)));
        assert!(element.asap_transport.is_some());
    }
    for cause in 0..3 {
        lab.asap(ELEMENT, registration());
        let outputs = match cause {
            0 => lab.asap(
                ELEMENT,
                Asap::Deregistration(Deregistration { handle: pool(), id: PeId(1) }),
            ),
            1 => {
                let mut outputs = Vec::new();
                while lab.home(1).is_some() {
                    outputs.extend(lab.pass(100));
                    lab.enrp(0x22, Body::ListRequest);
                    lab.enrp(0x33, Body::ListRequest);
                }
                lab.input(Input::Up(ELEMENT, link(Carrier::Sctp, &[ELEMENT_ADDRESS])));
                outputs
            }
            _ => lab.input(Input::Down(ELEMENT)),
        };
        let told = updates(&outputs);
        let is_deletion = |(_, action, _): &(Peer, UpdateAction, PoolElement)| {
            *action == UpdateAction::DeleteElement
        };
        assert!(told.len() == 2 && told.iter().all(is_deletion), "{cause}: {told:?}");
    }
}

// Checklist 155, 160: new pools, new elements, and all attributes of known ones.
#[test]
fn what_others_tell_is_entered_as_it_is() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    let changed = PoolElement { life: RegistrationLife(9), ..homed(1, 0x22) };
    lab.enrp(0x22, add(changed.clone()));
    let handlespace = lab.registrar.handlespace();
    let index = handlespace.find(&pool(), PeId(1)).unwrap();
    assert_eq!(handlespace.element(index).unwrap().element, &changed);
    // Its life is its home's to end.
    for _ in 0..20 {
        lab.pass(900);
        lab.enrp(0x22, Body::ListRequest);
    }
    assert_eq!(lab.home(1), Some(rid(0x22)));
}

// Checklist 161, 162.
#[test]
fn only_the_home_takes_an_element_out() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    lab.register(ELEMENT, element(9, &[ELEMENT_ADDRESS]));
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.enrp(0x33, delete(homed(1, 0x22)));
    lab.enrp(0x33, delete(homed(9, SELF)));
    assert_eq!((lab.home(1), lab.home(9)), (Some(rid(0x22)), Some(rid(SELF))));
    assert_eq!(lab.registrar.stats().updates_foreign, 2);
    lab.enrp(0x22, delete(homed(1, 0x22)));
    lab.enrp(0x22, delete(homed(1, 0x22)));
    assert_eq!(lab.home(1), None);
}

#[test]
fn nobody_tells_of_elements_that_are_not_its_own() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    lab.register(ELEMENT, element(9, &[ELEMENT_ADDRESS]));
    lab.enrp(0x22, add(homed(9, SELF)));
    lab.enrp(0x22, add(homed(2, 0x33)));
    assert_eq!((lab.home(9), lab.home(2)), (Some(rid(SELF)), None));
    assert_eq!(lab.registrar.stats().updates_foreign, 2);
}

#[test]
fn an_element_of_another_policy_is_refused_and_told_once() {
    let mut lab = Lab::among(&[0x22]);
    lab.register(ELEMENT, element(9, &[ELEMENT_ADDRESS]));
    let policy = Policy::of_type(PolicyType::RANDOM);
    for id in 1..4 {
        let element = PoolElement { policy: policy.clone(), ..homed(id, 0x22) };
        lab.enrp(0x22, add(element));
        let is_told = matches!(&lab.events[..], [Event::Conflict { .. }]);
        assert_eq!(is_told, id == 1, "{:?}", lab.events);
    }
    assert_eq!((lab.len(), lab.registrar.stats().updates_refused), (1, 3));
}

#[test]
fn two_registrars_that_tell_different_things_are_not_fetched_in_a_circle() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    let mut fetched = 0;
    for round in 0..600 {
        let sender = if round % 2 == 0 { 0x22 } else { 0x33 };
        // The checksum over element 1, which both claim.
        let one = checksum_of_one();
        let outputs = lab.enrp(sender, presence(sender, one, false));
        if sent(&outputs).contains(&(from(sender), table_request(true))) {
            fetched += 1;
            lab.enrp(sender, part(vec![homed(1, sender)], false));
        }
        lab.pass(100);
    }
    assert!(fetched <= 24, "{fetched} times in a minute");
}

fn checksum_of_one() -> u16 {
    let mut sum = ChecksumSum::default();
    sum.add(&pool(), PeId(1));
    sum.checksum().0
}

/// An element of this registrar that another one looks after, too: how often it was asked to decide
/// after each of these audits.
fn disputes_with(other: u32, audits: usize) -> (Lab, Vec<u64>) {
    let mut lab = Lab::among(&[other]);
    lab.register(ELEMENT, element(9, &[ELEMENT_ADDRESS]));
    let mut asked = Vec::new();
    while asked.len() < audits {
        let outputs = lab.enrp(other, presence(other, 1, false));
        if sent(&outputs).contains(&(from(other), table_request(true))) {
            lab.enrp(other, part(vec![homed(9, other)], false));
            asked.push(lab.registrar.stats().disputes);
        }
        lab.pass(50);
        if asked.len() < audits {
            lab.acknowledge(ELEMENT, 9);
        }
    }
    (lab, asked)
}

#[test]
fn of_two_homes_of_an_element_the_greater_identifier_asks_it() {
    let (mut lab, asked) = disputes_with(SELF - 1, 1);
    assert_eq!(asked, [1]);
    let told = updates(&lab.acknowledge(ELEMENT, 9));
    assert!(
        matches!(&told[..], [(_, UpdateAction::AddElement, it)] if it.home == Some(rid(SELF))),
        "{told:?}"
    );
    assert_eq!(lab.home(9), Some(rid(SELF)));
    // The other one has heard by then, and the next audit finds nothing.
    assert_eq!(lab.registrar.stats().disputes, 1);
}

#[test]
fn of_two_homes_of_an_element_the_lesser_identifier_asks_where_the_other_does_not() {
    let (lab, asked) = disputes_with(SELF + 1, 5);
    assert_eq!(asked, [0, 0, 0, 1, 2]);
    assert_eq!(lab.home(9), Some(rid(SELF)));
}

#[test]
fn an_element_that_does_not_decide_for_this_registrar_is_let_go() {
    let (mut lab, _) = disputes_with(SELF - 1, 1);
    let mut outputs = Vec::new();
    for _ in 0..60 {
        outputs.extend(lab.pass(100));
        lab.enrp(SELF - 1, presence(SELF - 1, 1, false));
    }
    assert!(updates(&outputs).iter().any(|it| it.1 == UpdateAction::DeleteElement));
    assert_eq!(lab.home(9), None);
}
