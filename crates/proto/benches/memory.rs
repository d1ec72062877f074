//! What elements weigh in a handlespace: `max alloc` is the octets of so many, with one address
//! each, a handle of 16 octets, and all indexes. `cargo bench -p rserpool-proto --bench memory`.

use divan::{AllocProfiler, Bencher};
use rserpool_proto::deadlines::Deadlines;
use rserpool_proto::handlespace::Config;
use rserpool_proto::time::Time;
use rserpool_wire::registry::PolicyType;

use lab::{Lab, Timer};

mod lab;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SIZES: [u32; 2] = [100_000, 1_000_000];

fn main() {
    divan::main();
}

fn fill(bencher: Bencher<'_, '_>, policy_type: PolicyType, size: u32, pools: u32) {
    let lab = || Lab::new(Config::default(), policy_type, size, pools);
    bencher.with_inputs(lab).bench_local_values(|mut lab| {
        lab.fill();
        lab
    });
}

#[divan::bench(args = SIZES, sample_count = 1, sample_size = 1)]
fn one_pool_round_robin(bencher: Bencher<'_, '_>, size: u32) {
    fill(bencher, PolicyType::ROUND_ROBIN, size, 1);
}

#[divan::bench(args = SIZES, sample_count = 1, sample_size = 1)]
fn one_pool_weighted_round_robin(bencher: Bencher<'_, '_>, size: u32) {
    fill(bencher, PolicyType::WEIGHTED_ROUND_ROBIN, size, 1);
}

#[divan::bench(args = SIZES, sample_count = 1, sample_size = 1)]
fn one_pool_weighted_random(bencher: Bencher<'_, '_>, size: u32) {
    fill(bencher, PolicyType::WEIGHTED_RANDOM, size, 1);
}

#[divan::bench(args = SIZES, sample_count = 1, sample_size = 1)]
fn one_pool_least_used(bencher: Bencher<'_, '_>, size: u32) {
    fill(bencher, PolicyType::LEAST_USED, size, 1);
}

#[divan::bench(args = SIZES, sample_count = 1, sample_size = 1)]
fn pools_of_100_round_robin(bencher: Bencher<'_, '_>, size: u32) {
    fill(bencher, PolicyType::ROUND_ROBIN, size, size / 100);
}

/// One timer for each element.
#[divan::bench(args = SIZES, sample_count = 1, sample_size = 1)]
fn deadlines(bencher: Bencher<'_, '_>, size: u32) {
    let lab = Lab::filled(Config::default(), PolicyType::ROUND_ROBIN, size, 1);
    let known = |(handle, element): (&_, &rserpool_wire::param::PoolElement)| {
        lab.space.find(handle, element.id)
    };
    bencher.bench_local(|| {
        let mut deadlines = Deadlines::<Timer>::default();
        for index in lab.space.table_after(None, None).filter_map(known) {
            deadlines.arm(Timer(index), Time::ZERO);
        }
        deadlines
    });
}
