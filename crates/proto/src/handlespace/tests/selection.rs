//! What the policies select (RFC 5356).

use std::num::NonZeroU32;

use rserpool_wire::param::PolicyField;

use super::*;

const WRR: PolicyType = PolicyType::WEIGHTED_ROUND_ROBIN;
const WRAND: PolicyType = PolicyType::WEIGHTED_RANDOM;
const LUD: PolicyType = PolicyType::LEAST_USED_DEGRADATION;
const RLU: PolicyType = PolicyType::RANDOMIZED_LEAST_USED;
const FULL: u32 = u32::MAX;

fn same(policy_type: PolicyType, fields: &[u32], count: usize) -> Lab {
    Lab::new(vec![policy(policy_type, fields); count])
}

fn each<const N: usize>(policy_type: PolicyType, values: &[[u32; N]]) -> Lab {
    Lab::new(values.iter().map(|fields| policy(policy_type, fields)))
}

/// Pearson's χ² of what was seen, against these shares of it.
fn chi_square(seen: &[usize], shares: &[f64]) -> f64 {
    let count = u32::try_from(seen.iter().sum::<usize>()).unwrap();
    let terms = seen.iter().zip(shares).filter(|(_, share)| **share > 0.0);
    terms
        .map(|(&seen, share)| {
            let expected = f64::from(count) * share;
            (f64::from(u32::try_from(seen).unwrap()) - expected).powi(2) / expected
        })
        .sum()
}

// Checklist 184, 185.
#[test]
fn round_robin_begins_with_the_next_one_each_time() {
    let mut lab = same(PolicyType::ROUND_ROBIN, &[], 3);
    assert_eq!(lab.picks(4), [1, 2, 3, 1]);
    let mut lab = same(PolicyType::ROUND_ROBIN, &[], 3);
    assert_eq!([lab.list(2), lab.list(2), lab.list(2)], [[1, 2], [2, 3], [3, 1]]);
}

#[test]
fn round_robin_keeps_the_place_of_who_registers_again_and_appends_who_comes() {
    let mut lab = same(PolicyType::ROUND_ROBIN, &[], 3);
    assert_eq!(lab.picks(1), [1]);
    lab.register(2, Policy::round_robin());
    lab.register(4, Policy::round_robin());
    assert_eq!(lab.list(9), [2, 3, 1, 4]);
    lab.deregister(3);
    assert_eq!(lab.list(9), [1, 4, 2]);
}

#[test]
fn as_many_lose_their_turn_as_configured() {
    let policies = || vec![Policy::round_robin(); 5];
    let config = |max_increment| Config { max_increment, ..Config::default() };
    let mut lab = Lab::with(config(NonZeroU32::new(2)), policies());
    assert_eq!([lab.list(3), lab.list(1)], [vec![1, 2, 3], vec![3]]);
    assert_eq!(lab.list(3), [4, 5, 1]);
    let mut lab = Lab::with(config(None), policies());
    assert_eq!([lab.list(3), lab.list(3)], [[1, 2, 3], [4, 5, 1]]);
}

// Checklist 187.
#[test]
fn weighted_round_robin_spreads_the_turns_evenly() {
    let mut lab = each(WRR, &[[1], [2], [3]]);
    assert_eq!(lab.picks(12), [3, 2, 1, 3, 2, 3, 3, 2, 1, 3, 2, 3]);
    assert_eq!(same(WRR, &[1], 3).picks(6), [1, 2, 3, 1, 2, 3]);
}

// Checklist 187.
#[test]
fn weighted_round_robin_is_exactly_proportional_in_the_long_run() {
    let weights = [7, 1, 13, 4, 0, 25];
    let mut lab = each(WRR, &weights.map(|weight| [weight]));
    for _ in 0..20 {
        assert_eq!(lab.shares(50, 6), [0, 7, 1, 13, 4, 0, 25]);
    }
}

#[test]
fn weighted_round_robin_copes_with_the_largest_weights() {
    let mut lab = each(WRR, &[[FULL], [FULL - 1], [1]]);
    let shares = lab.shares(10_000, 3);
    assert!(shares[1].abs_diff(5_000) <= 1 && shares[3] == 0, "{shares:?}");
}

#[test]
fn who_joins_a_weighted_round_robin_late_neither_floods_nor_starves() {
    let mut lab = each(WRR, &[[1], [2]]);
    assert_eq!(lab.shares(3_000, 2), [0, 1_000, 2_000]);
    lab.register(3, policy(WRR, &[3]));
    assert_eq!(lab.shares(6, 3), [0, 1, 2, 3]);
    // Neither does who leaves and comes back all the time.
    for _ in 0..100 {
        lab.deregister(3);
        lab.register(3, policy(WRR, &[3]));
        assert_eq!(lab.shares(6, 3), [0, 1, 2, 3]);
    }
}

#[test]
fn a_change_of_weight_neither_gains_nor_loses_a_turn() {
    // Element 2 changes between weights 1 and 2, that is 1/5 and 1/3 of the turns.
    let mut lab = each(WRR, &[[2], [1], [2]]);
    let mut shares = [0_usize; 4];
    for round in 0..1_100 {
        lab.register(2, policy(WRR, &[1 + round % 2]));
        shares[lab.picks(1)[0] as usize] += 1;
    }
    assert!((250..=320).contains(&shares[2]) && shares[1].abs_diff(shares[3]) < 3, "{shares:?}");
    lab.register(2, policy(WRR, &[0]));
    assert_eq!(lab.shares(4, 3), [0, 2, 0, 2]);
    lab.register(2, policy(WRR, &[2]));
    assert_eq!(lab.shares(30, 3), [0, 10, 10, 10]);
}

// Checklist 190.
#[test]
fn priority_lists_the_highest_first_always() {
    let mut lab = each(PolicyType::PRIORITY, &[[1], [2], [3]]);
    assert_eq!([lab.list(3), lab.list(3)], [[3, 2, 1], [3, 2, 1]]);
    assert_eq!(same(PolicyType::PRIORITY, &[9], 3).picks(4), [1, 2, 3, 1]);
}

// Checklist 191.
#[test]
fn least_used_is_in_order_of_load_and_round_robin_among_equals() {
    assert_eq!(same(PolicyType::LEAST_USED, &[10], 3).picks(4), [1, 2, 3, 1]);
    let mut lab = each(PolicyType::LEAST_USED, &[[30], [10], [20]]);
    assert_eq!([lab.list(3), lab.list(2)], [vec![2, 3, 1], vec![2, 3]]);
    lab.register(2, policy(PolicyType::LEAST_USED, &[40]));
    assert_eq!(lab.list(3), [3, 1, 2]);
}

// Checklist 192.
#[test]
fn each_listing_degrades() {
    let mut lab = each(LUD, &[[10, 7], [20, 7], [30, 7]]);
    assert_eq!(lab.picks(8), [1, 1, 2, 1, 2, 3, 1, 2]);
    // Also a listing that is not the first: 10, 10 and 16 become 17, 17 and 16.
    let mut lab = each(LUD, &[[10, 7], [10, 7], [16, 7]]);
    assert_eq!([lab.list(2), lab.list(1)], [vec![1, 2], vec![3]]);
}

// Checklist 192.
#[test]
fn registering_again_resets_the_degradation_even_if_nothing_changed() {
    let mut lab = each(LUD, &[[10, 50], [20, 50]]);
    assert_eq!(lab.picks(2), [1, 2]);
    lab.register(1, policy(LUD, &[10, 50]));
    assert_eq!(lab.picks(1), [1]);
}

#[test]
fn a_degraded_load_never_exceeds_full() {
    let mut lab = each(LUD, &[[FULL - 1, FULL], [FULL, FULL]]);
    assert_eq!(lab.picks(6), [1, 2, 1, 2, 1, 2]);
}

// Checklist 193.
#[test]
fn priority_least_used_looks_at_the_load_to_come() {
    let mut lab = each(PolicyType::PRIORITY_LEAST_USED, &[[50, 50], [50, 10], [0, 80]]);
    assert_eq!(lab.list(3), [2, 3, 1]);
    let private = PolicyType::PRIORITY_LEAST_USED_DEGRADATION;
    let mut lab = each(private, &[[10, 20], [20, 15]]);
    // 30 and 35, then 50 and 35, then 50 and 50: who was selected longer ago.
    assert_eq!(lab.picks(4), [1, 2, 1, 2]);
}

#[test]
fn distance_counts_like_load() {
    let tenth_of_percent = 0x0041_8937;
    let near = [FULL / 2, tenth_of_percent, 10];
    let far = [FULL / 10, tenth_of_percent, 450];
    let mut lab = each(PolicyType::LEAST_USED_DPF, &[near, far]);
    assert_eq!(lab.list(2), [1, 2]);
    let mut lab = each(PolicyType::LEAST_USED_DPF, &[near, [FULL / 10, 0, 450]]);
    assert_eq!(lab.list(2), [2, 1]);
    let degrading = PolicyType::LEAST_USED_DEGRADATION_DPF;
    let mut lab = each(degrading, &[[0, 30, 1, 10], [0, 30, 1, 20]]);
    assert_eq!(lab.picks(5), [1, 2, 1, 2, 1]);
}

#[test]
fn distance_takes_from_the_weight() {
    let weighted = PolicyType::WEIGHTED_RANDOM_DPF;
    // 10 − 10·5·0.1 = 5, 10 − 10·30·0.1 < 0 → 1, 10 − 10·10·0.1 = 0.
    let tenth = FULL / 10;
    let mut lab = each(weighted, &[[10, tenth, 5], [10, tenth, 30], [10, tenth, 10]]);
    assert_eq!(lab.list(3).len(), 2);
    let shares = lab.shares(6_000, 3);
    assert!(chi_square(&shares[1..], &[5.0 / 6.0, 1.0 / 6.0, 0.0]) < 10.8, "{shares:?}");
    assert_eq!(shares[3], 0);
}

#[test]
fn random_is_even() {
    let shares = same(PolicyType::RANDOM, &[], 20).shares(20_000, 20);
    // 99.9 % of χ² with 19 degrees of freedom.
    assert!(chi_square(&shares[1..], &[0.05; 20]) < 43.8, "{shares:?}");
}

// Checklist 189.
#[test]
fn weighted_random_is_in_proportion() {
    let shares = each(WRAND, &[[1], [2], [3], [0], [4]]).shares(20_000, 5);
    // 99.9 % of χ² with 3 degrees of freedom.
    assert!(chi_square(&shares[1..], &[0.1, 0.2, 0.3, 0.0, 0.4]) < 16.3, "{shares:?}");
    assert_eq!(shares[4], 0);
}

#[test]
fn the_second_of_a_weighted_random_list_is_in_proportion_to_what_is_left() {
    let mut lab = each(WRAND, &[[1], [2], [3]]);
    let mut second = [0; 4];
    for _ in 0..12_000 {
        second[lab.list(2)[1] as usize] += 1;
    }
    // The sum over the first's odds, times the odds among the other two.
    let one = 2.0 / 6.0 * (1.0 / 4.0) + 3.0 / 6.0 * (1.0 / 3.0);
    let two = 1.0 / 6.0 * (2.0 / 5.0) + 3.0 / 6.0 * (2.0 / 3.0);
    let expected = [one, two, 1.0 - one - two];
    assert!(chi_square(&second[1..], &expected) < 13.8, "{second:?}");
}

#[test]
fn weight_0_is_never_selected() {
    for policy_type in [WRR, WRAND] {
        let mut lab = each(policy_type, &[[0], [2], [3]]);
        for _ in 0..100 {
            let list = lab.list(3);
            assert!(list.len() == 2 && !list.contains(&1), "{list:?}");
        }
        assert_eq!(same(policy_type, &[0], 3).list(3), []);
    }
}

// Checklist 194.
#[test]
fn randomized_least_used_is_in_proportion_to_what_is_not_used() {
    let shares = each(RLU, &[[0], [FULL / 2], [FULL / 4 * 3], [FULL]]).shares(14_000, 4);
    let expected = [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0];
    assert!(chi_square(&shares[1..], &expected) < 13.8, "{shares:?}");
    assert_eq!(shares[4], 0);
}

#[test]
fn fully_loaded_elements_are_drawn_evenly_once_no_others_are_left() {
    let shares = same(RLU, &[FULL], 4).shares(8_000, 4);
    assert!(chi_square(&shares[1..], &[0.25; 4]) < 16.3, "{shares:?}");
    let mut lab = each(RLU, &[[FULL], [FULL - 1], [FULL]]);
    let mut second = [0; 4];
    for _ in 0..4_000 {
        let list = lab.list(3);
        assert_eq!((list.len(), list[0]), (3, 2));
        second[list[1] as usize] += 1;
    }
    assert!(chi_square(&second[1..], &[0.5, 0.0, 0.5]) < 10.8, "{second:?}");
}

#[test]
fn listings_lower_the_odds_of_a_degrading_randomized_policy() {
    let types = [
        PolicyType::RANDOMIZED_LEAST_USED_DEGRADATION,
        PolicyType::RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION,
    ];
    for policy_type in types {
        // One selection fills each of them.
        let mut lab = same(policy_type, &[FULL / 2, FULL / 2 + 1], 3);
        let mut ids = lab.picks(3);
        if policy_type == types[0] {
            ids.sort_unstable();
            assert_eq!(ids, [1, 2, 3]);
        }
        assert_eq!(lab.list(3).len(), 3);
    }
}

// Checklist 188.
#[test]
fn no_policy_lists_anyone_twice_and_none_is_left_out() {
    for &policy_type in PolicyType::ASSIGNED {
        let fields = policy_type.fields().unwrap();
        let values = |id: u32| fields.iter().map(move |_| id * 3).collect::<Vec<_>>();
        let mut lab = Lab::new((1..=40).map(|id| policy(policy_type, &values(id))));
        for items in [1, 7, 40, 100] {
            let mut list = lab.list(items);
            assert_eq!(list.len(), items.min(40) as usize, "{policy_type}");
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len(), items.min(40) as usize, "{policy_type}");
        }
    }
}

#[test]
fn the_same_seed_and_calls_give_the_same_answers() {
    let run = |seed| {
        let mut space = Handlespace::new(Config::default(), seed);
        let mut answers = Vec::new();
        for round in 0..500 {
            let name = handle(["a", "b", "c"][round % 3]);
            let id = u32::try_from(round * 7 % 100 + 1).unwrap();
            let _ = space.register(&name, element(id, policy(WRAND, &[id])));
            let listed =
                space.resolve(&name, Some(5)).map(|it| it.elements().cloned().collect::<Vec<_>>());
            answers.push(listed);
        }
        answers
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

// Checklist 188.
#[test]
fn an_answer_has_as_many_elements_as_asked_for_or_configured() {
    let config = Config {
        items_default: NonZeroU32::new(3),
        items_max: NonZeroU32::new(4).unwrap(),
        ..Config::default()
    };
    let mut lab = Lab::with(config, vec![Policy::round_robin(); 5]);
    assert_eq!([0, 2, 4, 5, u32::MAX].map(|items| lab.list(items).len()), [3, 2, 4, 4, 4]);
    assert_eq!(lab.0.resolve(&handle("p"), None).unwrap().elements().count(), 3);
    assert!(lab.0.resolve(&handle("q"), None).is_none());
    let mut lab = same(PolicyType::ROUND_ROBIN, &[], 5);
    assert_eq!(lab.0.resolve(&handle("p"), None).unwrap().elements().count(), 5);
}

// Checklist 94.
#[test]
fn a_resolution_names_the_policy_of_the_pool() {
    let mut lab = each(PolicyType::LEAST_USED, &[[7]]);
    let resolution = lab.0.resolve(&handle("p"), None).unwrap();
    assert_eq!(resolution.policy.get(PolicyField::Load), Some(0));
    let loads = resolution.elements().map(|element| element.policy.get(PolicyField::Load));
    assert!(loads.eq([Some(7)]));
}
