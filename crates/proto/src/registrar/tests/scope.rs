//! Several registrars and their elements.

use std::time::Duration;

use rserpool_wire::enrp::Body;

use super::net::{Net, id};
use crate::dialect::Dialect;
use crate::registrar::{Event, State};
use crate::timing::{Profile, Timing};

/// Three registrars with two elements each.
fn three_with_elements() -> (Net, Vec<usize>) {
    let mut net = Net::of(3);
    let homes = [[0, 1, 2], [0, 1, 2], [1, 2, 0], [1, 2, 0], [2, 0, 1], [2, 0, 1]];
    let elements = homes.iter().map(|home| net.element(home.to_vec())).collect();
    net.run(3_000);
    net.assert_agrees();
    assert_eq!(net.view(0).len(), 6);
    (net, elements)
}

// Checklist 146 to 156, 150.
#[test]
fn registrars_that_start_together_find_each_other() {
    let net = Net::of(3);
    for place in 0..3 {
        assert_eq!(net.at(place).state(), State::Serving);
        assert_eq!(net.at(place).peers().count(), 2);
    }
}

// Checklist 159 to 162, 177.
#[test]
fn what_registers_anywhere_is_known_everywhere() {
    let (net, _) = three_with_elements();
    assert!(net.at(0).handlespace().homes().count() >= 1);
}

// Checklist 167 to 169, 174 to 176.
#[test]
fn the_elements_of_a_killed_registrar_change_home_at_once() {
    let (mut net, _) = three_with_elements();
    let victim = net.view(0)[&net.view(0).keys().next().copied().unwrap()].unwrap();
    let place = (0..3).find(|place| id(*place) == victim).unwrap();
    net.kill(place);
    let took = net.run_until(Net::agrees);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(net.view((place + 1) % 3).len(), 6);
}

#[test]
fn a_registrar_that_is_frozen_is_taken_over_and_wakes_up_among_the_others() {
    let (mut net, _) = three_with_elements();
    net.freeze(2);
    net.run(5_000);
    let view = net.view(0);
    assert_eq!(view.len(), 6);
    assert!(view.values().all(|home| *home != Some(id(2))), "{view:?}");
    net.thaw(2);
    let took = net.run_until(Net::agrees);
    assert!(took < Duration::from_secs(5), "{took:?}");
    net.run(3_000);
    net.assert_agrees();
    assert_eq!(net.view(0).len(), 6);
}

#[test]
fn two_registrars_are_enough_for_a_takeover() {
    let mut net = Net::of(2);
    let element = net.element(vec![0]);
    net.run(1_000);
    assert_eq!(net.view(1).len(), 1);
    net.kill(0);
    let took = net.run_until(|net| net.at(1).handlespace().owned_count(id(1)) == 1);
    assert!(took < Duration::from_millis(50), "{took:?}");
    net.run(1_000);
    assert_eq!(net.element_at(element).home().and_then(|home| home.id), Some(id(1)));
    assert!(net.told(1).contains(&&Event::TakeoverWon { target: id(0), elements: 1 }));
    // Design 9.13.
    let since = net.now;
    net.run(5_000);
    assert_eq!(net.sent(since, 1, 0, |body| !matches!(body, Body::Presence(_))), 0);
}

#[test]
fn a_registrar_that_restarts_under_its_identifier_keeps_its_elements() {
    let (mut net, _) = three_with_elements();
    net.restart(1, |_| {});
    let took = net.run_until(Net::agrees);
    assert!(took < Duration::from_secs(5), "{took:?}");
    net.run(6_000);
    net.assert_agrees();
    assert_eq!(net.view(1).len(), 6);
}

#[test]
fn a_registrar_that_restarts_under_another_identifier_is_taken_over_and_joins() {
    let (mut net, _) = three_with_elements();
    net.restart(1, |config| config.id = rserpool_wire::param::RegistrarId::new(0x999));
    let took = net.run_until(|net| net.agrees() && net.view(0).len() == 6);
    assert!(took < Duration::from_secs(5), "{took:?}");
    net.run(6_000);
    net.assert_agrees();
    assert_eq!(net.view(1).len(), 6);
    assert!(net.at(0).peers().all(|peer| peer.id != id(1)));
}

#[test]
fn two_halves_of_a_scope_agree_again_when_they_meet() {
    let (mut net, elements) = three_with_elements();
    // The elements of 2 stay with it; those of 0 and 1 with them.
    let with_2: Vec<usize> = elements
        .iter()
        .copied()
        .filter(|place| net.element_at(*place).home().and_then(|home| home.id) == Some(id(2)))
        .chain([2])
        .collect();
    let others: Vec<usize> =
        (0..9).filter(|place| *place < 2 || elements.contains(place)).collect();
    let others: Vec<usize> = others.into_iter().filter(|place| !with_2.contains(place)).collect();
    net.cut(&with_2, &others);
    net.run(10_000);
    net.heal();
    let took = net.run_until(|net| net.agrees() && net.view(0).len() == 6);
    assert!(took < Duration::from_secs(8), "{took:?}");
    net.run(10_000);
    net.assert_agrees();
    assert_eq!(net.view(0).len(), 6);
}

#[test]
fn over_tcp_learned_registrars_are_dialed_over_tcp() {
    let mut net = Net::new();
    net.registrar(vec![], |_| {});
    net.registrar(vec![0], |_| {});
    net.registrar(vec![0], |_| {});
    (0..3).for_each(|place| net.use_tcp(place));
    (0..3).for_each(|place| net.start(place));
    net.run(4_000);
    for place in 0..3 {
        assert_eq!(net.at(place).peers().count(), 2, "{place}");
        assert!(net.at(place).peers().all(|peer| peer.associations > 0), "{place}");
    }
}

#[test]
fn registrars_that_give_way_to_each_other_do_not_do_so_for_ever() {
    // The smaller identifier gives way, and the larger one to it: one was started without
    // --dialect rsplib.
    let mut net = Net::new();
    net.registrar(vec![1, 2], |_| {});
    net.registrar(vec![0, 2], |config| config.dialect = Dialect::Rsplib);
    net.registrar(vec![0, 1], |_| {});
    (0..3).for_each(|place| net.start(place));
    net.run(4_000);
    let element = net.element(vec![2]);
    net.run(1_000);
    net.kill(2);
    net.run(100);
    let lost = |to| Event::TakeoverLost { target: id(2), to };
    assert!(net.told(0).contains(&&lost(id(1))) && net.told(1).contains(&&lost(id(0))));
    let took = net.run_until(|net| net.agrees() && net.at(0).peers().count() == 1);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(net.element_at(element).home().is_some_and(|home| home.id != Some(id(2))));
}

// Goals G16 to G18, as far as they are the protocol's.
#[test]
fn a_silent_registrar_is_taken_over_in_time() {
    for (profile, limit) in [(Profile::Fast, 1_500), (Profile::Minimal, 200)] {
        let mut net = Net::new();
        for place in 0..3 {
            let others = (0..3).filter(|other| *other != place).collect();
            net.registrar(others, |config| config.timing = Timing::of(profile));
        }
        (0..3).for_each(|place| net.start(place));
        net.run(5_000);
        let element = net.element(vec![0]);
        net.run(3_000);
        for round in 0..20 {
            let is_home =
                |net: &Net, place| net.at(place).handlespace().owned_count(id(place)) == 1;
            let home = (0..3).find(|place| is_home(&net, *place)).unwrap();
            // At any point of the heartbeat.
            net.run(37 * round);
            net.freeze(home);
            let others: Vec<usize> = (0..3).filter(|place| *place != home).collect();
            let took = net.run_until(|net| {
                others.iter().all(|place| net.at(*place).handlespace().owned_count(id(home)) == 0)
            });
            assert!(took <= Duration::from_millis(limit), "{profile:?}: {took:?}");
            net.thaw(home);
            net.run_until(Net::agrees);
            net.run(5_000);
            net.assert_agrees();
            assert_eq!(net.view(0).len(), 1, "{:?}", net.element_at(element));
        }
    }
}

#[test]
fn two_of_three_may_die_together() {
    let (mut net, _) = three_with_elements();
    net.kill(0);
    net.kill(2);
    let took = net.run_until(Net::agrees);
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(net.view(1).len(), 6);
}

// Checklist 171 with real registrars: the one with the larger identifier takes over, once.
#[test]
fn of_several_that_notice_together_one_takes_over() {
    let mut net = Net::of(4);
    net.element(vec![0]);
    net.run(2_000);
    net.kill(0);
    net.run_until(Net::agrees);
    net.run(2_000);
    let won = |place: usize| {
        let events = net.told(place).into_iter();
        events.filter(|event| matches!(event, Event::TakeoverWon { .. })).count()
    };
    assert_eq!([won(1), won(2), won(3)].iter().sum::<usize>(), 1);
}

// Checklist 139.
#[test]
fn a_drawn_identifier_is_never_0_and_stays() {
    use crate::registrar::{Config, Registrar};
    let ids: Vec<_> = (0..100).map(|seed| Registrar::new(Config::default(), seed).id()).collect();
    assert!(ids.iter().enumerate().all(|(row, id)| !ids[..row].contains(id)));
    assert_eq!(Registrar::new(Config::default(), 7).id(), ids[7]);
}
