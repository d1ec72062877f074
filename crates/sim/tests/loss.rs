//! No loss that a transport repairs takes a living element out, and silence still does.

use std::time::Duration;

use rserpool_proto::machine::Carrier;
use rserpool_proto::registrar;
use rserpool_proto::timing::{Profile, Timing};
use rserpool_sim::fault::Fault;
use rserpool_sim::invariant::Invariant;
use rserpool_sim::network::{Impairment, Stack};
use rserpool_sim::program::NodeId;
use rserpool_sim::world::{Setup, World};
use rserpool_wire::param::PoolHandle;

/// Round trips of 30 ms.
const FAR: Impairment = Impairment {
    delay: Duration::from_millis(15),
    jitter: Duration::from_micros(200),
    loss: 0.03,
    duplication: 0.0,
};

/// What elements register over: TCP, SCTP of the kernel, SCTP in userland.
const TRANSPORTS: [(Carrier, Stack); 3] = [
    (Carrier::Tcp, Stack::Kernel),
    (Carrier::Sctp, Stack::Kernel),
    (Carrier::Sctp, Stack::Process),
];

/// A registrar and elements that are in their pool.
fn pool(setup: Setup, elements: usize) -> (World, Vec<NodeId>) {
    let mut world = World::new(Setup { trace: false, ..setup });
    world.add_registrar(registrar::Config::default());
    let handle = PoolHandle::new(*b"EchoPool").expect("it is short enough");
    let elements = (0..elements).map(|_| world.add_element(handle.clone(), |_| {})).collect();
    world.start_all();
    world.run_for(Duration::from_secs(5));
    (world, elements)
}

/// An hour in which nothing but packets is lost.
fn an_hour(setup: Setup, one_in: Option<Duration>) {
    let text = format!("{:?}, {:?}, {one_in:?}", setup.carrier, setup.stack);
    let (mut world, elements) = pool(setup, 4);
    if let Some(pause) = one_in {
        world.lose_one_in(pause);
    }
    world.forbid_removals();
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.violations(), [], "{text}");
    assert!(world.counts().lost > 1_000, "{text}: {:?}", world.counts());
    world.check_quiet();
    assert_eq!(world.violations(), [], "{text}");
    for element in elements {
        let stats = world.element(element).expect("it runs").stats();
        assert_eq!(stats.homes_lost + stats.homes_silent, 0, "{text}: {stats:?}");
    }
}

#[test]
fn random_loss_takes_nobody_out() {
    for (carrier, stack) in TRANSPORTS {
        an_hour(Setup { carrier, stack, weather: FAR, ..Setup::lan(11) }, None);
    }
}

#[test]
fn the_loss_of_single_packets_takes_nobody_out() {
    for (carrier, stack) in TRANSPORTS {
        let weather = Impairment { delay: Duration::from_micros(500), ..Impairment::LAN };
        let setup = Setup { carrier, stack, weather, ..Setup::lan(12) };
        an_hour(setup, Some(Duration::from_secs(3)));
    }
}

// The bounds are those of docs/operations.md.
#[test]
fn a_silent_element_is_out_in_time_all_the_same() {
    let bounds = [(Profile::Minimal, 75), (Profile::Fast, 1_500), (Profile::Wan, 5_100)];
    for (profile, bound) in bounds {
        for (carrier, stack) in TRANSPORTS {
            let timing = Timing::of(profile);
            for seed in 0..10 {
                let setup = Setup { carrier, stack, timing, ..Setup::lan(seed) };
                let (mut world, elements) = pool(setup, 2);
                world.run_for(Duration::from_millis(37 * seed));
                world.inject(&Fault::Freeze(elements[0]));
                let frozen = world.now();
                world.run_for(Duration::from_millis(bound));
                let registrar = world.nodes().next().and_then(|node| world.registrar(node));
                let known = registrar.expect("it runs").handlespace().len();
                assert_eq!(known, 1, "{profile:?}, {carrier:?}, {stack:?}, at {frozen:?}");
            }
        }
    }
}

#[test]
fn an_element_that_is_stopped_for_a_moment_stays() {
    for (carrier, stack) in TRANSPORTS {
        let (mut world, elements) = pool(Setup { carrier, stack, ..Setup::lan(13) }, 1);
        world.forbid_removals();
        for round in 0..300 {
            world.inject(&Fault::Freeze(elements[0]));
            world.run_for(Duration::from_millis(300));
            world.inject(&Fault::Thaw(elements[0]));
            world.run_for(Duration::from_millis(1_000 + round % 100));
        }
        assert_eq!(world.violations(), [], "{carrier:?}, {stack:?}");
    }
}

#[test]
fn a_removal_that_must_not_be_is_found() {
    let (mut world, elements) = pool(Setup::lan(14), 1);
    world.forbid_removals();
    world.inject(&Fault::Freeze(elements[0]));
    world.run_for(Duration::from_secs(2));
    let found: Vec<Invariant> = world.violations().iter().map(|it| it.invariant).collect();
    assert_eq!(found, [Invariant::LivingStay]);
}
