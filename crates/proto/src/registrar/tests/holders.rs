//! What is kept of those that take part in a scope with rules, and of those that may not.
//!
//! That there is no more than there may be, each [`Lab::input`] says.

use std::net::IpAddr;
use std::sync::Arc;

use rserpool_wire::Protocol;
use rserpool_wire::asap::HandleResolution;

use super::lab::{ELEMENT_ADDRESS, Lab, link, pool};
use crate::identity::Identity;
use crate::machine::{Carrier, Input, Link, Output, Peer};
use crate::registrar::access::{Allow, Rules, Verb};
use crate::registrar::{Command, Config, Holder};

const THERE: IpAddr = ELEMENT_ADDRESS;

/// So many more than are remembered.
const MANY: u32 = 3000;

/// With whom the lab has associations.
const AT_FIRST: usize = 3;

fn allow(who: &str, associations_max: Option<u32>) -> Allow {
    let mut rule = Allow::new(who.parse().unwrap(), vec![Verb::Resolve]);
    rule.associations_max = associations_max;
    rule
}

fn lab(allow: Vec<Allow>) -> Lab {
    Lab::with(Config {
        access: Some(Arc::new(Rules { peers: vec![], allow })),
        ..Config::default()
    })
}

fn key(number: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key
}

fn up(lab: &mut Lab, peer: Peer, protocol: Protocol, identity: Option<[u8; 32]>) -> bool {
    let identity = identity.map(|key| Identity::new(key, vec![]));
    let link = Link { protocol, identity, ..link(Carrier::Tcp, &[THERE]) };
    !lab.input(Input::Up(peer, link)).contains(&Output::Abort(peer))
}

#[test]
fn of_strangers_that_may_have_no_association_not_all_are_remembered() {
    let mut lab = lab(vec![allow("any", Some(0))]);
    for number in 0..MANY {
        let peer = Peer::accepted(u64::from(number) + 100);
        assert!(!up(&mut lab, peer, Protocol::Asap, Some(key(number))));
    }
    assert_eq!(lab.registrar.refusals().count(), AT_FIRST + 1024);
    assert_eq!(lab.registrar.stats().refused_resolve, u64::from(MANY));
}

/// The associations of one make room for the memory of no strangers.
#[test]
fn who_has_many_associations_leaves_no_crowd_behind() {
    let mut config = Config::default();
    config.quotas.associations_per_source = u32::MAX;
    config.quotas.connections_per_source = u32::MAX;
    let allow = vec![allow("anonymous", None), allow("any", Some(0))];
    config.access = Some(Arc::new(Rules { peers: vec![], allow }));
    let mut lab = Lab::with(config);
    let mine = |number| Peer::accepted(u64::from(number) + 100);
    let theirs = |number| Peer::accepted(u64::from(number) + 100_000);
    for number in 0..MANY {
        assert!(up(&mut lab, mine(number), Protocol::Asap, None));
    }
    for number in 0..MANY {
        assert!(!up(&mut lab, theirs(number), Protocol::Asap, Some(key(number))));
    }
    for number in 0..MANY {
        lab.input(Input::Down(mine(number)));
    }
    // Nor do those that look on, and go.
    for number in 0..MANY {
        up(&mut lab, mine(number), Protocol::Enrp, Some(key(number + MANY)));
        lab.input(Input::Down(mine(number)));
    }
    assert_eq!(lab.registrar.refusals().count(), AT_FIRST + 1024);
}

#[test]
fn who_is_not_admitted_takes_nobodys_place() {
    let who = |number| format!("spki:{}", hex(&key(number)));
    let mut config = Config::default();
    config.quotas.associations_per_source = 1;
    let allow = vec![allow(&who(1), Some(10)), allow("any", Some(0))];
    config.access = Some(Arc::new(Rules { peers: vec![], allow }));
    let mut lab = Lab::with(config);
    lab.input(Input::Down(super::lab::ELEMENT));
    let (silent, refused, welcome) = (Peer::accepted(21), Peer::accepted(22), Peer::accepted(23));
    assert!(up(&mut lab, silent, Protocol::Asap, Some(key(1))));
    lab.wait(2000);
    assert!(!up(&mut lab, refused, Protocol::Asap, Some(key(2))));
    let question = HandleResolution { want_updates: false, handle: pool(), items: None };
    let question =
        rserpool_wire::Message::Asap(rserpool_wire::asap::Asap::HandleResolution(question));
    let outputs = lab.input(Input::Message(silent, question));
    assert!(outputs.iter().any(|it| matches!(it, Output::Send(to, _) if *to == silent)));
    // One that may makes a silent one go, as before.
    lab.wait(2000);
    let link =
        Link { identity: Some(Identity::new(key(1), vec![])), ..link(Carrier::Tcp, &[THERE]) };
    let outputs = lab.input(Input::Up(welcome, link));
    assert_eq!(outputs, [Output::Abort(welcome)], "it has spoken");
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn who_was_refused_and_is_admitted_then_is_one_and_the_same() {
    let mut lab = lab(vec![allow("any", Some(1))]);
    let (first, second) = (Peer::accepted(21), Peer::accepted(22));
    assert!(up(&mut lab, first, Protocol::Asap, Some(key(1))));
    assert!(!up(&mut lab, second, Protocol::Asap, Some(key(1))));
    lab.input(Input::Down(first));
    for _ in 0..MANY {
        assert!(up(&mut lab, first, Protocol::Asap, Some(key(1))));
        lab.input(Input::Down(first));
    }
    let known: Vec<_> = lab.registrar.refusals().filter(|(_, count)| *count > 0).collect();
    assert_eq!(known, [(Holder::Key(key(1)), 1)]);
    lab.input(Input::Command(Command::Rules(None)));
    assert_eq!(lab.registrar.refusals().count(), 0);
}
