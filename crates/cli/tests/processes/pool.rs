//! A pool of servers: who is in it, and how servers leave and come back.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::programs::{Program, Registrar, Server, members, rserpool, run, until};

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// True where this server, and no other, is in EchoPool.
fn is_alone(registrar: &Registrar, server: &Server) -> bool {
    members(registrar.tcp(), "EchoPool") == std::slice::from_ref(&server.id)
}

#[test]
fn three_servers_of_two_transports_are_resolved_with_the_documented_fields() {
    let registrar = Registrar::with(&[
        "--id",
        "0x11",
        "--asap",
        "tcp://127.0.0.1:0",
        "--asap",
        "sctp://127.0.0.1:0",
        "--profile",
        "rfc",
    ]);
    assert_eq!(registrar.id, "0x00000011");
    let echo = ["echo", "--pool", "EchoPool", "--policy", "least-used"];
    let servers = [
        Server::start(registrar.tcp(), &echo),
        Server::start(registrar.sctp(), &echo),
        Server::start(registrar.sctp(), &echo),
    ];
    let ids = sorted(servers.iter().map(|server| server.id.clone()).collect());
    for url in &registrar.urls {
        let resolved =
            run(&["resolve", "EchoPool", "--registrar", url, "--items", "3", "-o", "json"]);
        assert_eq!(resolved.stderr, "");
        let answer = resolved.json();
        assert_eq!(keys(&answer), ["elements", "policy", "pool"]);
        assert_eq!(answer["pool"], "EchoPool");
        assert_eq!(answer["policy"], "least-used");
        let elements = answer["elements"].as_array().unwrap();
        assert_eq!(elements.len(), 3);
        for element in elements {
            assert_eq!(keys(element), ["addresses", "home", "id", "policy", "port", "transport"]);
            assert_eq!(element["transport"], "sctp");
            assert_eq!(element["addresses"], json!(["127.0.0.1"]));
            assert!(element["port"].as_u64().is_some_and(|port| port > 0));
            assert_eq!(element["policy"], json!({ "type": "least-used", "load": 0.0 }));
        }
        assert_eq!(members(url, "EchoPool"), ids);
    }
    let two =
        run(&["resolve", "EchoPool", "--registrar", registrar.tcp(), "--items", "2", "--json"]);
    assert_eq!(two.json()["elements"].as_array().unwrap().len(), 2);
}

#[test]
fn the_registrars_may_come_from_the_environment() {
    let registrar = Registrar::start();
    let urls = format!("tcp://127.0.0.1:1 {}", registrar.tcp());
    let mut serve = rserpool(&["serve", "echo", "--listen", "127.0.0.1", "--id", "0x7"]);
    serve.env("RSERPOOL_REGISTRARS", &urls);
    let mut server = Program::start(serve);
    let ready = server.line();
    assert!(ready.starts_with("echo 0x00000007 in EchoPool at sctp://127.0.0.1:"), "{ready}");
    let mut resolve = rserpool(&["resolve", "EchoPool", "-o", "plain"]);
    resolve.env("RSERPOOL_REGISTRARS", &urls);
    let resolved = Program::start(resolve).end();
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    let fields: Vec<&str> = resolved.stdout.trim_end().split('\t').collect();
    assert_eq!(fields[..3], ["0x00000007", "sctp", "127.0.0.1"]);
    assert_eq!(fields[4..], ["round-robin", &registrar.id]);
}

fn a_killed_server_disappears(registrar: &Registrar, url: &str) {
    let stays = Server::echo(url);
    let mut killed = Server::echo(url);
    let both = sorted(vec![stays.id.clone(), killed.id.clone()]);
    until("both are there", || members(registrar.tcp(), "EchoPool") == both);
    killed.program.kill();
    until("only one is left", || is_alone(registrar, &stays));
}

#[test]
fn a_killed_server_that_registered_over_tcp_disappears() {
    let registrar = Registrar::start();
    a_killed_server_disappears(&registrar, registrar.tcp());
}

#[test]
fn a_killed_server_that_registered_over_sctp_disappears() {
    let registrar = Registrar::start();
    a_killed_server_disappears(&registrar, registrar.sctp());
}

fn a_frozen_server_disappears_and_comes_back(registrar: &Registrar, url: &str) {
    let server = Server::echo(url);
    until("it is there", || is_alone(registrar, &server));
    server.program.signal(Signal::STOP);
    until("the frozen one is gone", || members(registrar.tcp(), "EchoPool").is_empty());
    server.program.signal(Signal::CONT);
    until("it is back", || is_alone(registrar, &server));
}

#[test]
fn a_frozen_server_that_registered_over_tcp_disappears_and_comes_back() {
    let registrar = Registrar::start();
    a_frozen_server_disappears_and_comes_back(&registrar, registrar.tcp());
}

#[test]
fn a_frozen_server_that_registered_over_sctp_disappears_and_comes_back() {
    let registrar = Registrar::start();
    a_frozen_server_disappears_and_comes_back(&registrar, registrar.sctp());
}

#[test]
fn a_server_that_is_told_to_end_is_out_of_the_pool_before_it_ends() {
    let registrar = Registrar::start();
    for url in &registrar.urls {
        for signal in [Signal::TERM, Signal::INT] {
            let server = Server::echo(url);
            until("it is there", || is_alone(&registrar, &server));
            server.program.signal(signal);
            let ended = server.program.ended();
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
            assert!(members(registrar.tcp(), "EchoPool").is_empty());
        }
    }
}

#[test]
fn a_registrar_that_is_told_to_end_does() {
    let registrar = Registrar::start();
    let _element = Server::echo(registrar.sctp());
    registrar.program.signal(Signal::TERM);
    let ended = registrar.program.ended();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
}

#[test]
fn programs_that_end_with_their_standard_input_do() {
    let registrar = Registrar::with(&["--asap", "tcp://127.0.0.1:0", "--exit-with-stdin"]);
    let server = Server::start(registrar.tcp(), &["echo", "--exit-with-stdin"]);
    assert_eq!(server.program.end().code, Some(0));
    assert!(members(registrar.tcp(), "EchoPool").is_empty());
    assert_eq!(registrar.program.end().code, Some(0));
}

fn servers_register_again_at_a_restarted_registrar(scheme: &str) {
    let mut registrar = Registrar::start();
    let url = registrar.url(scheme).to_owned();
    let servers = [Server::echo(&url), Server::echo(&url)];
    let ids = sorted(servers.iter().map(|server| server.id.clone()).collect());
    until("all are there", || members(&url, "EchoPool") == ids);
    registrar.program.kill();
    let registrar = Registrar::with(&["--asap", &url]);
    assert_eq!(registrar.url(scheme), url);
    until("all are back", || members(&url, "EchoPool") == ids);
}

#[test]
fn servers_register_again_at_a_registrar_that_was_restarted_over_tcp() {
    servers_register_again_at_a_restarted_registrar("tcp");
}

#[test]
fn servers_register_again_at_a_registrar_that_was_restarted_over_sctp() {
    servers_register_again_at_a_restarted_registrar("sctp");
}

#[test]
fn a_server_moves_to_another_registrar_when_its_own_is_killed() {
    for scheme in ["tcp", "sctp"] {
        let mut registrars = vec![Registrar::start(), Registrar::start()];
        let second = registrars[1].url(scheme).to_owned();
        let args = ["echo", "--registrar", &second];
        let server = Server::start(registrars[0].url(scheme), &args);
        let mut home = None;
        until("it is there", || {
            home = registrars.iter().position(|registrar| is_alone(registrar, &server));
            home.is_some()
        });
        let mut killed = registrars.remove(home.unwrap());
        killed.program.kill();
        until("it has moved", || is_alone(&registrars[0], &server));
    }
}

#[test]
fn advertised_addresses_are_taken_where_the_registrar_allows_it() {
    let registrar = Registrar::with(&["--asap", "tcp://127.0.0.1:0", "--allow-advertised"]);
    let advertise = ["echo", "--advertise", "192.0.2.7", "--advertise", "2001:db8::7"];
    let _server = Server::start(registrar.tcp(), &advertise);
    let resolved =
        run(&["resolve", "EchoPool", "--registrar", registrar.tcp(), "-o", "json"]).json();
    assert_eq!(resolved["elements"][0]["addresses"], json!(["192.0.2.7", "2001:db8::7"]));
}

#[test]
fn advertised_addresses_are_refused_where_it_does_not() {
    let registrar = Registrar::start();
    let serve = ["serve", "echo", "--listen", "127.0.0.1", "--advertise", "192.0.2.7"];
    let refused = run(&[&serve, &["--registrar", registrar.tcp()][..]].concat());
    let line = refused.failure(1);
    assert!(line.contains("rejected") && line.contains("cause 0x3"), "{line}");
    assert!(members(registrar.tcp(), "EchoPool").is_empty());
}
