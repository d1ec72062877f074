//! Changing the configuration of a registrar while it runs.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rserpool_wire::asap::{Asap, Registration};

use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, element, pool};
use super::net::Net;
use crate::handlespace::Limit;
use crate::machine::{Input, Output, Target};
use crate::registrar::access::{Allow, Rules, Verb};
use crate::registrar::{CONFIGURED_MAX, Command, Config, Deadline, Event, Reloadable, State};
use crate::timing::Timing;

fn reconfigure(lab: &mut Lab, change: impl FnOnce(&mut Reloadable)) -> Vec<Output<Event>> {
    let mut new = lab.registrar.reloadable();
    change(&mut new);
    let told = lab.registrar.differences(&new);
    let outputs = lab.input(Input::Command(Command::Reconfigure(Box::new(new))));
    assert_eq!(lab.events.last(), Some(&Event::Reconfigured { changed: told }));
    outputs
}

fn changed(lab: &Lab) -> &[&'static str] {
    match lab.events.last() {
        Some(Event::Reconfigured { changed }) => changed,
        other => panic!("{other:?}"),
    }
}

/// The numbers that are dialed.
fn dials(outputs: &[Output<Event>]) -> Vec<usize> {
    let number = |output: &Output<Event>| match output {
        Output::Connect(_, Target::Configured(number), _) => Some(*number),
        _ => None,
    };
    outputs.iter().filter_map(number).collect()
}

#[test]
fn what_changed_is_told_by_its_name_in_the_file() {
    let mut lab = Lab::new();
    reconfigure(&mut lab, |_| {});
    assert_eq!(changed(&lab), [""; 0]);
    reconfigure(&mut lab, |new| {
        new.bad_reports_max += 1;
        new.timing.keep_alive_interval *= 2;
        new.handlespace.limits.pools_max -= 1;
        new.handlespace.items_max = NonZeroU32::MIN;
        new.quotas.held_octets += 1;
        new.peers_max -= 1;
    });
    let all = [
        "bad_reports_max",
        "limits.peers",
        "timing.keep_alive_interval",
        "items_max",
        "limits.pools",
        "limits.held_octets",
    ];
    assert_eq!(changed(&lab), all);
    reconfigure(&mut lab, |_| {});
    assert_eq!(changed(&lab), [""; 0]);
}

#[test]
fn rules_are_changed_with_the_rest_and_their_absence_opens_nothing() {
    let may = |verb| {
        let rule = Allow::new("any".parse().unwrap(), vec![verb]);
        let open = Allow::new("anonymous".parse().unwrap(), vec![verb]);
        Some(Arc::new(Rules { peers: vec![], allow: vec![rule, open] }))
    };
    let mut lab = Lab::new();
    assert!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])).is_empty());
    reconfigure(&mut lab, |new| new.access = may(Verb::Register));
    assert_eq!(changed(&lab), ["access"]);
    let known = |lab: &Lab| lab.registrar.handlespace().len();
    assert_eq!(known(&lab), 1);
    // The same are no news.
    reconfigure(&mut lab, |new| new.access = may(Verb::Register));
    assert_eq!(changed(&lab), [""; 0]);
    // Rules that do not allow it any more take it out in the same step.
    let outputs = reconfigure(&mut lab, |new| new.access = may(Verb::Resolve));
    assert!(outputs.contains(&Output::Close(ELEMENT)), "{outputs:?}");
    assert_eq!(known(&lab), 0);
    reconfigure(&mut lab, |new| new.access = None);
    assert_eq!(changed(&lab), [""; 0]);
    assert_eq!(lab.registrar.reloadable().access, may(Verb::Resolve));
}

#[test]
fn values_are_brought_into_bounds_as_at_the_start() {
    let mut lab = Lab::new();
    let handle_octets = lab.registrar.reloadable().handlespace.limits.handle_octets_max;
    reconfigure(&mut lab, |new| {
        new.timing.keep_alive_interval = Duration::ZERO;
        new.leave_timeout = Duration::MAX;
        new.handlespace.limits.handle_octets_max = u32::MAX;
        new.peers = [CONFIGURED_MAX, usize::MAX].into();
    });
    let now = lab.registrar.reloadable();
    assert_eq!(now.timing.keep_alive_interval, Timing::LEAST);
    assert_eq!(now.leave_timeout, Timing::MOST);
    assert!(now.handlespace.limits.handle_octets_max >= handle_octets);
    assert!(now.handlespace.limits.handle_octets_max < u32::MAX);
    assert_eq!(now.peers, BTreeSet::new());
}

#[test]
fn a_lower_limit_keeps_who_is_there_and_refuses_who_comes() {
    let mut lab = Lab::new();
    for id in 1..=2 {
        assert_eq!(lab.register(ELEMENT, element(id, &[ELEMENT_ADDRESS])), []);
    }
    reconfigure(&mut lab, |new| new.handlespace.limits.elements_per_pool_max = 1);
    assert_eq!(lab.resolve(None), Some(vec![1, 2]));
    // Who is there may say so again.
    reconfigure(&mut lab, |new| new.handlespace.limits.handle_octets_max = 1);
    assert_eq!(lab.register(ELEMENT, element(1, &[ELEMENT_ADDRESS])), []);
    let refused = element(3, &[ELEMENT_ADDRESS]);
    let registration = Asap::Registration(Registration { handle: pool(), element: refused });
    let Asap::RegistrationResponse(answer) = lab.ask(ELEMENT, registration) else { panic!() };
    assert!(answer.rejected);
    assert_eq!(lab.registrar.handlespace().limits_reached().of(Limit::ElementsPerPool), 1);
    reconfigure(&mut lab, |new| new.handlespace.limits.elements_per_pool_max = 3);
    assert_eq!(lab.register(ELEMENT, element(3, &[ELEMENT_ADDRESS])), []);
}

#[test]
fn new_registrars_are_dialed_and_removed_ones_no_longer() {
    let mut lab = Lab::new();
    assert_eq!(lab.registrar.state(), State::Serving);
    let outputs = reconfigure(&mut lab, |new| new.peers = [0, 1].into());
    assert_eq!((dials(&outputs), changed(&lab)), (vec![0, 1], &["peers"][..]));
    // The dial that is under way ends with it.
    let dialing = match &outputs[0] {
        Output::Connect(peer, Target::Configured(0), _) => *peer,
        other => panic!("{other:?}"),
    };
    let outputs = reconfigure(&mut lab, |new| new.peers = [1, 2].into());
    assert_eq!(dials(&outputs), [2]);
    assert!(outputs.contains(&Output::Abort(dialing)), "{outputs:?}");
    // The others are dialed again and again.
    let mut redialed = BTreeSet::new();
    let mut waiting: Vec<_> = outputs;
    for _ in 0..20 {
        for output in std::mem::take(&mut waiting) {
            if let Output::Connect(peer, Target::Configured(_), _) = output {
                waiting.extend(lab.input(Input::Down(peer)));
            }
        }
        waiting.extend(lab.timeout());
        redialed.extend(dials(&waiting));
    }
    assert_eq!(redialed, [2].into());
    // One that comes back is dialed at once.
    assert_eq!(dials(&reconfigure(&mut lab, |new| new.peers = [0, 1, 2].into())), [0]);
}

#[test]
fn before_the_start_nobody_is_dialed() {
    let mut lab = Lab::with(Config { peers: 1, ..Config::default() });
    let outputs = reconfigure(&mut lab, |new| new.peers = [1].into());
    assert_eq!(dials(&outputs), []);
    assert_eq!(dials(&lab.input(Input::Command(Command::Start))), [1]);
}

#[test]
fn suggestions_can_be_switched_on_and_off() {
    let mut lab = Lab::new();
    lab.input(Input::Command(Command::Start));
    assert_eq!(lab.registrar.deadlines.deadline(Deadline::Suggestion), None);
    reconfigure(&mut lab, |new| new.takeover_suggestion = true);
    let pause = lab.registrar.reloadable().suggestion_pause;
    assert_eq!(lab.registrar.deadlines.deadline(Deadline::Suggestion), Some(lab.now + pause));
    reconfigure(&mut lab, |new| new.takeover_suggestion = false);
    assert_eq!(lab.registrar.deadlines.deadline(Deadline::Suggestion), None);
}

#[test]
fn two_that_are_told_of_each_other_meet_and_one_that_is_removed_stays_while_it_lives() {
    let mut net = Net::new();
    let first = net.registrar(vec![1], |config| config.peers = 0);
    let second = net.registrar(Vec::new(), |_| {});
    for place in [first, second] {
        net.start(place);
    }
    net.run(5_000);
    assert_eq!(net.at(first).peers().count(), 0);
    let mut new = net.at(first).reloadable();
    new.peers = [0].into();
    net.input(first, Input::Command(Command::Reconfigure(Box::new(new.clone()))));
    net.run(5_000);
    for place in [first, second] {
        assert_eq!(net.at(place).peers().count(), 1, "{place}");
    }
    new.peers = BTreeSet::new();
    net.input(first, Input::Command(Command::Reconfigure(Box::new(new))));
    net.run(60_000);
    let peer = net.at(first).peers().next().map(|peer| peer.associations);
    assert_eq!(peer, Some(1));
}
