use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use rserpool_wire::Message;
use rserpool_wire::asap::{Announce, Asap, KeepAlive};
use rserpool_wire::param::{PeId, PoolElement, RegistrarId, RegistrationLife};

use rserpool_wire::enrp::Body;

use super::colleague::{add, delete, homed, takeover};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, element, link, pool};
use crate::machine::{Carrier, Input, Machine, Output, Peer};
use crate::registrar::{Command, Config, Event, LeaveReason};
use crate::time::Time;

pub(super) fn probed(outputs: &[Output<Event>]) -> Vec<u32> {
    let id = |output: &Output<Event>| match output {
        Output::Send(_, Message::Asap(Asap::KeepAlive(KeepAlive { id: Some(id), .. }))) => {
            Some(id.0)
        }
        _ => None,
    };
    outputs.iter().filter_map(id).collect()
}

pub(super) fn left(lab: &Lab) -> Vec<(u32, LeaveReason)> {
    let reason = |event: &Event| match event {
        Event::Left { id, reason, .. } => Some((id.0, *reason)),
        _ => None,
    };
    lab.events.iter().filter_map(reason).collect()
}

/// Lets nobody answer until an element is out; what the registrar wants done then.
pub(super) fn silence(lab: &mut Lab) -> Vec<Output<Event>> {
    let before = lab.registrar.handlespace().len();
    loop {
        let outputs = lab.timeout();
        if lab.registrar.handlespace().len() < before {
            return outputs;
        }
    }
}

fn with_element() -> Lab {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab
}

#[test]
fn an_element_that_answers_stays() {
    let mut lab = with_element();
    for _ in 0..100 {
        let outputs = lab.timeout();
        let [Output::Send(ELEMENT, Message::Asap(Asap::KeepAlive(keep_alive)))] = &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!(
            *keep_alive,
            KeepAlive {
                claim_home: false,
                sender: Some(lab.registrar.id()),
                handle: pool(),
                id: Some(PeId(1)),
            }
        );
        lab.wait(1);
        assert_eq!(lab.acknowledge(ELEMENT, 1), []);
    }
    assert!(lab.now.since_origin() < Duration::from_secs(60));
    assert_eq!(lab.resolve(None), Some(vec![1]));
}

#[test]
fn a_silent_element_is_gone_within_the_interval_and_the_wait() {
    let mut lab = with_element();
    for _ in 0..10 {
        lab.timeout();
        lab.wait(1);
        lab.acknowledge(ELEMENT, 1);
    }
    let silent_since = lab.now;
    assert_eq!(probed(&lab.timeout()), [1]);
    let outputs = silence(&mut lab);
    assert_eq!(left(&lab), [(1, LeaveReason::Silent)]);
    // The end of its association, which is of no more use, tells it, should it come back.
    assert_eq!(outputs, [Output::Abort(ELEMENT)]);
    assert_eq!(lab.now - silent_since, Duration::from_millis(1_400));
    assert_eq!(lab.resolve(None), None);
    // But for associations that nobody uses there is nothing to wait for.
    let idle = Time::from_origin(Config::default().idle_timeout);
    assert_eq!(lab.registrar.next_timeout(), Some(idle));
}

#[test]
fn one_silent_element_does_not_take_the_others_of_its_association_along() {
    let mut lab = with_element();
    lab.register(ELEMENT, element(2, &[ELEMENT_ADDRESS]));
    while lab.registrar.handlespace().len() == 2 {
        for id in probed(&lab.timeout()) {
            if id == 2 {
                lab.acknowledge(ELEMENT, 2);
            }
        }
    }
    assert_eq!(lab.resolve(None), Some(vec![2]));
    assert_eq!(lab.registrar.associations(), 3);
}

#[test]
fn a_registrar_that_was_busy_does_not_blame_the_elements() {
    let mut lab = with_element();
    lab.timeout();
    // The registrar is frozen for a minute; the answer is in its queue, behind its timer.
    lab.wait(60_000);
    assert_eq!(lab.input(Input::Timeout), []);
    lab.acknowledge(ELEMENT, 1);
    assert_eq!(lab.resolve(None), Some(vec![1]));
    assert_eq!(lab.registrar.stats().keep_alive_extensions, 1);
}

#[test]
fn a_registrar_that_is_behind_blames_nobody_whose_timer_is_due() {
    let mut lab = with_element();
    lab.register(OTHER, element(2, &[OTHER_ADDRESS]));
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let ids = probed(&lab.timeout());
        asked.extend(ids.into_iter().map(|id| (id, lab.now)));
    }
    let [(first, first_asked), (second, second_asked)] = asked[..] else { panic!("{asked:?}") };
    assert!(second_asked - first_asked > Duration::from_millis(20), "{asked:?}");
    // What the second timer waits for may lie behind what the first one waits for.
    lab.now = second_asked + Config::default().timing.keep_alive_timeout_cap;
    assert_eq!(lab.input(Input::Timeout), []);
    let peer_of = |id| if id == 1 { ELEMENT } else { OTHER };
    lab.acknowledge(peer_of(first), first);
    lab.acknowledge(peer_of(second), second);
    assert_eq!(left(&lab), []);
    assert_eq!(lab.registrar.stats().keep_alive_extensions, 2);
}

#[test]
fn a_registrar_that_is_always_late_still_finds_the_dead() {
    let mut lab = with_element();
    for _ in 0..20 {
        lab.now = lab.registrar.next_timeout().unwrap_or(lab.now);
        lab.wait(100);
        lab.input(Input::Timeout);
    }
    assert_eq!(lab.resolve(None), None);
}

#[test]
fn the_loss_of_an_association_takes_its_elements_at_once() {
    let mut lab = with_element();
    lab.register(ELEMENT, element(2, &[ELEMENT_ADDRESS]));
    lab.register(OTHER, element(3, &[OTHER_ADDRESS]));
    assert_eq!(lab.input(Input::Down(ELEMENT)), []);
    let lost = LeaveReason::AssociationLost;
    assert_eq!(left(&lab), [(1, lost), (2, lost)]);
    assert_eq!(lab.resolve(None), Some(vec![3]));
}

#[test]
fn very_many_elements_of_a_lost_association_go_a_few_at_a_time() {
    let mut lab = Lab::new();
    for id in 1..=200 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    lab.input(Input::Down(ELEMENT));
    assert_eq!(lab.registrar.handlespace().len(), 200);
    lab.timeout();
    let after_one_step = lab.registrar.handlespace().len();
    assert!((100..200).contains(&after_one_step), "{after_one_step}");
    assert!(lab.resolve(Some(3)).is_some());
    // The loss is known: whoever comes from elsewhere is no stranger with the same name.
    assert_eq!(lab.register(OTHER, element(200, &[OTHER_ADDRESS])), []);
    let lost_at = lab.now;
    while lab.registrar.handlespace().len() > 1 {
        lab.timeout();
    }
    assert!(lab.now - lost_at < Duration::from_millis(1));
    assert_eq!(lab.registrar.stats().removed_lost, 199);
    assert_eq!(lab.resolve(None), Some(vec![200]));
}

/// Until it is their turn, elements of an association that has ended are still this registrar's. Others
/// speak of them meanwhile: whatever follows from that, nothing is sent to where they were.
#[test]
fn nothing_goes_to_elements_that_are_lost_and_still_to_be_taken_out() {
    let mut lab = Lab::among(&[0x22]);
    for id in 1..=300 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    lab.input(Input::Down(ELEMENT));
    // One is reported, and asked.
    lab.report(USER, 299);
    // Another registrar has some of them, as it says, and one of that has left again.
    for id in 250..=260 {
        lab.enrp(0x22, add(homed(id, 0x22)));
    }
    lab.enrp(0x22, delete(homed(250, 0x22)));
    // One is suggested to others, or asked for.
    lab.enrp(0x22, Body::TakeoverDone(takeover(super::colleague::SELF)));
    while !lab.registrar.supervised.is_empty() {
        lab.timeout();
    }
}

#[test]
fn who_answers_one_question_after_the_other_is_not_blamed_for_the_later_ones() {
    let mut lab = Lab::new();
    for id in 1..=20 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    while lab.now < Time::from_origin(Duration::from_secs(5)) {
        for id in probed(&lab.timeout()) {
            lab.acknowledge(ELEMENT, id);
        }
    }
    // Now each answer takes 100 ms, and there are more questions than that.
    let (mut asked, mut next_answer) = (VecDeque::new(), lab.now);
    for _ in 0..100 {
        while lab.registrar.next_timeout().is_some_and(|at| at <= next_answer) {
            asked.extend(probed(&lab.timeout()));
        }
        lab.now = next_answer;
        if let Some(id) = asked.pop_front() {
            lab.acknowledge(ELEMENT, id);
        }
        next_answer = next_answer + Duration::from_millis(100);
    }
    assert_eq!(lab.registrar.handlespace().len(), 20);
    // And now nothing comes any more.
    while !lab.registrar.handlespace().is_empty() {
        lab.timeout();
    }
    assert!(lab.now - next_answer < Duration::from_secs(2), "{:?}", lab.now - next_answer);
}

#[test]
fn reports_of_unknown_elements_are_counted_and_ignored() {
    let mut lab = with_element();
    assert_eq!(lab.report(USER, 77), []);
    assert_eq!(lab.registrar.stats().reports_ignored, 1);
}

// RFC 5352 §2.2.4, §3.2; checklist 82.
#[test]
fn a_registration_that_is_not_renewed_runs_out_and_the_element_is_told() {
    let mut lab = Lab::new();
    let life = RegistrationLife(2);
    lab.register(ELEMENT, PoolElement { life, ..element(1, &[ELEMENT_ADDRESS]) });
    let told = loop {
        let outputs = lab.timeout();
        if left(&lab) == [(1, LeaveReason::Expired)] {
            break outputs;
        }
        lab.acknowledge(ELEMENT, 1);
    };
    assert!(matches!(
        told[..],
        [Output::Send(ELEMENT, Message::Asap(Asap::DeregistrationResponse(_)))]
    ));
    assert_eq!(lab.now, Time::from_origin(Duration::from_secs(2)));
}

// Checklist 25.
#[test]
fn a_life_of_minus_one_never_ends() {
    let idle_timeout = Duration::from_secs(2_000);
    let mut lab = Lab::with(Config { idle_timeout, ..Config::default() });
    let life = RegistrationLife::FOREVER;
    lab.register(ELEMENT, PoolElement { life, ..element(1, &[ELEMENT_ADDRESS]) });
    while lab.now < Time::from_origin(Duration::from_secs(1_000)) {
        lab.timeout();
        lab.acknowledge(ELEMENT, 1);
    }
    assert_eq!(lab.resolve(None), Some(vec![1]));
}

// RFC 5352 §3.5; checklist 109.
#[test]
fn keep_alives_are_spread_over_the_interval() {
    let mut lab = Lab::new();
    let addresses: Vec<IpAddr> = vec![ELEMENT_ADDRESS];
    for id in 1..=100 {
        lab.register(ELEMENT, element(id, &addresses));
    }
    let mut tenths = [0; 10];
    while lab.now < Time::from_origin(Duration::from_secs(10)) {
        for id in probed(&lab.timeout()) {
            let place = lab.now.since_origin().as_millis() % 500 / 50;
            tenths[usize::try_from(place).unwrap()] += 1;
            lab.acknowledge(ELEMENT, id);
        }
    }
    let total: u32 = tenths.iter().sum();
    assert!(tenths.iter().all(|&count| count > total / 20 && count < total / 5), "{tenths:?}");
}

#[test]
fn supervision_stays_below_its_rate_however_many_elements_there_are() {
    let mut lab =
        Lab::with(Config { supervision_rate_max: 100.try_into().unwrap(), ..Config::default() });
    for id in 1..=1_000 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    let mut asked = BTreeSet::new();
    let end = Time::from_origin(Duration::from_secs(25));
    while lab.registrar.next_timeout().is_some_and(|at| at <= end) {
        for id in probed(&lab.timeout()) {
            asked.insert(id);
            lab.acknowledge(ELEMENT, id);
        }
    }
    let sent = lab.registrar.stats().keep_alives;
    assert!(sent <= 25 * 100 + 10, "{sent} keep-alives in 25 s");
    assert_eq!(asked.len(), 1_000);
}

#[test]
fn strict_keep_alives_are_those_of_the_rfc() {
    let mut lab = Lab::with(Config { strict_rfc_keepalive: true, ..Config::default() });
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    let outputs = lab.timeout();
    assert!(matches!(
        &outputs[..],
        [Output::Send(ELEMENT, Message::Asap(Asap::KeepAlive(KeepAlive { id: None, .. })))]
    ));
}

#[test]
fn an_acknowledgement_from_elsewhere_proves_nothing() {
    let mut lab = with_element();
    lab.timeout();
    assert_eq!(lab.acknowledge(OTHER, 1), []);
    silence(&mut lab);
    assert_eq!(left(&lab), [(1, LeaveReason::Silent)]);
}

// RFC 5352 §3.6; checklist 110.
#[test]
fn registrars_share_the_announces_of_a_scope() {
    let mut lab = Lab::with(Config { announced: Some(Vec::new()), ..Config::default() });
    let announce = |id| {
        let sender = RegistrarId::new(id);
        Message::Asap(Asap::Announce(Announce { sender, transports: Vec::new() }))
    };
    lab.input(Input::Command(Command::Start));
    let first = lab.now;
    for id in [0x11, 0x22, 0x33, 0x22] {
        lab.input(Input::Announce(OTHER_ADDRESS, announce(id)));
    }
    assert_eq!(lab.timeout(), [Output::Announce(announce(0x11))]);
    assert_eq!(lab.now - first, Duration::from_secs(1));
    lab.timeout();
    assert_eq!(lab.now - first, Duration::from_secs(1 + 3));
}

#[test]
fn what_comes_after_the_end_of_an_association_changes_nothing() {
    let mut lab = Lab::new();
    lab.input(Input::Down(ELEMENT));
    let message = rserpool_wire::asap::Registration {
        handle: pool(),
        element: element(1, &[ELEMENT_ADDRESS]),
    };
    assert_eq!(lab.asap(ELEMENT, Asap::Registration(message)), []);
    assert!(lab.registrar.handlespace().is_empty());
    assert_eq!(lab.input(Input::Down(Peer::accepted(99))), []);
    lab.input(Input::Up(ELEMENT, link(Carrier::Sctp, &[ELEMENT_ADDRESS])));
}
