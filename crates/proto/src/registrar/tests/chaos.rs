//! Whatever happens to registrars and between them: once it is over, all agree, and every element
//! that lives is in its pool.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::net::Net;

const REGISTRARS: usize = 4;
const ELEMENTS: usize = 8;

fn survives(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut net = Net::of(REGISTRARS);
    for _ in 0..ELEMENTS {
        let first = rng.random_range(0..REGISTRARS);
        let place = net.element((0..REGISTRARS).map(|n| (first + n) % REGISTRARS).collect());
        if rng.random_bool(0.5) {
            net.use_tcp(place);
        }
    }
    net.run(2_000);
    let (mut frozen, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..20 {
        let place = rng.random_range(0..REGISTRARS);
        match rng.random_range(0..8) {
            0 if !frozen.contains(&place) && dead.len() + 2 < REGISTRARS => {
                net.kill(place);
                dead.insert(place);
            }
            1 if !dead.contains(&place) && frozen.insert(place) => net.freeze(place),
            2 => {
                for place in std::mem::take(&mut frozen) {
                    net.thaw(place);
                }
            }
            3 => {
                for place in std::mem::take(&mut dead) {
                    net.restart(place, |_| {});
                }
            }
            4 => {
                let left: Vec<usize> =
                    (0..REGISTRARS + ELEMENTS).filter(|_| rng.random_bool(0.5)).collect();
                let right: Vec<usize> =
                    (0..REGISTRARS + ELEMENTS).filter(|row| !left.contains(row)).collect();
                net.cut(&left, &right);
            }
            5 => net.break_cut(),
            6 if !frozen.contains(&place) && !dead.contains(&place) => {
                net.leave(place);
                net.run(rng.random_range(1..3_000));
                net.restart(place, |_| {});
            }
            _ => net.heal(),
        }
        net.run(rng.random_range(1..4_000));
    }
    net.heal();
    frozen.into_iter().for_each(|place| net.thaw(place));
    dead.into_iter().for_each(|place| net.restart(place, |_| {}));
    let took = net.run_until(|net| net.agrees() && net.view(0).len() == ELEMENTS);
    assert!(took.as_secs() < 75, "seed {seed}: {took:?} {}", net.describe());
    net.run(10_000);
    net.assert_agrees();
    assert_eq!(net.view(0).len(), ELEMENTS, "seed {seed}");
}

#[test]
fn scopes_recover_from_whatever_happened() {
    (0..30).for_each(survives);
}
