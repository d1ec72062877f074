//! Calculations that go on at another server.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::{client, in_order};
use crate::programs::{Registrar, Server, run, until};

/// The loads of a pool's elements, as the registrar knows them.
fn loads(registrar: &Registrar) -> Vec<f64> {
    let args = ["resolve", "CalcAppPool", "--registrar", registrar.tcp(), "-o", "json"];
    let elements = run(&args).json()["elements"].take();
    let load = |element: &Value| element["policy"]["load"].as_f64().unwrap();
    elements.as_array().unwrap().iter().map(load).collect()
}

#[test]
fn a_job_goes_on_at_another_server() {
    let registrar = Registrar::patient();
    let args = ["calcapp", "--transport", "tcp", "--capacity", "100000000"];
    let mut servers = in_order(&registrar, 2, &args);
    let job = ["--job-size", "100000000", "--constant", "--count", "1", "--json", "-v"];
    let mut client = client(&registrar, &[&["calcapp"][..], &job].concat());
    while !client.log_line().contains("accepted") {}
    servers[0].program.kill();
    let summary = client.ended().json();
    assert_eq!((&summary["jobs"], &summary["failovers"]), (&1.into(), &1.into()), "{summary}");
    assert_eq!(summary["calculations"], 100_000_000);
}

#[test]
fn a_server_that_is_full_does_not_make_a_job_begin_anew() {
    let registrar = Registrar::patient();
    let serve = |policy: &str, capacity: &str| {
        let head = ["calcapp", "--transport", "tcp", "--jobs-max", "1"];
        let args = [&head[..], &["--policy", policy, "--capacity", capacity]].concat();
        Server::start(registrar.tcp(), &args)
    };
    let endless = ["calcapp", "--job-size", "1000000000000000", "--constant", "--count", "1"];
    let _full = serve("priority:2", "1");
    let mut other = client(&registrar, &[&endless[..], &["-v"]].concat());
    while !other.log_line().contains("accepted") {}
    let first = serve("priority:3", "1000000000000");
    let mut client = client(&registrar, &[&endless[..], &["--json", "-v"]].concat());
    while !client.log_line().contains("accepted") {}
    let _last = serve("priority:1", "1000000000000000");
    // Its last word is a cookie.
    first.program.signal(Signal::TERM);
    let summary = client.ended().json();
    assert_eq!((&summary["jobs"], &summary["failovers"]), (&1.into(), &1.into()), "{summary}");
    assert_eq!((&summary["resumed"], &summary["rejected"]), (&1.into(), &1.into()), "{summary}");
}

#[test]
fn a_server_that_refuses_the_cookie_is_asked_from_the_start() {
    let registrar = Registrar::patient();
    let folder = tempfile::tempdir().unwrap();
    let serve = |digit: &str, policy: &str, capacity: &str| {
        let key = folder.path().join(digit);
        fs::write(&key, digit.repeat(64)).unwrap();
        let head = ["calcapp", "--transport", "tcp", "--cookie-keys", key.to_str().unwrap()];
        let args = [&head[..], &["--policy", policy, "--capacity", capacity]].concat();
        Server::start(registrar.tcp(), &args)
    };
    let first = serve("a", "priority:2", "1000000000000");
    let _second = serve("b", "priority:1", "1000000000000000");
    let args = ["calcapp", "--job-size", "1000000000000000", "--constant", "--count", "1"];
    let mut client = client(&registrar, &[&args[..], &["--json", "-v"]].concat());
    while !client.log_line().contains("accepted") {}
    first.program.signal(Signal::TERM);
    let summary = client.ended().json();
    assert_eq!((&summary["jobs"], &summary["failovers"]), (&1.into(), &1.into()), "{summary}");
}

#[test]
fn the_load_is_the_part_of_the_jobs_that_are_there() {
    let registrar = Registrar::patient();
    let args = ["calcapp", "--transport", "tcp", "--policy", "least-used", "--jobs-max", "2"];
    let _server = Server::start(registrar.tcp(), &args);
    assert_eq!(loads(&registrar), [0.0]);
    let endless = ["calcapp", "--job-size", "1000000000000", "--constant", "--count", "1"];
    let first = client(&registrar, &endless);
    until("half", || loads(&registrar).iter().all(|load| (load - 0.5).abs() < 0.01));
    let second = client(&registrar, &endless);
    until("full", || loads(&registrar).iter().all(|load| (load - 1.0).abs() < 0.01));
    // There is no room for a third one until another one is gone.
    let short = ["calcapp", "--job-size", "1000", "--constant", "--count", "1", "--json", "-v"];
    let mut third = client(&registrar, &short);
    while !third.log_line().contains("rejected") {}
    drop(first);
    let summary = third.ended().json();
    assert_eq!(summary["jobs"], 1);
    assert!(summary["rejected"].as_u64() >= Some(1), "{summary}");
    drop(second);
    until("idle", || loads(&registrar).iter().all(|load| load.abs() < 0.01));
}
