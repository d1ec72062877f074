//! What follows a pool with `watch`: files, HAProxy, commands.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::programs::{PATIENCE, Program, Registrar, Server, lasting, run, until};

fn watch(registrar: &str, options: &[&str]) -> Program {
    let head = ["watch", "EchoPool", "-o", "json", "--registrar", registrar];
    Program::start(lasting(&[&head[..], options].concat()))
}

#[test]
fn files_say_who_is_in_the_pool_and_a_command_is_run_after_each_change() {
    let registrar = Registrar::patient();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (hosts, targets, ran) = (path("hosts"), path("targets.json"), path("ran"));
    let command = format!("cp {hosts} {ran}");
    let options = ["--file", &hosts, "--format", "hosts", "--on-change", &command];
    let _hosts = watch(registrar.tcp(), &options);
    let options = ["--file", &targets, "--format", "prometheus-sd", "--target-port", "9100"];
    let _targets = watch(registrar.tcp(), &options);
    let text = |name: &str| fs::read_to_string(name).unwrap_or_default();
    until("an empty file", || text(&targets) == "[]\n" && text(&ran).lines().count() == 1);
    let server = Server::echo(registrar.tcp());
    let line = format!("127.0.0.1\tEchoPool {}.EchoPool\n", server.id.trim_start_matches("0x"));
    until("a line", || text(&ran).ends_with(&line));
    until("a target", || {
        let targets: Value = serde_json::from_str(&text(&targets)).unwrap();
        targets[0]["targets"][0] == "127.0.0.1:9100"
            && targets[0]["labels"]["__meta_rserpool_element"] == *server.id
    });
    drop(server);
    until("empty files again", || text(&targets) == "[]\n" && text(&ran).lines().count() == 1);
}

#[test]
fn prometheus_asks_for_its_targets() {
    let registrar = Registrar::patient();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("sd.sock");
    let at = format!("unix:{}", socket.display());
    let _watch = watch(registrar.tcp(), &["--prometheus-sd", &at]);
    let ask = |query: &str| {
        let mut stream = UnixStream::connect(&socket).ok()?;
        let head = "Host: localhost\r\nConnection: close";
        write!(stream, "GET /v1/sd/prometheus{query} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        Some((head, serde_json::from_str::<Value>(body).unwrap()))
    };
    until("an answer", || ask("").is_some());
    let (head, body) = ask("?pool=EchoPool").unwrap();
    assert!(head.starts_with("http/1.1 200") && head.contains("application/json"), "{head}");
    assert_eq!(body, serde_json::json!([]));
    let server = Server::echo(registrar.tcp());
    let targets = |query: &str| ask(query).unwrap().1;
    until("a target", || targets("")[0]["labels"]["__meta_rserpool_element"] == *server.id);
    assert_eq!(targets("?port=9100&pool=EchoPool")[0]["targets"][0], "127.0.0.1:9100");
    assert_eq!(targets("?pool=other"), serde_json::json!([]));
    assert!(ask("?port=x").unwrap().0.starts_with("http/1.1 400"));
}

/// Something that answers as HAProxy does, and what it was told.
fn pretender(path: &Path) -> Receiver<String> {
    let listener = UnixListener::bind(path).unwrap();
    let (told, said) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let state =
                |name: &str| format!("2 web 1 {name} 0.0.0.1 0 5 1 1 0 1 0 0 8 0 0 0 - 1 -\n");
            let answer = match &*line {
                "show servers state web\n" => {
                    format!("1\n# head\n{}{}\n", state("s1"), state("s2"))
                }
                "show servers state none\n" => "Can't find backend.\n\n".into(),
                _ if told.send(line.clone()).is_err() => return,
                _ => "\n".into(),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    said
}

#[test]
fn the_servers_of_haproxy_are_those_of_the_pool() {
    let registrar = Registrar::patient();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("haproxy.sock");
    let said = pretender(&socket);
    let next = || said.recv_timeout(PATIENCE).unwrap();
    let at = socket.display().to_string();
    let server = Server::start(registrar.tcp(), &["echo", "--transport", "tcp"]);
    let told = run(&["resolve", "EchoPool", "-o", "json", "--registrar", registrar.tcp()]).json();
    let port = &told["elements"][0]["port"];
    let _watch = watch(registrar.tcp(), &["--haproxy", &at, "--backend", "web"]);
    let first = "set server web/s1";
    let ready =
        format!("{first} addr 127.0.0.1 port {port}; {first} weight 256; {first} state ready\n");
    assert_eq!(next(), ready);
    assert_eq!(next(), "set server web/s2 state maint\n");
    drop(server);
    assert_eq!(next(), "set server web/s1 state maint\n");
    // One that is not there is looked for again.
    let mut missing = watch(registrar.tcp(), &["--haproxy", &at, "--backend", "none"]);
    assert!(missing.log_line().contains("no backend `none`"));
    let wrong =
        ["watch", "web", "--haproxy", &at, "--backend", "a b", "--registrar", registrar.tcp()];
    run(&wrong).failure(78);
}

/// What HAProxy says to a line.
fn ask(socket: &Path, line: &str) -> String {
    let Ok(mut stream) = UnixStream::connect(socket) else { return String::new() };
    let _ = writeln!(stream, "{line}");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// HAProxy with this backend, and its socket; `None` where it is not installed.
fn haproxy(directory: &Path, backend: &str) -> Option<(Program, PathBuf)> {
    if Command::new("haproxy").arg("-v").output().is_err() {
        eprintln!("SKIPPED: haproxy is not installed");
        return None;
    }
    let (socket, file) = (directory.join("sock"), directory.join("haproxy.cfg"));
    // A front end of a Unix socket: no port is taken.
    let text = format!(
        "global\n stats socket {0} level admin\ndefaults\n mode tcp\n timeout connect 1s\n \
         timeout client 9s\n timeout server 9s\nlisten web\n bind unix@{0}.front\n {backend}\n",
        socket.display()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    let haproxy = Program::start(command);
    until("its socket", || ask(&socket, "show servers state web").starts_with('1'));
    Some((haproxy, socket))
}

/// The operational state of the server at this port, as HAProxy sees it: 0 stopped, 2 running.
fn state(socket: &Path, port: &str) -> Option<String> {
    let answer = ask(socket, "show servers state web");
    let mut lines = answer.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.find(|words| words.get(18) == Some(&port)).map(|words| words[5].to_owned())
}

/// A server of the test itself in EchoPool: its port, and what ends its membership.
fn attached(registrar: &str) -> (TcpListener, String, Program) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let head = ["attach", "--pool", "EchoPool", "--check", "none", "--interval", "10ms"];
    let place = ["--address", "127.0.0.1", "--listen-port", &port, "--registrar", registrar];
    let attach = Program::start(lasting(&[&head[..], &place].concat()));
    (listener, port, attach)
}

#[test]
fn haproxy_itself_has_a_dead_server_in_maintenance() {
    let directory = tempfile::tempdir().unwrap();
    let places = "server-template s 1-3 0.0.0.1:1 disabled";
    let Some((_haproxy, socket)) = haproxy(directory.path(), places) else { return };
    let registrar = Registrar::patient();
    let at = socket.display().to_string();
    let _watch = watch(registrar.tcp(), &["--haproxy", &at, "--backend", "web"]);
    let (_listener, port, mut attach) = attached(registrar.tcp());
    until("it serves", || state(&socket, &port).as_deref() == Some("2"));
    attach.kill();
    until("it is in maintenance", || state(&socket, &port).as_deref() == Some("0"));
}

#[test]
fn haproxy_finds_servers_in_the_dns() {
    let registrar = Registrar::patient();
    let head = ["dns", "--listen", "127.0.0.1:0", "-o", "json", "--pool", "EchoPool"];
    let mut dns = Program::start(lasting(&[&head[..], &["--registrar", registrar.tcp()]].concat()));
    let at = dns.json()["listen"][0].as_str().unwrap().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let places = format!(
        "server-template s 3 _echopool._tcp.rserpool.internal resolvers r init-addr none\n\
         resolvers r\n nameserver n {at}\n timeout resolve 100ms\n timeout retry 100ms\n \
         hold valid 100ms\n hold nx 100ms\n hold obsolete 100ms"
    );
    let Some((_haproxy, socket)) = haproxy(directory.path(), &places) else { return };
    let servers = [attached(registrar.tcp()), attached(registrar.tcp())];
    for (_, port, _) in &servers {
        until("it serves", || state(&socket, port).as_deref() == Some("2"));
    }
    let [(_, first, mut attach), (_, second, _other)] = servers;
    attach.kill();
    until("it is gone", || state(&socket, &first).is_none());
    assert_eq!(state(&socket, &second).as_deref(), Some("2"));
}
