//! What one association and one source may take, and that others are served all the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use rserpool_wire::asap::{Asap, HandleResolution, Registration};
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, SctpTransport, Transport};
use rserpool_wire::registry::CauseCode;

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, element, link, pool};
use crate::machine::{Carrier, Input, Machine, Output, Peer, Source};
use crate::registrar::quota::Used;
use crate::registrar::{Command, Config, Event, Phase, Quota, Quotas, State};

fn named(number: u32) -> PoolHandle {
    PoolHandle::new(format!("pool-{number}")).unwrap()
}

/// Registers over an association; true where it was accepted, else cause 6 said why not.
fn found(lab: &mut Lab, peer: Peer, pool: u32, id: u32) -> bool {
    let address = lab.registrar.associations[&peer].link.remote[0];
    let registration = Registration { handle: named(pool), element: element(id, &[address]) };
    match lab.ask(peer, Asap::Registration(registration)) {
        Asap::RegistrationResponse(answer) => {
            let causes: Vec<CauseCode> = answer.causes.iter().map(|cause| cause.code).collect();
            assert_eq!(answer.rejected, !causes.is_empty());
            assert!(causes.is_empty() || causes == [CauseCode::LACK_OF_RESOURCES], "{causes:?}");
            !answer.rejected
        }
        other => panic!("{other:?}"),
    }
}

fn connect(lab: &mut Lab, number: u64, address: IpAddr) -> Peer {
    let peer = Peer::accepted(number);
    lab.input(Input::Up(peer, link(Carrier::Sctp, &[address])));
    peer
}

fn with(quotas: Quotas) -> Lab {
    Lab::with(Config { quotas, ..Config::default() })
}

fn told(lab: &Lab) -> Vec<(&'static str, Option<Source>)> {
    let limits = lab.events.iter().filter_map(|event| match event {
        Event::LimitReached { limit, by } => Some((*limit, *by)),
        _ => None,
    });
    limits.collect()
}

#[test]
fn pools_are_counted_by_association_and_source_and_others_found_theirs() {
    let quotas = Quotas { pools_per_association: 3, pools_per_source: 4, ..Quotas::default() };
    let mut lab = with(quotas);
    let again = connect(&mut lab, 10, ELEMENT_ADDRESS);
    let source = Some(Source::of(ELEMENT_ADDRESS));
    assert!((0..3).all(|number| found(&mut lab, ELEMENT, number, 1)));
    assert!(!found(&mut lab, ELEMENT, 3, 1));
    assert_eq!(told(&lab), [("pools_per_association", source)]);
    assert!(found(&mut lab, again, 3, 1));
    assert!(!found(&mut lab, again, 4, 1));
    assert_eq!(told(&lab), [("pools_per_source", source)]);
    // It is told of once, and counted each time.
    assert!(!found(&mut lab, again, 4, 1));
    assert_eq!(told(&lab), []);
    lab.wait(60_000);
    assert!(!found(&mut lab, again, 4, 1));
    assert_eq!(told(&lab), [("pools_per_source", source)]);
    let counts = lab.registrar.stats().quotas;
    assert_eq!((counts.of(Quota::PoolsPerAssociation), counts.of(Quota::PoolsPerSource)), (1, 3));
    // Pools that are there take it, and registrations that are there are renewed.
    assert!(found(&mut lab, ELEMENT, 3, 2) && found(&mut lab, ELEMENT, 0, 1));
    let honest = connect(&mut lab, 11, OTHER_ADDRESS);
    assert!((10..13).all(|number| found(&mut lab, honest, number, 1)));
    // A pool that ends makes room, whoever was its last element.
    lab.input(Input::Down(again));
    assert!(!found(&mut lab, ELEMENT, 5, 1), "pool 3 is there, and its founder's");
    lab.input(Input::Down(ELEMENT));
    assert_eq!(lab.registrar.usage.of(source), Used::default());
}

#[test]
fn who_founds_pools_and_goes_does_not_evade_the_count() {
    let mut lab = with(Quotas { pools_per_source: 2, ..Quotas::default() });
    for (number, pool) in (20..).zip(0..2) {
        let peer = connect(&mut lab, number, ELEMENT_ADDRESS);
        assert!(found(&mut lab, peer, pool, 1));
        assert!(found(&mut lab, OTHER, pool, 2));
        lab.input(Input::Down(peer));
    }
    assert!(!found(&mut lab, ELEMENT, 2, 1));
    assert!(found(&mut lab, OTHER, 2, 1));
}

#[test]
fn elements_are_counted_by_association_and_source() {
    let quotas =
        Quotas { elements_per_association: 3, elements_per_source: 4, ..Quotas::default() };
    let mut lab = with(quotas);
    let again = connect(&mut lab, 10, ELEMENT_ADDRESS);
    assert!((1..=3).all(|id| found(&mut lab, ELEMENT, 0, id)));
    assert!(!found(&mut lab, ELEMENT, 0, 4));
    assert!(found(&mut lab, again, 0, 4));
    assert!(!found(&mut lab, again, 0, 5));
    assert!(found(&mut lab, OTHER, 0, 6));
    let counts = lab.registrar.stats().quotas;
    let counted = [Quota::ElementsPerAssociation, Quota::ElementsPerSource].map(|it| counts.of(it));
    assert_eq!(counted, [1, 1]);
    // One that comes over another association of the source is no more than before.
    let back = Registration { handle: named(0), element: element(1, &[ELEMENT_ADDRESS]) };
    lab.asap(again, Asap::Registration(back));
    lab.input(Input::Down(ELEMENT));
    assert!(found(&mut lab, again, 0, 1));
}

#[test]
fn a_million_elements_behind_a_hundred_associations_of_one_source_have_room() {
    let quotas = Quotas::default();
    assert!(quotas.elements_per_source >= 1_000_000);
    assert!(quotas.elements_per_association >= 1_000_000 / 100);
    let limits = Config::default().handlespace.limits;
    assert!(limits.pools_max >= 10 * quotas.pools_per_source);
    assert!(limits.elements_max >= 2 * quotas.elements_per_source);
}

#[test]
fn a_limit_of_the_handlespace_is_told_of_as_well() {
    let mut config = Config::default();
    config.handlespace.limits.elements_max = 1;
    let mut lab = Lab::with(config);
    assert!(found(&mut lab, ELEMENT, 0, 1));
    assert!(!found(&mut lab, ELEMENT, 0, 2));
    assert_eq!(told(&lab), [("elements", Some(Source::of(ELEMENT_ADDRESS)))]);
}

#[test]
fn associations_of_one_source_have_a_limit_and_the_silent_make_room() {
    let mut lab = with(Quotas { associations_per_source: 3, ..Quotas::default() });
    // One registered, one asked, one says nothing.
    assert!(found(&mut lab, ELEMENT, 0, 1));
    let asks = connect(&mut lab, 10, ELEMENT_ADDRESS);
    let question = HandleResolution { want_updates: false, handle: named(0), items: None };
    lab.ask(asks, Asap::HandleResolution(question));
    let silent = connect(&mut lab, 11, ELEMENT_ADDRESS);
    let up = |number| Input::Up(Peer::accepted(number), link(Carrier::Sctp, &[ELEMENT_ADDRESS]));
    // Nobody who just came is sent away.
    assert_eq!(lab.input(up(12)), [Output::Abort(Peer::accepted(12))]);
    let source = Some(Source::of(ELEMENT_ADDRESS));
    assert_eq!(told(&lab), [("associations_per_source", source)]);
    lab.wait(1_000);
    assert_eq!(lab.input(up(13)), [Output::Close(silent)]);
    lab.wait(1_000);
    let question = HandleResolution { want_updates: false, handle: named(0), items: None };
    lab.ask(Peer::accepted(13), Asap::HandleResolution(question));
    assert_eq!(lab.input(up(14)), [Output::Abort(Peer::accepted(14))]);
    assert_eq!(lab.input(Input::Up(Peer::accepted(15), link(Carrier::Sctp, &[OTHER_ADDRESS]))), []);
    assert_eq!(lab.registrar.stats().quotas.of(Quota::AssociationsPerSource), 3);
    assert_eq!(lab.registrar.usage.of(source).associations, 3);
}

#[test]
fn tcp_connections_of_one_source_have_a_limit_of_their_own() {
    let mut lab = with(Quotas { connections_per_source: 2, ..Quotas::default() });
    let up = |number, carrier| Input::Up(Peer::accepted(number), link(carrier, &[ELEMENT_ADDRESS]));
    assert_eq!(lab.input(up(10, Carrier::Sctp)), []);
    assert_eq!(lab.input(up(11, Carrier::Tcp)), []);
    assert_eq!(lab.input(up(12, Carrier::Tcp)), []);
    lab.wait(1_000);
    assert_eq!(lab.input(up(13, Carrier::Tcp)), [Output::Close(Peer::accepted(11))]);
    assert_eq!(lab.input(up(14, Carrier::Sctp)), []);
    let used = lab.registrar.usage.of(Some(Source::of(ELEMENT_ADDRESS)));
    assert_eq!((used.associations, used.connections), (5, 2));
}

#[test]
fn associations_that_nobody_uses_end_and_those_of_elements_and_subscribers_stay() {
    let mut lab = Lab::new();
    let (asks, watches) = (connect(&mut lab, 10, USER_AT), connect(&mut lab, 11, USER_AT));
    assert!(found(&mut lab, ELEMENT, 0, 1));
    let question = |want_updates| {
        Asap::HandleResolution(HandleResolution { want_updates, handle: named(0), items: None })
    };
    lab.ask(watches, question(true));
    let mut ended = BTreeMap::new();
    let end = Duration::from_secs(200);
    let mut asked = false;
    while lab.now.since_origin() < end {
        if !asked && lab.now.since_origin() >= Duration::from_secs(30) {
            lab.ask(asks, question(false));
            asked = true;
        }
        for output in lab.timeout() {
            match output {
                Output::Close(peer) => {
                    ended.insert(peer, lab.now.since_origin().as_secs());
                }
                Output::Send(peer, _) if peer == ELEMENT => {
                    let handle = named(0);
                    let id = PeId(1);
                    let ack = rserpool_wire::asap::KeepAliveAck { handle, id };
                    lab.asap(ELEMENT, Asap::KeepAliveAck(ack));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(ended, BTreeMap::from([(OTHER, 60), (USER, 60), (asks, 90)]));
    assert_eq!(lab.registrar.stats().idle_ended, 3);
    assert_eq!(lab.registrar.associations(), 2);
}

const USER_AT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

#[test]
fn a_registrar_that_stood_still_does_not_take_who_asked_meanwhile_for_idle() {
    let mut lab = Lab::new();
    lab.wait(61_000);
    assert_eq!(lab.input(Input::Timeout), []);
    let question = HandleResolution { want_updates: false, handle: pool(), items: None };
    lab.ask(USER, Asap::HandleResolution(question));
    let outputs = lab.timeout();
    assert_eq!(outputs, [Output::Close(ELEMENT), Output::Close(OTHER)]);
}

/// A registration of some size: with a transport of so many addresses.
fn long(id: u32, addresses: usize) -> Asap {
    let addresses: Vec<IpAddr> = vec![ELEMENT_ADDRESS; addresses];
    let element = element(id, &[ELEMENT_ADDRESS]);
    let Transport::Sctp(sctp) = element.user_transport.clone() else { unreachable!() };
    let user_transport = Transport::Sctp(SctpTransport { addresses: addresses.into(), ..sctp });
    let element = PoolElement { user_transport, ..element };
    Asap::Registration(Registration { handle: pool(), element })
}

fn starting(quotas: Quotas) -> Lab {
    let lab = Lab::with(Config { peers: 1, quotas, ..Config::default() });
    assert_eq!(lab.registrar.state(), State::Starting(Phase::Waiting));
    lab
}

#[test]
fn requests_that_wait_at_the_start_are_bounded_in_octets_and_who_is_beyond_is_turned_away() {
    let mut lab = starting(Quotas::default());
    // 64 KiB each, from one association and then from others of its source.
    let mut closed = 0;
    for id in 1..=65_536 {
        if !lab.registrar.associations.contains_key(&ELEMENT) {
            break;
        }
        closed = id;
        lab.asap(ELEMENT, long(id, 8_000));
    }
    assert!((60..70).contains(&closed), "{closed}");
    let source = Some(Source::of(ELEMENT_ADDRESS));
    assert_eq!(told(&lab), [("held_octets_per_association", source)]);
    assert_eq!(lab.registrar.usage.of(source).held_octets, 0, "what it had is dropped");
    for number in 0..10 {
        let peer = connect(&mut lab, 100 + number, ELEMENT_ADDRESS);
        (1..=60).for_each(|id| drop(lab.asap(peer, long(id, 8_000))));
    }
    let held = lab.registrar.usage.of(source).held_octets;
    assert!(held <= Quotas::default().held_octets_per_source, "{held}");
    assert!(lab.registrar.stats().quotas.of(Quota::HeldOctetsPerSource) > 0);
    // Others wait, and are answered.
    lab.asap(OTHER, long(7, 1));
    assert!(lab.registrar.associations.contains_key(&OTHER));
}

#[test]
fn where_all_have_too_much_waiting_who_has_most_is_turned_away() {
    let mut lab = starting(Quotas { held_octets: 100_000, ..Quotas::default() });
    (1..=8).for_each(|id| drop(lab.asap(ELEMENT, long(id, 1_000))));
    let mut outputs = Vec::new();
    for id in 1..=700 {
        outputs.extend(lab.asap(OTHER, long(id, 1)));
        if !outputs.is_empty() {
            break;
        }
    }
    assert_eq!(outputs, [Output::Close(ELEMENT)]);
    assert_eq!(lab.registrar.stats().held_overflows, 1);
}

#[test]
fn what_waited_is_answered_in_order_some_at_a_time_and_others_in_between() {
    let mut lab = starting(Quotas::default());
    lab.input(Input::Command(Command::Start));
    for id in 1..=100 {
        assert_eq!(lab.asap(ELEMENT, long(id, 1)), []);
    }
    let question = HandleResolution { want_updates: false, handle: pool(), items: Some(1) };
    assert_eq!(lab.asap(USER, Asap::HandleResolution(question.clone())), []);
    lab.wait(2_000);
    let outputs = lab.input(Input::Timeout);
    let answers = |outputs: &[Output<Event>], to: Peer| {
        let is_answer =
            |output: &&Output<Event>| matches!(output, Output::Send(peer, _) if *peer == to);
        outputs.iter().filter(is_answer).count()
    };
    // One of each in turn: the user does not wait for all of the elements.
    assert_eq!((answers(&outputs, ELEMENT), answers(&outputs, USER)), (31, 1));
    // What comes later is answered later.
    assert_eq!(lab.asap(ELEMENT, Asap::HandleResolution(question.clone())), []);
    assert_eq!(answers(&lab.asap(USER, Asap::HandleResolution(question)), USER), 1);
    // Who does not take its answers is not given more.
    lab.input(Input::Congested(ELEMENT));
    assert_eq!(lab.timeout(), []);
    assert!(lab.registrar.deadlines.deadline(super::super::Deadline::Held).is_none());
    lab.input(Input::Drained(ELEMENT));
    let mut got = 0;
    while !lab.registrar.held.is_empty() {
        got += answers(&lab.timeout(), ELEMENT);
    }
    assert_eq!((got, lab.registrar.handlespace().len()), (69 + 1, 100));
    assert_eq!(lab.registrar.usage.of(Some(Source::of(ELEMENT_ADDRESS))).held_octets, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is counted is what there is, whatever happens.
    #[test]
    fn what_a_source_has_is_what_its_associations_have(
        steps in prop::collection::vec((0..6u8, 0..4u64, 0..4u32, 1..4u32), 1..150),
    ) {
        let quotas = Quotas {
            pools_per_association: 2,
            pools_per_source: 3,
            elements_per_association: 4,
            elements_per_source: 6,
            associations_per_source: 3,
            subscriptions_per_source: 3,
            ..Quotas::default()
        };
        let config = Config { quotas, idle_timeout: Duration::from_secs(1), ..Config::default() };
        let mut lab = Lab::with(config);
        let mut names = [0, 1, 2, 3];
        for (kind, number, name, id) in steps {
            let place = usize::try_from(number).unwrap();
            // No name is used twice.
            names[place] += if kind == 0 { 10 } else { 0 };
            let peer = Peer::accepted(100 + names[place]);
            let address = [ELEMENT_ADDRESS, OTHER_ADDRESS][place % 2];
            let is_up = lab.registrar.associations.contains_key(&peer);
            match kind {
                0 => drop(connect(&mut lab, 100 + names[place], address)),
                1 if is_up => {
                    let element = element(id, &[address]);
                    let message = Registration { handle: named(name), element };
                    lab.asap(peer, Asap::Registration(message));
                }
                2 if is_up => {
                    let (handle, want_updates, items) = (named(name), true, None);
                    let message = HandleResolution { want_updates, handle, items };
                    lab.asap(peer, Asap::HandleResolution(message));
                }
                3 if is_up => {
                    let message =
                        rserpool_wire::asap::Deregistration { handle: named(name), id: PeId(id) };
                    lab.asap(peer, Asap::Deregistration(message));
                }
                4 => drop(lab.input(Input::Down(peer))),
                5 if lab.registrar.next_timeout().is_some() => drop(lab.timeout()),
                _ => {}
            }
            let mut counted: BTreeMap<Source, Used> = BTreeMap::new();
            let mut pools = 0;
            for (peer, association) in &lab.registrar.associations {
                let used = counted.entry(association.source.unwrap()).or_default();
                used.associations += 1;
                used.elements += u32::try_from(association.elements.len()).unwrap();
                let subscriptions = lab.registrar.subscriptions.count_of(*peer);
                used.subscriptions += u32::try_from(subscriptions).unwrap();
                pools += association.pools;
            }
            let all = &lab.registrar.usage;
            for (source, used) in &counted {
                let kept = all.of(Some(*source));
                prop_assert_eq!(Used { pools: 0, ..kept }, *used);
                prop_assert!(kept.pools <= 3 && kept.elements <= 6 && kept.associations <= 3);
            }
            prop_assert!(pools as usize <= lab.registrar.handlespace().pool_count());
            prop_assert!(all.sources() <= 3);
        }
        for number in 0..2_000 {
            lab.input(Input::Down(Peer::accepted(number)));
        }
        prop_assert_eq!(lab.registrar.usage.sources(), 0);
    }
}

#[test]
fn an_address_that_is_listed_over_and_over_is_kept_once() {
    let mut lab = Lab::new();
    lab.asap(ELEMENT, long(1, 8_000));
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let kept = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(kept.user_transport.addresses(), [ELEMENT_ADDRESS]);
}
