//! Taking over a dead registrar (RFC 5353 §3.5), and adopting its elements.

use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_wire::Message;
use rserpool_wire::asap::{Asap, KeepAlive};
use rserpool_wire::enrp::{Body, Update, UpdateAction};
use rserpool_wire::param::{PeId, PoolElement};

use super::colleague::{EMPTY, SELF, add, enrp_link, from, homed, presence, rid, sent, takeover};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, link, pool};
use super::net::address;
use crate::dialect::Dialect;
use crate::machine::{Carrier, Input, Output, Peer};
use crate::registrar::{Command, Config, Event, LeaveReason};

const TARGET: u32 = 0x22;

/// 0x22 has two elements, and is found dead; the others live.
fn dead_among(others: &[u32], change: impl FnOnce(&mut Config)) -> (Lab, Vec<Output<Event>>) {
    let mut lab = Lab::among_configured(&[TARGET], change);
    others.iter().for_each(|id| lab.meet(*id));
    lab.enrp(TARGET, add(homed(1, TARGET)));
    lab.enrp(TARGET, add(homed(2, TARGET)));
    lab.pass(1_000);
    others.iter().for_each(|id| drop(lab.enrp(*id, presence(*id, EMPTY, false))));
    let outputs = lab.pass(300);
    (lab, outputs)
}

fn dialed(outputs: &[Output<Event>]) -> Vec<Peer> {
    let peer = |output: &Output<Event>| match output {
        Output::Connect(peer, ..) => Some(*peer),
        _ => None,
    };
    outputs.iter().filter_map(peer).collect()
}

fn claimed(outputs: &[Output<Event>]) -> Vec<(Peer, u32)> {
    let claim = |output: &Output<Event>| match output {
        Output::Send(peer, Message::Asap(Asap::KeepAlive(keep_alive))) => {
            let KeepAlive { claim_home: true, id: Some(id), .. } = keep_alive else { return None };
            Some((*peer, id.0))
        }
        _ => None,
    };
    outputs.iter().filter_map(claim).collect()
}

// Checklist 168, 169, 174, 175; design 9.13.
#[test]
fn a_takeover_is_won_when_all_have_agreed() {
    let (mut lab, outputs) = dead_among(&[0x33, 0x44], |_| {});
    let init = Body::TakeoverInit(takeover(TARGET));
    for id in [TARGET, 0x33, 0x44] {
        assert!(sent(&outputs).contains(&(from(id), init.clone())), "{id:#x}");
    }
    assert_eq!(lab.enrp(0x33, Body::TakeoverAck(takeover(TARGET))), []);
    assert_eq!(lab.enrp(0x33, Body::TakeoverAck(takeover(TARGET))), []);
    let outputs = lab.enrp(0x44, Body::TakeoverAck(takeover(TARGET)));
    let done = Body::TakeoverDone(takeover(TARGET));
    assert_eq!(sent(&outputs), [(from(0x33), done.clone()), (from(0x44), done)]);
    assert_eq!(lab.events, [Event::TakeoverWon { target: rid(TARGET), elements: 2 }]);
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(SELF)), Some(rid(SELF))));
    // Nothing goes to the dead one any more, and both its elements are reached by one dial.
    assert!(outputs.contains(&Output::Abort(from(TARGET))));
    let dialed = dialed(&outputs);
    assert_eq!(dialed.len(), 1);
    let outputs = lab.input(Input::Up(dialed[0], link(Carrier::Sctp, &[address(100)])));
    assert_eq!(claimed(&outputs), [(dialed[0], 1), (dialed[0], 2)]);
    // Design 9.3: who agrees is announced; who does not is given up.
    let outputs = lab.acknowledge(dialed[0], 1);
    assert!(matches!(
        &sent(&outputs)[..],
        [
            (
                _,
                Body::Update(Update {
                    action: UpdateAction::AddElement,
                    takeover_suggested: false,
                    ..
                })
            ),
            _
        ]
    ));
    assert_eq!(lab.events, [Event::Joined { handle: pool(), id: PeId(1) }]);
    let outputs = lab.pass(4_999);
    assert!(lab.events.iter().all(|event| !matches!(event, Event::Left { id: PeId(2), .. })));
    drop(outputs);
}

#[test]
fn an_element_that_neither_answers_nor_registers_is_out_after_the_grace() {
    let (mut lab, outputs) = dead_among(&[], |_| {});
    let won = Event::TakeoverWon { target: rid(TARGET), elements: 2 };
    assert!(lab.events.contains(&won), "{:?}", lab.events);
    let dialed = dialed(&outputs);
    lab.input(Input::Down(dialed[0]));
    // One of them registers by itself: it keeps its place, and nobody is told that it left.
    lab.input(Input::Up(Peer::accepted(88), link(Carrier::Tcp, &[address(100)])));
    lab.register(Peer::accepted(88), element(1, &[address(100)]));
    let mut left = Vec::new();
    for _ in 0..40 {
        lab.pass(125);
        left.append(&mut lab.events);
        lab.acknowledge(Peer::accepted(88), 1);
    }
    let reason = LeaveReason::Orphaned;
    let [Event::Left { handle, id, reason: why, .. }] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((handle, id, why), (&pool(), &PeId(2), &reason));
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(SELF)), None));
}

#[test]
fn elements_that_were_asked_rarely_have_longer_to_find_a_new_home() {
    let rare = |config: &mut Config| config.supervision_rate_max = NonZeroU32::MIN;
    let (mut lab, outputs) = dead_among(&[], rare);
    lab.input(Input::Down(dialed(&outputs)[0]));
    // Two elements, one of them asked each second: four seconds are less than the grace.
    lab.pass(4_999);
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(SELF)), Some(rid(SELF))));

    let (mut lab, outputs) = dead_among(&[], |config| {
        rare(config);
        config.adoption_grace = Duration::from_secs(1);
    });
    lab.input(Input::Down(dialed(&outputs)[0]));
    lab.pass(3_999);
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(SELF)), Some(rid(SELF))));
    lab.pass(1);
    assert_eq!((lab.home(1), lab.home(2)), (None, None));
}

#[test]
fn who_does_not_agree_in_time_is_not_waited_for() {
    let (mut lab, _) = dead_among(&[0x33, 0x44], |_| {});
    lab.enrp(0x33, Body::TakeoverAck(takeover(TARGET)));
    lab.pass(299);
    assert_eq!(lab.events, []);
    lab.pass(1);
    assert_eq!(lab.events, [Event::TakeoverWon { target: rid(TARGET), elements: 2 }]);
}

// Checklist 170, 173.
#[test]
fn a_sign_of_life_stops_the_takeover() {
    let (mut lab, _) = dead_among(&[0x33], |_| {});
    lab.enrp(TARGET, Body::ListRequest);
    assert_eq!(lab.events, [Event::TakeoverStopped { target: rid(TARGET) }]);
    lab.enrp(0x33, Body::TakeoverAck(takeover(TARGET)));
    assert_eq!((lab.events.len(), lab.home(1)), (0, Some(rid(TARGET))));
}

// Checklist 170.
#[test]
fn who_is_about_to_be_taken_over_says_to_all_that_it_lives() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    let outputs = lab.enrp(0x22, Body::TakeoverInit(takeover(SELF)));
    let alive = presence(SELF, EMPTY, false);
    assert_eq!(sent(&outputs), [(from(0x22), alive.clone()), (from(0x33), alive)]);
}

// Checklist 171.
#[test]
fn of_two_the_larger_identifier_goes_on_and_at_rsplib_the_smaller() {
    for (dialect, rival, yields) in [
        (Dialect::Rfc, 0x33, true),
        (Dialect::Rfc, 0x05, false),
        (Dialect::Rsplib, 0x33, false),
        (Dialect::Rsplib, 0x05, true),
    ] {
        let (mut lab, _) = dead_among(&[rival], |config| config.dialect = dialect);
        let outputs = lab.enrp(rival, Body::TakeoverInit(takeover(TARGET)));
        if yields {
            let ack = Body::TakeoverAck(takeover(TARGET));
            assert_eq!(sent(&outputs), [(from(rival), ack)]);
            let lost = Event::TakeoverLost { target: rid(TARGET), to: rid(rival) };
            assert_eq!(lab.events, [lost]);
        } else {
            assert_eq!((outputs.len(), lab.events.len()), (0, 0));
        }
        lab.enrp(rival, Body::TakeoverAck(takeover(TARGET)));
        assert_eq!(lab.home(1), Some(rid(if yields { TARGET } else { SELF })));
    }
}

// Checklist 172, 176.
#[test]
fn a_third_party_agrees_and_lets_the_elements_change_home() {
    let mut lab = Lab::among(&[TARGET, 0x33, 0x44]);
    lab.enrp(TARGET, add(homed(1, TARGET)));
    lab.enrp(0x44, add(homed(2, 0x44)));
    // It was heard a moment ago: it is asked.
    let outputs = lab.enrp(0x33, Body::TakeoverInit(takeover(TARGET)));
    let ack = (from(0x33), Body::TakeoverAck(takeover(TARGET)));
    assert_eq!(sent(&outputs), [(from(TARGET), presence(SELF, EMPTY, true)), ack]);
    // A target that is not known is agreed to as well.
    let outputs = lab.enrp(0x33, Body::TakeoverInit(takeover(0x99)));
    assert_eq!(sent(&outputs), [(from(0x33), Body::TakeoverAck(takeover(0x99)))]);
    lab.enrp(0x33, Body::TakeoverDone(takeover(TARGET)));
    assert_eq!((lab.events.len(), lab.home(1)), (0, Some(rid(TARGET))));
    lab.pass(600);
    let (target, by, elements) = (rid(TARGET), rid(0x33), 1);
    assert!(lab.events.contains(&Event::TakenOver { target, by, elements }), "{:?}", lab.events);
    assert_eq!((lab.home(1), lab.home(2)), (Some(rid(0x33)), Some(rid(0x44))));
    assert!(lab.registrar.peers().all(|peer| peer.id != target));
}

#[test]
fn where_the_winner_dies_too_someone_else_takes_over() {
    let mut lab = Lab::among(&[TARGET, 0x33]);
    lab.enrp(TARGET, add(homed(1, TARGET)));
    lab.enrp(0x33, Body::TakeoverInit(takeover(TARGET)));
    let mut events = Vec::new();
    for _ in 0..30 {
        lab.pass(100);
        events.append(&mut lab.events);
    }
    assert!(events.contains(&Event::TakeoverWon { target: rid(0x33), elements: 0 }), "{events:?}");
    assert!(events.contains(&Event::TakeoverWon { target: rid(TARGET), elements: 1 }));
}

#[test]
fn a_registrar_that_stood_still_asks_again_before_it_takes_over() {
    let (mut lab, _) = dead_among(&[0x33], |_| {});
    lab.wait(10_000);
    lab.input(Input::Timeout);
    assert!(lab.events.contains(&Event::PeerSuspected(rid(TARGET))), "{:?}", lab.events);
    assert_eq!(lab.home(1), Some(rid(TARGET)));
}

#[test]
fn a_registrar_that_was_taken_for_dead_asks_its_elements_back() {
    let mut lab = Lab::among(&[0x22, 0x33]);
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let outputs = lab.enrp(0x22, Body::TakeoverDone(takeover(SELF)));
    assert_eq!(lab.events, [Event::TakenForDead { by: rid(0x22) }]);
    assert_eq!(claimed(&outputs), [(ELEMENT, 1)]);
    let outputs = lab.acknowledge(ELEMENT, 1);
    assert!(matches!(&sent(&outputs)[..], [(_, Body::Update(_)), (_, Body::Update(_))]));
    // It was this registrar's all the time.
    assert_eq!(lab.events, []);
    assert_eq!(lab.home(1), Some(rid(SELF)));
}

#[test]
fn an_element_that_registers_elsewhere_is_let_go_without_a_word_to_others() {
    for ends in [true, false] {
        let mut lab = Lab::among_configured(&[0x22, 0x33], |_| {});
        lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
        let moved = PoolElement { home: Some(rid(0x22)), ..element(1, &[ELEMENT_ADDRESS]) };
        let outputs = lab.enrp(0x22, add(moved));
        assert_eq!(sent(&outputs), []);
        // It is asked whether it lives; should it still believe in this registrar, it registers
        // again. Nothing changes before.
        assert!(matches!(
            outputs[..],
            [
                Output::Send(ELEMENT, Message::Asap(Asap::KeepAlive(_))),
                Output::Send(ELEMENT, Message::Asap(Asap::DeregistrationResponse(_)))
            ]
        ));
        assert_eq!((lab.events.len(), lab.home(1)), (0, Some(rid(SELF))));
        if ends {
            assert_eq!(sent(&lab.input(Input::Down(ELEMENT))), []);
        } else {
            lab.acknowledge(ELEMENT, 1);
            lab.pass(900);
        }
        let moved = Event::Moved { handle: pool(), id: PeId(1), to: rid(0x22) };
        assert!(lab.events.contains(&moved), "{:?}", lab.events);
        assert_eq!(lab.home(1), Some(rid(0x22)));
    }
}

#[test]
fn what_was_dialed_for_elements_that_are_elsewhere_by_now_is_ended() {
    let (mut lab, _) = dead_among(&[0x33], |_| {});
    let dialed = dialed(&lab.enrp(0x33, Body::TakeoverAck(takeover(TARGET))));
    assert_eq!(dialed.len(), 1);
    lab.enrp(0x33, add(homed(1, 0x33)));
    lab.enrp(0x33, add(homed(2, 0x33)));
    let outputs = lab.input(Input::Up(dialed[0], link(Carrier::Sctp, &[address(100)])));
    assert_eq!(outputs, [Output::Close(dialed[0])]);
}

#[test]
fn what_comes_up_although_it_was_given_up_is_ignored() {
    // The driver may hand in both before it looks at what came of the first.
    let mut lab = Lab::among(&[0x22, 0x33]);
    let dialed = dialed(&lab.input(Input::Down(from(0x22))));
    let outputs = lab.enrp(0x33, Body::TakeoverDone(takeover(0x22)));
    assert!(outputs.contains(&Output::Abort(dialed[0])), "{outputs:?}");
    let before = lab.registrar.associations();
    assert_eq!(lab.input(Input::Up(dialed[0], enrp_link(Carrier::Sctp, 0x22))), []);
    assert_eq!(lab.enrp_over(dialed[0], 0x22, presence(0x22, EMPTY, true)), []);
    assert_eq!(lab.registrar.associations(), before);
    // So it is for who has left.
    let dialed = self::dialed(&lab.input(Input::Down(from(0x33))));
    lab.input(Input::Command(Command::Leave));
    assert_eq!(lab.input(Input::Up(dialed[0], enrp_link(Carrier::Sctp, 0x33))), []);
}

fn suggest(id: u32, home: u32) -> Body {
    let (handle, element) = (pool(), homed(id, home));
    let action = UpdateAction::AddElement;
    Body::Update(Update { takeover_suggested: true, action, handle, element })
}

#[test]
fn a_suggested_element_is_asked_and_adopted_when_it_agrees() {
    let mut lab = Lab::among_configured(&[0x22], |_| {});
    let outputs = lab.enrp(0x22, suggest(1, 0x22));
    let dialed = dialed(&outputs);
    let outputs = lab.input(Input::Up(dialed[0], link(Carrier::Sctp, &[address(100)])));
    assert_eq!(claimed(&outputs), [(dialed[0], 1)]);
    assert_eq!(lab.home(1), Some(rid(0x22)));
    lab.acknowledge(dialed[0], 1);
    assert_eq!(lab.home(1), Some(rid(SELF)));
}

#[test]
fn a_suggested_element_that_does_not_agree_stays_where_it_is() {
    let mut lab = Lab::among_configured(&[0x22], |_| {});
    let outputs = lab.enrp(0x22, suggest(1, 0x22));
    let dialed = dialed(&outputs);
    lab.input(Input::Up(dialed[0], link(Carrier::Sctp, &[address(100)])));
    let mut closed = false;
    for _ in 0..60 {
        closed |= lab.pass(100).contains(&Output::Close(dialed[0]));
        lab.enrp(0x22, Body::ListRequest);
    }
    assert_eq!(lab.home(1), Some(rid(0x22)));
    // The association is of no more use.
    assert!(closed);
    let mut lab = Lab::among_with(&[0x22], |config| config.follow_suggestions = false);
    assert_eq!(lab.enrp(0x22, suggest(1, 0x22)), []);
}

/// What says that an element is out.
fn told_out(outputs: &[Output<Event>]) -> bool {
    let is_one = |output: &Output<Event>| {
        matches!(output, Output::Send(_, Message::Asap(Asap::DeregistrationResponse(_))))
    };
    outputs.iter().any(is_one)
}

#[test]
fn an_element_that_has_just_agreed_is_not_told_to_be_out_for_what_was_on_its_way() {
    let (mut lab, outputs) = dead_among(&[], |config| config.peers = 2);
    // Another one is configured, too, and is there.
    lab.input(Input::Up(from(0x33), enrp_link(Carrier::Sctp, 0x33)));
    lab.input(Input::Known(Peer::dialed(2), from(0x33)));
    lab.enrp(0x33, presence(0x33, EMPTY, false));
    let dial = dialed(&outputs).pop().expect("it has taken over alone");
    let outputs = lab.input(Input::Up(dial, link(Carrier::Sctp, &[address(100)])));
    assert_eq!(claimed(&outputs).len(), 2);
    lab.acknowledge(dial, 1);
    assert_eq!(lab.home(1), Some(rid(SELF)));
    // It had registered there just before it was asked here.
    let crossed = PoolElement { home: Some(rid(0x33)), ..homed(1, 0x33) };
    let mut outputs = lab.enrp(0x33, add(crossed.clone()));
    lab.acknowledge(dial, 1);
    lab.enrp(0x33, presence(0x33, EMPTY, false));
    outputs.extend(lab.pass(1_000));
    assert!(!told_out(&outputs), "{outputs:?}");
    // The other one hears once more whose it is.
    let is_update = |(to, body): (Peer, Body)| {
        to == from(0x33) && matches!(body, Body::Update(u) if u.element.id == PeId(1))
    };
    assert!(sent(&outputs).into_iter().any(is_update), "{outputs:?}");
    assert_eq!(lab.home(1), Some(rid(SELF)));
    // Long after that it is asked whether it still belongs here.
    for _ in 0..60 {
        lab.enrp(0x33, presence(0x33, EMPTY, false));
        lab.pass(100);
        lab.acknowledge(dial, 1);
    }
    assert_eq!(lab.home(1), Some(rid(SELF)));
    assert!(told_out(&lab.enrp(0x33, add(crossed))));
}
