//! Clients that know nothing of pools, behind `proxy`.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::programs::{PATIENCE, Program, Registrar, lasting, members, run, until};

/// A server of the test itself, attached to the pool `web`.
struct Attached {
    listener: TcpListener,
    attach: Program,
}

impl Attached {
    fn start(registrar: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let head = ["attach", "--pool", "web", "--check", "none", "--interval", "10ms"];
        let at = ["--address", "127.0.0.1", "--listen-port", &port, "--registrar", registrar];
        let before = members(registrar, "web").len();
        let attach = Program::start(lasting(&[&head[..], &at].concat()));
        until("one more element", || members(registrar, "web").len() == before + 1);
        Self { listener, attach }
    }

    /// The next connection of the proxy.
    fn accept(&self) -> TcpStream {
        let mut accepted = None;
        until("the proxy connects", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// A proxy to the pool `web`, and where it listens.
fn start_proxy(registrar: &str, options: &[&str]) -> (Program, String) {
    let head = ["proxy", "web", "--listen", "tcp://127.0.0.1:0", "-o", "json"];
    let rest = ["--registrar", registrar];
    let mut program = Program::start(lasting(&[&head, options, &rest].concat()));
    let ready = program.json();
    assert_eq!(ready["pool"], "web");
    let url = ready["urls"][0].as_str().unwrap().trim_start_matches("tcp://").to_owned();
    (program, url)
}

fn connect(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn line(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn octets_go_both_ways_and_the_end_of_one_is_passed_on() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let (proxy, at) = start_proxy(registrar.tcp(), &[]);
    let mut client = connect(&at);
    client.write_all(b"question\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut inside = server.accept();
    let mut asked = String::new();
    inside.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "question\n");
    // The other direction is open still, and carries more than any buffer.
    let answer = vec![7; 3 << 20];
    inside.write_all(&answer).unwrap();
    drop(inside);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    assert!(heard == answer, "{} octets", heard.len());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().code, Some(0));
}

#[test]
fn a_reset_stays_a_reset() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let (_proxy, at) = start_proxy(registrar.tcp(), &[]);
    let mut client = connect(&at);
    client.write_all(b"question\n").unwrap();
    let mut inside = server.accept();
    inside.write_all(b"half an ans\n").unwrap();
    assert_eq!(line(&client), "half an ans\n");
    // What is not read makes the system reset it.
    drop(inside);
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn no_new_connection_fails_while_a_server_lives_though_registrars_and_servers_die() {
    let registrar = Registrar::patient();
    let dead = [(); 5].map(|()| Attached::start(registrar.tcp()));
    let alive = Attached::start(registrar.tcp());
    let (_proxy, at) = start_proxy(registrar.tcp(), &[]);
    // It knows the pool once a connection has got through.
    drop(connect(&at));
    let all: Vec<&Attached> = dead.iter().chain([&alive]).collect();
    until("a connection", || all.iter().any(|it| it.listener.accept().is_ok()));
    drop(registrar);
    // Nobody says that these are gone: their ports refuse, and that is all.
    let _elements = dead.map(|server| server.attach);
    for number in 0..10 {
        let mut client = connect(&at);
        client.write_all(format!("{number}\n").as_bytes()).unwrap();
        let mut inside = alive.accept();
        assert_eq!(line(&inside), format!("{number}\n"));
        inside.write_all(b"yes\n").unwrap();
        assert_eq!(line(&client), "yes\n");
    }
}

#[test]
fn a_connection_waits_for_a_server_and_is_reset_where_none_comes() {
    let registrar = Registrar::patient();
    let (_proxy, at) = start_proxy(registrar.tcp(), &["--wait", "100ms"]);
    let error = connect(&at).read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let (_patient, at) = start_proxy(registrar.tcp(), &["--wait", "100s"]);
    let mut client = connect(&at);
    let server = Attached::start(registrar.tcp());
    client.write_all(b"there?\n").unwrap();
    assert_eq!(line(&server.accept()), "there?\n");
}

#[test]
fn connections_of_a_server_that_left_end_where_they_wait_for_an_answer() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let (_proxy, at) = start_proxy(registrar.tcp(), &["--removed", "silent:100ms"]);
    let mut waits = connect(&at);
    waits.write_all(b"question\n").unwrap();
    let _inside = server.accept();
    let idle = connect(&at);
    let mut other = server.accept();
    server.attach.signal(Signal::TERM);
    let error = waits.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    other.write_all(b"still here\n").unwrap();
    assert_eq!(line(&idle), "still here\n");
}

#[test]
fn beyond_its_limits_connections_wait_or_are_reset() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let (_proxy, at) = start_proxy(registrar.tcp(), &["--connections-max", "1"]);
    let first = connect(&at);
    let _inside = server.accept();
    let mut second = connect(&at);
    second.write_all(b"second\n").unwrap();
    second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(second.read(&mut [0; 8]).is_err());
    assert!(server.listener.accept().is_err());
    drop(first);
    drop(_inside);
    assert_eq!(line(&server.accept()), "second\n");
    let limit = ["--connections-per-source-max", "1"];
    let (_proxy, at) = start_proxy(registrar.tcp(), &limit);
    let _first = connect(&at);
    let _inside = server.accept();
    let error = connect(&at).read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn servers_are_told_which_client_it_is() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let (_proxy, at) = start_proxy(registrar.tcp(), &["--proxy-protocol", "v1"]);
    let mut client = connect(&at);
    let own = client.local_addr().unwrap();
    let inside = server.accept();
    let (port, to) = (own.port(), at.rsplit_once(':').unwrap().1);
    // Also before the client says anything.
    assert_eq!(line(&inside), format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {to}\r\n"));
    client.write_all(b"hello\n").unwrap();
    assert_eq!(line(&inside), "hello\n");
    let (_proxy, at) = start_proxy(registrar.tcp(), &["--proxy-protocol", "v2"]);
    let mut client = connect(&at);
    client.write_all(b"hello\n").unwrap();
    let mut inside = server.accept();
    let mut header = [0; 12 + 4 + 12 + 7];
    inside.read_exact(&mut header).unwrap();
    assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13");
    let ports = [client.local_addr().unwrap().port(), client.peer_addr().unwrap().port()];
    assert_eq!(header[24..28], ports.map(u16::to_be_bytes).concat());
    assert_eq!(line(&inside), "hello\n");
}

#[test]
fn a_place_to_listen_at_takes_no_room_from_others() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let head = ["proxy", "web", "-o", "json", "--connections-max", "1", "--registrar"];
    let listen = ["--listen", "tcp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"];
    let mut proxy = Program::start(lasting(&[&head[..], &[registrar.tcp()], &listen].concat()));
    let urls = proxy.json()["urls"].take();
    for number in [0, 1, 1, 0] {
        let at = urls[number].as_str().unwrap().trim_start_matches("tcp://").to_owned();
        let mut client = connect(&at);
        client.write_all(b"hello\n").unwrap();
        let inside = server.accept();
        assert_eq!(line(&inside), "hello\n");
    }
}

#[test]
fn so_many_servers_are_tried_as_was_said() {
    let registrar = Registrar::patient();
    let dead = [(); 2].map(|()| Attached::start(registrar.tcp())).map(|server| server.attach);
    let (_proxy, at) = start_proxy(registrar.tcp(), &["--tries", "2", "--wait", "1000s"]);
    let error = connect(&at).read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    drop(dead);
}

#[test]
fn connections_may_end_before_the_proxy_does() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let (proxy, at) = start_proxy(registrar.tcp(), &["--drain", "100s"]);
    let client = connect(&at);
    let mut inside = server.accept();
    proxy.signal(Signal::TERM);
    until("nothing is accepted", || TcpStream::connect(&at).is_err());
    inside.write_all(b"the rest\n").unwrap();
    assert_eq!(line(&client), "the rest\n");
    drop((client, inside));
    assert_eq!(proxy.ended().code, Some(0));
    let (impatient, at) = start_proxy(registrar.tcp(), &["--drain", "100s"]);
    let mut client = connect(&at);
    let _inside = server.accept();
    impatient.signal(Signal::TERM);
    until("nothing is accepted", || TcpStream::connect(&at).is_err());
    impatient.signal(Signal::TERM);
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(impatient.ended().code, Some(0));
}

#[test]
fn who_cannot_listen_says_where() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", taken.local_addr().unwrap());
    let failed = run(&["proxy", "web", "--listen", &url, "--registrar", "tcp://127.0.0.1:1"]);
    assert!(failed.failure(78).contains(&url), "{failed:?}");
    let usage = ["proxy", "web", "--listen", "ftp://x", "--registrar", "tcp://127.0.0.1:1"];
    assert_eq!(run(&usage).code, Some(2));
}

/// A server for datagrams of the test itself, attached to the pool `web`.
struct Datagrams {
    socket: UdpSocket,
    attach: Program,
}

impl Datagrams {
    fn start(registrar: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let head = ["attach", "--pool", "web", "--transport", "udp", "--interval", "10ms"];
        let at = ["--address", "127.0.0.1", "--listen-port", &port, "--registrar", registrar];
        let before = members(registrar, "web").len();
        let attach = Program::start(lasting(&[&head[..], &at].concat()));
        until("one more element", || members(registrar, "web").len() == before + 1);
        Self { socket, attach }
    }

    /// Answers all that came; where this question came from.
    fn answer(&self, question: &[u8]) -> Option<SocketAddr> {
        let mut octets = [0; 64];
        let mut from = None;
        while let Ok((count, at)) = self.socket.recv_from(&mut octets) {
            self.socket.send_to(&octets[..count], at).unwrap();
            if octets[..count] == *question {
                from = Some(at);
            }
        }
        from
    }
}

/// A client for datagrams of a proxy.
fn datagrams(at: &str) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_nonblocking(true).unwrap();
    client.connect(at).unwrap();
    client
}

/// Asks until one of the servers has answered: its number, and where the proxy sends from.
fn ask(client: &UdpSocket, servers: &[&Datagrams]) -> (usize, SocketAddr) {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let question = ASKED.fetch_add(1, Ordering::Relaxed).to_string();
    let mut answered = None;
    until("an answer", || {
        // A port that is closed is told at the next call.
        let _ = client.send(question.as_bytes());
        for (number, server) in servers.iter().enumerate() {
            let from = server.answer(question.as_bytes());
            answered = from.map(|at| (number, at)).or(answered);
        }
        // Earlier questions may have had several answers.
        let mut octets = [0; 64];
        std::iter::from_fn(|| client.recv(&mut octets).ok().map(|count| octets[..count].to_vec()))
            .any(|answer| answer == question.as_bytes())
    });
    answered.unwrap()
}

#[test]
fn datagrams_of_a_client_go_to_one_server_as_long_as_that_is_there() {
    let registrar = Registrar::patient();
    let servers = [(); 2].map(|()| Datagrams::start(registrar.tcp()));
    let both = [&servers[0], &servers[1]];
    let listen = ["proxy", "web", "-o", "json", "--listen", "udp://127.0.0.1:0", "--registrar"];
    let mut proxy = Program::start(lasting(&[&listen[..], &[registrar.tcp()]].concat()));
    let at = proxy.json()["urls"][0].as_str().unwrap().trim_start_matches("udp://").to_owned();
    let client = datagrams(&at);
    let (first, from) = ask(&client, &both);
    for _ in 0..20 {
        assert_eq!(ask(&client, &both), (first, from));
    }
    // Another client is another flow.
    assert_ne!(ask(&datagrams(&at), &both).1, from);
    // Out of the pool, and its port still open: the next datagram goes to the other one.
    servers[first].attach.signal(Signal::TERM);
    until("the flow moves", || ask(&client, &both).0 != first);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ended().code, Some(0));
}

#[test]
fn a_flow_leaves_a_server_whose_port_is_closed() {
    let registrar = Registrar::patient();
    let servers = [(); 2].map(|()| Datagrams::start(registrar.tcp()));
    let listen = ["proxy", "web", "-o", "json", "--listen", "udp://127.0.0.1:0", "--registrar"];
    let mut proxy = Program::start(lasting(&[&listen[..], &[registrar.tcp()]].concat()));
    let at = proxy.json()["urls"][0].as_str().unwrap().trim_start_matches("udp://").to_owned();
    let client = datagrams(&at);
    let (first, _) = ask(&client, &[&servers[0], &servers[1]]);
    let [zero, one] = servers;
    let (dead, alive) = if first == 0 { (zero, one) } else { (one, zero) };
    drop(dead.socket);
    ask(&client, &[&alive]);
    drop(dead.attach);
}

#[test]
fn a_unix_socket_is_a_place_for_clients() {
    let registrar = Registrar::patient();
    let server = Attached::start(registrar.tcp());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let listen = format!("unix:{}", path.display());
    let start = || {
        let head = ["proxy", "web", "-o", "json", "--proxy-protocol", "v1", "--listen", &listen];
        let rest = ["--registrar", registrar.tcp()];
        Program::start(lasting(&[&head[..], &rest].concat()))
    };
    let mut proxy = start();
    assert_eq!(proxy.json()["urls"][0], *listen);
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"question\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut inside = server.accept();
    let mut asked = String::new();
    inside.read_to_string(&mut asked).unwrap();
    assert_eq!(asked, "PROXY UNKNOWN\r\nquestion\n");
    inside.write_all(b"answer\n").unwrap();
    drop(inside);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer\n");
    // Where somebody listens nobody else does; what somebody left makes room.
    assert!(start().ended().failure(78).contains(&listen));
    proxy.kill();
    assert!(path.exists());
    let mut second = start();
    second.json();
    second.signal(Signal::TERM);
    assert_eq!(second.ended().code, Some(0));
    assert!(!path.exists());
}
