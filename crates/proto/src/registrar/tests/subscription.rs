//! Subscribers are told without a stall, and those who take nothing cost nothing.

use rserpool_wire::Message;
use rserpool_wire::asap::{Asap, HandleResolution, HandleResolutionResponse, Registration};

use super::lab::{
    ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, USER_ADDRESS, element, link, pool,
};
use crate::machine::{Carrier, Input, Machine, Output, Peer};
use crate::registrar::{Config, Event, Quota, Quotas};

const SUBSCRIBERS: u64 = 400;

fn question(want_updates: bool) -> Asap {
    Asap::HandleResolution(HandleResolution { want_updates, handle: pool(), items: None })
}

fn change(id: u32) -> Asap {
    Asap::Registration(Registration { handle: pool(), element: element(id, &[OTHER_ADDRESS]) })
}

/// The answers among these outputs, and whom they go to.
fn answers(outputs: &[Output<Event>]) -> Vec<(Peer, HandleResolutionResponse)> {
    let answer = |output: &Output<Event>| match output {
        Output::Send(peer, Message::Asap(Asap::HandleResolutionResponse(answer))) => {
            Some((*peer, answer.clone()))
        }
        _ => None,
    };
    outputs.iter().filter_map(answer).collect()
}

/// A pool of so many elements, and those who subscribe to it.
fn crowd(elements: u32, subscribers: u64) -> (Lab, Vec<Peer>) {
    let mut lab = Lab::new();
    for id in 1..=elements {
        assert_eq!(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS])), []);
    }
    let mut peers = Vec::new();
    for number in 0..subscribers {
        let peer = Peer::accepted(1_000 + number);
        lab.input(Input::Up(peer, link(Carrier::Tcp, &[USER_ADDRESS])));
        lab.ask(peer, question(true));
        peers.push(peer);
    }
    (lab, peers)
}

#[test]
fn a_change_is_told_to_very_many_some_at_a_time_and_others_have_their_answers_in_between() {
    let (mut lab, peers) = crowd(900, SUBSCRIBERS);
    let mut told = Vec::new();
    let mut most = 0;
    let mut outputs = lab.asap(OTHER, change(1_000));
    while told.len() < peers.len() {
        let pushed = answers(&outputs);
        assert!(!pushed.is_empty() && pushed.iter().all(|(_, it)| it.elements.len() == 901));
        most = most.max(pushed.len());
        told.extend(pushed.into_iter().map(|(peer, _)| peer));
        // The user's answer is the first of what follows its question.
        let behind = lab.asap(USER, question(false));
        let (first, rest) = behind.split_first().unwrap();
        assert!(matches!(first, Output::Send(USER, _)));
        told.extend(answers(rest).into_iter().map(|(peer, _)| peer));
        if told.len() < peers.len() {
            outputs = lab.timeout();
        }
    }
    assert!(most <= 3, "{most}");
    assert_eq!(told, peers);
    assert_eq!(lab.registrar.stats().updates_pushed, SUBSCRIBERS);
}

#[test]
fn the_first_change_is_told_at_once_and_the_next_ones_together_after_the_interval() {
    let (mut lab, peers) = crowd(1, 3);
    assert_eq!(answers(&lab.asap(OTHER, change(10))).len(), peers.len());
    let begun = lab.now;
    for id in 11..=14 {
        lab.wait(1);
        assert_eq!(answers(&lab.asap(OTHER, change(id))), []);
    }
    let pushed = answers(&lab.timeout());
    assert_eq!(lab.now - begun, Config::default().push_interval);
    assert_eq!(pushed.len(), peers.len());
    assert!(pushed.iter().all(|(_, answer)| answer.elements.len() == 6));
}

#[test]
fn who_takes_nothing_is_told_of_the_newest_state_once_it_does() {
    let (mut lab, peers) = crowd(1, 3);
    let (mute, others) = peers.split_first().unwrap();
    lab.input(Input::Congested(*mute));
    for id in 10..1_010 {
        lab.wait(20);
        let told: Vec<Peer> =
            answers(&lab.asap(OTHER, change(id))).into_iter().map(|(peer, _)| peer).collect();
        assert_eq!(told, others);
    }
    assert_eq!(lab.registrar.stats().updates_postponed, 1_000);
    let pushed = answers(&lab.input(Input::Drained(*mute)));
    assert_eq!(pushed.len(), 1);
    assert_eq!((pushed[0].0, pushed[0].1.elements.len()), (*mute, 1_000));
    assert_eq!(answers(&lab.input(Input::Drained(*mute))), []);
}

#[test]
fn who_stops_taking_again_before_all_was_told_waits_on() {
    let (mut lab, peers) = crowd(1, 1);
    lab.input(Input::Congested(peers[0]));
    lab.asap(OTHER, change(10));
    // In one batch.
    lab.registrar.handle(lab.now, Input::Drained(peers[0]));
    lab.registrar.handle(lab.now, Input::Congested(peers[0]));
    assert_eq!(lab.drain(), []);
    assert!(lab.registrar.deadlines.deadline(super::super::Deadline::Push).is_none());
    assert_eq!(answers(&lab.input(Input::Drained(peers[0]))).len(), 1);
}

#[test]
fn a_pool_that_ended_meanwhile_is_told_of_and_so_is_one_that_is_there_again() {
    for is_back in [false, true] {
        let (mut lab, peers) = crowd(1, 1);
        lab.input(Input::Congested(peers[0]));
        lab.input(Input::Down(ELEMENT));
        if is_back {
            lab.asap(OTHER, change(10));
        }
        let pushed = answers(&lab.input(Input::Drained(peers[0])));
        assert_eq!(pushed[0].1.elements.len(), usize::from(is_back));
        assert_eq!(lab.registrar.subscriptions.len(), usize::from(is_back));
    }
}

#[test]
fn changes_during_a_round_are_told_in_the_next() {
    let (mut lab, peers) = crowd(900, 10);
    let mut pushed = answers(&lab.asap(OTHER, change(1_000)));
    pushed.extend(answers(&lab.asap(OTHER, change(1_001))));
    while pushed.len() < 2 * peers.len() {
        pushed.extend(answers(&lab.timeout()));
    }
    let of_last = &pushed[peers.len()..];
    assert!(of_last.iter().all(|(_, answer)| answer.elements.len() == 902));
    let to: Vec<Peer> = of_last.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(to, peers);
    assert_eq!(lab.timeout(), []);
    assert!(lab.registrar.deadlines.deadline(super::super::Deadline::Push).is_none());
}

#[test]
fn subscriptions_are_counted_by_source_and_in_all() {
    let quotas = Quotas { subscriptions_per_source: 1, subscriptions: 2, ..Quotas::default() };
    let mut lab = Lab::with(Config { quotas, ..Config::default() });
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let mut subscribe = |peer: Peer| match lab.ask(peer, question(true)) {
        Asap::HandleResolutionResponse(answer) => {
            // Who is not told of changes has its answer all the same.
            assert_eq!(answer.elements.len(), 1);
            answer.updates_accepted
        }
        other => panic!("{other:?}"),
    };
    assert!(subscribe(USER) && subscribe(USER) && subscribe(OTHER));
    assert!(!subscribe(ELEMENT));
    let again = Peer::accepted(10);
    lab.input(Input::Up(again, link(Carrier::Tcp, &[USER_ADDRESS])));
    assert!(matches!(lab.ask(again, question(true)),
        Asap::HandleResolutionResponse(answer) if !answer.updates_accepted));
    let counts = lab.registrar.stats().quotas;
    let counted = [Quota::SubscriptionsPerSource, Quota::Subscriptions].map(|it| counts.of(it));
    assert_eq!(counted, [1, 1]);
    lab.input(Input::Down(OTHER));
    assert!(matches!(lab.ask(ELEMENT, question(true)),
        Asap::HandleResolutionResponse(answer) if answer.updates_accepted));
}

#[test]
fn nobody_is_told_without_a_subscriber() {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab.wait(1);
    lab.register(ELEMENT, element(2, &[ELEMENT_ADDRESS]));
    assert!(lab.registrar.deadlines.deadline(super::super::Deadline::Push).is_none());
    assert_eq!(lab.registrar.stats().updates_pushed, 0);
}
