//! Leaving on purpose (design 9.4).

use rserpool_wire::Enrp;
use rserpool_wire::asap::{Asap, HandleResolution};
use rserpool_wire::enrp::{Body, Update};

use super::colleague::{add, from, homed, presence, rid, sent};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, USER, element, pool};
use super::net::{Net, address, id};
use crate::machine::{Input, Machine, Output, Peer};
use crate::registrar::{Command, Event, State};

fn suggested(outputs: &[Output<Event>]) -> Vec<(Peer, u32)> {
    let one = |(peer, body): (Peer, Body)| match body {
        Body::Update(Update { takeover_suggested: true, element, .. }) => {
            Some((peer, element.id.0))
        }
        _ => None,
    };
    sent(outputs).into_iter().filter_map(one).collect()
}

#[test]
fn who_leaves_hands_its_elements_over_evenly_and_goes_when_all_are_taken() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    (1..=4).for_each(|id| drop(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]))));
    let outputs = lab.input(Input::Command(Command::Leave));
    let mut asked = suggested(&outputs);
    asked.sort_unstable();
    assert_eq!(asked, [(from(0x22), 1), (from(0x22), 3), (from(0x33), 2), (from(0x33), 4)]);
    assert_eq!(lab.registrar.state(), State::Leaving);
    // It goes on to answer.
    assert_eq!(lab.resolve(None).map(|ids| ids.len()), Some(4));
    for (element, to) in [(1, 0x22), (2, 0x33), (3, 0x22)] {
        lab.enrp(to, add(homed(element, to)));
        assert_eq!(lab.registrar.state(), State::Leaving);
    }
    let outputs = lab.enrp(0x33, add(homed(4, 0x33)));
    for peer in [ELEMENT, OTHER, USER, from(0x22), from(0x33)] {
        assert!(outputs.contains(&Output::Close(peer)), "{peer:?}");
    }
    assert_eq!(lab.events.last(), Some(&Event::Departed { handed_over: 4, left_behind: 0 }));
    assert_eq!(lab.registrar.next_timeout(), None);
}

#[test]
fn strangers_get_nothing_of_who_leaves_where_someone_else_is_there() {
    let mut lab = Lab::among_all_configured(&[0x22, 0x33], |_| {});
    lab.meet(0x44);
    (1..=4).for_each(|id| drop(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]))));
    let asked = suggested(&lab.input(Input::Command(Command::Leave)));
    let to: std::collections::BTreeSet<Peer> = asked.iter().map(|(to, _)| *to).collect();
    assert_eq!(asked.len(), 4);
    assert_eq!(to, [from(0x22), from(0x33)].into());
}

#[test]
fn who_leaves_does_not_wait_for_ever_and_takes_nobody_out() {
    let mut lab = Lab::among(&[0x22]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.input(Input::Command(Command::Leave));
    let mut outputs = Vec::new();
    for _ in 0..20 {
        lab.enrp(0x22, Body::ListRequest);
        outputs.extend(lab.pass(100));
        lab.acknowledge(ELEMENT, 1);
    }
    assert_eq!(lab.registrar.state(), State::Departed);
    let is_deletion = |(_, body): &(Peer, Body)| matches!(body, Body::Update(_));
    assert!(!sent(&outputs).iter().any(is_deletion));
    // Whoever comes now is sent away.
    let link = super::lab::link(crate::machine::Carrier::Sctp, &[ELEMENT_ADDRESS]);
    assert_eq!(lab.input(Input::Up(Peer::accepted(99), link)), [Output::Close(Peer::accepted(99))]);
}

#[test]
fn who_has_left_says_nothing_more() {
    let mut lab = Lab::among_with(&[], |config| config.discover = true);
    lab.pass(2_000);
    lab.meet(0x22);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let question = HandleResolution { want_updates: true, handle: pool(), items: None };
    lab.ask(USER, Asap::HandleResolution(question));
    lab.input(Input::Command(Command::Leave));
    let outputs = lab.enrp(0x22, add(homed(1, 0x22)));
    assert_eq!(lab.registrar.state(), State::Departed);
    let ended = outputs.iter().position(|output| *output == Output::Close(USER)).unwrap();
    let is_sent = |output: &Output<Event>| matches!(output, Output::Send(..));
    assert!(!outputs[ended..].iter().any(is_sent), "{outputs:?}");
    // Nor does it look for anyone.
    let presence = Enrp { sender: Some(rid(0x44)), receiver: None, body: presence(0x44, 1, true) };
    assert_eq!(lab.input(Input::Announce(address(44), presence.into())), []);
}

#[test]
fn alone_there_is_nothing_to_wait_for() {
    let mut lab = Lab::among(&[]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.input(Input::Command(Command::Leave));
    assert_eq!(lab.events, [Event::Departed { handed_over: 0, left_behind: 1 }]);
}

#[test]
fn a_registrar_that_leaves_leaves_no_gap() {
    for over_tcp in [false, true] {
        let mut net = Net::of(3);
        let elements: Vec<usize> = (0..6).map(|_| net.element(vec![0])).collect();
        if over_tcp {
            elements.iter().for_each(|place| net.use_tcp(*place));
        }
        net.run(2_000);
        assert_eq!(net.at(0).handlespace().owned_count(id(0)), 6);
        net.leave(0);
        for _ in 0..4_000 {
            net.run(1);
            assert_eq!((net.view(1).len(), net.view(2).len()), (6, 6), "at {:?}", net.now);
        }
        net.gone(0);
        if !over_tcp {
            let departed = Event::Departed { handed_over: 6, left_behind: 0 };
            assert!(net.told(0).contains(&&departed), "{:?}", net.told(0));
            net.assert_agrees();
        }
    }
}

#[test]
fn who_has_left_waits_for_nothing_whatever_ended_while_it_left() {
    for elements in [1, 60, 65, 1_000] {
        let mut lab = Lab::among(&[0x22]);
        for id in 1..=elements {
            assert_eq!(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS])), []);
        }
        lab.input(Input::Command(Command::Leave));
        lab.input(Input::Down(ELEMENT));
        // The last ones move before it is their turn to be taken out.
        for id in (1..=elements).rev() {
            lab.enrp(0x22, add(homed(id, 0x22)));
        }
        assert_eq!(lab.registrar.state(), State::Departed);
        assert_eq!(lab.registrar.next_timeout(), None, "{elements}");
    }
}
