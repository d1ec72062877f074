//! What a running program says, and what signals do to it.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use serde_json::Value;

use crate::programs::{Program, Registrar, Server, members, rserpool, run};

/// The next entry of a log in JSON with this message.
pub(crate) fn entry(program: &mut Program, message: &str) -> Value {
    loop {
        let line = program.log_line();
        let entry: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        if entry["fields"]["message"] == message {
            return entry["fields"].clone();
        }
    }
}

#[test]
fn signals_that_are_for_others_do_not_end_a_registrar() {
    let mut registrar = Registrar::start();
    for (signal, name) in
        [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")]
    {
        registrar.program.signal(signal);
        let line = registrar.program.log_line();
        assert!(line.contains(&format!("{name} is ignored")), "{line}");
    }
    assert!(members(registrar.tcp(), "EchoPool").is_empty());
    registrar.program.signal(Signal::TERM);
    assert_eq!(registrar.program.ended().code, Some(0));
}

#[test]
fn signals_that_are_for_others_do_not_end_a_server() {
    let registrar = Registrar::patient();
    let mut server = Server::echo(registrar.tcp());
    for (signal, name) in [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        server.program.signal(signal);
        let line = server.program.log_line();
        assert!(line.contains(&format!("{name} is ignored")), "{line}");
    }
    server.program.signal(Signal::HUP);
    let line = server.program.log_line();
    assert!(line.contains("no file with cookie keys to read again"), "{line}");
    assert_eq!(members(registrar.tcp(), "EchoPool"), [server.id.clone()]);
}

#[test]
fn who_listens_beyond_this_host_is_told_what_that_means() {
    let mut open = Registrar::with(&["--asap", "tcp://0.0.0.0:0", "--enrp", "tcp://127.0.0.1:0"]);
    let line = open.program.log_line();
    assert!(line.contains("there are no keys") && line.contains("tcp://0.0.0.0:0"), "{line}");
    assert!(!line.contains("127.0.0.1"), "{line}");
    // Where nobody else can come there is nothing to say.
    let closed = Registrar::with(&["--asap", "tcp://127.0.0.1:0"]);
    closed.program.signal(Signal::TERM);
    let ended = closed.program.ended();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

#[test]
fn the_log_says_who_was_refused_what() {
    let asap = ["--asap", "tcp://127.0.0.1:0", "-v", "--log-format", "json"];
    let mut registrar = Registrar::with(&asap);
    let pool = "x".repeat(200);
    let serve = ["serve", "echo", "--listen", "127.0.0.1", "--transport", "tcp", "--id", "0x1234"];
    let rest = ["--pool", &pool, "--registrar", registrar.tcp()];
    let refused = run(&[&serve[..], &rest].concat());
    assert!(refused.failure(1).contains("a pool handle of 200 octets"), "{refused:?}");
    let said = entry(&mut registrar.program, "registration rejected");
    assert_eq!(said["element"], "0x00001234");
    assert_eq!(said["pool"], format!("{}… (200 octets)", "x".repeat(64)));
    assert!(said["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{said}");
    let cause = said["cause"].as_str().unwrap();
    assert!(cause.ends_with("(cause 0x3): a pool handle of 200 octets"), "{cause}");
}

#[test]
fn a_server_says_that_its_registrar_is_lost_and_that_it_is_back() {
    let first = Registrar::start();
    let url = first.tcp().to_owned();
    let head = ["serve", "echo", "--transport", "tcp", "--listen", "127.0.0.1", "-o", "json"];
    let args = [&head[..], &["--log-format", "json", "--registrar", &url]].concat();
    let mut server = Program::start(rserpool(&args));
    let id = server.json()["id"].clone();
    drop(first);
    assert_eq!(entry(&mut server, "home registrar lost")["element"], id);
    let second = Registrar::with(&["--asap", &url, "--id", "0x22"]);
    let back = entry(&mut server, "registered again");
    assert_eq!((&back["element"], &back["at"]), (&id, &url.replace("tcp://", "").into()));
    drop(second);
}

#[test]
fn a_registrar_says_that_another_one_is_lost_and_taken_over_and_back() {
    let enrp = ["--asap", "tcp://127.0.0.1:0", "--enrp", "tcp://127.0.0.1:0", "--id", "0x11"];
    let first = Registrar::with(&enrp);
    let to = ["--asap", "tcp://127.0.0.1:0", "--log-format", "json", "--peer", &first.enrp[0]];
    let mut second = Registrar::with(&to);
    let _server = Server::echo(first.tcp());
    let url = first.enrp[0].clone();
    drop(first);
    assert_eq!(entry(&mut second.program, "peer lost")["peer"], "0x00000011");
    assert_eq!(entry(&mut second.program, "takeover won")["peer"], "0x00000011");
    let again = ["--asap", "tcp://127.0.0.1:0", "--enrp", &url, "--id", "0x11"];
    let _again = Registrar::with(&again);
    assert_eq!(entry(&mut second.program, "peer is there again")["peer"], "0x00000011");
}

/// All names of fields in a value.
pub(crate) fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.keys().cloned());
            map.values().for_each(|value| fields(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, into)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_json_is_documented() {
    let docs = include_str!("../../../../docs/json.md");
    let enrp = ["--asap", "tcp://127.0.0.1:0", "--enrp", "tcp://127.0.0.1:0", "-o", "json"];
    let mut registrar = Program::start(rserpool(&[&["registrar"], &enrp[..]].concat()));
    let ready = registrar.json();
    let url = ready["asap"][0].as_str().unwrap();
    let serve =
        ["serve", "echo", "--pool", "\\xffo", "--policy", "priority:3", "--transport", "tcp"];
    let rest = ["--listen", "127.0.0.1", "--json", "--registrar", url];
    let mut server = Program::start(rserpool(&[&serve[..], &rest].concat()));
    let serving = server.json();
    let resolved = run(&["resolve", "\\xffo", "--json", "--registrar", url]).json();
    let dumped = run(&["dump", "--json", "--enrp", ready["enrp"][0].as_str().unwrap()]).json();
    let probed = run(&["probe", "--json"]).json();
    let mut names = BTreeSet::new();
    for value in [&ready, &serving, &resolved, &dumped, &probed] {
        fields(value, &mut names);
    }
    assert!(names.contains("pool_hex") && names.contains("home"), "{names:?}");
    for name in names {
        assert!(docs.contains(&format!("`{name}`")), "{name} is not documented");
    }
    assert_eq!(resolved["elements"][0]["home"], ready["id"]);
    assert_eq!(dumped[0], resolved);
}

#[test]
fn handles_go_round_whatever_their_octets_are() {
    let registrar = Registrar::patient();
    for (typed, shown, hex) in [
        ("Pöòl 池", "Pöòl 池", None),
        ("\\x50ool\\xff", "Pool\\xff", Some("506f6f6cff")),
        ("a\\b", "a\\\\b", None),
    ] {
        let args = ["echo", "--transport", "tcp", "--pool", typed];
        let server = Server::start(registrar.tcp(), &args);
        let resolved = run(&["resolve", shown, "--json", "--registrar", registrar.tcp()]).json();
        assert_eq!(resolved["elements"][0]["id"], server.id, "{typed}");
        assert_eq!(resolved["pool_hex"].as_str(), hex, "{resolved}");
    }
}

#[test]
fn by_default_a_server_serves_both_versions_of_ip() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this host has no IPv6");
        return;
    }
    for host in ["127.0.0.1", "[::1]"] {
        let asap = format!("tcp://{host}:0");
        let registrar = Registrar::with(&["--asap", &asap]);
        for transport in ["tcp", "sctp", "udp"] {
            let pool = format!("{transport}-pool");
            let serve = ["serve", "echo", "--json", "--transport", transport, "--pool", &pool];
            let rest = ["--registrar", registrar.tcp()];
            let mut server = Program::start(rserpool(&[&serve[..], &rest].concat()));
            server.json();
            let mut client = Program::start(rserpool(&["connect", &pool, rest[0], rest[1]]));
            client.say("hello");
            assert_eq!(client.line(), "hello", "{transport} at {host}");
        }
    }
}

#[test]
fn the_log_says_whose_session_was_refused() {
    let registrar = Registrar::patient();
    let head = ["serve", "echo", "--transport", "tcp", "--listen", "127.0.0.1", "-o", "json"];
    let log = ["--log-format", "json", "-vv", "--sessions-max", "1", "--registrar"];
    let mut server = Program::start(rserpool(&[&head[..], &log, &[registrar.tcp()]].concat()));
    let url = server.json()["urls"][0].as_str().unwrap().to_owned();
    let connect = || TcpStream::connect(url.trim_start_matches("tcp://")).unwrap();
    let clients = [connect(), connect()];
    let refused = entry(&mut server, "a session is refused");
    assert_eq!(refused["client"], clients[1].local_addr().unwrap().to_string());
}

#[test]
fn a_client_that_loses_its_server_says_what_it_waits_for_and_that_it_goes_on() {
    let registrar = Registrar::patient();
    let pingpong = ["pingpong", "--transport", "tcp"];
    let first = Server::start(registrar.tcp(), &pingpong);
    let head = ["pingpong", "--interval", "10ms", "--wait", "--registrar", registrar.tcp()];
    let mut client = Program::start(rserpool(&[&head[..], &["--log-format", "json"]].concat()));
    client.line();
    drop(first);
    entry(&mut client, "waiting for a server of PingPongPool that accepts");
    let second = Server::start(registrar.tcp(), &pingpong);
    assert_eq!(entry(&mut client, "the session goes on")["server"], second.id);
    client.signal(Signal::TERM);
}

#[test]
fn a_resolution_and_a_dump_say_what_they_wait_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    for (args, what) in [
        (&["resolve", "EchoPool", "--registrar", &url][..], format!("a registrar: {url} (")),
        (&["dump", "--enrp", &url, "--timeout", "3s"], format!("the registrar at {url}")),
    ] {
        let ended = run(args);
        ended.failure_after_waiting(69);
        assert!(ended.stderr.contains(&format!("waiting for {what}")), "{ended:?}");
    }
}
