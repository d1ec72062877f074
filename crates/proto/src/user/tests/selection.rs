//! Which element comes first: the user's half of the policies.

use rserpool_wire::param::{Load, PolicyField};

use super::*;

/// So many requests are answered from one resolution: which element each got first.
fn picks(policy: Policy, elements: Vec<PoolElement>, count: usize) -> Vec<u32> {
    let mut lab = Lab::homed_with(caching());
    lab.resolve(pool());
    let mut outputs = lab.message(FIRST, known_by(pool(), policy, elements));
    (1..count).for_each(|_| outputs.extend(lab.resolve(pool())));
    firsts(&outputs).into_iter().map(|(_, id)| id).collect()
}

fn of(policy_type: PolicyType, field: PolicyField, values: &[u32]) -> (Policy, Vec<PoolElement>) {
    let policy = Policy::of_type(policy_type);
    let element = |(id, value): (u32, &u32)| element(id, policy.clone().with(field, *value));
    (policy.clone(), (1..).zip(values).map(element).collect())
}

// Checklist 186; spec 7.3.
#[test]
fn round_robin_walks_the_list() {
    assert_eq!(picks(Policy::round_robin(), elements(&[5, 6, 7]), 7), [5, 6, 7, 5, 6, 7, 5]);
    let (policy, elements) = of(PolicyType::WEIGHTED_ROUND_ROBIN, PolicyField::Weight, &[1, 9]);
    assert_eq!(picks(policy, elements, 4), [1, 2, 1, 2]);
}

#[test]
fn the_next_ones_to_try_follow_in_the_list_which_goes_round() {
    let resolution = resolution(pool(), &[5, 6, 7], None);
    let answer = Answer { resolution, first: 1, source: Source::Cache };
    let order: Vec<u32> = answer.in_order().map(|element| element.id.0).collect();
    assert_eq!(order, [6, 7, 5]);
}

// Checklist 190; spec 7.6, 7.7.
#[test]
fn priority_and_least_used_take_the_first() {
    for (policy_type, field) in [
        (PolicyType::PRIORITY, PolicyField::Priority),
        (PolicyType::LEAST_USED, PolicyField::Load),
        (PolicyType::PRIORITY_LEAST_USED, PolicyField::Load),
    ] {
        let (policy, elements) = of(policy_type, field, &[1, 2, 3]);
        assert_eq!(picks(policy, elements, 3), [1, 1, 1]);
    }
}

// Checklist 192, in the user: the sequence of RFC 5356 §5.2.
#[test]
fn least_used_with_degradation_counts_its_picks_as_load() {
    let policy = Policy::of_type(PolicyType::LEAST_USED_DEGRADATION);
    let element = |id: u32| {
        let policy = policy.clone().with(PolicyField::Load, id * 10);
        element(id, policy.with(PolicyField::LoadDegradation, 7))
    };
    let elements = vec![element(1), element(2), element(3)];
    assert_eq!(picks(policy.clone(), elements, 8), [1, 1, 2, 1, 2, 3, 1, 2]);
}

fn share(picks: &[u32], id: u32) -> f64 {
    let count = u32::try_from(picks.iter().filter(|&&pick| pick == id).count()).unwrap();
    f64::from(count) / f64::from(u32::try_from(picks.len()).unwrap())
}

// Spec 7.5, 7.10.
#[test]
fn random_policies_draw_for_each_request() {
    let all = picks(Policy::of_type(PolicyType::RANDOM), elements(&[1, 2, 3, 4]), 4000);
    (1..=4).for_each(|id| assert!((share(&all, id) - 0.25).abs() < 0.05));
    let (policy, elements) = of(PolicyType::WEIGHTED_RANDOM, PolicyField::Weight, &[1, 2, 5, 0]);
    let all = picks(policy, elements, 4000);
    for (id, expected) in [(1, 0.125), (2, 0.25), (3, 0.625), (4, 0.0)] {
        assert!((share(&all, id) - expected).abs() < 0.05, "{id}");
    }
    let quarter = Load::from_fraction(0.75).0;
    let (policy, elements) =
        of(PolicyType::RANDOMIZED_LEAST_USED, PolicyField::Load, &[0, quarter, Load::FULL.0]);
    let all = picks(policy, elements, 4000);
    for (id, expected) in [(1, 0.8), (2, 0.2), (3, 0.0)] {
        assert!((share(&all, id) - expected).abs() < 0.05, "{id}");
    }
}

#[test]
fn a_pool_in_which_nobody_has_a_weight_is_drawn_from_evenly() {
    let (policy, elements) = of(PolicyType::WEIGHTED_RANDOM, PolicyField::Weight, &[0, 0]);
    let all = picks(policy, elements, 1000);
    assert!((share(&all, 1) - 0.5).abs() < 0.1);
}

// Spec 7.5: from a list that the registrar has drawn by weight, evenly.
#[test]
fn a_drawn_list_is_not_weighted_twice() {
    let (policy, elements) = of(PolicyType::WEIGHTED_RANDOM, PolicyField::Weight, &[1, 99]);
    let mut lab = Lab::homed_with(caching());
    let request = |lab: &mut Lab| Request { items: Some(2), ..lab.request(pool()) };
    let first = request(&mut lab);
    lab.command(Command::Resolve(first));
    let mut outputs = lab.message(FIRST, known_by(pool(), policy, elements));
    for _ in 0..1000 {
        let next = request(&mut lab);
        outputs.extend(lab.command(Command::Resolve(next)));
    }
    let all: Vec<u32> = firsts(&outputs).into_iter().map(|(_, id)| id).collect();
    assert!((share(&all, 1) - 0.5).abs() < 0.1);
}

#[test]
fn of_a_policy_that_is_not_known_the_first_is_taken() {
    let policy = Policy::of_type(PolicyType(0x8000_0001));
    assert_eq!(picks(policy, elements(&[3, 1]), 2), [3, 3]);
}
