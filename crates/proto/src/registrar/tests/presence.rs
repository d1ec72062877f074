//! The peer list and the heartbeat (RFC 5353 §3.4).

use std::time::Duration;

use rserpool_wire::enrp::{Body, Presence};
use rserpool_wire::param::Transport;

use super::colleague::{
    EMPTY, SELF, add, enrp_link, from, homed, list, presence, rid, sent, server,
};
use super::lab::Lab;
use crate::machine::{Carrier, Input, Output, Peer, Target};
use crate::registrar::{Command, Config, Deadline, Event, PeerState};

// Checklist 141, 142, 163: both ends introduce themselves, with all that others may want.
#[test]
fn a_new_association_begins_with_a_presence_that_wants_one_back() {
    let mut lab = Lab::among(&[]);
    let outputs = lab.input(Input::Up(from(0x22), enrp_link(Carrier::Sctp, 0x22)));
    let mut expected = presence(SELF, EMPTY, true);
    assert_eq!(sent(&outputs), [(from(0x22), expected)]);
    let outputs = lab.enrp(0x22, presence(0x22, EMPTY, true));
    expected = presence(SELF, EMPTY, false);
    assert_eq!(sent(&outputs), [(from(0x22), expected), (from(0x22), Body::ListRequest)]);
    assert_eq!(lab.events, [Event::PeerUp(rid(0x22))]);
}

// Checklist 163.
#[test]
fn a_stranger_is_asked_who_it_is_and_changes_nothing_before() {
    let mut lab = Lab::among(&[]);
    lab.input(Input::Up(from(0x22), enrp_link(Carrier::Sctp, 0x22)));
    let outputs = lab.enrp(0x22, add(homed(1, 0x22)));
    assert_eq!(sent(&outputs), [(from(0x22), presence(SELF, EMPTY, true))]);
    assert_eq!((lab.len(), lab.registrar.stats().strangers), (0, 1));
    assert_eq!(lab.registrar.peers().count(), 1);
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    lab.enrp(0x22, add(homed(1, 0x22)));
    assert_eq!(lab.home(1), Some(rid(0x22)));
}

// Checklist 164.
#[test]
fn everyone_hears_in_every_interval_that_this_registrar_lives() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    let mut heard = 0;
    for _ in 0..100 {
        let outputs = lab.pass(100);
        let presences = sent(&outputs).into_iter().filter(|(peer, body)| {
            matches!(body, Body::Presence(Presence { reply_required: false, .. }))
                && *peer == from(0x22)
        });
        heard += presences.count();
        lab.enrp(0x22, presence(0x22, EMPTY, false));
        lab.enrp(0x33, presence(0x33, EMPTY, false));
    }
    assert!((25..=29).contains(&heard), "{heard} in 10 s");
}

// Checklist 165 to 167.
#[test]
fn a_silent_registrar_is_asked_and_then_dead() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    for _ in 0..9 {
        lab.pass(100);
        lab.enrp(0x33, presence(0x33, EMPTY, false));
    }
    let outputs = lab.pass(101);
    assert!(sent(&outputs).contains(&(from(0x22), presence(SELF, EMPTY, true))));
    assert_eq!(lab.events, [Event::PeerSuspected(rid(0x22))]);
    lab.enrp(0x33, presence(0x33, EMPTY, false));
    lab.pass(300);
    let target = rid(0x22);
    assert_eq!(lab.events, [Event::PeerLost(target), Event::TakeoverBegun { target }]);
}

#[test]
fn any_message_shows_that_a_registrar_lives() {
    let mut lab = Lab::among(&[0x22]);
    for _ in 0..20 {
        lab.pass(900);
        assert_eq!(lab.events, []);
        lab.enrp(0x22, Body::ListRequest);
    }
    lab.pass(1_100);
    assert_eq!(lab.events, [Event::PeerSuspected(rid(0x22))]);
    lab.enrp(0x22, Body::ListRequest);
    assert_eq!(lab.events, [Event::PeerBack(rid(0x22))]);
}

#[test]
fn a_registrar_that_stood_still_gives_the_others_time() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    lab.wait(60_000);
    lab.input(Input::Timeout);
    assert_eq!(lab.events, [Event::PeerSuspected(rid(0x22))]);
    lab.wait(30_000);
    lab.input(Input::Timeout);
    assert_eq!(lab.events, []);
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    assert!(lab.events.contains(&Event::PeerBack(rid(0x22))));
    assert_eq!(lab.home(1), Some(rid(0x22)));
}

#[test]
fn who_loses_its_last_association_is_dialed_and_dead_where_it_refuses() {
    let mut lab = Lab::among(&[0x22]);
    let outputs = lab.input(Input::Down(from(0x22)));
    let [Output::Connect(dialed, Target::Learned(transport), _)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(transport.addresses(), &*server(0x22).transport.addresses);
    lab.input(Input::Down(*dialed));
    let (target, elements) = (rid(0x22), 0);
    let won = Event::TakeoverWon { target, elements };
    assert_eq!(lab.events, [Event::PeerLost(target), Event::TakeoverBegun { target }, won]);
    assert_eq!(lab.registrar.peers().count(), 0);
}

#[test]
fn who_comes_back_after_it_lost_its_association_is_no_news() {
    let mut lab = Lab::among(&[0x22]);
    lab.input(Input::Down(from(0x22)));
    let again = Peer::accepted(7_777);
    lab.input(Input::Up(again, enrp_link(Carrier::Sctp, 0x22)));
    lab.enrp_over(again, 0x22, presence(0x22, EMPTY, false));
    assert_eq!(lab.events, [Event::PeerBack(rid(0x22))]);
    lab.pass(500);
    assert_eq!(lab.events, []);
}

#[test]
fn another_registrar_in_its_place_shows_that_a_registrar_is_dead() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    let outputs = lab.input(Input::Down(from(0x22)));
    let Some(Output::Connect(dialed, ..)) = outputs.first() else { panic!("{outputs:?}") };
    lab.input(Input::Up(*dialed, enrp_link(Carrier::Sctp, 0x22)));
    lab.enrp_over(*dialed, 0x44, presence(0x44, EMPTY, false));
    assert!(lab.events.contains(&Event::PeerLost(rid(0x22))), "{:?}", lab.events);
    let ids: Vec<_> = lab.registrar.peers().map(|peer| peer.id).collect();
    assert!(ids.contains(&rid(0x44)));
}

#[test]
fn a_list_makes_registrars_known_and_dialed_over_the_carrier_of_who_told() {
    let mut lab = Lab::among(&[]);
    lab.input(Input::Up(from(0x22), enrp_link(Carrier::Tcp, 0x22)));
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    let servers = vec![server(0x22), server(0x33), server(SELF), server(0x33)];
    let outputs = lab.enrp(0x22, list(servers));
    let [Output::Connect(dialed, Target::Learned(transport), _)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert!(matches!(transport, Transport::Tcp { port: 9901, .. }));
    // Where nobody is there, it is forgotten.
    lab.input(Input::Down(*dialed));
    for _ in 0..4 {
        lab.pass(300);
        lab.enrp(0x22, presence(0x22, EMPTY, false));
    }
    assert_eq!(lab.registrar.peers().map(|peer| peer.id).collect::<Vec<_>>(), [rid(0x22)]);
    // A list that nobody asked for is none.
    assert_eq!(lab.enrp(0x22, list(vec![server(0x44)])), []);
}

// Checklist 149.
#[test]
fn the_list_has_all_that_live_and_this_registrar() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    lab.input(Input::Down(from(0x33)));
    let outputs = lab.enrp(0x22, Body::ListRequest);
    assert_eq!(sent(&outputs), [(from(0x22), list(vec![server(SELF), server(0x22)]))]);
}

#[test]
fn configured_registrars_are_dialed_for_ever_but_not_too_often() {
    let mut lab = Lab::with(Config { peers: 1, ..Config::default() });
    let mut outputs = lab.input(Input::Command(Command::Start));
    let mut dials = 0;
    for _ in 0..600 {
        for output in std::mem::take(&mut outputs) {
            if let Output::Connect(peer, Target::Configured(0), _) = output {
                dials += 1;
                outputs.extend(lab.input(Input::Down(peer)));
            }
        }
        outputs.extend(lab.pass(100));
    }
    assert!((50..140).contains(&dials), "{dials} in a minute");
    assert!(lab.now.since_origin() >= Duration::from_secs(60));
}

/// Two registrars that start at the same time: the one that was first found nobody, and is dialed by
/// the other one. It knows that for one that is configured as soon as it has answered where it is
/// configured; if it dies before, its elements count for what a stranger has told.
#[test]
fn who_comes_may_be_a_configured_registrar_and_those_are_dialed_then() {
    let dials = |outputs: &[Output<Event>]| -> Vec<(Peer, usize)> {
        let dial = |output: &Output<Event>| match output {
            Output::Connect(peer, Target::Configured(number), _) => Some((*peer, *number)),
            _ => None,
        };
        outputs.iter().filter_map(dial).collect()
    };
    let mut lab = Lab::with(Config { peers: 2, ..Config::default() });
    let begun = dials(&lab.input(Input::Command(Command::Start)));
    let [(first, 0), (second, 1)] = begun[..] else { panic!("{begun:?}") };
    lab.input(Input::Down(first));
    // The second answers, and is looked for no longer.
    lab.input(Input::Up(second, enrp_link(Carrier::Sctp, 0x33)));
    lab.enrp_over(second, 0x33, presence(0x33, EMPTY, false));
    lab.input(Input::Up(from(0x22), enrp_link(Carrier::Tcp, 0x22)));
    let again = dials(&lab.enrp(0x22, presence(0x22, EMPTY, false)));
    let [(first, 0)] = again[..] else { panic!("{again:?}") };
    // It was somebody else, and so are the next: each may be the one, but many of those make no more
    // dials, and the pause is not put off.
    let due = lab.registrar.deadlines.deadline(Deadline::Redial(0));
    let mut dialed = first;
    let mut hurried = 1;
    for id in 0x44..0x54 {
        lab.input(Input::Down(dialed));
        lab.input(Input::Up(from(id), enrp_link(Carrier::Tcp, id)));
        match dials(&lab.enrp(id, presence(id, EMPTY, false)))[..] {
            [(next, 0)] => (dialed, hurried) = (next, hurried + 1),
            [] => break,
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(hurried, 8);
    assert_eq!(lab.registrar.deadlines.deadline(Deadline::Redial(0)), due);
    // The pause is over, and who comes next is looked for.
    let first = loop {
        if let [(first, 0)] = dials(&lab.timeout())[..] {
            break first;
        }
    };
    lab.input(Input::Down(first));
    lab.input(Input::Up(from(0x66), enrp_link(Carrier::Tcp, 0x66)));
    assert_eq!(dials(&lab.enrp(0x66, presence(0x66, EMPTY, false))).len(), 1);
}

/// The other end had set up the association over which a configured registrar is reached.
#[test]
fn a_configured_registrar_is_dialed_again_whoever_had_dialed_before() {
    // It was there already, for the sake of a registrar that one told of, and for number 1, too.
    let mut lab = Lab::with(Config { peers: 2, ..Config::default() });
    lab.input(Input::Command(Command::Start));
    let first = Peer::dialed(1);
    lab.input(Input::Up(first, enrp_link(Carrier::Sctp, 0x22)));
    lab.enrp_over(first, 0x22, presence(0x22, EMPTY, false));
    lab.input(Input::Known(Peer::dialed(2), first));
    let mut outputs = lab.input(Input::Down(first));
    outputs.extend(lab.pass(6_000));
    for number in [0, 1] {
        let is_dialed = |output: &Output<Event>| matches!(output, Output::Connect(_, Target::Configured(n), _) if *n == number);
        assert!(outputs.iter().any(is_dialed), "{number}: {outputs:?}");
    }
}

#[test]
fn what_is_thought_of_a_registrar_can_be_seen() {
    let mut lab = Lab::among(&[0x22]);
    lab.enrp(0x22, add(homed(1, 0x22)));
    let view = lab.registrar.peers().next().unwrap();
    assert_eq!((view.id, view.state, view.elements), (rid(0x22), PeerState::Active, 1));
    lab.input(Input::Down(from(0x22)));
    let view = lab.registrar.peers().next().unwrap();
    assert_eq!((view.state, view.associations), (PeerState::Suspected, 0));
}

#[test]
fn who_only_looks_on_does_not_delay_a_verdict() {
    let mut lab = Lab::among(&[0x22]);
    lab.input(Input::Up(from(0x33), enrp_link(Carrier::Sctp, 0x33)));
    lab.enrp_over(from(0x33), 0, Body::ListRequest);
    let outputs = lab.input(Input::Down(from(0x22)));
    let Some(Output::Connect(dialed, ..)) = outputs.first() else { panic!("{outputs:?}") };
    lab.input(Input::Down(*dialed));
    assert_eq!(lab.events[0], Event::PeerLost(rid(0x22)));
}

#[test]
fn someone_unknown_who_is_connected_may_be_the_one_that_is_missed() {
    let mut lab = Lab::among(&[0x22]);
    lab.input(Input::Up(from(0x33), enrp_link(Carrier::Sctp, 0x33)));
    let outputs = lab.input(Input::Down(from(0x22)));
    let Some(Output::Connect(dialed, ..)) = outputs.first() else { panic!("{outputs:?}") };
    lab.input(Input::Down(*dialed));
    assert_eq!(lab.events, []);
    lab.pass(300);
    assert_eq!(lab.events[0], Event::PeerLost(rid(0x22)));
}

#[test]
fn a_registrar_with_several_addresses_is_dialed_over_tcp_where_it_was_heard() {
    let mut lab = Lab::among(&[]);
    lab.input(Input::Up(from(0x22), enrp_link(Carrier::Tcp, 0x22)));
    let seen = server(0x22).transport.addresses[0];
    let other: std::net::IpAddr = [192, 0, 2, 9].into();
    let told = super::lab::sctp(&[other, seen], 9901);
    let body = Body::Presence(Presence {
        reply_required: false,
        checksum: None,
        server: Some(rserpool_wire::param::ServerInformation { transport: told, ..server(0x22) }),
    });
    lab.enrp(0x22, body);
    let outputs = lab.input(Input::Down(from(0x22)));
    let [Output::Connect(_, Target::Learned(transport), _)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(transport.addresses(), [seen]);
}

// The presence of who lives may lie behind thousands of registrations that are still to be read.
#[test]
fn a_registrar_that_has_much_to_read_does_not_find_others_dead() {
    let mut lab = Lab::among(&[0x22]);
    let mut waited = Duration::ZERO;
    // Every timer comes late: that is how drivers say that more waits to be read.
    while waited < Duration::from_secs(9) {
        let due = crate::machine::Machine::next_timeout(&lab.registrar).expect("a timer runs");
        let late = due + Duration::from_millis(40);
        waited += late - lab.now;
        lab.now = late;
        lab.input(Input::Timeout);
        assert!(!lab.events.contains(&Event::PeerLost(rid(0x22))), "after {waited:?}");
    }
    lab.enrp(0x22, presence(0x22, EMPTY, false));
    let states: Vec<PeerState> = lab.registrar.peers().map(|peer| peer.state).collect();
    assert_eq!(states, [PeerState::Active]);
    // One that is never done with reading finds the dead, too.
    for _ in 0..1_000 {
        let due = crate::machine::Machine::next_timeout(&lab.registrar).expect("a timer runs");
        lab.now = due + Duration::from_millis(40);
        lab.input(Input::Timeout);
        if lab.events.contains(&Event::PeerLost(rid(0x22))) {
            return;
        }
    }
    panic!("nobody finds the dead");
}
