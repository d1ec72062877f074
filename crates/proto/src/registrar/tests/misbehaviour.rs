//! What other registrars should not do is counted, told once, bounded, and loses nothing.

use std::net::IpAddr;

use rserpool_wire::Enrp;
use rserpool_wire::enrp::Body;
use rserpool_wire::param::{Policy, PoolElement};
use rserpool_wire::registry::PolicyType;

use super::colleague::{
    EMPTY, SELF, add, delete, enrp_link, from, homed, list, part, presence, rid, sent, server,
    table_request, takeover,
};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element};
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::{Command, Config, Event, Misbehaviour, Stats, SyncFailure};

const OWN: u32 = 9;

/// A registrar with an element of its own, among others.
fn lab(others: &[u32]) -> Lab {
    let mut lab = Lab::among(others);
    assert_eq!(lab.register(ELEMENT, element(OWN, &[ELEMENT_ADDRESS])), []);
    lab
}

/// Does something a hundred times: how often the application was told of it.
fn told(lab: &mut Lab, what: Misbehaviour, mut step: impl FnMut(&mut Lab)) -> usize {
    let is_it =
        |event: &&Event| matches!(event, Event::Misbehaviour { what: told, .. } if *told == what);
    let mut count = 0;
    for _ in 0..100 {
        step(lab);
        count += lab.events.iter().filter(is_it).count();
    }
    // Nothing that lives here is lost, whatever it is.
    assert_eq!(lab.home(OWN), Some(rid(SELF)), "{what}");
    count
}

fn stat(lab: &Lab, of: fn(&Stats) -> u64) -> u64 {
    of(lab.registrar.stats())
}

#[test]
fn a_stranger_changes_nothing_however_often_it_tries() {
    let mut lab = lab(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.input(Input::Up(from(0x33), enrp_link(Carrier::Sctp, 0x33)));
    let mut bodies = [
        add(homed(2, 0x33)),
        delete(homed(1, 0x22)),
        part(vec![homed(3, 0x33)], true),
        list(vec![server(0x44)]),
        Body::TakeoverInit(takeover(0x22)),
        Body::TakeoverDone(takeover(0x22)),
        Body::TakeoverAck(takeover(0x22)),
    ]
    .into_iter()
    .cycle();
    let mut sent = 0;
    let count = told(&mut lab, Misbehaviour::Stranger, |lab| {
        sent += lab.enrp(0x33, bodies.next().unwrap()).len();
    });
    assert_eq!((count, stat(&lab, |stats| stats.strangers)), (1, 100));
    // It was asked once who it is.
    assert_eq!(sent, 1);
    assert_eq!((lab.len(), lab.home(1)), (2, Some(rid(0x22))));
    assert_eq!(lab.registrar.peers().count(), 2);
}

#[test]
fn what_is_for_another_registrar_is_dropped_and_told_once() {
    let mut lab = lab(&[0x22]);
    let count = told(&mut lab, Misbehaviour::Misaddressed, |lab| {
        let body = add(homed(1, 0x22));
        let message = Enrp { sender: Some(rid(0x22)), receiver: Some(rid(0x99)), body };
        assert_eq!(lab.input(Input::Message(from(0x22), message.into())), []);
    });
    assert_eq!((count, stat(&lab, |stats| stats.misaddressed)), (1, 100));
    assert_eq!(lab.len(), 1);
}

#[test]
fn who_changes_its_identifier_is_told_once_and_makes_no_peers() {
    let mut lab = lab(&[0x22]);
    let mut id = 0x100;
    let count = told(&mut lab, Misbehaviour::Impostor, |lab| {
        id += 1;
        assert_eq!(lab.enrp_over(from(0x22), id, add(homed(1, id))), []);
    });
    assert_eq!((count, stat(&lab, |stats| stats.impostors)), (1, 100));
    assert_eq!((lab.len(), lab.registrar.peers().count()), (1, 1));
}

#[test]
fn who_tells_of_elements_that_are_not_its_own_is_told_once() {
    let mut lab = lab(&[0x22, 0x33]);
    lab.enrp(0x33, add(homed(1, 0x33)));
    let count = told(&mut lab, Misbehaviour::ForeignElements, |lab| {
        lab.enrp(0x22, add(homed(OWN, SELF)));
        lab.enrp(0x22, delete(homed(OWN, SELF)));
        lab.enrp(0x22, delete(homed(1, 0x33)));
        lab.enrp(0x22, add(homed(2, 0x33)));
    });
    assert_eq!(stat(&lab, |stats| stats.updates_foreign), 400);
    assert!(count <= 1);
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(0x33)), None));
    let what = Misbehaviour::ForeignElements;
    lab.enrp(0x33, add(homed(2, 0x22)));
    let addresses = server(0x33).transport.addresses.to_vec();
    let (peer, port) = (Some(rid(0x33)), Some(9901));
    assert_eq!(lab.events, [Event::Misbehaviour { peer, addresses, port, what }]);
}

/// Answers each question for a table with this; how often it was asked.
fn audited(lab: &mut Lab, checksum: u16, elements: impl Fn() -> Vec<PoolElement>) -> usize {
    let mut outputs = lab.enrp(0x22, presence(0x22, checksum, false));
    let mut events = std::mem::take(&mut lab.events);
    let mut asked = 0;
    while sent(&outputs).contains(&(from(0x22), table_request(true))) {
        asked += 1;
        outputs = lab.enrp(0x22, part(elements(), false));
        events.append(&mut lab.events);
    }
    lab.pass(100);
    lab.acknowledge(ELEMENT, OWN);
    lab.events = events;
    asked
}

#[test]
fn who_claims_an_element_that_lives_here_does_not_get_it_and_is_told_once() {
    let mut lab = lab(&[0x22]);
    let mut asked = 0;
    let count = told(&mut lab, Misbehaviour::ClaimsElements, |lab| {
        asked += audited(lab, 1, || vec![homed(OWN, 0x22), homed(1, 0x22)]);
    });
    assert_eq!(count, 1);
    assert_eq!(stat(&lab, |stats| stats.claims_ignored), u64::try_from(asked).unwrap());
    assert!((3..=8).contains(&asked), "{asked} in 10 s");
    assert_eq!(lab.home(1), Some(rid(0x22)));
}

#[test]
fn who_claims_once_what_it_had_before_is_not_told() {
    let mut lab = lab(&[0x22]);
    audited(&mut lab, 1, || vec![homed(OWN, 0x22)]);
    let count = told(&mut lab, Misbehaviour::ClaimsElements, |lab| {
        audited(lab, 1, Vec::new);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_table_that_contradicts_itself_does_no_harm() {
    let mut lab = lab(&[0x22]);
    let random = || Policy::of_type(PolicyType::RANDOM);
    let other = || PoolElement { policy: random(), ..homed(2, 0x22) };
    let twice = || PoolElement { home: Some(rid(0x33)), ..homed(1, 0x22) };
    let nobodys = || PoolElement { home: None, ..homed(3, 0x22) };
    for _ in 0..50 {
        audited(&mut lab, 1, || vec![homed(1, 0x22), other(), twice(), homed(1, 0x22), nobodys()]);
    }
    // The first that makes sense is entered.
    assert_eq!([1, 2, 3].map(|id| lab.home(id)), [Some(rid(0x22)), None, None]);
    assert_eq!(lab.home(OWN), Some(rid(SELF)));
    assert!(lab.resolve(None).is_some());
}

#[test]
fn a_checksum_that_flaps_is_told_once() {
    let mut lab = lab(&[0x22]);
    let (mut checksum, mut asked) = (0, 0);
    let count = told(&mut lab, Misbehaviour::NeverAgrees, |lab| {
        checksum += 1;
        // Every fourth one is right.
        let told = if checksum % 4 == 0 { EMPTY } else { checksum };
        asked += audited(lab, told, Vec::new);
    });
    assert_eq!(count, 1);
    assert!((3..=8).contains(&asked), "{asked} in 10 s");
    assert!(stat(&lab, |stats| stats.checksum_mismatches) >= 75);
}

#[test]
fn a_table_without_end_is_fetched_ever_less_often_and_told_once() {
    let mut lab = lab(&[0x22]);
    let mut parts = 0;
    let count = told(&mut lab, Misbehaviour::EndlessTable, |lab| {
        let mut events = Vec::new();
        let mut outputs = lab.enrp(0x22, presence(0x22, 1, false));
        while sent(&outputs).contains(&(from(0x22), table_request(true))) {
            parts += 1;
            // Nothing follows, it says, but more.
            outputs = lab.enrp(0x22, part(Vec::new(), true));
            events.append(&mut lab.events);
        }
        lab.pass(100);
        lab.acknowledge(ELEMENT, OWN);
        lab.events = events;
    });
    assert_eq!(count, 1);
    assert!((3..=8).contains(&parts), "{parts} in 10 s");
    assert_eq!(stat(&lab, |stats| stats.syncs_failed), u64::try_from(parts).unwrap());
}

#[test]
fn a_registrar_that_never_tells_its_table_is_told_once() {
    let mut lab = lab(&[0x22]);
    let mut failures = Vec::new();
    for _ in 0..300 {
        lab.enrp(0x22, presence(0x22, 1, false));
        lab.pass(100);
        let is_failure = |event: &Event| matches!(event, Event::SyncFailed { .. });
        failures.extend(std::mem::take(&mut lab.events).into_iter().filter(is_failure));
        lab.acknowledge(ELEMENT, OWN);
    }
    let (peer, reason) = (rid(0x22), SyncFailure::Silent);
    assert_eq!(failures, [Event::SyncFailed { peer, reason }]);
    assert!(stat(&lab, |stats| stats.syncs_failed) > 5);
    // Once it has told, it is news when it does not any more.
    while audited(&mut lab, 1, Vec::new) == 0 {}
    lab.events.clear();
    while lab.events.is_empty() {
        lab.enrp(0x22, presence(0x22, 1, false));
        lab.pass(100);
        let events = std::mem::take(&mut lab.events);
        lab.acknowledge(ELEMENT, OWN);
        lab.events = events;
    }
    assert_eq!(lab.events, [Event::SyncFailed { peer, reason }]);
}

#[test]
fn who_sets_up_associations_and_says_nothing_loses_them_and_is_told_once() {
    let mut lab = lab(&[0x22]);
    let mut number = 0;
    let count = told(&mut lab, Misbehaviour::Mute, |lab| {
        number += 1;
        let peer = Peer::accepted(2_000 + number);
        lab.input(Input::Up(peer, enrp_link(Carrier::Tcp, 0x77)));
        let mut events = Vec::new();
        for _ in 0..20 {
            lab.pass(50);
            events.append(&mut lab.events);
            lab.enrp(0x22, Body::ListRequest);
            lab.acknowledge(ELEMENT, OWN);
        }
        lab.events = events;
        assert!(lab.registrar.associations() <= 4 + 5, "{}", lab.registrar.associations());
    });
    assert_eq!((count, stat(&lab, |stats| stats.mutes)), (1, 97));
}

#[test]
fn a_configured_registrar_that_takes_associations_and_says_nothing_is_dialed_again() {
    let mut lab = Lab::with(Config { peers: 1, ..Config::default() });
    lab.input(Input::Command(Command::Start));
    let mut dialed = 1;
    lab.input(Input::Up(Peer::dialed(1), enrp_link(Carrier::Sctp, 0x22)));
    let mut told = 0;
    for _ in 0..600 {
        for output in lab.pass(100) {
            if let Output::Connect(peer, ..) = output {
                dialed += 1;
                told += count_mute(&lab.events);
                lab.input(Input::Up(peer, enrp_link(Carrier::Sctp, 0x22)));
            }
        }
        told += count_mute(&lab.events);
        lab.events.clear();
    }
    assert!(lab.registrar.is_serving());
    assert!((8..=16).contains(&dialed), "{dialed} in a minute");
    assert_eq!(told, 1);
}

fn count_mute(events: &[Event]) -> usize {
    let is_mute =
        |event: &&Event| matches!(event, Event::Misbehaviour { what: Misbehaviour::Mute, .. });
    events.iter().filter(is_mute).count()
}

#[test]
fn who_has_another_identifier_each_time_is_not_told_of_for_ever() {
    let mut lab = lab(&[]);
    let mut told = 0;
    for number in 0..1_000_u32 {
        let peer = Peer::accepted(u64::from(5_000 + number));
        let mut link = enrp_link(Carrier::Tcp, 0x77);
        link.remote = vec![IpAddr::from((0x0a00_0000 + number).to_be_bytes())];
        lab.input(Input::Up(peer, link));
        lab.enrp_over(peer, 0x1000 + number, add(homed(1, 0x1000 + number)));
        told += lab.events.len();
        lab.input(Input::Down(peer));
    }
    // Those that were told, and that there are too many.
    assert!(told <= 256 + 1, "{told}");
    assert!(lab.registrar.peers().count() <= 256);
    assert_eq!((lab.len(), lab.home(OWN)), (1, Some(rid(SELF))));
}
