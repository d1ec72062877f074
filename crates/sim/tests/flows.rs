//! The canonical flows as traces: what is sent, when, and what applications are told.

use std::time::Duration;

use rserpool_proto::registrar;
use rserpool_proto::session::client;
use rserpool_sim::application::Asking;
use rserpool_sim::fault::Fault;
use rserpool_sim::program::{MachineCommand, NodeId};
use rserpool_sim::session::{Calling, Serving};
use rserpool_sim::world::{Setup, World};
use rserpool_wire::param::{PeId, PoolHandle, RegistrarId};

fn pool() -> PoolHandle {
    PoolHandle::new(*b"EchoPool").expect("it is short enough")
}

/// A registrar with this identifier, and the defaults of everything else.
fn named(id: Option<RegistrarId>) -> registrar::Config {
    let mut config = registrar::Config::default();
    config.id = id;
    config
}

/// A world with so many registrars and elements, and a user, none of them started. Identifiers are
/// 0x11, 0x12 … and 1, 2 …
fn world(registrars: u32, elements: u32) -> (World, Vec<NodeId>, Vec<NodeId>, NodeId) {
    let mut world = World::new(Setup::lan(7));
    let registrars = (0..registrars)
        .map(|number| {
            let id = RegistrarId::new(0x11 + number);
            world.add_registrar(named(id))
        })
        .collect();
    let elements = (0..elements)
        .map(|number| world.add_element(pool(), |config| config.id = Some(PeId(1 + number))))
        .collect();
    let user = world.add_user(Asking { pools: vec![pool()], reports: true, ..Asking::default() });
    (world, registrars, elements, user)
}

fn assert_trace(name: &str, world: &World) {
    assert_eq!(world.violations(), []);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("traces");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, world.trace().lines().join("\n")));
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn registration_and_keep_alives() {
    let (mut world, registrars, elements, _) = world(1, 1);
    world.start(registrars[0]);
    world.start(elements[0]);
    world.run_for(millis(1200));
    world.inject(&Fault::Leave(elements[0]));
    world.run_for(millis(100));
    assert_trace("registration_and_keep_alives", &world);
}

#[test]
fn an_element_starts_before_its_registrar() {
    let (mut world, registrars, elements, _) = world(1, 1);
    world.start(elements[0]);
    world.run_for(millis(500));
    world.start(registrars[0]);
    world.run_for(millis(1000));
    assert_trace("an_element_starts_before_its_registrar", &world);
}

#[test]
fn a_killed_element_is_out_at_once() {
    let (mut world, _, elements, user) = world(1, 2);
    world.start_all();
    world.run_for(millis(20));
    world.trace_mut().clear();
    world.inject(&Fault::Kill(elements[0]));
    world.run_for(millis(1));
    world.resolve(user, None);
    world.run_for(millis(2));
    assert_trace("a_killed_element_is_out_at_once", &world);
}

#[test]
fn a_frozen_element_is_reported_and_removed() {
    let (mut world, _, elements, user) = world(1, 2);
    world.start_all();
    world.run_for(millis(2000));
    world.trace_mut().clear();
    world.inject(&Fault::Freeze(elements[0]));
    world.resolve(user, Some(1));
    world.run_for(millis(900));
    world.resolve(user, Some(2));
    world.run_for(millis(400));
    world.inject(&Fault::Thaw(elements[0]));
    world.run_for(millis(5));
    assert_trace("a_frozen_element_is_reported_and_removed", &world);
}

#[test]
fn updates_are_pushed_to_a_subscriber() {
    let (mut world, registrars, elements, user) = world(1, 2);
    for node in [registrars[0], elements[0], user] {
        world.start(node);
        world.run_for(millis(10));
    }
    let subscribe = rserpool_proto::user::Command::Subscribe(pool());
    world.order(user, MachineCommand::User(subscribe));
    world.run_for(millis(10));
    world.start(elements[1]);
    world.run_for(millis(10));
    world.inject(&Fault::Kill(elements[0]));
    world.run_for(millis(10));
    assert_trace("updates_are_pushed_to_a_subscriber", &world);
}

#[test]
fn a_registrar_that_restarts_gets_its_elements_back() {
    let (mut world, registrars, elements, _) = world(1, 1);
    world.start(registrars[0]);
    world.start(elements[0]);
    world.run_for(millis(300));
    world.trace_mut().clear();
    world.inject(&Fault::Kill(registrars[0]));
    world.run_for(millis(100));
    world.inject(&Fault::Start(registrars[0]));
    world.run_for(millis(1500));
    assert_trace("a_registrar_that_restarts_gets_its_elements_back", &world);
}

/// Registrars, started, settled, and their elements: each registers where it comes to.
fn scope(registrars: u32, elements: u32) -> (World, Vec<NodeId>, Vec<NodeId>) {
    let (mut world, registrars, elements, _) = world(registrars, elements);
    for registrar in &registrars {
        world.start(*registrar);
        world.run_for(millis(500));
    }
    for element in &elements {
        world.start(*element);
    }
    world.run_for(millis(2000));
    world.check_quiet();
    world.trace_mut().clear();
    (world, registrars, elements)
}

/// The node on which the home of this element runs.
fn home_of(world: &World, element: NodeId, registrars: &[NodeId]) -> NodeId {
    let home = world.element(element).and_then(|element| element.home()?.id);
    let is_home = |node: &&NodeId| world.registrar(**node).map(|it| it.id()) == home;
    *registrars.iter().find(is_home).expect("it has a home that runs")
}

#[test]
fn a_registrar_joins() {
    let (mut world, registrars, elements, _) = world(2, 2);
    for node in [registrars[0], elements[0], elements[1]] {
        world.start(node);
    }
    world.run_for(millis(2500));
    world.trace_mut().clear();
    world.start(registrars[1]);
    world.run_for(millis(450));
    assert_trace("a_registrar_joins", &world);
}

#[test]
fn an_update_goes_to_all_registrars() {
    let (mut world, _, elements) = scope(3, 1);
    world.inject(&Fault::Load(elements[0], 50));
    world.inject(&Fault::Leave(elements[0]));
    world.run_for(millis(5));
    world.inject(&Fault::Join(elements[0]));
    world.run_for(millis(5));
    assert_trace("an_update_goes_to_all_registrars", &world);
}

#[test]
fn an_audit_finds_what_the_other_half_of_a_scope_has() {
    let (mut world, registrars, elements, _) = world(2, 2);
    world.inject(&Fault::Isolate(vec![registrars[0], elements[0]]));
    for node in registrars.iter().chain(&elements) {
        world.start(*node);
    }
    world.run_for(millis(4000));
    world.trace_mut().clear();
    world.inject(&Fault::Heal);
    world.run_for(millis(300));
    world.check_quiet();
    assert_trace("an_audit_finds_what_the_other_half_of_a_scope_has", &world);
}

#[test]
fn takeover_by_the_other_of_two_registrars() {
    let (mut world, registrars, elements) = scope(2, 1);
    let home = home_of(&world, elements[0], &registrars);
    world.inject(&Fault::Kill(home));
    world.run_for(millis(300));
    assert_trace("takeover_by_the_other_of_two_registrars", &world);
}

#[test]
fn takeover_of_a_silent_registrar_among_three() {
    let (mut world, registrars, elements) = scope(3, 2);
    let home = home_of(&world, elements[0], &registrars);
    world.inject(&Fault::PowerOff(home));
    world.run_for(millis(2500));
    world.check_quiet();
    assert_trace("takeover_of_a_silent_registrar_among_three", &world);
}

#[test]
fn two_registrars_want_to_take_over_the_third() {
    // Both lose their association at once, and notice at the same time.
    let (mut world, registrars, elements) = scope(3, 1);
    let home = home_of(&world, elements[0], &registrars);
    world.inject(&Fault::Kill(home));
    world.run_for(millis(300));
    world.check_quiet();
    assert_trace("two_registrars_want_to_take_over_the_third", &world);
}

#[test]
fn a_registrar_leaves_on_purpose() {
    let (mut world, registrars, elements) = scope(2, 1);
    let home = home_of(&world, elements[0], &registrars);
    world.inject(&Fault::Leave(home));
    world.run_for(millis(700));
    world.check_quiet();
    assert_trace("a_registrar_leaves_on_purpose", &world);
}

#[test]
fn an_element_is_suggested_to_the_registrar_that_is_best_for_it() {
    // 0x12 XOR 1 is greater than 0x11 XOR 1.
    let mut world = World::new(Setup::lan(7));
    let registrars = [0x11, 0x12].map(|id| {
        let mut config = named(RegistrarId::new(id));
        config.takeover_suggestion = true;
        config.suggestion_pause = millis(1000);
        world.add_registrar(config)
    });
    let element = world.add_element(pool(), |config| config.id = Some(PeId(1)));
    world.start(registrars[0]);
    world.run_for(millis(2500));
    world.start(element);
    world.run_for(millis(600));
    assert_eq!(home_of(&world, element, &registrars), registrars[0]);
    world.start(registrars[1]);
    world.run_for(millis(1000));
    world.trace_mut().clear();
    world.run_for(millis(1500));
    world.check_quiet();
    assert_eq!(home_of(&world, element, &registrars), registrars[1]);
    assert_trace("an_element_is_suggested_to_the_registrar_that_is_best_for_it", &world);
}

/// A registrar, two servers with a key, and a client with a request every 300 ms: settled, and the
/// first reply is there. The client has the first of the servers.
fn session() -> (World, [NodeId; 2], NodeId) {
    let mut world = World::new(Setup::lan(7));
    let id = RegistrarId::new(0x11);
    let registrar = world.add_registrar(named(id));
    let serving = Serving { keys: vec![[7; 32]], ..Serving::default() };
    let servers = [1, 2].map(|number| {
        world.add_server(pool(), serving.clone(), |config| config.id = Some(PeId(number)))
    });
    let session = client::Config::new(pool());
    let client = world.add_client(Calling { period: millis(300), ..Calling::new(session) });
    world.start(registrar);
    world.run_for(millis(500));
    for server in servers {
        world.start(server);
        world.run_for(millis(10));
    }
    world.trace_mut().clear();
    world.start(client);
    world.run_for(millis(420));
    assert_eq!(world.session(client).map(|session| session.server), Some(Some(PeId(1))));
    (world, servers, client)
}

#[test]
fn a_session_outlives_its_server() {
    let (mut world, servers, client) = session();
    world.inject(&Fault::Kill(servers[0]));
    world.run_for(millis(700));
    assert_trace("a_session_outlives_its_server", &world);
    let session = world.session(client).expect("it runs");
    assert_eq!(session.server, Some(PeId(2)));
    assert!(session.replies >= 3);
}

#[test]
fn a_session_leaves_a_frozen_server() {
    let (mut world, servers, client) = session();
    world.run_for(millis(1000));
    world.trace_mut().clear();
    world.inject(&Fault::Freeze(servers[0]));
    world.run_for(millis(1600));
    world.inject(&Fault::Thaw(servers[0]));
    world.run_for(millis(2));
    assert_trace("a_session_leaves_a_frozen_server", &world);
    assert_eq!(world.session(client).expect("it runs").server, Some(PeId(2)));
}
