use rserpool_wire::registry::PolicyType;

use super::{Axis, Experiment, LU, Metric, RAND, RR, Series, Sweep, abbreviation, with_policy};
use crate::calcapp::{ElementFailures, KeepAlive, Scenario};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "failures",
    title: "Failure handling: cookies, keep-alives, reports",
    about: "\
Euromicro 2005, ICDS 2008, IJAIT 2009. Elements end after exponentially distributed times, M times
what they need for an average request alone, and come back at once as new ones. Who ends cleanly
deregisters and hands each user the state of its job; of others it is lost what is not in a cookie,
users notice by keep-alives of sessions, registrars by keep-alives of their own or by reports.",
    runs: 24,
    sweeps,
};

const POLICIES: [PolicyType; 3] = [LU, RR, RAND];
const UPTIMES: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.75, 5.0];
const CLEAN: [f64; 9] = [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0];
const COOKIES: [f64; 10] = [1e4, 1e5, 5e5, 1e6, 1.75e6, 2.5e6, 3.75e6, 5e6, 7.5e6, 1e7];
const SIZES: [f64; 8] = [1e6, 2.5e6, 5e6, 1e7, 2e7, 3e7, 4e7, 5e7];
const SESSION_SECONDS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
const ENDPOINT_SECONDS: [f64; 8] = [1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0];
const REPORTS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0];

const BOTH: &[Metric] = &[Metric::Utilisation, Metric::HandlingSpeed];
const TIMES: &[Metric] = &[Metric::HandlingSpeed, Metric::FailoverSeconds];
const COSTS: &[Metric] = &[Metric::HandlingSpeed, Metric::AsapRate];

fn sweeps() -> Vec<Sweep> {
    let by_delay = |millis| shutdowns(&format!("shutdown-d{millis}"), 10.0, 0.6, millis);
    let mut sweeps: Vec<Sweep> = [0.0, 10.0, 50.0].map(by_delay).into();
    sweeps.push(shutdowns("shutdown-lab", 3.0, 0.5, 25.0));
    sweeps.extend(POLICIES.map(clean_share));
    sweeps.extend(POLICIES.map(cookies));
    sweeps.extend(POLICIES.map(abort_and_restart));
    sweeps.extend(POLICIES.map(session_keep_alive));
    sweeps.extend(POLICIES.map(endpoint_keep_alive));
    sweeps.extend(POLICIES.map(reports));
    sweeps
}

fn every(seconds: f64) -> KeepAlive {
    KeepAlive { interval: seconds, timeout: seconds }
}

/// Elements that end after so many times what a request of this size takes.
fn base(policy_type: PolicyType, target: f64, uptime: f64, size: f64) -> Scenario {
    Scenario {
        target,
        size,
        delay: 0.01,
        duration: 3600.0,
        element_failures: Some(ElementFailures { uptime: uptime * size / 1e6, clean: 0.0 }),
        session_keep_alive: every(1.0),
        endpoint_keep_alive: every(1.0),
        request_timeout: 1.0,
        reports_max: Some(1),
        ..with_policy(policy_type)
    }
}

fn sweep(
    name: &str,
    title: String,
    axis: Axis,
    metrics: &'static [Metric],
    series: impl Into<Vec<Series>>,
) -> Sweep {
    let name = format!("failures-{name}");
    Sweep { name, title, axis, metrics, series: series.into() }
}

fn of(name: &str, policy_type: PolicyType) -> String {
    format!("{name}-{}", abbreviation(policy_type).to_lowercase())
}

fn clean(scenario: Scenario) -> Scenario {
    let failures = scenario.element_failures.map(|it| ElementFailures { clean: 1.0, ..it });
    Scenario {
        element_failures: failures,
        session_keep_alive: every(50.0),
        endpoint_keep_alive: every(50.0),
        request_timeout: 50.0,
        ..scenario
    }
}

fn shutdowns(name: &str, ratio: f64, target: f64, millis: f64) -> Sweep {
    let series = POLICIES.map(|policy_type| {
        Series::over(abbreviation(policy_type), &UPTIMES, |uptime| Scenario {
            ratio,
            delay: millis / 1e3,
            ..clean(base(policy_type, target, uptime, 1e7))
        })
    });
    let load = format!("r={ratio}, θ={} %", target * 100.0);
    sweep(
        name,
        format!("Clean shutdowns, s=10, {load}, d={millis} ms"),
        Axis::linear("Uptime M"),
        BOTH,
        series,
    )
}

fn clean_share(policy_type: PolicyType) -> Sweep {
    let series = [1.0, 10.0, 100.0].map(|seconds| {
        Series::over(format!("session keep-alive {seconds} s"), &CLEAN, |clean| {
            let scenario = base(policy_type, 0.6, 5.0, 1e7);
            let failures = scenario.element_failures.map(|it| ElementFailures { clean, ..it });
            Scenario {
                element_failures: failures,
                session_keep_alive: every(seconds),
                request_timeout: seconds,
                ..scenario
            }
        })
    });
    let title = format!("{}, share of clean shutdowns, M=5, s=10", abbreviation(policy_type));
    sweep(&of("clean", policy_type), title, Axis::linear("Share of clean shutdowns"), TIMES, series)
}

fn cookies(policy_type: PolicyType) -> Sweep {
    let series = [2.0, 5.0, 10.0].map(|uptime| {
        Series::over(format!("M={uptime}"), &COOKIES, |cookie_calculations| Scenario {
            cookie_calculations,
            ..base(policy_type, 0.6, uptime, 1e7)
        })
    });
    let title = format!("{}, cookies, no clean shutdowns, s=10", abbreviation(policy_type));
    sweep(
        &of("cookies", policy_type),
        title,
        Axis::logarithmic("A cookie every [calculations]"),
        BOTH,
        series,
    )
}

fn abort_and_restart(policy_type: PolicyType) -> Sweep {
    let series = [2.0, 5.0, 100.0].map(|uptime| {
        Series::over(format!("uptime {} s", uptime * 10.0), &SIZES, |size| Scenario {
            size,
            cookie_calculations: f64::INFINITY,
            ..base(policy_type, 0.25, uptime * 1e7 / size, size)
        })
    });
    let title = format!("{}, no cookies, no clean shutdowns, θ=25 %", abbreviation(policy_type));
    sweep(
        &of("restart", policy_type),
        title,
        Axis::logarithmic("Request size S [calculations]"),
        BOTH,
        series,
    )
}

fn session_keep_alive(policy_type: PolicyType) -> Sweep {
    let series = [1.0, 10.0, 100.0].map(|endpoint| {
        Series::over(format!("registrar's {endpoint} s"), &SESSION_SECONDS, |seconds| Scenario {
            session_keep_alive: every(seconds),
            request_timeout: seconds,
            endpoint_keep_alive: every(endpoint),
            ..base(policy_type, 0.4, 5.0, 1e7)
        })
    });
    let title = format!("{}, keep-alives of sessions, M=5, s=10", abbreviation(policy_type));
    sweep(
        &of("session", policy_type),
        title,
        Axis::logarithmic("Keep-alive of sessions [s]"),
        TIMES,
        series,
    )
}

fn endpoint_keep_alive(policy_type: PolicyType) -> Sweep {
    let series = [2.0, 5.0, 10.0].map(|uptime| {
        Series::over(format!("M={uptime}"), &ENDPOINT_SECONDS, |seconds| Scenario {
            endpoint_keep_alive: every(seconds),
            reports_max: None,
            ..base(policy_type, 0.25, uptime, 1e6)
        })
    });
    let title = format!("{}, keep-alives of registrars, s=1", abbreviation(policy_type));
    sweep(
        &of("endpoint", policy_type),
        title,
        Axis::logarithmic("Keep-alive of registrars [s]"),
        COSTS,
        series,
    )
}

fn reports(policy_type: PolicyType) -> Sweep {
    let series = [1.0, 5.0, 30.0].map(|seconds| {
        Series::over(format!("registrar's {seconds} s"), &REPORTS, |reports| Scenario {
            endpoint_keep_alive: every(seconds),
            reports_max: Some(crate::calcapp::whole(reports)),
            ..base(policy_type, 0.25, 5.0, 1e6)
        })
    });
    let title = format!("{}, reports that remove an element, M=5, s=1", abbreviation(policy_type));
    sweep(&of("reports", policy_type), title, Axis::linear("Reports"), COSTS, series)
}
