//! How long elements may be silent, and that each association has its share of the keep-alives.

use std::time::Duration;

use rserpool_wire::param::PeId;

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, OTHER_ADDRESS, USER, element, pool};
use super::supervision::{left, probed, silence};
use crate::machine::{Input, Machine};
use crate::registrar::{Config, LeaveReason};
use crate::time::Time;
use crate::timing::{Profile, Timing};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn with_timing(timing: Timing) -> Lab {
    // Nobody but the element is asked, or goes.
    let idle_timeout = Duration::from_secs(3_600);
    let mut lab = Lab::with(Config { timing, idle_timeout, ..Config::default() });
    lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS]));
    lab
}

/// Lets the element answer at once for so many keep-alives.
fn answer(lab: &mut Lab, count: u32) {
    for _ in 0..count {
        assert_eq!(probed(&lab.timeout()), [1]);
        lab.acknowledge(ELEMENT, 1);
    }
}

// docs/operations.md has these bounds.
#[test]
fn a_silent_element_is_out_within_the_bound_of_its_profile() {
    let bounds = [
        (Profile::Minimal, 75),
        (Profile::Fast, 1_400),
        (Profile::Wan, 5_000),
        (Profile::Rfc, 10_000),
    ];
    for (profile, bound) in bounds {
        let timing = Timing::of(profile);
        assert!(timing.keep_alive_interval + timing.keep_alive_timeout_cap <= millis(bound));
        for answered in 0..20 {
            let mut lab = with_timing(timing);
            answer(&mut lab, answered);
            // The worst case: it has just answered.
            let heard = lab.now;
            silence(&mut lab);
            assert_eq!(left(&lab), [(1, LeaveReason::Silent)]);
            let silent = lab.now - heard;
            assert!(silent <= millis(bound), "{profile:?}: {silent:?}");
        }
    }
}

#[test]
fn an_element_that_stood_still_for_a_while_stays() {
    for answered in 0..20 {
        let mut lab = with_timing(Timing::default());
        answer(&mut lab, answered);
        // Frozen right before it is asked, for most of a second.
        assert_eq!(probed(&lab.timeout()), [1]);
        let thawed = lab.now + millis(890);
        let mut questions = 1;
        while lab.registrar.next_timeout().is_some_and(|at| at <= thawed) {
            questions += probed(&lab.timeout()).len();
        }
        lab.now = thawed;
        (0..questions).for_each(|_| drop(lab.acknowledge(ELEMENT, 1)));
        assert_eq!(lab.resolve(None), Some(vec![1]));
        let stats = lab.registrar.stats();
        assert_eq!(stats.keep_alive_acks, u64::from(answered) + questions as u64);
        assert_eq!((stats.removed_silent, stats.unexpected), (0, 0));
    }
}

#[test]
fn an_element_that_does_not_answer_is_asked_again_before_it_is_taken_out() {
    let mut lab = with_timing(Timing::default());
    answer(&mut lab, 20);
    assert_eq!(probed(&lab.timeout()), [1]);
    let asked = lab.now;
    let mut pauses = Vec::new();
    while left(&lab).is_empty() {
        let is_asked = !probed(&lab.timeout()).is_empty();
        pauses.extend(is_asked.then_some(lab.now - asked));
    }
    assert!(pauses.starts_with(&[200, 400, 600, 800].map(millis)), "{pauses:?}");
    assert!(pauses.len() <= 6, "{pauses:?}");
    assert_eq!(lab.registrar.stats().keep_alives_repeated, pauses.len() as u64);
}

#[test]
fn an_answer_counts_for_one_question() {
    let mut lab = with_timing(Timing::default());
    assert_eq!(probed(&lab.timeout()), [1]);
    for _ in 0..5 {
        lab.acknowledge(ELEMENT, 1);
    }
    let stats = lab.registrar.stats();
    assert_eq!((stats.keep_alive_acks, stats.unexpected), (1, 4));
}

#[test]
fn questions_to_others_of_an_association_spare_repetitions() {
    let mut lab = with_timing(Timing::default());
    for id in 2..=100 {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    let end = Time::from_origin(Duration::from_secs(20));
    while lab.registrar.next_timeout().is_some_and(|at| at <= end) {
        for id in probed(&lab.timeout()) {
            if id > 1 {
                lab.acknowledge(ELEMENT, id);
            }
        }
    }
    assert_eq!(lab.registrar.stats().removed_silent, 1);
    assert_eq!(lab.registrar.stats().keep_alives_repeated, 0);
}

#[test]
fn a_reported_element_is_out_when_it_has_not_answered_for_the_cap() {
    let mut lab = with_timing(Timing::default());
    answer(&mut lab, 20);
    assert_eq!(probed(&lab.report(USER, 1)), [1]);
    let reported = lab.now;
    silence(&mut lab);
    assert_eq!(lab.now - reported, Timing::default().keep_alive_timeout_cap);
}

/// A registrar that may send so many keep-alives a second, and so many elements over one
/// association; each answers at once, for so many seconds.
fn crowd(rate: u32, elements: u32, seconds: u64) -> Lab {
    let supervision_rate_max = rate.try_into().unwrap();
    let mut lab = Lab::with(Config { supervision_rate_max, ..Config::default() });
    for id in 1..=elements {
        lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
    }
    run(&mut lab, seconds, |_| true);
    lab
}

/// Lets time pass; elements that `answers` says answer at once. Who was asked.
fn run(lab: &mut Lab, seconds: u64, answers: impl Fn(u32) -> bool) -> Vec<u32> {
    let end = lab.now + Duration::from_secs(seconds);
    let mut asked = Vec::new();
    while lab.registrar.next_timeout().is_some_and(|at| at <= end) {
        for id in probed(&lab.timeout()) {
            asked.push(id);
            if answers(id) {
                lab.acknowledge(if id == OTHERS { OTHER } else { ELEMENT }, id);
            }
        }
    }
    lab.now = end;
    asked
}

/// The element of the other association.
const OTHERS: u32 = 1_000_000;

#[test]
fn many_elements_of_one_association_do_not_delay_the_detection_of_another_ones() {
    // Asked at this rate, the many take a minute.
    let mut lab = crowd(200, 12_000, 5);
    lab.register(OTHER, element(OTHERS, &[OTHER_ADDRESS]));
    run(&mut lab, 10, |_| true);
    assert_eq!(lab.registrar.handlespace().len(), 12_001);
    let frozen = lab.now;
    while lab.registrar.stats().removed_silent == 0 {
        for id in probed(&lab.timeout()) {
            if id != OTHERS {
                lab.acknowledge(ELEMENT, id);
            }
        }
    }
    assert_eq!(lab.registrar.handlespace().find(&pool(), PeId(OTHERS)), None);
    let silent = lab.now - frozen;
    assert!(silent <= millis(1_500), "{silent:?}");
}

#[test]
fn an_element_of_its_own_association_is_asked_in_the_interval_however_many_others_there_are() {
    let mut lab = crowd(200, 12_000, 5);
    lab.register(OTHER, element(OTHERS, &[OTHER_ADDRESS]));
    let asked = run(&mut lab, 60, |_| true);
    let its = asked.iter().filter(|id| **id == OTHERS).count();
    assert!((110..=190).contains(&its), "{its} in 60 s");
    // What the one does not use, the others have.
    let others = asked.len() - its;
    assert!(others > 60 * 190 && others < 60 * 201, "{others}");
}

#[test]
fn elements_that_need_not_be_asked_any_more_use_nothing_of_the_rate() {
    let mut lab = crowd(10, 200, 0);
    // The registrar stood still: all are to be asked at once.
    lab.wait(60_000);
    lab.input(Input::Timeout);
    assert_eq!(lab.registrar.stats().keep_alives, 1);
    for id in 1..=200 {
        assert_eq!(lab.deregister(ELEMENT, id), []);
    }
    lab.register(ELEMENT, element(300, &[ELEMENT_ADDRESS]));
    let registered = lab.now;
    while probed(&lab.timeout()).is_empty() {}
    let waited = lab.now - registered;
    assert!(waited <= Timing::default().keep_alive_interval, "{waited:?}");
}

#[test]
fn a_queue_does_not_grow_when_elements_move_to_and_fro() {
    let mut lab = crowd(1, 50, 20);
    for _ in 0..200 {
        for id in 1..=50 {
            lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS]));
        }
        run(&mut lab, 60, |_| true);
    }
    let queue = &lab.registrar.associations[&ELEMENT].queue;
    assert!(queue.elements.len() <= 101, "{}", queue.elements.len());
}
