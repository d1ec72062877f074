//! The user's side: which outputs come of which inputs.

use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_wire::Asap;
use rserpool_wire::asap::{BusinessCard, KeepAlive as Question, KeepAliveAck};
use rserpool_wire::param::{Cookie, PeId, PoolHandle, Transport, TransportUse};

use super::{answer, element, handle};
use crate::machine::Peer;
use crate::session::KeepAlive;
use crate::session::client::{
    Client, Config, Event, FailureReason, Input, Loss, NextServer, Output, Problem, SETTLED,
};
use crate::session::search::{BACKOFF, RESOLUTION_MAX};
use crate::time::Time;
use crate::user::ResolveError;

/// A client and its time.
struct Bench {
    client: Client,
    now: Time,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(handle());
        config.keep_alive = None;
        change(&mut config);
        Self { client: Client::new(config), now: Time::ZERO }
    }

    fn with(&mut self, input: Input) -> Vec<Output> {
        self.client.handle(self.now, input);
        std::iter::from_fn(|| self.client.poll()).collect()
    }

    fn after(&mut self, pause: Duration) -> Vec<Output> {
        self.now = self.now + pause;
        self.with(Input::Timeout)
    }

    /// Gets an answer to the question that was just put, and returns whom it dials.
    fn answered(&mut self, outputs: &[Output], ids: &[u32]) -> Vec<Output> {
        let [Output::Resolve(question)] = outputs else { panic!("{outputs:?}") };
        self.with(Input::Answer(*question, Ok(answer(ids))))
    }

    /// Seeks, and is connected to the first of these; the name of the association.
    fn connected(&mut self, ids: &[u32]) -> Peer {
        let outputs = self.with(Input::Seek);
        let outputs = self.answered(&outputs, ids);
        let peer = dialed(&outputs, ids[0]);
        let server = PeId(ids[0]);
        let expected = [Output::Event(Event::Connected { server })];
        assert_eq!(self.with(Input::Up(peer))[..1], expected);
        peer
    }
}

/// The association that is asked for, with this element and with nothing else.
fn dialed(outputs: &[Output], id: u32) -> Peer {
    match outputs {
        [.., Output::Connect(peer, to)] if to.id == PeId(id) => *peer,
        _ => panic!("{outputs:?} do not dial {id:x}"),
    }
}

fn cookie(octets: &[u8]) -> Cookie {
    Cookie::new(octets).unwrap()
}

const LOST: FailureReason = FailureReason::Lost;

fn needed(from: u32, reason: FailureReason) -> Output {
    Output::Event(Event::FailoverNeeded { from: PeId(from), reason })
}

fn failed_over(from: u32, to: u32, reason: FailureReason, resumed: bool) -> Output {
    Output::Event(Event::FailedOver { from: PeId(from), to: PeId(to), reason, resumed })
}

// Checklist 126, 127, 130. RFC 5352 §3.5: the newest cookie goes to the next server before anything
// else; a user has a card where it was given one.
#[test]
fn the_newest_cookie_goes_first() {
    let card = BusinessCard { handle: handle(), elements: vec![element(77)] };
    let own_card = card.clone();
    let mut bench = Bench::new(|config| config.card = Some(own_card));
    let outputs = bench.with(Input::Seek);
    let outputs = bench.answered(&outputs, &[1, 2]);
    let peer = dialed(&outputs, 1);
    let expected = [
        Output::Control(peer, Asap::BusinessCard(card.clone())),
        Output::Event(Event::Connected { server: PeId(1) }),
    ];
    assert_eq!(bench.with(Input::Up(peer)), expected);

    for octets in [&b"first"[..], b"newest"] {
        let octets_len = octets.len();
        let told = bench.with(Input::Control(peer, Asap::Cookie(cookie(octets))));
        assert_eq!(told, [Output::Event(Event::CookieStored { octets: octets_len })]);
    }
    bench.now = bench.now + SETTLED;
    let outputs = bench.with(Input::Down(peer, Loss::Lost));
    assert_eq!(outputs[..2], [Output::Report(PeId(1)), needed(1, LOST)]);
    let outputs = bench.answered(&outputs[2..], &[1, 2]);
    let peer = dialed(&outputs, 2);
    let expected = [
        Output::Control(peer, Asap::CookieEcho(cookie(b"newest"))),
        Output::Control(peer, Asap::BusinessCard(card)),
        failed_over(1, 2, LOST, true),
    ];
    assert_eq!(bench.with(Input::Up(peer)), expected);
    assert_eq!(bench.client.stats().cookies_echoed, 1);
}

// Checklist 129.
#[test]
fn who_has_no_control_channel_gets_no_business_card() {
    let card = BusinessCard { handle: handle(), elements: vec![element(77)] };
    let mut bench = Bench::new(|config| config.card = Some(card));
    let outputs = bench.with(Input::Seek);
    let [Output::Resolve(question)] = &outputs[..] else { panic!("{outputs:?}") };
    let outputs = bench.with(Input::Answer(*question, Ok(without_control(2))));
    let connected = [Output::Event(Event::Connected { server: PeId(2) })];
    assert_eq!(bench.with(Input::Up(dialed(&outputs, 2))), connected);
}

/// An answer with one element, which has no control channel.
fn without_control(id: u32) -> crate::user::Answer {
    let mut plain = answer(&[id]);
    let mut resolution = (*plain.resolution).clone();
    let transport = &mut resolution.elements[0].user_transport;
    let Transport::Sctp(sctp) = transport else { panic!() };
    sctp.transport_use = TransportUse::DataOnly;
    plain.resolution = resolution.into();
    plain
}

#[test]
fn a_cookie_stays_for_all_later_servers_and_waits_for_a_control_channel() {
    let mut bench = Bench::new(|_| {});
    let first = bench.connected(&[1]);
    bench.with(Input::Control(first, Asap::Cookie(cookie(b"state"))));
    bench.now = bench.now + SETTLED;
    let outputs = bench.with(Input::Down(first, Loss::Closed));
    // The second has no control channel.
    let [needs, Output::Resolve(question)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*needs, needed(1, FailureReason::Closed));
    let outputs = bench.with(Input::Answer(*question, Ok(without_control(2))));
    let second = dialed(&outputs, 2);
    let expected = [failed_over(1, 2, FailureReason::Closed, false)];
    assert_eq!(bench.with(Input::Up(second)), expected);

    bench.now = bench.now + SETTLED;
    let outputs = bench.with(Input::Down(second, Loss::Lost));
    let outputs = bench.answered(&outputs[2..], &[3]);
    let third = dialed(&outputs, 3);
    let outputs = bench.with(Input::Up(third));
    assert_eq!(outputs[0], Output::Control(third, Asap::CookieEcho(cookie(b"state"))));
}

// Checklist 131. RFC 5352 §3.6 BC2: the card's order is the order of the failover.
#[test]
fn a_business_card_names_whom_to_turn_to_without_asking_anybody() {
    for (order, takes_the_card) in [(NextServer::Card, true), (NextServer::Policy, false)] {
        let mut bench = Bench::new(|config| config.next_server = order);
        let peer = bench.connected(&[1, 2]);
        let elements = vec![element(1), element(9), element(8)];
        let card = BusinessCard { handle: handle(), elements };
        assert_eq!(bench.with(Input::Control(peer, Asap::BusinessCard(card))), []);
        bench.now = bench.now + SETTLED;
        let outputs = bench.with(Input::Down(peer, Loss::Lost));
        if !takes_the_card {
            assert!(matches!(outputs[..], [_, _, Output::Resolve(_)]), "{outputs:?}");
            continue;
        }
        let peer = dialed(&outputs, 9);
        let outputs = bench.with(Input::Down(peer, Loss::Lost));
        assert_eq!(outputs[0], Output::Report(PeId(9)));
        let peer = dialed(&outputs, 8);
        assert_eq!(bench.with(Input::Up(peer)), [failed_over(1, 8, LOST, false)]);
    }
}

#[test]
fn a_server_that_may_not_know_keep_alives_is_asked_at_once() {
    for over_tcp in [false, true] {
        let mut bench = Bench::new(|config| config.keep_alive = Some(KeepAlive::default()));
        let outputs = bench.with(Input::Seek);
        let [Output::Resolve(question)] = outputs[..] else { panic!("{outputs:?}") };
        let mut answer = answer(&[1]);
        let mut resolution = (*answer.resolution).clone();
        if over_tcp {
            let transport_use = TransportUse::DataPlusControl;
            let address = [10, 0, 0, 1].into();
            resolution.elements[0].user_transport =
                Transport::Tcp { port: 7, transport_use, address };
        }
        answer.resolution = resolution.into();
        let outputs = bench.with(Input::Answer(question, Ok(answer)));
        let outputs = bench.with(Input::Up(dialed(&outputs, 1)));
        let asked = outputs.iter().any(|output| matches!(output, Output::Control(..)));
        assert_eq!(asked, !over_tcp, "{outputs:?}");
        // Over TCP it is missed without ever having said anything.
        bench.after(Duration::from_millis(500));
        bench.after(Duration::from_millis(500));
        let outputs = bench.after(Duration::from_millis(500));
        assert_eq!(bench.client.server().is_none(), over_tcp, "{outputs:?}");
    }
}

#[test]
fn a_silent_server_is_left() {
    let (interval, deadline) = (Duration::from_millis(50), Duration::from_millis(150));
    let mut bench = Bench::new(|config| config.keep_alive = Some(KeepAlive { interval, deadline }));
    let peer = bench.connected(&[1]);
    let id = Some(PeId(1));
    let question = Question { claim_home: false, sender: None, handle: handle(), id };
    let question = Output::Control(peer, Asap::KeepAlive(question));
    assert_eq!(bench.after(interval), std::slice::from_ref(&question));
    let ack = KeepAliveAck { handle: handle(), id: PeId(1) };
    assert_eq!(bench.with(Input::Control(peer, Asap::KeepAliveAck(ack))), []);
    assert_eq!(bench.after(interval), std::slice::from_ref(&question));
    assert_eq!(bench.after(interval), [question]);
    let outputs = bench.after(interval);
    let silent = FailureReason::Silent;
    let expected = [Output::Abort(peer), Output::Report(PeId(1)), needed(1, silent)];
    assert_eq!(outputs[..3], expected);
}

#[test]
fn a_server_may_have_another_identifier_than_the_registrar_said() {
    // It was started anew, in the place of the one that the registrar still lists.
    let (interval, deadline) = (Duration::from_millis(50), Duration::from_millis(150));
    let mut bench = Bench::new(|config| config.keep_alive = Some(KeepAlive { interval, deadline }));
    let peer = bench.connected(&[1]);
    bench.after(interval);
    let ack = |handle, id| Asap::KeepAliveAck(KeepAliveAck { handle, id: PeId(id) });
    assert_eq!(bench.with(Input::Control(peer, ack(handle(), 2))), []);
    assert_eq!(bench.client.server().map(|(_, server)| server.id), Some(PeId(2)));
    // One of another pool is none of ours.
    let other = PoolHandle::new(&b"Other"[..]).unwrap();
    assert_eq!(bench.with(Input::Control(peer, ack(other, 3))), []);
    bench.after(interval);
    bench.after(interval);
    let outputs = bench.after(interval);
    let silent = FailureReason::Silent;
    let expected = [Output::Abort(peer), Output::Report(PeId(2)), needed(2, silent)];
    assert_eq!(outputs[..3], expected);
}

// RFC 5352 §3.5; checklist 105: only a server that it was connected to is reported.
#[test]
fn the_application_may_say_that_the_server_has_failed() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.with(Input::FailOver), []);
    let peer = bench.connected(&[1, 2]);
    let outputs = bench.with(Input::FailOver);
    assert_eq!(outputs[..2], [Output::Abort(peer), Output::Report(PeId(1))]);
    // The session is young: the next candidate of the same answer is taken.
    let peer = dialed(&outputs, 2);
    let reported = FailureReason::Reported;
    assert_eq!(bench.with(Input::Up(peer)), [failed_over(1, 2, reported, false)]);
    // And again while nobody is there: nothing.
    bench.with(Input::Down(peer, Loss::Lost));
    assert_eq!(bench.with(Input::FailOver), []);
}

#[test]
fn the_application_may_want_another_server_without_blaming_this_one() {
    let mut bench = Bench::new(|_| {});
    let first = bench.connected(&[1, 2]);
    bench.with(Input::Control(first, Asap::Cookie(cookie(b"state"))));
    let outputs = bench.with(Input::MoveOn);
    let second = dialed(&outputs, 2);
    assert_eq!(outputs[0], Output::Abort(first));
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    let left = FailureReason::Left;
    let told = bench.with(Input::Up(second));
    assert_eq!(told.last(), Some(&failed_over(1, 2, left, true)));
    // Where all had their turn, the first has it again, after a pause.
    let outputs = bench.with(Input::MoveOn);
    assert_eq!(bench.answered(&outputs[1..], &[1, 2]), []);
    let outputs = bench.after(BACKOFF);
    let outputs = bench.answered(&outputs, &[1, 2]);
    let again = dialed(&outputs, 1);
    assert_eq!(bench.with(Input::Up(again)).last(), Some(&failed_over(2, 1, left, true)));
}

#[test]
fn servers_that_hang_up_at_once_do_not_keep_a_search_going_for_ever() {
    for serves in [false, true] {
        let mut bench = Bench::new(|_| {});
        let mut peer = bench.connected(&[1]);
        let limit = bench.now + Config::new(handle()).failover_timeout;
        let problem = loop {
            if bench.now > limit {
                break None;
            }
            if serves {
                bench.with(Input::Data(peer));
            }
            let outputs = bench.with(Input::Down(peer, Loss::Closed));
            assert_eq!(bench.answered(&outputs[1..], &[1]), []);
            bench.now = bench.client.next_timeout().unwrap();
            let outputs = bench.with(Input::Timeout);
            if let [Output::Event(Event::GaveUp(problem))] = &outputs[..] {
                break Some(problem.clone());
            }
            peer = dialed(&bench.answered(&outputs, &[1]), 1);
            bench.with(Input::Up(peer));
        };
        assert_eq!(problem, (!serves).then_some(Problem::NoElement));
        assert!(bench.now >= limit);
    }
}

#[test]
fn pauses_grow_while_nobody_accepts() {
    let mut bench = Bench::new(|_| {});
    let mut outputs = bench.with(Input::Seek);
    for doubling in 0..3 {
        outputs = bench.answered(&outputs, &[1]);
        let peer = dialed(&outputs, 1);
        let outputs_of_refusal = bench.with(Input::Down(peer, Loss::Lost));
        assert_eq!(outputs_of_refusal[0], Output::Report(PeId(1)));
        let tried_already = bench.answered(&outputs_of_refusal[1..], &[1]);
        assert_eq!(tried_already, []);
        let pause = BACKOFF * (1 << doubling);
        assert_eq!(bench.client.next_timeout(), Some(bench.now + pause));
        outputs = bench.after(pause);
    }
}

#[test]
fn an_unknown_pool_fails_at_once_unless_it_is_waited_for() {
    for waits in [false, true] {
        let mut bench = Bench::new(|config| config.waits_for_pool = waits);
        let outputs = bench.with(Input::Seek);
        let [Output::Resolve(question)] = outputs[..] else { panic!("{outputs:?}") };
        let outputs = bench.with(Input::Answer(question, Err(ResolveError::UnknownPool)));
        let gave_up = Problem::Resolve(ResolveError::UnknownPool);
        if waits {
            assert_eq!(outputs, []);
            assert_eq!(bench.client.next_timeout(), Some(bench.now + BACKOFF));
        } else {
            assert_eq!(outputs, [Output::Event(Event::GaveUp(gave_up))]);
            assert!(bench.client.is_idle());
        }
    }
}

#[test]
fn time_and_dials_are_bounded_and_who_asks_again_gets_first_who_had_no_turn() {
    let mut bench = Bench::new(|config| {
        config.dials_max = NonZeroU32::new(2);
        config.failover_timeout = Duration::from_secs(1);
    });
    // Once all had a turn it begins anew.
    for [first, second] in [[1, 2], [3, 4], [5, 1], [1, 2]] {
        let outputs = bench.with(Input::Seek);
        let outputs = bench.answered(&outputs, &[1, 2, 3, 4, 5]);
        let outputs = bench.with(Input::Down(dialed(&outputs, first), Loss::Lost));
        let outputs = bench.with(Input::Down(dialed(&outputs, second), Loss::Lost));
        let gave_up = Output::Event(Event::GaveUp(Problem::NoElement));
        assert_eq!(outputs, [Output::Report(PeId(second)), gave_up]);
    }
    // So does who has found one.
    let outputs = bench.with(Input::Seek);
    let outputs = bench.answered(&outputs, &[1, 2, 3, 4, 5]);
    let peer = dialed(&outputs, 3);
    assert_eq!(bench.with(Input::Up(peer)).len(), 1);
    bench.with(Input::Down(peer, Loss::Lost));
    let mut bench = Bench::new(|config| config.failover_timeout = Duration::from_secs(1));
    // And the time: what is dialed is dropped.
    let outputs = bench.with(Input::Seek);
    let outputs = bench.answered(&outputs, &[1]);
    let peer = dialed(&outputs, 1);
    let gave_up = Output::Event(Event::GaveUp(Problem::NoElement));
    assert_eq!(bench.after(Duration::from_secs(1)), [Output::Abort(peer), gave_up]);
    assert_eq!(bench.client.next_timeout(), None);
}

#[test]
fn without_an_answer_the_candidates_of_earlier_are_tried() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(&[1, 2]);
    bench.now = bench.now + SETTLED;
    let outputs = bench.with(Input::Down(peer, Loss::Lost));
    let [_, _, Output::Resolve(question)] = outputs[..] else { panic!("{outputs:?}") };
    let outputs = bench.after(RESOLUTION_MAX);
    let peer = dialed(&outputs, 2);
    // Too late.
    assert_eq!(bench.with(Input::Answer(question, Ok(answer(&[3])))), []);
    assert_eq!(bench.with(Input::Up(peer)), [failed_over(1, 2, LOST, false)]);
}

#[test]
fn what_this_host_cannot_dial_is_passed_over_and_not_reported() {
    let mut bench = Bench::new(|_| {});
    let outputs = bench.with(Input::Seek);
    let outputs = bench.answered(&outputs, &[1, 2, 3]);
    let outputs = bench.with(Input::Down(dialed(&outputs, 1), Loss::System));
    assert_eq!(outputs.len(), 1);
    let outputs = bench.with(Input::Down(dialed(&outputs, 2), Loss::CannotDial));
    assert_eq!(outputs.len(), 1);
    dialed(&outputs, 3);
}

/// Whatever comes in, in whatever state: it never panics, and never does more than a few things.
#[test]
fn no_input_does_harm_in_any_state() {
    use proptest::prelude::*;

    fn input() -> impl Strategy<Value = Input> {
        let peer = || (0_u64..12).prop_map(Peer::dialed);
        let loss = prop_oneof![
            Just(Loss::Lost),
            Just(Loss::Closed),
            Just(Loss::System),
            Just(Loss::CannotDial)
        ];
        let ids = prop::collection::vec(1_u32..6, 1..4);
        let message = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..8)
                .prop_map(|octets| Asap::Cookie(cookie(&octets))),
            (1_u32..6)
                .prop_map(|id| Asap::KeepAliveAck(KeepAliveAck { handle: handle(), id: PeId(id) })),
            prop::collection::vec(1_u32..6, 1..4).prop_map(|ids| {
                let elements = ids.into_iter().map(element).collect();
                Asap::BusinessCard(BusinessCard { handle: handle(), elements })
            }),
        ];
        prop_oneof![
            Just(Input::Seek),
            (0_u64..12, ids).prop_map(|(question, ids)| Input::Answer(question, Ok(answer(&ids)))),
            (0_u64..12).prop_map(|question| Input::Answer(question, Err(ResolveError::Timeout))),
            peer().prop_map(Input::Up),
            (peer(), loss).prop_map(|(peer, loss)| Input::Down(peer, loss)),
            (peer(), message).prop_map(|(peer, message)| Input::Control(peer, message)),
            peer().prop_map(Input::Malformed),
            peer().prop_map(Input::Data),
            Just(Input::FailOver),
            Just(Input::MoveOn),
            Just(Input::Timeout),
        ]
    }

    proptest!(|(inputs in prop::collection::vec((input(), 0_u64..400), 0..60))| {
        let mut bench = Bench::new(|config| config.keep_alive = Some(KeepAlive::default()));
        let mut open = None;
        for (input, pause) in inputs {
            bench.now = bench.now + Duration::from_millis(pause);
            let outputs = bench.with(input);
            prop_assert!(outputs.len() <= 6, "{outputs:?}");
            for output in outputs {
                match output {
                    Output::Connect(peer, _) => open = Some(peer),
                    Output::Abort(peer) => prop_assert_eq!(open.take(), Some(peer)),
                    Output::Control(peer, _) => prop_assert_eq!(open, Some(peer)),
                    Output::Resolve(_) | Output::Report(_) | Output::Event(_) => {}
                }
            }
            let connected = bench.client.server().is_some();
            prop_assert!(!(connected && bench.client.is_idle()));
        }
    });
}
