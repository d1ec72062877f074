//! Elements that are there and not listed, whatever the policy.

use rserpool_wire::param::{Load, PeId, Policy, PolicyField};
use rserpool_wire::registry::PolicyType;

use super::{Lab, handle};

fn policies() -> impl Iterator<Item = Policy> {
    PolicyType::ASSIGNED.iter().filter_map(|&policy_type| {
        let fields = policy_type.fields()?;
        let of = |policy: Policy, field: &PolicyField| match field {
            PolicyField::Weight => policy.with(PolicyField::Weight, 3),
            PolicyField::Load => policy.with(PolicyField::Load, Load::from_fraction(0.3).0),
            _ => policy,
        };
        Some(fields.iter().fold(Policy::of_type(policy_type), of))
    })
}

#[test]
fn whoever_is_withheld_is_there_and_in_no_list() {
    let mut seen = 0;
    for policy in policies() {
        seen += 1;
        let mut lab = Lab::new((0..5).map(|_| policy.clone()));
        assert_eq!(lab.list(9).len(), 5, "{policy:?}");
        assert!(lab.0.withhold(&handle("p"), PeId(2)));
        // Nor does it change anything to say so twice.
        assert!(!lab.0.withhold(&handle("p"), PeId(2)));
        let rest = |lab: &mut Lab, items| {
            let mut listed = lab.list(items);
            listed.sort_unstable();
            listed
        };
        assert_eq!(rest(&mut lab, 9), [1, 3, 4, 5], "{policy:?}");
        assert!(!lab.picks(100).contains(&2));
        assert_eq!((lab.0.len(), lab.0.is_listed(lab.index(2))), (5, false));
        // It registers again, and others come and go.
        lab.register(2, policy.clone());
        lab.deregister(5);
        lab.register(6, policy.clone());
        assert_eq!(rest(&mut lab, 9), [1, 3, 4, 6], "{policy:?}");
        // It ends, and comes again: it is the same.
        lab.deregister(2);
        lab.register(2, policy.clone());
        assert_eq!(rest(&mut lab, 9), [1, 3, 4, 6], "{policy:?}");
        assert_eq!(lab.0.pool(&handle("p")).unwrap().listed(), 4);
        for id in [1, 3, 4, 6] {
            assert!(lab.0.withhold(&handle("p"), PeId(id)));
        }
        assert_eq!(lab.list(9), [0; 0], "{policy:?}");
        for id in [6, 2] {
            assert!(lab.0.list_again(&handle("p"), PeId(id)));
            assert!(!lab.0.list_again(&handle("p"), PeId(id)));
        }
        assert_eq!(rest(&mut lab, 9), [2, 6], "{policy:?}");
        assert_eq!(lab.picks(200).into_iter().collect::<std::collections::BTreeSet<_>>().len(), 2);
        for id in [1, 2, 3, 4, 6] {
            lab.deregister(id);
        }
        assert!(lab.0.is_empty() && !lab.0.contains(&handle("p")));
    }
    assert!(seen >= 12, "{seen}");
}
