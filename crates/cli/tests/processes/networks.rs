//! Other addresses than 127.0.0.1, and registrars that nobody has configured.

use std::net::{TcpListener, UdpSocket};

use serde_json::{Value, json};

use crate::programs::{Program, Registrar, Server, rserpool, run};

/// The addresses of the only element of EchoPool.
fn addresses(args: &[&str]) -> Value {
    let mut answer = run(&[&["resolve", "EchoPool", "-o", "json"], args].concat()).json();
    assert_eq!(answer["elements"].as_array().unwrap().len(), 1, "{answer}");
    answer["elements"][0]["addresses"].take()
}

#[test]
fn a_pool_may_be_in_ipv6() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        eprintln!("SKIPPED: this host has no ::1: {error}");
        return;
    }
    for registration in ["tcp", "sctp"] {
        for transport in ["tcp", "sctp"] {
            let asap = format!("{registration}://[::1]:0");
            let registrar = Registrar::with(&["--asap", &asap, "--profile", "rfc"]);
            let url = registrar.url(registration);
            let args = ["--registrar", url];
            let serve = ["serve", "echo", "--listen", "[::1]", "--transport", transport];
            let mut server = Program::start(rserpool(&[&serve[..], &args].concat()));
            let ready = server.line();
            assert!(ready.contains(&format!("at {transport}://[::1]:")), "{ready}");
            assert_eq!(addresses(&args), json!(["::1"]));
            let mut client =
                Program::start(rserpool(&[&["connect", "EchoPool"], &args[..]].concat()));
            client.say("hello");
            assert_eq!(client.line(), "hello");
        }
    }
}

#[test]
fn a_server_that_listens_everywhere_registers_where_its_registrar_sees_it() {
    let registrar = Registrar::patient();
    for transport in ["tcp", "sctp"] {
        for url in &registrar.urls {
            let args = ["serve", "echo", "--transport", transport, "--registrar", url];
            let mut server = Program::start(rserpool(&args));
            let ready = server.line();
            let is_everywhere = ["0.0.0.0", "[::]"]
                .iter()
                .any(|host| ready.contains(&format!("at {transport}://{host}:")));
            assert!(is_everywhere, "{ready}");
            assert_eq!(addresses(&["--registrar", url]), json!(["127.0.0.1"]));
            server.signal(rustix::process::Signal::TERM);
            assert_eq!(server.ended().code, Some(0));
        }
    }
}

#[test]
fn registrars_are_found_by_their_announces() {
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let group = format!("239.255.38.63:{port}");
    let _registrar = Registrar::with(&[
        "--asap",
        "tcp://127.0.0.1:0",
        "--profile",
        "rfc",
        "--announce",
        &group,
        "--interface",
        "lo",
    ]);
    let args = ["--group", &group, "--interface", "lo"];
    let serve = ["serve", "echo", "--listen", "127.0.0.1", "--wait", "2min"];
    let mut server = Program::start(rserpool(&[&serve[..], &args].concat()));
    let ready = server.line();
    assert!(ready.contains("in EchoPool"), "{ready}");
    assert_eq!(addresses(&args), json!(["127.0.0.1"]));
    let mut client = Program::start(rserpool(&[&["connect", "EchoPool"], &args[..]].concat()));
    client.say("hello");
    assert_eq!(client.line(), "hello");
}

#[test]
fn the_log_goes_to_standard_error_in_the_form_asked_for() {
    let registrar = Registrar::patient();
    let _server = Server::echo(registrar.tcp());
    let args = ["resolve", "EchoPool", "-o", "json", "-vv", "--registrar", registrar.tcp()];
    let text = run(&args);
    text.json();
    assert!(text.stderr.contains(" INFO rserpool::user: registrar found"), "{}", text.stderr);
    let json = run(&[&args[..], &["--log-format", "json"]].concat());
    json.json();
    for line in json.stderr.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert!(entry["level"].is_string() && entry["fields"]["message"].is_string(), "{line}");
    }
}
