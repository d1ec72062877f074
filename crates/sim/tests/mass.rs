//! Very many elements over few associations, whose home dies while registrars hardly reach each
//! other: in the end all name the same home.

use std::time::Duration;

use rserpool_proto::registrar;
use rserpool_sim::fault::Fault;
use rserpool_sim::node::NodeId;
use rserpool_sim::world::{Setup, World};
use rserpool_wire::param::{PeId, Policy, PoolHandle, RegistrarId};

const CROWDS: u32 = 4;
const ELEMENTS: u32 = 200;

/// Three registrars and crowds, all of them at home at the first one.
fn settled(seed: u64) -> (World, Vec<NodeId>) {
    let setup = Setup { trace: false, ..Setup::lan(seed) };
    let mut world = World::new(setup);
    let registrars: Vec<NodeId> = (1..=3)
        .map(|number| {
            let mut config = registrar::Config::default();
            config.id = RegistrarId::new(number);
            world.add_registrar(config)
        })
        .collect();
    let handle = PoolHandle::new(*b"Crowd").expect("it is short enough");
    for number in 0..CROWDS {
        let first = PeId(1 + number * ELEMENTS);
        world.add_crowd(handle.clone(), Policy::round_robin(), first, ELEMENTS);
    }
    world.start_all();
    world.run_for(Duration::from_secs(15));
    world.check_quiet();
    assert_eq!(world.violations(), []);
    (world, registrars)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn homes_agree_after_a_mass_takeover_while_links_break() {
    for seed in 0..8 {
        let (mut world, registrars) = settled(seed);
        let [first, second, _] = registrars[..] else { panic!("three") };
        world.inject(&Fault::PowerOff(first));
        // Associations between the survivors break and come back.
        for round in 0..4 {
            world.run_for(millis(150 + 37 * (seed + round) % 400));
            world.inject(&Fault::CutOneWay(second, registrars[2]));
            world.inject(&Fault::CutOneWay(registrars[2], second));
            world.run_for(millis(300 + 91 * (seed + round) % 1500));
            world.inject(&Fault::Heal);
        }
        world.run_for(Duration::from_secs(30));
        world.check_quiet();
        assert_eq!(world.violations(), [], "seed {seed}");
    }
}
