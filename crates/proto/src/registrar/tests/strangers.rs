//! Whoever connects to the port for registrars is not believed for that: it neither stops nor
//! rewrites anything that lives, and others go on being served.

use std::net::IpAddr;
use std::time::Duration;

use rserpool_wire::asap::{Asap, Deregistration};
use rserpool_wire::enrp::Body;
use rserpool_wire::param::{PeId, Policy, PoolElement, ServerInformation};
use rserpool_wire::registry::{CauseCode, PolicyType};
use rserpool_wire::{Message, Protocol};

use super::colleague::{
    EMPTY, SELF, add, delete, enrp_link, from, homed, list, presence, rejected_table, rid, sent,
    server, table_request, takeover,
};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, element, link, sctp};
use super::net::address;
use crate::machine::{Carrier, Input, Link, Output, Peer};
use crate::registrar::{Command, Config, Event, LeaveReason, Misbehaviour};

const B: u32 = 0x22;
const STRANGER: u32 = 0x66;

/// An association from the host of this registrar, from any port of it.
fn from_host_of(id: u32) -> Link {
    enrp_link(Carrier::Tcp, id)
}

/// Somebody connects and says that it is this registrar.
fn claims(lab: &mut Lab, peer: Peer, link: Link, id: u32) -> Vec<Output<Event>> {
    lab.input(Input::Up(peer, link));
    lab.enrp_over(peer, id, presence(id, EMPTY, true))
}

fn keep_alives(outputs: &[Output<Event>]) -> usize {
    let is_one =
        |it: &&Output<Event>| matches!(it, Output::Send(_, Message::Asap(Asap::KeepAlive(_))));
    outputs.iter().filter(is_one).count()
}

#[test]
fn takeovers_of_this_registrar_ask_each_element_once_in_a_grace() {
    let mut lab = Lab::among(&[STRANGER]);
    (1..=100).for_each(|id| drop(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]))));
    let (mut asked, mut told) = (0, 0);
    for _ in 0..1_000 {
        let outputs = lab.enrp(STRANGER, Body::TakeoverDone(takeover(SELF)));
        asked += keep_alives(&outputs);
        told += lab.events.len();
    }
    // That it was taken for dead, and that somebody goes on saying so.
    assert_eq!((asked, told), (100, 2));
    assert_eq!(lab.registrar.stats().takeovers_refused, 999);
    (1..=100).for_each(|id| drop(lab.acknowledge(ELEMENT, id)));
    assert_eq!(lab.registrar.handlespace().owned_count(rid(SELF)), 100);
}

#[test]
fn nobody_changes_an_element_that_lives_here() {
    let mut lab = Lab::among(&[STRANGER]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let mut asked = 0;
    for round in 0..100 {
        let outputs = lab.enrp(STRANGER, add(homed(1, STRANGER)));
        asked += keep_alives(&outputs);
        lab.enrp(STRANGER, delete(homed(1, STRANGER)));
        assert_eq!(lab.home(1), Some(rid(SELF)), "{round}");
        assert_eq!(lab.resolve(None), Some(vec![1]));
        for _ in 0..5 {
            lab.acknowledge(ELEMENT, 1);
            asked += keep_alives(&lab.pass(20));
            lab.enrp(STRANGER, Body::ListRequest);
        }
    }
    let stats = lab.registrar.stats();
    assert!(stats.foreign_claims_refused >= 5, "{}", stats.foreign_claims_refused);
    assert!(asked < 60, "asked {asked} times in 10 s");
    assert_eq!((stats.moved_away, stats.removed_silent), (0, 0));
}

#[test]
fn what_another_one_said_of_a_dead_element_counts_when_it_is_dead() {
    let mut lab = Lab::among(&[B]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.enrp(B, add(homed(1, B)));
    for _ in 0..30 {
        lab.pass(100);
        lab.enrp(B, Body::ListRequest);
    }
    assert_eq!(lab.home(1), Some(rid(B)));
    assert_eq!(lab.registrar.stats().moved_away, 1);
}

#[test]
fn a_dead_element_goes_though_what_another_one_said_of_it_does_not_go_with_its_pool() {
    let mut lab = Lab::among(&[B]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.register(OTHER, element(2, &[OTHER_ADDRESS]));
    let policy = Policy::of_type(PolicyType::RANDOM);
    lab.enrp(B, add(PoolElement { policy, ..homed(1, B) }));
    lab.input(Input::Down(ELEMENT));
    assert_eq!((lab.home(1), lab.home(2)), (None, Some(rid(SELF))));
    assert_eq!(lab.registrar.stats().updates_refused, 1);
}

#[test]
fn a_takeover_of_a_registrar_that_is_heard_changes_nothing() {
    let mut lab = Lab::among(&[B, STRANGER]);
    lab.enrp(B, add(homed(1, B)));
    for _ in 0..50 {
        lab.enrp(STRANGER, Body::TakeoverInit(takeover(B)));
        lab.enrp(STRANGER, Body::TakeoverDone(takeover(B)));
        lab.enrp(STRANGER, delete(homed(1, B)));
        lab.enrp(STRANGER, delete(homed(1, STRANGER)));
        assert_eq!(lab.home(1), Some(rid(B)));
        // It is asked, and answers.
        lab.pass(100);
        lab.enrp(B, presence(B, checksum_of_one(), false));
        lab.enrp(STRANGER, Body::ListRequest);
    }
    assert_eq!(lab.home(1), Some(rid(B)));
    assert_eq!(lab.registrar.stats().takeovers_refused, 50);
}

fn checksum_of_one() -> u16 {
    let mut sum = rserpool_wire::checksum::ChecksumSum::default();
    sum.add(&super::lab::pool(), PeId(1));
    sum.checksum().0
}

#[test]
fn nobody_takes_the_place_of_a_registrar_that_is_connected() {
    for is_configured in [true, false] {
        let mut lab = match is_configured {
            true => Lab::among_configured(&[B], |_| {}),
            false => Lab::among(&[B]),
        };
        lab.enrp(B, add(homed(1, B)));
        for number in 0..9 {
            let peer = Peer::accepted(9_000 + number);
            // From its own host, or from another one.
            let link = if number % 2 == 0 { from_host_of(B) } else { from_host_of(STRANGER) };
            claims(&mut lab, peer, link, B);
            lab.enrp_over(peer, B, delete(homed(1, B)));
            lab.enrp_over(peer, B, add(homed(2, B)));
        }
        assert_eq!((lab.home(1), lab.home(2)), (Some(rid(B)), None));
        // What is told, goes to the true one.
        let registration = || element(3, &[ELEMENT_ADDRESS]);
        let (handle, element) = (super::lab::pool(), registration());
        let message = Asap::Registration(rserpool_wire::asap::Registration { handle, element });
        let told = sent(&lab.asap(ELEMENT, message));
        assert!(matches!(told[..], [(to, Body::Update(_))] if to == from(B)), "{told:?}");
        assert!(lab.registrar.stats().impostors >= 4);
        let what = Misbehaviour::TakesIdentifier;
        assert!(lab.registrar.peers().all(|peer| peer.associations == 1), "{what}");
    }
}

#[test]
fn a_dead_registrar_is_taken_over_though_somebody_has_its_identifier() {
    for is_frozen in [true, false] {
        let mut lab = Lab::among(&[B]);
        lab.enrp(B, add(homed(1, B)));
        let stranger = Peer::accepted(9_000);
        claims(&mut lab, stranger, from_host_of(B), B);
        let mut outputs = Vec::new();
        if !is_frozen {
            outputs = lab.input(Input::Down(from(B)));
        }
        let (mut events, mut millis) = (std::mem::take(&mut lab.events), 0);
        let is_won = |event: &Event| matches!(event, Event::TakeoverWon { .. });
        while !events.iter().any(is_won) {
            for output in std::mem::take(&mut outputs) {
                // Nobody is where it was.
                if let Output::Connect(peer, _, Protocol::Enrp) = output {
                    outputs.extend(lab.input(Input::Down(peer)));
                    events.append(&mut lab.events);
                }
            }
            lab.enrp_over(stranger, B, presence(B, EMPTY, true));
            claims(&mut lab, Peer::accepted(9_001 + millis), from_host_of(B), B);
            outputs.extend(lab.pass(10));
            events.append(&mut lab.events);
            millis += 10;
            assert!(millis <= 1_400, "{events:?}");
        }
    }
}

#[test]
fn a_registrar_that_comes_back_from_another_port_is_found_where_it_said_it_is() {
    let mut lab = Lab::among(&[B]);
    lab.enrp(B, add(homed(1, B)));
    let outputs = lab.input(Input::Down(from(B)));
    let [Output::Connect(dialed, ..)] = outputs[..] else { panic!("{outputs:?}") };
    let again = Peer::accepted(9_000);
    claims(&mut lab, again, from_host_of(B), B);
    assert_eq!(lab.registrar.peers().next().map(|peer| peer.associations), Some(0));
    lab.input(Input::Up(dialed, from_host_of(B)));
    lab.enrp_over(dialed, B, presence(B, checksum_of_one(), false));
    assert!(lab.events.contains(&Event::PeerBack(rid(B))), "{:?}", lab.events);
    // It has the larger identifier, keeps the association that it has dialed, and ends this one.
    lab.input(Input::Down(dialed));
    lab.enrp_over(again, B, add(homed(2, B)));
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(B)), Some(rid(B))));
}

#[test]
fn of_two_associations_that_both_have_dialed_that_of_the_larger_identifier_stays() {
    // This registrar has the larger one: it ends what the other one has dialed.
    let mut lab = Lab::among_configured(&[0x05], |_| {});
    let theirs = Peer::accepted(9_000);
    let outputs = claims(&mut lab, theirs, from_host_of(0x05), 0x05);
    assert!(outputs.contains(&Output::Close(theirs)), "{outputs:?}");
    // It has the smaller one: where the other one ends nothing, it was none of its own.
    let mut lab = Lab::among_configured(&[B], |_| {});
    let outputs = claims(&mut lab, theirs, from_host_of(B), B);
    assert!(!outputs.contains(&Output::Close(theirs)), "{outputs:?}");
    assert!(lab.pass(300).contains(&Output::Abort(theirs)));
}

/// A registrar has dialed this one twice: over one association it is heard, over the other one not. Once
/// it is found where it says it is, the other one ends: else its presences could go there for ever.
#[test]
fn of_two_associations_of_one_registrar_the_doubted_ends_once_the_other_is_proved() {
    for (id, at_once) in [(0x05, true), (B, false)] {
        let mut lab = Lab::among(&[]);
        let from_port = |port| Link { remote_port: port, ..enrp_link(Carrier::Sctp, id) };
        let [heard, doubted] = [8_000, 9_000].map(Peer::accepted);
        claims(&mut lab, heard, from_port(40_000), id);
        claims(&mut lab, doubted, from_port(50_000), id);
        assert_eq!(lab.registrar.stats().doubted, 1);
        let is_dial = |output| match output {
            Output::Connect(dialed, ..) => Some(dialed),
            _ => None,
        };
        let dialed = (0..1_000).find_map(|_| lab.timeout().into_iter().find_map(is_dial)).unwrap();
        let mut outputs = lab.input(Input::Known(dialed, heard));
        assert_eq!(outputs.contains(&Output::Abort(doubted)), at_once, "{id:#x}: {outputs:?}");
        lab.enrp_over(heard, id, presence(id, EMPTY, false));
        outputs.extend(lab.pass(300));
        assert!(outputs.contains(&Output::Abort(doubted)), "{id:#x}: {outputs:?}");
        assert!(!outputs.contains(&Output::Abort(heard)), "{id:#x}: {outputs:?}");
    }
}

#[test]
fn strangers_leave_seats_for_configured_registrars() {
    let mut lab = Lab::with(Config { peers: 2, peers_max: 8, ..Config::default() });
    lab.input(Input::Command(Command::Start));
    for number in 0..20_u32 {
        let mut link = from_host_of(0x30 + number);
        link.remote = vec![IpAddr::from([10, 7, 0, 1 + u8::try_from(number).unwrap()])];
        claims(&mut lab, Peer::accepted(9_000 + u64::from(number)), link, 0x100 + number);
    }
    assert_eq!(lab.registrar.peers().count(), 6);
    for (number, id) in [(1, B), (2, 0x33)] {
        lab.input(Input::Up(Peer::dialed(number), from_host_of(id)));
        lab.enrp_over(Peer::dialed(number), id, presence(id, EMPTY, false));
        assert!(lab.registrar.peers().any(|peer| peer.id == rid(id)));
    }
    assert_eq!(lab.registrar.stats().peers_refused, 14);
}

#[test]
fn one_source_has_so_many_seats() {
    let mut lab = Lab::among_with(&[], |config| config.peers_per_source_max = 3);
    for number in 0..10_u32 {
        let peer = Peer::accepted(9_000 + u64::from(number));
        claims(&mut lab, peer, from_host_of(STRANGER), 0x100 + number);
    }
    assert_eq!(lab.registrar.peers().count(), 3);
    lab.meet(B);
    assert_eq!(lab.registrar.peers().count(), 4);
}

fn dials(outputs: &[Output<Event>]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Connect(..))).count()
}

#[test]
fn hearsay_is_dialed_slowly_and_within_the_scope() {
    let mut lab = Lab::among(&[STRANGER]);
    let at = |number: u32, ip: IpAddr| ServerInformation {
        id: Some(rid(0x1000 + number)),
        transport: sctp(&[ip], 9901),
    };
    let many = |first: u32| -> Vec<ServerInformation> {
        (first..first + 100)
            .map(|n| at(n, [10, 9, 0, u8::try_from(n % 250).unwrap()].into()))
            .collect()
    };
    let outputs = lab.enrp(STRANGER, list(many(0)));
    assert!(dials(&outputs) <= 2, "{outputs:?}");
    let mut dialed = dials(&outputs);
    for _ in 0..10 {
        dialed += dials(&lab.pass(100));
        lab.enrp(STRANGER, Body::ListRequest);
    }
    assert!((15..=25).contains(&dialed), "{dialed} in a second");
    assert!(lab.registrar.stats().hearsay_refused > 0);
    // Elsewhere is not dialed at all.
    let mut lab = Lab::among(&[STRANGER]);
    let elsewhere = [[127, 0, 0, 1], [169, 254, 1, 1], [224, 0, 0, 1]];
    let told = (0..).zip(elsewhere).map(|(number, ip)| at(number, ip.into())).collect();
    assert_eq!(dials(&lab.enrp(STRANGER, list(told))), 0);
    assert_eq!(lab.registrar.stats().hearsay_refused, 3);
}

#[test]
fn whom_a_configured_registrar_tells_of_is_as_good_as_configured_once_it_answers_there() {
    let mut lab = Lab::among_configured(&[B], |_| {});
    // Somebody has taken the identifier first.
    let stranger = Peer::accepted(9_000);
    claims(&mut lab, stranger, from_host_of(STRANGER), 0x33);
    let mut genuine = None;
    for _ in 0..100 {
        let mut outputs = lab.enrp(B, list(vec![server(0x33)]));
        lab.enrp(B, presence(B, EMPTY, false));
        lab.enrp_over(stranger, 0x33, Body::ListRequest);
        outputs.extend(lab.pass(100));
        for output in outputs {
            if let Output::Connect(peer, ..) = output {
                lab.input(Input::Up(peer, enrp_link(Carrier::Sctp, 0x33)));
                lab.enrp_over(peer, 0x33, presence(0x33, EMPTY, false));
                lab.enrp_over(peer, 0x33, add(homed(1, 0x33)));
                genuine = Some(peer);
            }
        }
        if let Some(peer) = genuine {
            lab.enrp_over(peer, 0x33, Body::ListRequest);
        }
        lab.enrp_over(stranger, 0x33, presence(0x33, EMPTY, false));
    }
    lab.enrp_over(stranger, 0x33, add(homed(2, 0x33)));
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(0x33)), None));
}

#[test]
fn elements_that_strangers_invented_are_not_dialed() {
    let mut lab = Lab::among(&[STRANGER]);
    for id in 1..=500_u32 {
        let at: IpAddr = (0x0a09_0000 + id).to_be_bytes().into();
        let asap_transport = Some(sctp(&[at], 4711));
        lab.enrp(STRANGER, add(PoolElement { asap_transport, ..homed(id, STRANGER) }));
    }
    let mut dialed = dials(&lab.input(Input::Down(from(STRANGER))));
    for _ in 0..100 {
        dialed += dials(&lab.pass(100));
    }
    // It was dialed itself.
    assert_eq!((dialed, lab.len()), (1, 0));
    assert_eq!(lab.registrar.stats().elements_not_dialed, 500);
}

#[test]
fn what_a_stranger_told_is_nobodys_once_it_is_gone() {
    let mut lab = Lab::among_configured(&[B], |_| {});
    lab.meet(STRANGER);
    for id in 1..=200 {
        lab.enrp(STRANGER, add(homed(id, STRANGER)));
    }
    lab.enrp(B, add(homed(300, B)));
    // One of them is this registrar's own by now.
    lab.enrp(STRANGER, delete(homed(1, STRANGER)));
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.input(Input::Down(from(STRANGER)));
    while !lab.events.iter().any(|event| matches!(event, Event::TakeoverWon { .. })) {
        lab.timeout();
        lab.enrp(B, presence(B, EMPTY, false));
        lab.enrp(B, Body::TakeoverAck(takeover(STRANGER)));
    }
    // Some at a time, and all of them long before the grace of elements that may live.
    let (won, mut told) = (lab.now, 0);
    while lab.len() > 2 {
        let outputs = lab.timeout();
        let is_given_up =
            |it: &&Event| matches!(it, Event::Left { reason: LeaveReason::Orphaned, .. });
        let count = lab.events.iter().filter(is_given_up).count();
        assert!(count <= 64, "{:?}", lab.events);
        assert_eq!(dials(&outputs), 0);
        told += count;
    }
    assert_eq!((told, lab.now - won), (199, Duration::from_millis(3)));
    assert_eq!((lab.home(1), lab.home(300)), (Some(rid(SELF)), Some(rid(B))));
}

#[test]
fn those_who_look_on_leave_room_for_registrars() {
    let mut lab = Lab::among_with(&[B], |config| {
        (config.dialect, config.downloads_max) = (crate::dialect::Dialect::Rsplib, 2);
    });
    let life = rserpool_wire::param::RegistrationLife(300_000);
    for id in 1..=100 {
        lab.register(ELEMENT, PoolElement { life, ..element(id, &[ELEMENT_ADDRESS]) });
    }
    let mut served = 0;
    for number in 0..80_u32 {
        let peer = Peer::accepted(9_000 + u64::from(number));
        let mut link = from_host_of(STRANGER);
        link.remote = vec![IpAddr::from([10, 8, 0, 1 + u8::try_from(number / 2).unwrap()])];
        lab.input(Input::Up(peer, link));
        let answer = sent(&lab.enrp_over(peer, 0, table_request(false)));
        served += usize::from(answer != [(peer, rejected_table())]);
    }
    assert_eq!((served, lab.registrar.stats().observers_refused), (8, 72));
    assert_ne!(sent(&lab.enrp(B, table_request(false))), [(from(B), rejected_table())]);
}

#[test]
fn one_who_looks_on_has_half_a_minute() {
    let mut lab = Lab::among_with(&[], |config| {
        config.dialect = crate::dialect::Dialect::Rsplib;
    });
    let life = rserpool_wire::param::RegistrationLife(300_000);
    for id in 1..=5_000 {
        lab.register(ELEMENT, PoolElement { life, ..element(id, &[ELEMENT_ADDRESS]) });
    }
    let peer = Peer::accepted(9_000);
    lab.input(Input::Up(peer, from_host_of(STRANGER)));
    let mut millis = 0;
    while sent(&lab.enrp_over(peer, 0, table_request(false))) != [(peer, rejected_table())] {
        lab.wait(500);
        millis += 500;
        assert!(millis < 40_000);
    }
    assert!((30_000..31_000).contains(&millis), "{millis}");
}

#[test]
fn an_element_with_the_identifier_of_one_that_lives_elsewhere_is_told_so() {
    let mut lab = Lab::among(&[B]);
    lab.enrp(B, add(homed(1, B)));
    let causes = lab.register(OTHER, element(1, &[OTHER_ADDRESS]));
    assert_eq!(causes[0].code, CauseCode::NON_UNIQUE_PE_IDENTIFIER);
    assert_eq!(lab.home(1), Some(rid(B)));
    // The same one may move.
    let at = address(100);
    let peer = Peer::accepted(77);
    lab.input(Input::Up(peer, link(Carrier::Sctp, &[at])));
    assert_eq!(lab.register(peer, element(1, &[at])), []);
    assert_eq!(lab.home(1), Some(rid(SELF)));
}

#[test]
fn of_two_elements_with_one_identifier_that_of_the_larger_registrar_stays() {
    for (other, stays) in [(0x05, true), (B, false)] {
        let mut lab = Lab::among_configured(&[other], |_| {});
        lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
        // They registered at the same time.
        lab.enrp(other, add(homed(1, other)));
        let (mut told, mut updates) = (Vec::new(), 0);
        for _ in 0..12 {
            lab.acknowledge(ELEMENT, 1);
            let outputs = lab.pass(100);
            lab.enrp(other, Body::ListRequest);
            updates += sent(&outputs).iter().filter(|it| matches!(it.1, Body::Update(_))).count();
            told.extend(outputs.into_iter().filter_map(|output| match output {
                Output::Send(ELEMENT, Message::Asap(Asap::DeregistrationResponse(it))) => {
                    Some(it.causes)
                }
                _ => None,
            }));
        }
        let winner = if stays { SELF } else { other };
        assert_eq!(lab.home(1), Some(rid(winner)));
        // The other one hears it once more, or the element hears why it is out.
        assert_eq!(updates, usize::from(stays));
        let codes: Vec<CauseCode> = told.iter().flatten().map(|cause| cause.code).collect();
        let expected = [CauseCode::NON_UNIQUE_PE_IDENTIFIER];
        assert_eq!(codes, if stays { &[][..] } else { &expected[..] });
    }
}

#[test]
fn only_the_home_lets_an_element_deregister() {
    let mut lab = Lab::among(&[B]);
    lab.enrp(B, add(homed(1, B)));
    // From the address that it has, even from the port.
    let peer = Peer::accepted(77);
    lab.input(Input::Up(peer, link(Carrier::Sctp, &[address(100)])));
    let message = Asap::Deregistration(Deregistration { handle: super::lab::pool(), id: PeId(1) });
    let outputs = lab.asap(peer, message);
    assert_eq!(sent(&outputs), []);
    assert_eq!((lab.home(1), lab.registrar.stats().foreign_deregistrations), (Some(rid(B)), 1));
    // At home it is another matter.
    lab.register(ELEMENT, element(2, &[ELEMENT_ADDRESS]));
    let other = Peer::accepted(78);
    lab.input(Input::Up(other, link(Carrier::Sctp, &[ELEMENT_ADDRESS])));
    assert_eq!(lab.deregister(other, 2)[0].code, CauseCode::SECURITY);
    assert_eq!(lab.deregister(ELEMENT, 2), []);
    let reason = LeaveReason::Deregistered;
    assert!(matches!(&lab.events[..], [Event::Left { reason: told, .. }] if *told == reason));
}
