//! Reports ask; what removes is silence.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rserpool_wire::Message;
use rserpool_wire::asap::{Asap, Unreachable};
use rserpool_wire::param::PeId;

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, USER, element, link, pool};
use super::supervision::{left, probed, silence};
use crate::machine::{Carrier, Input, Machine, Output, Peer};
use crate::registrar::LeaveReason;
use crate::timing::Timing;

/// A registrar with an element, and users at this many hosts.
fn with_users(count: u8) -> (Lab, Vec<Peer>) {
    let mut lab = Lab::new();
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    for _ in 0..5 {
        lab.timeout();
        lab.acknowledge(ELEMENT, 1);
    }
    let users = (0..count).map(|number| user(&mut lab, number, number)).collect();
    (lab, users)
}

/// Another association of a user at this host.
fn user(lab: &mut Lab, number: u8, host: u8) -> Peer {
    let peer = Peer::accepted(100 + u64::from(number));
    let address = IpAddr::V4(Ipv4Addr::new(10, 1, 0, host));
    lab.input(Input::Up(peer, link(Carrier::Sctp, &[address])));
    peer
}

// RFC 5352 §3.5; checklist 106 to 108.
#[test]
fn a_report_is_followed_by_a_keep_alive_at_once_and_too_many_by_removal() {
    let (mut lab, users) = with_users(4);
    assert_eq!(probed(&lab.report(users[0], 1)), [1]);
    let asked = lab.now;
    // The same again is no news, and no keep-alive either: checklist 207.
    assert_eq!(lab.report(users[0], 1), []);
    for &user in &users[1..] {
        assert_eq!(lab.report(user, 1), []);
    }
    assert_eq!(lab.registrar.stats().reports_ignored, 1);
    silence(&mut lab);
    assert_eq!(left(&lab), [(1, LeaveReason::Reported)]);
    // Sooner than without reports, but a lost keep-alive would have been repaired.
    assert_eq!(lab.now - asked, Timing::default().keep_alive_timeout_cap / 2);
}

#[test]
fn three_reporters_of_a_silent_element_are_not_enough_to_remove_it_sooner() {
    let (mut lab, users) = with_users(3);
    let asked = lab.now;
    users.iter().for_each(|user| drop(lab.report(*user, 1)));
    silence(&mut lab);
    assert_eq!(left(&lab), [(1, LeaveReason::Silent)]);
    assert_eq!(lab.now - asked, Timing::default().keep_alive_timeout_cap);
}

// RFC 5355 §2.13.
#[test]
fn reports_never_remove_an_element_that_answers() {
    let (mut lab, users) = with_users(20);
    for _ in 0..50 {
        for &user in &users {
            let asked = probed(&lab.report(user, 1)).len();
            lab.wait(1);
            (0..asked).for_each(|_| drop(lab.acknowledge(ELEMENT, 1)));
        }
        lab.wait(1_000);
    }
    // All before one answer comes.
    for _ in 0..50 {
        users.iter().for_each(|user| drop(lab.report(*user, 1)));
        lab.wait(300);
        assert_eq!(lab.resolve(None), Some(vec![1]));
        lab.acknowledge(ELEMENT, 1);
        lab.wait(1_000);
    }
    assert_eq!(lab.resolve(None), Some(vec![1]));
    assert_eq!(lab.registrar.stats().removed_reported, 0);
}

#[test]
fn many_associations_of_one_host_are_one_reporter() {
    let (mut lab, _) = with_users(0);
    let users: Vec<Peer> = (0..50).map(|number| user(&mut lab, number, 7)).collect();
    let asked = lab.now;
    users.iter().for_each(|user| drop(lab.report(*user, 1)));
    assert_eq!(lab.registrar.stats().reports_ignored, 49);
    silence(&mut lab);
    assert_eq!(left(&lab), [(1, LeaveReason::Silent)]);
    assert_eq!(lab.now - asked, Timing::default().keep_alive_timeout_cap);
}

#[test]
fn an_answer_and_a_registration_forget_the_reports() {
    let (mut lab, users) = with_users(4);
    for round in 0..10 {
        for &user in &users[..3] {
            lab.report(user, 1);
        }
        match round % 2 {
            0 => drop(lab.acknowledge(ELEMENT, 1)),
            _ => drop(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]))),
        }
        assert!(lab.registrar.reports.iter().next().is_none());
        lab.wait(1_000);
    }
    assert_eq!(lab.resolve(None), Some(vec![1]));
}

#[test]
fn reports_of_many_elements_do_not_take_the_rate_from_supervision() {
    let mut lab = Lab::new();
    for id in 1..=3_000 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    let asked = |outputs: Vec<Output<_>>| probed(&outputs).len();
    let message = |id| Asap::Unreachable(Unreachable { handle: pool(), id: PeId(id) });
    let report = |id| Input::Message(USER, Message::Asap(message(id)));
    let by_reports: usize = (1..=3_000).map(|id| asked(lab.input(report(id)))).sum();
    // 20 000 in a second, a tenth of it at once, of which half is for others.
    assert_eq!(by_reports, 1_001);
    assert_eq!(lab.registrar.stats().reports_ignored, 0);
    assert!(lab.registrar.next_timeout() < Some(lab.now + Duration::from_millis(5)));
}
