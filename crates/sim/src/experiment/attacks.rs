use rserpool_wire::registry::PolicyType;

use super::{Experiment, LU, Metric, RAND, RR, Series, Sweep, abbreviation};
use crate::calcapp::{Attack, KeepAlive, RateLimits, Scenario, Selection};

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
const LIMITS: RateLimits = RateLimits { resolutions: Some(1.0), reports: Some(1.0) };
const LUD: PolicyType = PolicyType::LEAST_USED_DEGRADATION;

fn sweeps() -> Vec<Sweep> {
    let resolutions = |interval| Attack::Resolutions { interval, report: 1.0 };
    let one_identifier = |interval| Attack::Registrations { interval, one_identifier: true };
    let registrations = |interval| Attack::Registrations { interval, one_identifier: false };
    let by_user = "One user reports whom it gets";
    let by_element = "One element registers";
    vec![
        over_seconds("user", by_user, &RESOLUTION_SECONDS, RateLimits::default(), resolutions),
        over_seconds("user-limited", by_user, &RESOLUTION_SECONDS, LIMITS, resolutions),
        over_seconds(
            "element",
            by_element,
            &REGISTRATION_SECONDS,
            RateLimits::default(),
            registrations,
        ),
        over_seconds(
            "element-limited",
            by_element,
            &REGISTRATION_SECONDS,
            RateLimits::default(),
            one_identifier,
        ),
        over_attackers("users", "users, ten reports a second each", false, resolutions(0.1)),
        over_attackers("users-limited", "users, ten reports a second each", true, resolutions(0.1)),
        over_attackers(
            "elements",
            "elements, ten identifiers a second each",
            false,
            registrations(0.1),
        ),
        over_attackers(
            "elements-limited",
            "elements, ten registrations a second each",
            true,
            one_identifier(0.1),
        ),
    ]
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

fn over_seconds(
    name: &str,
    title: &str,
    xs: &[f64],
    limits: RateLimits,
    attack: impl Fn(f64) -> Attack,
) -> Sweep {
    let limited = if name.ends_with("limited") { ", limited" } else { "" };
    sweep(name, format!("{title}{limited}"), "Seconds between attacks", true, xs, |seconds| {
        Scenario { attackers: 1, attack: Some(attack(seconds)), limits, ..Scenario::default() }
    })
}

fn over_attackers(name: &str, title: &str, limited: bool, attack: Attack) -> Sweep {
    let limits = if limited { LIMITS } else { RateLimits::default() };
    let limited = if limited { ", limited" } else { "" };
    sweep(name, format!("Many {title}{limited}"), "Attackers", false, &ATTACKERS, |attackers| {
        let attackers = crate::calcapp::whole(attackers);
        Scenario { attackers, attack: Some(attack), limits, ..Scenario::default() }
    })
}

/// Of `threat`, only who attacks and what is done about it counts.
fn sweep(
    name: &str,
    title: String,
    axis: &'static str,
    logarithmic: bool,
    xs: &[f64],
    threat: impl Fn(f64) -> Scenario,
) -> Sweep {
    let series = [LU, LUD, RR, RAND].map(|policy_type| {
        Series::over(abbreviation(policy_type), xs, |x| {
            let Scenario { attackers, attack, limits, .. } = threat(x);
            Scenario { attackers, attack, limits, ..base(policy_type) }
        })
    });
    Sweep {
        name: format!("attacks-{name}"),
        title,
        axis,
        logarithmic,
        metrics: &[Metric::HandlingSpeed, Metric::Utilisation],
        series: series.into(),
    }
}
