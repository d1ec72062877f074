//! The checks find what they are made for: a world that has had no time to settle violates them.

use std::time::Duration;

use rserpool_proto::registrar;
use rserpool_sim::application::Asking;
use rserpool_sim::fault::Fault;
use rserpool_sim::invariant::Invariant;
use rserpool_sim::program::NodeId;
use rserpool_sim::world::{Setup, World};
use rserpool_wire::param::PoolHandle;

/// A registrar, an element and a user that is subscribed to its pool.
fn settled() -> (World, [NodeId; 3]) {
    let handle = PoolHandle::new(*b"EchoPool").expect("it is short enough");
    let mut world = World::new(Setup::lan(1));
    let registrar = world.add_registrar(registrar::Config::default());
    let element = world.add_element(handle.clone(), |_| {});
    let subscribed = Some(handle.clone());
    let user = world.add_user(Asking { pools: vec![handle], subscribed, ..Asking::default() });
    world.start_all();
    world.run_for(Duration::from_secs(5));
    world.check_quiet();
    assert_eq!(world.violations(), []);
    (world, [registrar, element, user])
}

fn found(world: &World) -> Vec<Invariant> {
    world.violations().iter().map(|violation| violation.invariant).collect()
}

#[test]
fn an_element_that_nobody_knows_yet_is_found() {
    let (mut world, [registrar, ..]) = settled();
    world.inject(&Fault::Kill(registrar));
    world.inject(&Fault::Start(registrar));
    world.check_quiet();
    assert!(found(&world).contains(&Invariant::LivingAreKnown));
}

#[test]
fn a_dead_element_that_is_still_known_is_found() {
    let (mut world, [_, element, _]) = settled();
    world.inject(&Fault::PowerOff(element));
    world.check_quiet();
    assert!(found(&world).contains(&Invariant::DeadAreNowhere));
    assert!(found(&world).contains(&Invariant::AnswersAreTrue));
}

#[test]
fn an_element_without_a_home_is_found() {
    let (mut world, [registrar, ..]) = settled();
    world.inject(&Fault::Kill(registrar));
    world.run_for(Duration::from_secs(1));
    world.check_quiet();
    assert_eq!(found(&world), [Invariant::OneHome]);
}

#[test]
fn an_answer_without_everyone_is_found() {
    let (mut world, [_, element, user]) = settled();
    world.inject(&Fault::PowerOff(element));
    world.expect_quiet();
    world.resolve(user, None);
    world.run_for(Duration::from_millis(50));
    assert_eq!(found(&world), [Invariant::AnswersAreTrue]);
}
