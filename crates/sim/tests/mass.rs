//! Very many elements over few associations, whose home dies while registrars hardly reach each
//! other: in the end all name the same home.

use std::time::Duration;

use rserpool_proto::machine::Carrier;
use rserpool_proto::registrar;
use rserpool_sim::fault::Fault;
use rserpool_sim::program::NodeId;
use rserpool_sim::world::{Acquaintance, Setup, World};
use rserpool_wire::param::{PeId, Policy, PoolHandle, RegistrarId};

const CROWDS: u32 = 4;
const ELEMENTS: u32 = 200;

/// Three registrars and crowds, all of them at home at the first one.
fn settled(seed: u64) -> (World, Vec<NodeId>) {
    settled_with(Setup { trace: false, ..Setup::lan(seed) })
}

fn settled_with(setup: Setup) -> (World, Vec<NodeId>) {
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

/// Half of the elements register at the one that does not take over, while the other one asks them.
#[test]
fn no_element_is_told_to_be_out_while_it_moves() {
    for (seed, acquaintance) in
        (0..12).zip([Acquaintance::All, Acquaintance::Earlier].into_iter().cycle())
    {
        for carrier in [Carrier::Sctp, Carrier::Tcp] {
            let setup = Setup { trace: false, carrier, acquaintance, ..Setup::lan(seed) };
            let (mut world, registrars) = settled_with(setup);
            assert_eq!(world.evictions(), 0);
            // They have much to do, so what they say is old when it is read.
            for registrar in &registrars {
                world.inject(&Fault::Slow(*registrar, millis(5 + 5 * seed)));
            }
            world.forbid_removals();
            world.inject(&Fault::Kill(registrars[0]));
            world.run_for(Duration::from_secs(8));
            for registrar in &registrars[1..] {
                world.inject(&Fault::Slow(*registrar, Duration::ZERO));
            }
            world.run_for(Duration::from_secs(4));
            let text = format!("seed {seed}, {carrier:?}, {acquaintance:?}");
            world.check_quiet();
            assert_eq!(world.violations(), [], "{text}");
            assert_eq!(world.evictions(), 0, "{text}");
        }
    }
}
