use rserpool_wire::registry::PolicyType;

use super::{Axis, Experiment, LU, Metric, RAND, RR, Series, Sweep, abbreviation};
use crate::calcapp::{Attack, KeepAlive, RateLimits, Scenario, Selection, whole};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "attacks",
    title: "Attacks by users and elements, with and without limits",
    about: "\
Networking 2008, LCN 2008, KiVS 2009, ConTEL 2009, IJIIDS 2010, with the values of their lab: ten
elements, thirty users, target utilisation 50 %, s=10, 25 ms from host to host, registrations every
30 s, three reports remove an element. Attackers resolve and report whom they got, or register elements
that answer registrars and no users. The limits are one resolution and one report in a second for each
user, and one identifier for each element. 0 attacks are what there is without.",
    runs: 12,
    sweeps,
};

const RESOLUTION_SECONDS: [f64; 9] = [0.1, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0];
const REGISTRATION_SECONDS: [f64; 9] = [0.1, 0.5, 5.0, 10.0, 15.0, 22.0, 30.0, 40.0, 50.0];
const ATTACKERS: [f64; 6] = [0.0, 1.0, 3.0, 5.0, 7.0, 10.0];
const NO_LIMITS: RateLimits = RateLimits { resolutions: None, reports: None };
const LIMITS: RateLimits = RateLimits { resolutions: Some(1.0), reports: Some(1.0) };
const LUD: PolicyType = PolicyType::LEAST_USED_DEGRADATION;

fn sweeps() -> Vec<Sweep> {
    let reports = |interval| Attack::Resolutions { interval, report: 1.0 };
    let identifiers = |interval| Attack::Registrations { interval, one_identifier: false };
    let one_identifier = |interval| Attack::Registrations { interval, one_identifier: true };
    let (one_user, one_element) = ("One user reports whom it gets", "One element registers");
    let many_users = "Many users, ten reports a second each";
    let (resolving, registering) = (&RESOLUTION_SECONDS, &REGISTRATION_SECONDS);
    vec![
        over_seconds("user", one_user, resolving, NO_LIMITS, reports),
        over_seconds("user-limited", &limited(one_user), resolving, LIMITS, reports),
        over_seconds("element", one_element, registering, NO_LIMITS, identifiers),
        over_seconds(
            "element-limited",
            &limited(one_element),
            registering,
            NO_LIMITS,
            one_identifier,
        ),
        over_attackers("users", many_users, NO_LIMITS, reports(0.1)),
        over_attackers("users-limited", &limited(many_users), LIMITS, reports(0.1)),
        over_attackers(
            "elements",
            "Many elements, ten identifiers a second each",
            NO_LIMITS,
            identifiers(0.1),
        ),
        over_attackers(
            "elements-limited",
            &limited("Many elements, ten registrations a second each"),
            LIMITS,
            one_identifier(0.1),
        ),
    ]
}

fn limited(title: &str) -> String {
    format!("{title}, limited")
}

fn base(policy_type: PolicyType) -> Scenario {
    let degradation = (policy_type == LUD).then_some(0.1);
    Scenario {
        selection: Selection { policy_type, degradation },
        ratio: 3.0,
        target: 0.5,
        size: 1e7,
        delay: 0.025,
        duration: 3600.0,
        capacity_per_job: 1e5,
        session_keep_alive: KeepAlive { interval: 10.0, timeout: 10.0 },
        request_timeout: 10.0,
        // A registration every 30 s.
        lifetime: 50.0,
        reports_max: Some(3),
        ..Scenario::default()
    }
}

/// One attacker, more or less often.
fn over_seconds(
    name: &str,
    title: &str,
    xs: &[f64],
    limits: RateLimits,
    attack: impl Fn(f64) -> Attack,
) -> Sweep {
    sweep(name, title, Axis::logarithmic("Seconds between attacks"), xs, |policy_type, seconds| {
        Scenario { attackers: 1, attack: Some(attack(seconds)), limits, ..base(policy_type) }
    })
}

/// More or fewer attackers.
fn over_attackers(name: &str, title: &str, limits: RateLimits, attack: Attack) -> Sweep {
    sweep(name, title, Axis::linear("Attackers"), &ATTACKERS, |policy_type, attackers| Scenario {
        attackers: whole(attackers),
        attack: Some(attack),
        limits,
        ..base(policy_type)
    })
}

fn sweep(
    name: &str,
    title: &str,
    axis: Axis,
    xs: &[f64],
    scenario: impl Fn(PolicyType, f64) -> Scenario,
) -> Sweep {
    let series = [LU, LUD, RR, RAND].map(|policy_type| {
        Series::over(abbreviation(policy_type), xs, |x| scenario(policy_type, x))
    });
    Sweep {
        name: format!("attacks-{name}"),
        title: title.into(),
        axis,
        metrics: &[Metric::HandlingSpeed, Metric::Utilisation],
        series: series.into(),
    }
}
