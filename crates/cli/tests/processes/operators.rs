//! What operators ask running registrars, and how they are answered.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::programs::{Ended, Program, Registrar, Server, rserpool, run};

/// A registrar with an admin port of the system's choice, and where that is.
fn registrar() -> (Registrar, String) {
    let args = ["--asap", "tcp://127.0.0.1:0", "--profile", "rfc", "--id", "0x11"];
    let admin = ["--admin", "http://127.0.0.1:0"];
    let registrar = Registrar::with(&[&args[..], &admin].concat());
    let url = registrar.admin[0].clone();
    (registrar, url)
}

/// A command with a runtime directory of its own.
fn within(directory: &Path, args: &[&str]) -> Command {
    let mut command = rserpool(args);
    command.env("XDG_RUNTIME_DIR", directory);
    command
}

fn ask(url: &str, args: &[&str]) -> Ended {
    run(&[args, &["--admin", url]].concat())
}

#[test]
fn operators_see_pools_elements_and_what_happened() {
    let (registrar, url) = registrar();
    let mut server = Server::echo(registrar.tcp());
    let pools = ask(&url, &["pools", "-o", "json"]).json();
    assert_eq!((&pools[0]["pool"], &pools[0]["own"]), (&"EchoPool".into(), &1.into()));
    let table = ask(&url, &["pools"]).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["POOL", "POLICY", "TRANSPORT", "CONTROL", "ELEMENTS", "LISTED", "OWN"]);
    assert_eq!(rows[1], ["EchoPool", "round-robin", "tcp", "no", "1", "1", "1"]);
    assert_eq!(ask(&url, &["pools", "Other"]).stdout.lines().count(), 1);
    let elements = ask(&url, &["elements", "EchoPool", "-o", "json"]).json();
    assert_eq!(elements[0]["id"].as_str(), Some(server.id.as_str()));
    let plain = ask(&url, &["elements", "--own", "-o", "plain"]).stdout;
    let cells: Vec<&str> = plain.trim_end_matches('\n').split('\t').collect();
    assert_eq!(
        (cells.len(), cells[0], cells[1], cells[3]),
        (9, "EchoPool", server.id.as_str(), "0x00000011")
    );
    assert_eq!(ask(&url, &["elements", "--home", "0x22", "--json"]).json(), Value::Array(vec![]));
    assert_eq!(ask(&url, &["peers", "--json"]).json(), Value::Array(vec![]));
    server.program.kill();
    let args = ["events", "--follow", "--type", "left", "-o", "json", "--admin", &url];
    let mut events = Program::start(rserpool(&args));
    let event = events.json();
    assert_eq!((&event["type"], &event["id"]), (&"left".into(), &server.id.clone().into()));
    let listed = ask(&url, &["events", "--pool", "EchoPool", "-o", "plain"]).stdout;
    let kinds: Vec<&str> = listed.lines().map(|line| line.split('\t').nth(1).unwrap()).collect();
    assert_eq!(kinds, ["joined", "left"]);
    let explained = ask(&url, &["explain", "EchoPool", &server.id]).stdout;
    let why = format!("{} left EchoPool: its association from 127.0.0.1:", server.id);
    assert!(explained.starts_with(&why) && explained.lines().count() == 3, "{explained}");
    let unknown = ask(&url, &["explain", "EchoPool", "0x1"]);
    assert!(unknown.failure(1).contains("nothing is known of `0x1` in `EchoPool`"));
    // Who watches sees the end, and ends in good order.
    registrar.program.signal(rustix::process::Signal::TERM);
    assert_eq!(events.ended().code, Some(0));
}

#[test]
fn a_registrar_opens_a_socket_for_its_user_and_no_port() {
    let directory = tempfile::tempdir().unwrap();
    let asap = ["registrar", "-o", "json", "--id", "0x11", "--asap", "tcp://127.0.0.1:0"];
    let mut program = Program::start(within(directory.path(), &asap));
    let ready = program.json();
    let socket = directory.path().join("rserpool/0x00000011.sock");
    let url = format!("unix:{}", socket.display());
    assert_eq!(ready["admin"], serde_json::json!([url]));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o660, 0o700));
    // Commands find it by themselves.
    let pools = Program::start(within(directory.path(), &["pools", "--json"])).end();
    assert_eq!(pools.json(), Value::Array(vec![]));
    program.signal(rustix::process::Signal::TERM);
    assert_eq!(program.ended().code, Some(0));
    assert!(!socket.exists());
    let nowhere = Registrar::with(&["--asap", "tcp://127.0.0.1:0"]);
    assert!(nowhere.admin.is_empty());
}

#[test]
fn what_cannot_be_asked_says_why_with_its_exit_code() {
    let (_registrar, url) = registrar();
    let failed = ask(&url, &["elements", "NoPool"]);
    assert!(failed.failure(68).contains("there is no pool `NoPool`"));
    let nobody = ask("http://127.0.0.1:1", &["pools"]);
    assert!(nobody.failure(69).contains("http://127.0.0.1:1"));
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "wrong\n").unwrap();
    let refused = ask(&url, &["pools", "--token-file", token.to_str().unwrap()]);
    assert!(refused.failure(77).contains("this token is not known"));
    let missing = ask(&url, &["pools", "--token-file", "/no/such/file"]);
    assert!(missing.failure(78).contains("/no/such/file"));
    let open = ["registrar", "--asap", "tcp://127.0.0.1:0", "--admin", "http://0.0.0.0:0"];
    assert!(run(&open).failure(78).contains("plaintext_ok = true"));
    assert_eq!(run(&["pools", "--admin", "ftp://x"]).code, Some(2));
}

#[test]
fn who_watches_a_pool_sees_who_comes_and_goes() {
    let (registrar, _) = registrar();
    let mut server = Server::echo(registrar.tcp());
    let args = ["watch", "EchoPool", "-o", "json", "--registrar", registrar.tcp()];
    let mut watch = Program::start(rserpool(&args));
    let joined = watch.json();
    assert_eq!((&joined["change"], &joined["elements"]), (&"joined".into(), &1.into()));
    server.program.kill();
    let left = watch.json();
    assert_eq!((&left["change"], &left["id"]), (&"left".into(), &server.id.clone().into()));
    assert_eq!(left["elements"], 0);
    watch.signal(rustix::process::Signal::INT);
    assert_eq!(watch.ended().code, Some(0));
}

#[test]
fn a_configuration_is_checked_without_running_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registrar.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&["check-config", path.to_str().unwrap()])
    };
    assert!(check("id = 5\n").stdout.contains("can be used"));
    let said = check("[timing]\nkeep_alive_intervall = '1s'\n").failure(78).to_owned();
    assert!(said.contains("did you mean `keep_alive_interval`?"), "{said}");
    let said = check("asap = []\n[limits]\npools = 0\n").failure(78).to_owned();
    assert!(said.contains("asap is empty") && said.contains("limits.pools is 0"), "{said}");
    assert!(said.contains("registrar.toml"), "{said}");
    let page = directory.path().join("man");
    let pages = run(&["man", page.to_str().unwrap()]);
    assert_eq!(pages.code, Some(0));
    assert!(std::fs::read_to_string(page.join("rserpool-watch.1")).unwrap().contains(".TH"));
    assert!(run(&["completions", "bash"]).stdout.contains("complete -F"));
}
