//! Ping-pong: nothing lost, nothing answered twice.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::{client, in_order};
use crate::programs::{Program, Registrar, Server};

/// Reads answers up to that one.
fn up_to(client: &mut Program, number: u64) {
    let wanted = format!("{number}: ");
    while !client.line().starts_with(&wanted) {}
}

#[test]
fn no_question_is_lost_or_answered_twice_when_servers_are_killed() {
    for transport in ["tcp", "sctp"] {
        let registrar = Registrar::patient();
        let mut servers = in_order(&registrar, 3, &["pingpong", "--transport", transport]);
        let mut client = client(&registrar, &["pingpong", "--interval", "2ms", "--count", "300"]);
        up_to(&mut client, 100);
        servers[0].program.kill();
        up_to(&mut client, 200);
        servers[1].program.kill();
        let ended = client.ended();
        assert_eq!(ended.code, Some(0), "{transport}: {ended:?}");
        let summary = ended.stdout.lines().last().unwrap();
        assert!(summary.starts_with("300 of 300 answered, 0 lost, "), "{summary}");
        let end = "2 failovers, 0 without state; 0 duplicates, 0 repeats, 0 gaps";
        assert!(summary.ends_with(end), "{summary}");
    }
}

#[test]
fn a_frozen_server_is_left_for_another_one() {
    let registrar = Registrar::patient();
    let servers = in_order(&registrar, 2, &["pingpong", "--transport", "tcp"]);
    let keep_alive = ["--keep-alive", "50ms", "--keep-alive-deadline", "150ms"];
    let args = ["pingpong", "--interval", "2ms", "--count", "200"];
    let mut client = client(&registrar, &[&args[..], &keep_alive].concat());
    up_to(&mut client, 50);
    servers[0].program.signal(Signal::STOP);
    up_to(&mut client, 199);
    servers[0].program.signal(Signal::CONT);
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_leaving_server_hands_its_sessions_over() {
    let registrar = Registrar::patient();
    let mut servers = in_order(&registrar, 2, &["pingpong", "--transport", "tcp"]);
    let mut client = client(&registrar, &["pingpong", "--interval", "2ms", "--count", "200"]);
    up_to(&mut client, 100);
    let leaving = servers.remove(0);
    leaving.program.signal(Signal::TERM);
    let left = leaving.program.ended();
    assert_eq!(left.code, Some(0));
    // Of all its cookies the first is told.
    assert_eq!(left.stderr.matches("there is no key for cookies").count(), 1, "{left:?}");
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("1 failovers, 0 without state"), "{ended:?}");
}

#[test]
fn the_summary_is_json() {
    let registrar = Registrar::patient();
    let server = Server::start(registrar.tcp(), &["pingpong", "--transport", "tcp"]);
    let pool = ["--pool", "PingPongPool"];
    let args = ["pingpong", "--interval", "1ms", "--count", "10", "--json", pool[0], pool[1]];
    let summary = client(&registrar, &args).ended().json();
    let expected = [
        ("sent", 10),
        ("answered", 10),
        ("lost", 0),
        ("resent", 0),
        ("duplicates", 0),
        ("repeats", 0),
        ("gaps", 0),
        ("failovers", 0),
        ("restarts", 0),
    ];
    for (field, value) in expected {
        assert_eq!(summary[field], value, "{summary}");
    }
    assert_eq!(summary["pool"], "PingPongPool");
    assert!(summary["latency_ms"]["median"].is_number(), "{summary}");
    drop(server);
}

#[test]
fn servers_with_another_key_begin_the_session_anew() {
    let registrar = Registrar::patient();
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, digit: &str| {
        let path = folder.path().join(name);
        fs::write(&path, digit.repeat(64)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ours, theirs) = (key("ours", "a"), key("theirs", "b"));
    let serve = |key: &str, policy: &str| {
        let args = ["pingpong", "--transport", "tcp", "--cookie-keys", key, "--policy", policy];
        Server::start(registrar.tcp(), &args)
    };
    let mut servers = vec![serve(&ours, "priority:3"), serve(&ours, "priority:2")];
    servers.push(serve(&theirs, "priority:1"));
    let mut client = client(&registrar, &["pingpong", "--interval", "2ms", "--count", "300"]);
    up_to(&mut client, 100);
    servers[0].program.kill();
    up_to(&mut client, 200);
    servers[1].program.kill();
    let ended = client.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let summary = ended.stdout.lines().last().unwrap();
    assert!(summary.starts_with("300 of 300 answered"), "{summary}");
    assert!(!summary.contains(" 0 repeats"), "{summary}");
    assert!(summary.contains(" 1 without state"), "{summary}");
}

#[test]
fn without_a_server_there_is_an_error_and_no_wait() {
    let registrar = Registrar::patient();
    let ended = client(&registrar, &["pingpong", "Nobody"]).ended();
    assert!(ended.failure(68).contains("unknown pool handle"), "{ended:?}");

    let mut server = Server::start(registrar.tcp(), &["pingpong", "--transport", "tcp"]);
    let args = ["pingpong", "--interval", "2ms", "--failover-timeout", "300ms"];
    let mut pinging = client(&registrar, &args);
    up_to(&mut pinging, 20);
    server.program.kill();
    let ended = pinging.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("0 failovers"), "{ended:?}");
    assert!(ended.stderr.contains("PingPongPool"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn who_wants_to_wait_does() {
    let registrar = Registrar::patient();
    let args = ["pingpong", "--wait", "--interval", "1ms", "--count", "5"];
    let mut waiting = client(&registrar, &args);
    let mut server = Server::start(registrar.tcp(), &["pingpong", "--transport", "tcp"]);
    up_to(&mut waiting, 1);
    assert_eq!(waiting.ended().code, Some(0));
    server.program.kill();
}

#[test]
fn servers_that_say_nothing_are_given_up() {
    let registrar = Registrar::patient();
    let _silent = Server::start(registrar.tcp(), &["discard", "--transport", "sctp"]);
    let args = ["pingpong", "DiscardPool", "--answer-timeout", "20ms", "--json"];
    let ended = client(&registrar, &args).ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("do not answer"), "{ended:?}");
    let summary: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&summary["answered"], &summary["failovers"]), (&0.into(), &10.into()));
}

#[test]
fn told_to_end_it_waits_for_the_answers_that_are_due() {
    let registrar = Registrar::patient();
    let _server = Server::start(registrar.tcp(), &["pingpong", "--transport", "udp"]);
    let mut client = client(&registrar, &["pingpong", "--interval", "1ms"]);
    up_to(&mut client, 50);
    client.signal(Signal::TERM);
    let ended = client.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(" 0 lost"), "{ended:?}");
}
