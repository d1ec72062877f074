//! The checks of sessions find what they are made for.

use std::time::Duration;

use rserpool_proto::registrar;
use rserpool_proto::session::client;
use rserpool_sim::fault::Fault;
use rserpool_sim::invariant::Invariant;
use rserpool_sim::program::NodeId;
use rserpool_sim::session::{Calling, Serving};
use rserpool_sim::world::{Setup, World};
use rserpool_wire::param::PoolHandle;

fn pool() -> PoolHandle {
    PoolHandle::new(*b"EchoPool").expect("it is short enough")
}

/// A registrar, servers with these keys, and a client.
fn settled<const N: usize>(keys: [u8; N], tweak: impl FnOnce(&mut Calling)) -> (World, NodeId) {
    let mut world = World::new(Setup::lan(1));
    world.add_registrar(registrar::Config::default());
    for key in keys {
        let serving = Serving { keys: vec![[key; 32]], ..Serving::default() };
        world.add_server(pool(), serving, |_| {});
    }
    let mut session = client::Config::new(pool());
    session.waits_for_pool = true;
    let mut calling = Calling::new(session);
    tweak(&mut calling);
    let client = world.add_client(calling);
    world.start_all();
    world.run_for(Duration::from_secs(5));
    world.check_quiet();
    assert_eq!(world.violations(), []);
    (world, client)
}

fn found(world: &World) -> Vec<Invariant> {
    let mut found: Vec<_> = world.violations().iter().map(|it| it.invariant).collect();
    found.dedup();
    found
}

#[test]
fn a_session_goes_on_over_a_thousand_kills() {
    const KILLS: u64 = 1000;
    let busy = |calling: &mut Calling| {
        (calling.period, calling.window) = (Duration::from_micros(500), 4);
    };
    let (mut world, client) = settled([7; 3], busy);
    let begun = world.session(client).expect("it runs").replies;
    for kill in 0..KILLS {
        let server = world.server_of(client).expect("it has one");
        world.inject(&Fault::Kill(server));
        world.run_for(Duration::from_millis(15));
        world.inject(&Fault::Start(server));
        // At another point of what goes to and fro each time.
        world.run_for(Duration::from_micros(15_000 + 37 * kill % 1000));
    }
    assert_eq!(world.violations(), []);
    assert_eq!(world.counts().failovers, KILLS);
    assert_eq!(world.counts().resumed, KILLS);
    let replies = world.session(client).expect("it runs").replies - begun;
    assert!(replies > 50 * KILLS, "{replies} replies");
}

#[test]
fn a_cookie_that_is_not_taken_is_found() {
    let (mut world, client) = settled([1, 2], |_| {});
    let server = world.server_of(client).expect("it has one");
    world.inject(&Fault::Kill(server));
    world.run_for(Duration::from_millis(100));
    let found = found(&world);
    assert_eq!(found[..2], [Invariant::CookiesAreTaken, Invariant::RepliesInSequence]);
}

#[test]
fn a_session_without_replies_is_found() {
    // Without keep-alives, and with a kernel that lives on, nothing shows that the server is frozen.
    let (mut world, client) = settled([7; 2], |calling| calling.session.keep_alive = None);
    let server = world.server_of(client).expect("it has one");
    world.inject(&Fault::Freeze(server));
    world.run_for(Duration::from_secs(5));
    world.check_quiet();
    assert!(found(&world).contains(&Invariant::SessionsGoOn));
}

#[test]
fn a_session_that_moves_in_quiet_is_found() {
    let (mut world, client) = settled([7; 2], |_| {});
    let server = world.server_of(client).expect("it has one");
    world.inject(&Fault::Freeze(server));
    world.expect_quiet();
    world.run_for(Duration::from_secs(5));
    assert_eq!(found(&world), [Invariant::SessionsStay]);
}
