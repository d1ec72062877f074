//! Addresses do not leave their scope: neither to users nor to other registrars.

use std::net::IpAddr;

use rserpool_wire::asap::{Asap, HandleResolution, Registration};
use rserpool_wire::checksum::ChecksumSum;
use rserpool_wire::enrp::{Body, TableRequest, Update};
use rserpool_wire::param::{PeId, PoolElement};
use rserpool_wire::{Message, Protocol};

use super::colleague::{SELF, add, delete, from, homed, presence, rid, sent};
use super::lab::{
    ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, element, link, pool, sctp,
};
use crate::handlespace::Reach;
use crate::machine::{Carrier, Input, Link, Output, Peer};
use crate::registrar::reach::reach_over;
use crate::registrar::{AddressScope, Command, Config, Event};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const LINK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 0, 1));
const LINK_TOO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 0, 2));
/// An element and a user of this host.
const LOCAL: Peer = Peer::accepted(50);
const LOCAL_USER: Peer = Peer::accepted(51);
/// A registrar of this host.
const NEIGHBOUR: u32 = 0x33;
/// One of another.
const AFAR: u32 = 0x22;

fn connect(lab: &mut Lab, peer: Peer, address: IpAddr) {
    lab.input(Input::Up(peer, link(Carrier::Tcp, &[address])));
}

/// A registrar of this host and one of another are connected, and an element and a user of this host.
fn lab() -> Lab {
    lab_with(|_| {})
}

fn lab_with(change: impl FnOnce(&mut Config)) -> Lab {
    let mut lab = Lab::among_with(&[AFAR], change);
    let ends = Link { protocol: Protocol::Enrp, ..link(Carrier::Sctp, &[HERE]) };
    lab.input(Input::Up(from(NEIGHBOUR), ends));
    lab.enrp(NEIGHBOUR, presence(NEIGHBOUR, 0xffff, false));
    connect(&mut lab, LOCAL, HERE);
    connect(&mut lab, LOCAL_USER, HERE);
    lab
}

fn register(lab: &mut Lab, peer: Peer, element: PoolElement) -> Vec<Output<Event>> {
    let accepted = lab.registrar.stats().registrations;
    let outputs = lab.asap(peer, Asap::Registration(Registration { handle: pool(), element }));
    assert_eq!(lab.registrar.stats().registrations, accepted + 1);
    outputs
}

/// The elements that a user is told, some of them or all.
fn listed(lab: &mut Lab, user: Peer, items: Option<u32>) -> Vec<u32> {
    let question = HandleResolution { want_updates: false, handle: pool(), items };
    match lab.ask(user, Asap::HandleResolution(question)) {
        Asap::HandleResolutionResponse(answer) => {
            let mut ids: Vec<u32> = answer.elements.iter().map(|element| element.id.0).collect();
            ids.sort_unstable();
            ids
        }
        other => panic!("{other:?}"),
    }
}

/// Whom updates were sent to, and about which elements.
fn updates(outputs: &[Output<Event>]) -> Vec<(Peer, PoolElement)> {
    let update = |(peer, body): (Peer, Body)| match body {
        Body::Update(Update { element, .. }) => Some((peer, element)),
        _ => None,
    };
    sent(outputs).into_iter().filter_map(update).collect()
}

fn table(lab: &mut Lab, of: u32, own_only: bool) -> Vec<u32> {
    let outputs = lab.enrp(of, Body::TableRequest(TableRequest { own_only }));
    let tables = sent(&outputs).into_iter().filter_map(|(_, body)| match body {
        Body::TableResponse(table) => Some(table.pools),
        _ => None,
    });
    tables.flatten().flat_map(|pool| pool.elements).map(|element| element.id.0).collect()
}

fn checksum(ids: &[u32]) -> u16 {
    let mut sum = ChecksumSum::default();
    ids.iter().for_each(|&id| sum.add(&pool(), PeId(id)));
    sum.checksum().0
}

fn told_checksum(lab: &mut Lab, to: u32) -> u16 {
    let outputs = lab.enrp(to, presence(to, 0xffff, true));
    let told = sent(&outputs).into_iter().find_map(|(peer, body)| match body {
        Body::Presence(presence) if peer == from(to) => presence.checksum,
        _ => None,
    });
    told.unwrap().0
}

#[test]
fn who_is_on_this_host_or_link_is_seen_from_the_addresses() {
    let ends = |remote: &[IpAddr], local: &[IpAddr]| {
        reach_over(&Link { local: local.to_vec(), ..link(Carrier::Tcp, remote) })
    };
    for (remote, local, reach) in [
        (vec![HERE], vec![], Reach::Host),
        (vec!["::1".parse().unwrap()], vec![], Reach::Host),
        (vec!["::ffff:127.0.0.1".parse().unwrap()], vec![], Reach::Host),
        // By an address of its own.
        (vec![OTHER_ADDRESS], vec![OTHER_ADDRESS], Reach::Host),
        (vec![HERE, OTHER_ADDRESS], vec![HERE, OTHER_ADDRESS], Reach::Host),
        (vec![HERE, OTHER_ADDRESS], vec![ELEMENT_ADDRESS], Reach::Link),
        (vec![LINK], vec![LINK_TOO], Reach::Link),
        (vec!["fe80::1".parse().unwrap()], vec![], Reach::Link),
        (vec![OTHER_ADDRESS], vec![ELEMENT_ADDRESS], Reach::Everywhere),
        (vec!["2001:db8::1".parse().unwrap()], vec![], Reach::Everywhere),
        // No address at all: within the process.
        (vec![], vec![], Reach::Host),
    ] {
        assert_eq!(ends(&remote, &local), reach, "{remote:?} {local:?}");
    }
}

#[test]
fn an_element_with_loopback_addresses_is_listed_to_users_of_its_host_only() {
    let mut lab = lab();
    register(&mut lab, LOCAL, element(1, &[HERE]));
    assert_eq!(listed(&mut lab, LOCAL_USER, None), [1]);
    assert_eq!(listed(&mut lab, USER, None), [0; 0]);
    assert_eq!(lab.registrar.stats().unknown_pools, 1);
    // Others are listed, as many as are asked for.
    register(&mut lab, ELEMENT, element(2, &[ELEMENT_ADDRESS]));
    register(&mut lab, OTHER, element(3, &[OTHER_ADDRESS]));
    for _ in 0..6 {
        assert_eq!(listed(&mut lab, USER, None), [2, 3]);
        assert_eq!(listed(&mut lab, USER, Some(2)), [2, 3]);
        assert_eq!(listed(&mut lab, USER, Some(1)).len(), 1);
        assert_eq!(listed(&mut lab, LOCAL_USER, None), [1, 2, 3]);
    }
    // It goes, and comes from elsewhere.
    lab.input(Input::Down(LOCAL));
    assert_eq!(listed(&mut lab, LOCAL_USER, None), [2, 3]);
    let moved = Peer::accepted(60);
    connect(&mut lab, moved, OTHER_ADDRESS);
    register(&mut lab, moved, element(1, &[OTHER_ADDRESS]));
    assert_eq!(listed(&mut lab, USER, None), [1, 2, 3]);
}

#[test]
fn every_user_has_some_of_a_pool_of_which_most_is_out_of_its_reach() {
    let mut lab = lab();
    for id in 1..=50 {
        register(&mut lab, LOCAL, element(id, &[HERE]));
    }
    register(&mut lab, OTHER, element(99, &[OTHER_ADDRESS]));
    for _ in 0..60 {
        assert_eq!(listed(&mut lab, USER, Some(1)), [99]);
    }
}

#[test]
fn subscribers_are_told_as_others_are() {
    let mut lab = lab();
    register(&mut lab, ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let question = HandleResolution { want_updates: true, handle: pool(), items: None };
    lab.ask(USER, Asap::HandleResolution(question.clone()));
    lab.ask(LOCAL_USER, Asap::HandleResolution(question));
    let outputs = register(&mut lab, LOCAL, element(2, &[HERE]));
    let pushed = outputs.iter().filter_map(|output| match output {
        Output::Send(peer, Message::Asap(Asap::HandleResolutionResponse(answer))) => {
            Some((*peer, answer.elements.len()))
        }
        _ => None,
    });
    assert_eq!(pushed.collect::<Vec<_>>(), [(USER, 1), (LOCAL_USER, 2)]);
}

#[test]
fn link_local_addresses_stay_on_their_link() {
    let mut lab = lab_with(|config| config.address_scope = AddressScope::LinkLocal);
    let (near, near_user) = (Peer::accepted(60), Peer::accepted(61));
    connect(&mut lab, near, LINK);
    connect(&mut lab, near_user, LINK_TOO);
    let outputs = register(&mut lab, near, element(1, &[LINK]));
    assert_eq!(updates(&outputs).len(), 1, "the registrar of this host");
    let by_user = [LOCAL_USER, near_user, USER].map(|user| listed(&mut lab, user, None).len());
    assert_eq!(by_user, [1, 1, 0]);
}

#[test]
fn where_an_element_has_wider_addresses_the_others_are_left_out() {
    let mut lab = lab_with(|config| config.allow_advertised = true);
    register(&mut lab, LOCAL, element(1, &[HERE, OTHER_ADDRESS]));
    assert_eq!(listed(&mut lab, USER, None), [1]);
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let kept = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(kept.user_transport.addresses(), [OTHER_ADDRESS]);
}

#[test]
fn other_hosts_are_told_nothing_of_loopback_elements_and_their_checksums_agree() {
    let mut lab = lab();
    let outputs = register(&mut lab, LOCAL, element(1, &[HERE]));
    let told: Vec<Peer> = updates(&outputs).into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(told, [from(NEIGHBOUR)]);
    let outputs = register(&mut lab, ELEMENT, element(2, &[ELEMENT_ADDRESS]));
    assert_eq!(updates(&outputs).len(), 2);
    for own_only in [false, true] {
        assert_eq!(table(&mut lab, AFAR, own_only), [2]);
        assert_eq!(table(&mut lab, NEIGHBOUR, own_only), [1, 2]);
    }
    assert_eq!(told_checksum(&mut lab, AFAR), checksum(&[2]));
    assert_eq!(told_checksum(&mut lab, NEIGHBOUR), checksum(&[1, 2]));
    let outputs = lab.input(Input::Down(LOCAL));
    let told: Vec<Peer> = updates(&outputs).into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(told, [from(NEIGHBOUR)]);
    assert_eq!(told_checksum(&mut lab, NEIGHBOUR), checksum(&[2]));
}

#[test]
fn an_association_address_that_is_good_here_only_is_told_as_the_element_is_reached() {
    let mut lab = lab_with(|config| config.allow_advertised = true);
    let outputs = register(&mut lab, LOCAL, element(1, &[OTHER_ADDRESS]));
    let told: Vec<(Peer, Vec<IpAddr>)> = updates(&outputs)
        .into_iter()
        .map(|(peer, element)| (peer, element.asap_transport.unwrap().addresses.to_vec()))
        .collect();
    assert_eq!(told, [(from(NEIGHBOUR), vec![HERE]), (from(AFAR), vec![OTHER_ADDRESS])]);
}

#[test]
fn loopback_addresses_that_another_host_tells_are_listed_to_nobody() {
    let mut lab = lab();
    let stray = |id, sender| {
        let asap_transport = Some(sctp(&[HERE], 4711));
        PoolElement { home: Some(rid(sender)), asap_transport, ..element(id, &[HERE]) }
    };
    lab.enrp(AFAR, add(stray(1, AFAR)));
    assert_eq!(lab.registrar.handlespace().len(), 1, "so that checksums agree");
    let asked = [LOCAL_USER, USER].map(|user| listed(&mut lab, user, None));
    assert_eq!(asked, [[0; 0], [0; 0]]);
    assert_eq!(table(&mut lab, NEIGHBOUR, false), [0; 0]);
    // Nor is anything here dialed in its stead.
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let kept = lab.registrar.handlespace().element(index).unwrap().element;
    assert_eq!(kept.asap_transport, None);
    // Again, as it was.
    lab.enrp(AFAR, add(stray(1, AFAR)));
    assert_eq!(listed(&mut lab, LOCAL_USER, None), [0; 0]);
    // A registrar of this host means this host.
    lab.enrp(NEIGHBOUR, add(stray(2, NEIGHBOUR)));
    assert_eq!(listed(&mut lab, LOCAL_USER, None), [2]);
    assert_eq!(listed(&mut lab, USER, None), [0; 0]);
    assert_eq!(table(&mut lab, AFAR, false), [0; 0]);
    lab.enrp(AFAR, delete(stray(1, AFAR)));
    assert_eq!(lab.registrar.handlespace().len(), 1);
}

#[test]
fn of_an_element_of_another_host_its_wider_addresses_count() {
    let mut lab = lab();
    let addresses = [HERE, OTHER_ADDRESS];
    let asap_transport = Some(sctp(&addresses, 4711));
    let element = PoolElement { asap_transport, ..homed(1, AFAR) };
    let user_transport = rserpool_wire::param::Transport::Sctp(sctp(&addresses, 7));
    lab.enrp(AFAR, add(PoolElement { user_transport, ..element }));
    assert_eq!(listed(&mut lab, USER, None), [1]);
    let index = lab.registrar.handlespace().find(&pool(), PeId(1)).unwrap();
    let kept = lab.registrar.handlespace().element(index).unwrap().element.clone();
    assert_eq!(kept.user_transport.addresses(), [OTHER_ADDRESS]);
    assert_eq!(kept.asap_transport.unwrap().addresses.to_vec(), [OTHER_ADDRESS]);
}

#[test]
fn registrars_of_this_host_are_not_told_to_others_where_only_this_host_reaches_them() {
    let mut lab = Lab::among(&[AFAR]);
    let ends = Link { protocol: Protocol::Enrp, ..link(Carrier::Sctp, &[HERE]) };
    lab.input(Input::Up(from(NEIGHBOUR), ends));
    let mut told = presence(NEIGHBOUR, 0xffff, false);
    if let Body::Presence(presence) = &mut told {
        presence.server.as_mut().unwrap().transport = sctp(&[HERE], 9901);
    }
    lab.enrp(NEIGHBOUR, told);
    let known = |lab: &mut Lab, to: u32| {
        let outputs = lab.enrp(to, Body::ListRequest);
        let lists = sent(&outputs).into_iter().find_map(|(_, body)| match body {
            Body::ListResponse(list) => Some(list.servers),
            _ => None,
        });
        lists.unwrap().into_iter().map(|server| server.id.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(known(&mut lab, NEIGHBOUR), [rid(SELF), rid(AFAR), rid(NEIGHBOUR)]);
    assert_eq!(known(&mut lab, AFAR), [rid(SELF), rid(AFAR)]);
}

#[test]
fn who_leaves_hands_elements_of_this_host_to_registrars_of_this_host() {
    for neighbour_is_there in [false, true] {
        let mut lab = lab();
        if !neighbour_is_there {
            lab.input(Input::Down(from(NEIGHBOUR)));
        }
        register(&mut lab, ELEMENT, element(2, &[ELEMENT_ADDRESS]));
        register(&mut lab, LOCAL, element(1, &[HERE]));
        let mut asked: Vec<(Peer, u32)> = updates(&lab.input(Input::Command(Command::Leave)))
            .into_iter()
            .map(|(peer, element)| (peer, element.id.0))
            .collect();
        asked.sort_unstable();
        let mut expected = vec![(from(AFAR), 2)];
        if neighbour_is_there {
            expected.push((from(NEIGHBOUR), 1));
        }
        assert_eq!(asked, expected);
        // Those that nobody can take are not waited for.
        lab.enrp(AFAR, add(homed(2, AFAR)));
        let has_left = lab.events.iter().any(|event| matches!(event, Event::Departed { .. }));
        assert_eq!(has_left, !neighbour_is_there, "{:?}", lab.events);
    }
}
