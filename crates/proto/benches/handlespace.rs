//! One pool of so many elements, or many pools: what an operation of a handlespace costs.
//! `cargo bench -p rserpool-proto --bench handlespace`.

use std::cell::RefCell;
use std::time::Duration;

use divan::Bencher;
use rand::RngExt;
use rserpool_proto::deadlines::Deadlines;
use rserpool_proto::handlespace::{Config, ElementIndex};
use rserpool_proto::time::Time;
use rserpool_wire::asap::HandleResolutionResponse;
use rserpool_wire::param::{PoolElement, RegistrarId};
use rserpool_wire::registry::PolicyType;

use lab::{Lab, Timer};

mod lab;

const SIZES: [u32; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

/// The policies whose selections differ.
const POLICIES: [PolicyType; 5] = [
    PolicyType::ROUND_ROBIN,
    PolicyType::WEIGHTED_ROUND_ROBIN,
    PolicyType::WEIGHTED_RANDOM,
    PolicyType::LEAST_USED,
    PolicyType::LEAST_USED_DEGRADATION,
];

fn main() {
    divan::main();
}

impl Lab {
    fn one_pool(policy_type: PolicyType, size: u32) -> Self {
        Self::filled(Config::default(), policy_type, size, 1)
    }

    fn any_element(&mut self) -> (usize, PoolElement) {
        let number = self.rng.random_range(0..self.size);
        self.element(number)
    }
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn fill(bencher: Bencher<'_, '_>, size: u32) {
    bencher
        .counter(size)
        .with_inputs(|| Lab::new(Config::default(), PolicyType::LEAST_USED, size, 1))
        .bench_local_values(|mut lab| {
            lab.fill();
            lab
        });
}

#[divan::bench(args = SIZES, consts = [0, 3], sample_size = 2000)]
fn register_again<const POLICY: usize>(bencher: Bencher<'_, '_>, size: u32) {
    let lab = RefCell::new(Lab::one_pool(POLICIES[POLICY], size));
    bencher.with_inputs(|| lab.borrow_mut().any_element()).bench_local_values(|(pool, element)| {
        let lab = &mut *lab.borrow_mut();
        lab.space.register(&lab.handles[pool], element)
    });
}

#[divan::bench(args = SIZES, consts = [0, 1, 2, 3, 4], sample_size = 2000)]
fn resolve_1<const POLICY: usize>(bencher: Bencher<'_, '_>, size: u32) {
    resolve(bencher, Lab::one_pool(POLICIES[POLICY], size), 1);
}

#[divan::bench(args = SIZES, consts = [0, 1, 2, 3, 4], sample_size = 2000)]
fn resolve_3<const POLICY: usize>(bencher: Bencher<'_, '_>, size: u32) {
    resolve(bencher, Lab::one_pool(POLICIES[POLICY], size), 3);
}

/// As [`resolve_3`], where all that are listed lose their turn.
#[divan::bench(args = SIZES, consts = [0, 1, 2, 3, 4], sample_size = 2000)]
fn resolve_3_unlimited<const POLICY: usize>(bencher: Bencher<'_, '_>, size: u32) {
    let mut config = Config::default();
    config.max_increment = None;
    resolve(bencher, Lab::filled(config, POLICIES[POLICY], size, 1), 3);
}

fn resolve(bencher: Bencher<'_, '_>, mut lab: Lab, items: u32) {
    bencher.bench_local(|| {
        let found = lab.space.resolve(&lab.handles[0], Some(items));
        found.map(|found| found.elements().fold(0, |sum, it| sum ^ it.id.0))
    });
}

/// With the octets that an answer is made of.
#[divan::bench(args = SIZES, sample_size = 2000)]
fn resolve_3_encoded(bencher: Bencher<'_, '_>, size: u32) {
    let mut lab = Lab::one_pool(PolicyType::ROUND_ROBIN, size);
    bencher.bench_local(|| {
        let handle = &lab.handles[0];
        let found = lab.space.resolve(handle, Some(3));
        found
            .map(|it| HandleResolutionResponse::octets_of(false, handle, &it.policy, it.elements()))
    });
}

/// Of any of many pools with ten elements each.
#[divan::bench(args = SIZES, sample_size = 2000)]
fn resolve_3_of_many_pools(bencher: Bencher<'_, '_>, size: u32) {
    let mut lab = Lab::filled(Config::default(), PolicyType::ROUND_ROBIN, size, size / 10);
    bencher.bench_local(|| {
        let pool = lab.rng.random_range(0..lab.handles.len());
        let found = lab.space.resolve(&lab.handles[pool], Some(3));
        found.map(|found| found.elements().fold(0, |sum, it| sum ^ it.id.0))
    });
}

#[divan::bench(args = SIZES)]
fn table(bencher: Bencher<'_, '_>, size: u32) {
    let lab = Lab::filled(Config::default(), PolicyType::ROUND_ROBIN, size, size / 100);
    bencher.counter(size).bench_local(|| {
        lab.space
            .table_after(None, RegistrarId::new(1))
            .fold(0, |sum, (_, element)| sum ^ element.id.0)
    });
}

#[divan::bench(args = SIZES, sample_count = 10)]
fn rehome_all(bencher: Bencher<'_, '_>, size: u32) {
    let mut lab = Lab::filled(Config::default(), PolicyType::ROUND_ROBIN, size, size / 100);
    let (mut from, mut to) = (RegistrarId::new(1), RegistrarId::new(2));
    bencher.counter(size).bench_local(|| {
        let moved = from.zip(to).map(|(from, to)| lab.space.rehome_all(from, to));
        std::mem::swap(&mut from, &mut to);
        moved
    });
}

#[divan::bench(args = SIZES, sample_size = 2000)]
fn deregister_and_register(bencher: Bencher<'_, '_>, size: u32) {
    let mut lab = Lab::one_pool(PolicyType::LEAST_USED, size);
    bencher.bench_local(|| {
        let (pool, element) = lab.any_element();
        let index = lab.space.find(&lab.handles[pool], element.id);
        let gone = index.and_then(|index| lab.space.deregister(index));
        (lab.space.register(&lab.handles[pool], element), gone)
    });
}

#[divan::bench(args = SIZES, sample_size = 2000)]
fn move_a_deadline(bencher: Bencher<'_, '_>, size: u32) {
    let mut lab = Lab::one_pool(PolicyType::ROUND_ROBIN, size);
    let all = lab.space.table_after(None, None);
    let indexes: Vec<ElementIndex> =
        all.filter_map(|(handle, element)| lab.space.find(handle, element.id)).collect();
    let mut deadlines = Deadlines::<Timer>::default();
    let mut now = Duration::ZERO;
    bencher.bench_local(|| {
        now += Duration::from_nanos(300);
        let index = indexes[lab.rng.random_range(0..indexes.len())];
        deadlines.arm(Timer(index), Time::from_origin(now + Duration::from_secs(1)));
    });
}
