//! Suggesting elements to registrars that are better for them.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use rserpool_wire::enrp::{Body, Update, UpdateAction};
use rserpool_wire::param::{PeId, PoolElement};

use super::colleague::{EMPTY, SELF, add, enrp_link, from, homed, presence, rid, sent};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, link};
use super::net::{Net, id};
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::{Config, Event, LeaveReason, aptitude};

/// Best at 0x22 among 0x11, 0x22 and 0x33; at 0x33; at 0x11.
const FOR_22: u32 = 0x11;
const FOR_33: u32 = 0x04;
const FOR_SELF: u32 = 0x20;

fn suggesting(config: &mut Config) {
    config.takeover_suggestion = true;
    config.suggestion_pause = Duration::from_secs(1);
}

/// A registrar that suggests, among others that all are configured.
fn among(others: &[u32]) -> Lab {
    let mut lab = Lab::among_all_configured(others, suggesting);
    (1..=3).for_each(|_| drop(live(&mut lab, 100, others)));
    lab
}

/// Lets time pass, while registrars and elements live; what was suggested to whom.
fn live(lab: &mut Lab, millis: u64, others: &[u32]) -> Vec<(Peer, u32)> {
    let (mut suggested, mut events) = (Vec::new(), Vec::new());
    for _ in 0..millis / 50 {
        let outputs = lab.pass(50);
        events.append(&mut lab.events);
        for output in &outputs {
            if let Output::Send(peer, rserpool_wire::Message::Asap(message)) = output
                && let rserpool_wire::Asap::KeepAlive(keep_alive) = message
                && let Some(id) = keep_alive.id
            {
                lab.acknowledge(*peer, id.0);
            }
        }
        suggested.extend(sent(&outputs).into_iter().filter_map(|(peer, body)| match body {
            Body::Update(Update { takeover_suggested: true, action, element, .. }) => {
                assert_eq!(action, UpdateAction::AddElement);
                assert_eq!(element.home, Some(rid(SELF)));
                Some((peer, element.id.0))
            }
            _ => None,
        }));
        for id in others {
            lab.enrp(*id, Body::ListRequest);
        }
    }
    lab.events = events;
    suggested
}

fn register(lab: &mut Lab, id: u32) {
    assert_eq!(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS])), []);
}

#[test]
fn the_best_registrar_has_the_greatest_exclusive_or() {
    let best =
        |element| [SELF, 0x22, 0x33].into_iter().max_by_key(|id| aptitude(rid(*id), element));
    assert_eq!(best(PeId(FOR_22)), Some(0x22));
    assert_eq!(best(PeId(FOR_33)), Some(0x33));
    assert_eq!(best(PeId(FOR_SELF)), Some(SELF));
}

#[test]
fn elements_are_suggested_to_those_that_are_best_for_them() {
    let mut lab = among(&[0x22, 0x33]);
    [FOR_22, FOR_33, FOR_SELF].into_iter().for_each(|id| register(&mut lab, id));
    let mut suggested = live(&mut lab, 1_500, &[0x22, 0x33]);
    suggested.sort_unstable();
    assert_eq!(suggested, [(from(0x22), FOR_22), (from(0x33), FOR_33)]);
    assert_eq!(lab.registrar.stats().suggestions_sent, 2);
    // It is at home here until the other one says that it came.
    assert_eq!(lab.home(FOR_22), Some(rid(SELF)));
    // Who says that it is somewhere else has not got the same one.
    lab.enrp(0x22, add(homed(FOR_22, 0x22)));
    assert_eq!(lab.home(FOR_22), Some(rid(SELF)));
    let taken = element(FOR_22, &[ELEMENT_ADDRESS]);
    lab.enrp(0x22, add(PoolElement { home: Some(rid(0x22)), ..taken }));
    assert_eq!(lab.home(FOR_22), Some(rid(0x22)));
    assert_eq!(lab.registrar.stats().moved_away, 1);
}

#[test]
fn strangers_get_no_elements_where_the_operator_has_named_registrars() {
    for (configured, discovers, expected) in
        [(true, false, 0), (true, true, 0), (false, false, 1), (false, true, 1)]
    {
        let others: &[u32] = if configured { &[0x31] } else { &[] };
        let mut lab = Lab::among_all_configured(others, |config| {
            suggesting(config);
            config.discover = discovers;
        });
        drop(live(&mut lab, 3_000, others));
        lab.meet(0x22);
        drop(live(&mut lab, 300, &[0x22]));
        register(&mut lab, FOR_22);
        let heard: Vec<u32> = others.iter().copied().chain([0x22]).collect();
        let suggested = live(&mut lab, 3_000, &heard);
        let to_stranger = suggested.iter().filter(|(to, _)| *to == from(0x22)).count();
        assert_eq!(to_stranger.min(1), expected, "{configured} {discovers}: {suggested:?}");
    }
}

#[test]
fn unless_told_to_a_registrar_suggests_nothing() {
    let mut lab = Lab::among(&[0x22]);
    register(&mut lab, FOR_22);
    assert_eq!(live(&mut lab, 60_000, &[0x22]), []);
}

#[test]
fn who_has_just_come_or_come_back_gets_nothing_yet() {
    let mut lab = Lab::among_all_configured(&[0x22], |config| {
        suggesting(config);
        config.suggestion_pause = Duration::from_secs(3);
        config.peers = 2;
    });
    register(&mut lab, FOR_SELF);
    assert_eq!(live(&mut lab, 5_000, &[0x22]), []);
    // This one is better for it, but has just come.
    lab.input(Input::Up(from(0x19), enrp_link(Carrier::Sctp, 0x19)));
    lab.input(Input::Known(Peer::dialed(2), from(0x19)));
    lab.enrp(0x19, presence(0x19, EMPTY, false));
    assert_eq!(live(&mut lab, 1_500, &[0x22, 0x19]), []);
    // It begins anew with each silence.
    assert_eq!(live(&mut lab, 1_050, &[0x22]), []);
    assert!(lab.events.contains(&Event::PeerSuspected(rid(0x19))));
    lab.enrp(0x19, Body::ListRequest);
    assert_eq!(live(&mut lab, 2_950, &[0x22, 0x19]), []);
    assert_eq!(live(&mut lab, 3_000, &[0x22, 0x19]), [(from(0x19), FOR_SELF)]);
}

#[test]
fn an_element_that_does_not_move_is_suggested_ever_less_often() {
    let mut lab = among(&[0x22]);
    register(&mut lab, FOR_22);
    let mut at = Vec::new();
    for tenth in 0..3_000_u32 {
        if !live(&mut lab, 100, &[0x22]).is_empty() {
            at.push(tenth);
        }
        if tenth % 1_000 == 0 {
            // That it registers again changes nothing.
            register(&mut lab, FOR_22);
        }
    }
    let pauses: Vec<u32> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (row, pause) in pauses.iter().enumerate() {
        let wanted = 10 * 2_u32.pow(u32::try_from(row).unwrap()).min(64);
        assert!((wanted..=wanted + 11).contains(pause), "{pauses:?}");
    }
    assert!(pauses.len() >= 7, "{pauses:?}");
}

#[test]
fn an_element_that_comes_back_is_left_alone_for_longer_each_time() {
    let mut lab = among(&[0x22]);
    let mut count = 0;
    for _ in 0..1_200 {
        register(&mut lab, FOR_22);
        let suggested = live(&mut lab, 50, &[0x22]);
        count += suggested.len();
        if !suggested.is_empty() {
            // There it is lost.
            lab.enrp(0x22, add(homed(FOR_22, 0x22)));
            lab.enrp(0x22, super::colleague::delete(homed(FOR_22, 0x22)));
        }
    }
    assert!((4..=7).contains(&count), "{count} in a minute");
}

#[test]
fn elements_over_tcp_are_left_alone() {
    let mut lab = among(&[0x22]);
    let tcp = Peer::accepted(77);
    lab.input(Input::Up(tcp, link(Carrier::Tcp, &[ELEMENT_ADDRESS])));
    assert_eq!(lab.register(tcp, element(FOR_22, &[ELEMENT_ADDRESS])), []);
    assert_eq!(live(&mut lab, 5_000, &[0x22]), []);
}

#[test]
fn suggestions_are_bounded_in_their_rate() {
    let mut lab = Lab::among_all_configured(&[0x22], |config| {
        suggesting(config);
        config.suggestion_rate_max = NonZeroU32::new(20).unwrap();
    });
    for id in 0..200 {
        register(&mut lab, id << 8 | FOR_22);
    }
    let mut suggested = live(&mut lab, 950, &[0x22]);
    assert_eq!(suggested, []);
    let mut seconds = Vec::new();
    for _ in 0..12 {
        let now = live(&mut lab, 1_000, &[0x22]);
        seconds.push(now.len());
        for (_, id) in &now {
            lab.enrp(0x22, add(homed(*id, 0x22)));
        }
        suggested.extend(now);
    }
    assert!(seconds.iter().all(|count| *count <= 22), "{seconds:?}");
    suggested.sort_unstable();
    suggested.dedup();
    assert_eq!(suggested.len(), 200, "{seconds:?}");
}

#[test]
fn an_element_that_ends_its_association_to_move_is_not_told_to_be_gone() {
    let is_deletion =
        |(_, body): &(Peer, Body)| matches!(body, Body::Update(u) if !u.takeover_suggested);
    // As elements of rsplib do it.
    let mut lab = among(&[0x22]);
    register(&mut lab, FOR_22);
    assert_eq!(live(&mut lab, 1_000, &[0x22]).len(), 1);
    assert!(!sent(&lab.input(Input::Down(ELEMENT))).iter().any(is_deletion));
    assert_eq!(lab.events, []);
    lab.enrp(0x22, add(homed(FOR_22, 0x22)));
    assert!(matches!(&lab.events[..], [Event::Moved { .. }]), "{:?}", lab.events);
    assert!(!sent(&lab.pass(1_000)).iter().any(is_deletion));
    assert_eq!((lab.len(), lab.registrar.stats().moved_away), (1, 1));
    // One that has died is out a moment later.
    let mut lab = among(&[0x22]);
    register(&mut lab, FOR_22);
    assert_eq!(live(&mut lab, 1_000, &[0x22]).len(), 1);
    lab.input(Input::Down(ELEMENT));
    assert!(sent(&lab.pass(350)).iter().any(is_deletion));
    let reason = LeaveReason::AssociationLost;
    let is_left = |event: &Event| matches!(event, Event::Left { reason: r, .. } if *r == reason);
    assert!(lab.events.iter().any(is_left), "{:?}", lab.events);
    assert_eq!((lab.len(), lab.registrar.stats().removed_lost), (0, 1));
}

#[test]
fn who_does_not_serve_follows_no_suggestion_but_counts_it() {
    let mut lab = Lab::with(Config { peers: 1, ..Config::default() });
    lab.input(Input::Up(from(0x22), enrp_link(Carrier::Sctp, 0x22)));
    lab.enrp(0x22, presence(0x22, 0xffff, false));
    let mut update = homed(FOR_SELF, 0x22);
    update.home = Some(rid(0x22));
    let Body::Update(update) = add(update) else { panic!("an update") };
    let outputs = lab.enrp(0x22, Body::Update(Update { takeover_suggested: true, ..update }));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Connect(..))), "{outputs:?}");
    assert_eq!(lab.registrar.stats().suggestions_received, 1);
}

#[test]
fn a_registrar_that_comes_back_gets_the_elements_back_that_it_is_best_for() {
    let mut net = Net::new();
    for place in 0..3 {
        net.registrar((0..3).filter(|other| *other != place).collect(), suggesting);
    }
    (0..3).for_each(|place| net.start(place));
    net.run(4_000);
    for number in 0..12 {
        net.element(vec![number % 3, (number + 1) % 3]);
    }
    let best = |net: &Net, among: &[usize]| {
        let view = net.view(among[0]);
        view.len() == 12
            && view.iter().all(|(element, home)| {
                let registrars = among.iter().map(|place| id(*place));
                registrars.max_by_key(|id| aptitude(*id, PeId(*element))) == *home
            })
    };
    net.run_until(|net| net.agrees() && best(net, &[0, 1, 2]));
    let sent = |net: &Net| (0..3).map(|place| net.at(place).stats().suggestions_sent).sum::<u64>();
    let before = sent(&net);
    net.run(30_000);
    net.assert_agrees();
    assert_eq!(sent(&net), before, "nobody is suggested without need");
    net.kill(1);
    net.run_until(|net| best(net, &[0, 2]));
    net.restart(1, suggesting);
    let took = net.run_until(|net| net.agrees() && best(net, &[0, 1, 2]));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let before = sent(&net);
    net.run(30_000);
    net.assert_agrees();
    assert_eq!(sent(&net), before, "nobody is suggested without need");
}

proptest! {
    /// An element that is always told to the best one ends there, whoever of them knows whom.
    #[test]
    fn suggestions_never_go_in_circles(
        ids in proptest::collection::btree_set(1_u32.., 1..8),
        element: u32,
        views in proptest::collection::vec(any::<u8>(), 8),
    ) {
        let ids: Vec<u32> = ids.into_iter().collect();
        let element = PeId(element);
        let mut at = 0;
        for _ in 0..ids.len() {
            let seen = (0..ids.len()).filter(|row| *row == at || views[at] & 1 << row != 0);
            let best = seen.max_by_key(|row| aptitude(rid(ids[*row]), element)).unwrap_or(at);
            prop_assert!(aptitude(rid(ids[best]), element) >= aptitude(rid(ids[at]), element));
            at = best;
        }
        let seen = (0..ids.len()).filter(|row| *row == at || views[at] & 1 << row != 0);
        prop_assert_eq!(seen.max_by_key(|row| aptitude(rid(ids[*row]), element)), Some(at));
    }
}
