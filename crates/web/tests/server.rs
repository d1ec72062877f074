//! What a browser, a script or a stranger may send, and what comes of it.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rserpool_web::access::{Role, Tokens};
use rserpool_web::client::{Client, ClientError};
use rserpool_web::listen::{Endpoint, Listener, Origin};
use rserpool_web::problem::Problem;
use rserpool_web::response::{self, Response};
use rserpool_web::route::{self, Answer, Call, Request, Route};
use rserpool_web::server::{self, Handler, Limits, Shared};
use rserpool_web::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// What routes are answered with.
struct State {
    shared: Arc<Shared>,
}

fn hello(_: Arc<State>, call: Call) -> Answer {
    Box::pin(async move {
        call.query.finish(&[])?;
        Ok(response::json(&call.who.name))
    })
}

fn echo(_: Arc<State>, call: Call) -> Answer {
    Box::pin(async move { Ok(response::whole(StatusCode::OK, "text/plain", call.body)) })
}

/// Lines without end.
fn lines(state: Arc<State>, _: Call) -> Answer {
    Box::pin(async move {
        let (response, parts) = response::parts("text/plain", state.shared.stream()?);
        tokio::spawn(async move {
            let line = format!("{}\n", "x".repeat(999));
            while parts.send(line.clone().into()).await.is_ok() {}
        });
        Ok(response)
    })
}

static ROUTES: LazyLock<Vec<Route<State>>> = LazyLock::new(|| {
    let of = |method, path, role, answer| Route { method, path, role, about: "", answer };
    vec![
        of(Method::GET, "/hello", Some(Role::View), hello as fn(Arc<State>, Call) -> Answer),
        of(Method::POST, "/echo", Some(Role::Operate), echo),
        of(Method::GET, "/lines", None, lines),
    ]
});

struct Site(Tokens);

impl Handler for Site {
    async fn answer(&self, request: Request, shared: Arc<Shared>) -> Response {
        route::answer(&ROUTES, Arc::new(State { shared }), &self.0, request).await.1
    }

    fn refused(&self, _: &Problem) {}
}

fn site() -> Arc<Site> {
    let lines = [("eve", Role::View, "view"), ("ops", Role::Operate, "operate")];
    let lines = lines.map(|(name, role, token)| Tokens::line(name, role, token));
    Arc::new(Site(Tokens::parse(&lines.join("\n")).unwrap()))
}

/// A server at a port of its own, and what ends it.
async fn start(limits: Limits) -> (Endpoint, Arc<Shared>, watch::Sender<bool>) {
    let (stop, stopped) = watch::channel(false);
    let listener = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let endpoint = listener.endpoint().clone();
    let shared = Shared::new(limits, vec!["admin.example".into()], stopped);
    tokio::spawn(server::serve(listener, site(), Arc::clone(&shared)));
    (endpoint, shared, stop)
}

/// What comes back for these octets, up to the end of the connection.
async fn exchange(endpoint: &Endpoint, octets: &str) -> String {
    let Endpoint::Http { host, port } = endpoint else { unreachable!() };
    let mut stream = TcpStream::connect((host.as_str(), *port)).await.unwrap();
    // A server that refuses may not read it all.
    let _ = stream.write_all(octets.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(line: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let limits = Limits { body_octets_max: 1000, ..Limits::default() };
    let (endpoint, shared, _stop) = start(limits).await;
    const HOST: &str = "Host: localhost";
    const JSON: &str = "Content-Type: application/json";
    const FOUR: &str = "Content-Length: 4";
    const OPERATE: &str = "Authorization: Bearer operate";
    let long = format!("X: {}", "y".repeat(20_000));
    let many: Vec<String> = (0..100).map(|number| format!("X-{number}: y")).collect();
    let many: Vec<&str> = [HOST].into_iter().chain(many.iter().map(String::as_str)).collect();
    for (line, headers, body, status, name) in [
        ("GET /hello", &[HOST][..], "", 200, "127.0.0.1"),
        ("HEAD /hello", &[HOST], "", 200, ""),
        ("GET /hello", &["Host: admin.example:80"], "", 200, ""),
        ("GET /hello", &["Host: evil.example"], "", 421, "bad-host"),
        ("GET /hello", &[], "", 421, "bad-host"),
        ("GET /hello?a=b", &[HOST], "", 400, "bad-query"),
        ("GET /nothing", &[HOST], "", 404, "unknown-path"),
        ("GET /hello/", &[HOST], "", 404, "unknown-path"),
        ("GET /echo", &[HOST], "", 405, "method"),
        ("PUT /hello", &[HOST, JSON, FOUR], "1234", 405, "method"),
        ("GET /hello", &[HOST, "Authorization: Bearer wrong"], "", 401, "unauthenticated"),
        ("POST /echo", &[HOST, JSON, FOUR], "1234", 401, "unauthenticated"),
        ("POST /echo", &[HOST, JSON, FOUR, "Authorization: Bearer view"], "1234", 403, "forbidden"),
        ("POST /echo", &[HOST, JSON, FOUR, OPERATE], "1234", 200, "1234"),
        (
            "POST /echo",
            &[HOST, "Content-Type: application/json; charset=utf-8", FOUR, OPERATE],
            "1234",
            200,
            "1234",
        ),
        ("POST /echo", &[HOST, FOUR, OPERATE], "1234", 415, "media"),
        (
            "POST /echo",
            &[HOST, "Content-Type: application/x-www-form-urlencoded", FOUR, OPERATE],
            "1234",
            415,
            "media",
        ),
        (
            "POST /echo",
            &[HOST, JSON, FOUR, OPERATE, "Origin: http://evil.example"],
            "1234",
            403,
            "forbidden",
        ),
        ("POST /echo", &[HOST, JSON, FOUR, OPERATE, "Origin: null"], "1234", 403, "forbidden"),
        (
            "POST /echo",
            &[HOST, JSON, FOUR, OPERATE, "Origin: http://localhost"],
            "1234",
            200,
            "1234",
        ),
        ("POST /echo", &[HOST, JSON, "Content-Length: 1001", OPERATE], "", 413, "too-long"),
        (
            "POST /echo",
            &[HOST, JSON, "Transfer-Encoding: chunked", OPERATE],
            &format!("400\r\n{}\r\n0\r\n\r\n", "z".repeat(1024)),
            413,
            "too-long",
        ),
        ("GET /hello", &[HOST, &long], "", 431, ""),
        ("GET /hello", &many, "", 431, ""),
        ("\u{1}", &[], "", 400, ""),
    ] {
        let answer = exchange(&endpoint, &request(line, headers, body)).await;
        let shown = answer.lines().next().unwrap_or_default();
        assert!(shown.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {headers:?}: {answer}");
        assert!(answer.contains(name), "{line} {headers:?}: {answer}");
        let lower = answer.to_ascii_lowercase();
        assert!(!lower.contains("access-control"), "{answer}");
        let ours = ["nosniff", "no-store", "default-src 'none'"];
        assert!(status == 431 || line == "\u{1}" || ours.iter().all(|it| lower.contains(it)));
    }
    assert!(shared.refusals().broken >= 1);
}

/// A connection in virtual time of somebody who may everything, and what the server makes of it.
fn connect(limits: Limits) -> (DuplexStream, Arc<Shared>, watch::Sender<bool>) {
    connect_from(Origin::Process { uid: 7, pid: None }, limits)
}

fn connect_from(
    origin: Origin,
    limits: Limits,
) -> (DuplexStream, Arc<Shared>, watch::Sender<bool>) {
    let (stop, stopped) = watch::channel(false);
    let shared = Shared::new(limits, Vec::new(), stopped);
    let (client, stream) = tokio::io::duplex(4096);
    let endpoint = Endpoint::Unix("/nowhere".into());
    let served = Arc::clone(&shared);
    tokio::spawn(async move {
        server::connection(stream, origin, &endpoint, site(), served).await;
    });
    (client, shared, stop)
}

async fn rest(mut client: DuplexStream) -> String {
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_connection() {
    for begun in ["", "GET /hello HTTP/1.1\r\nHost: loc"] {
        let (mut client, _shared, _stop) = connect(Limits::default());
        client.write_all(begun.as_bytes()).await.unwrap();
        let before = Instant::now();
        rest(client).await;
        assert_eq!(before.elapsed().as_secs(), 5, "{begun}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_more_ends() {
    let (mut client, _shared, _stop) = connect(Limits::default());
    client.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let before = Instant::now();
    let answer = rest(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\"uid 7\""), "{answer}");
    assert_eq!(before.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (mut client, _shared, _stop) = connect(Limits::default());
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Connection: close\r\nContent-Length: 9\r\n\r\n1234";
    client.write_all(head.as_bytes()).await.unwrap();
    let before = Instant::now();
    let answer = rest(client).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(before.elapsed().as_secs(), 5);
}

/// Who may not, or asks for what there is not, is told so at once: nothing more is taken from them.
#[tokio::test(start_paused = true)]
async fn the_body_of_who_may_not_is_not_waited_for() {
    let local = Origin::Address("127.0.0.1:5".parse().unwrap());
    for (line, header, status) in [
        ("POST /echo", "", 401),
        ("POST /echo", "Authorization: Bearer view\r\n", 403),
        ("POST /echo", "Authorization: Bearer wrong\r\n", 401),
        ("POST /nothing", "", 404),
        ("POST /hello", "", 405),
    ] {
        for length in [9, 1 << 30] {
            let (mut client, _shared, _stop) = connect_from(local, Limits::default());
            let head = format!(
                "{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Connection: close\r\n{header}Content-Length: {length}\r\n\r\n1234"
            );
            client.write_all(head.as_bytes()).await.unwrap();
            let before = Instant::now();
            let answer = rest(client).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
            assert_eq!(before.elapsed().as_secs(), 0, "{line}");
        }
    }
}

/// Limits of a configuration are numbers that somebody wrote.
#[tokio::test]
async fn the_greatest_limits_there_are_are_bounded() {
    let (stop, stopped) = watch::channel(false);
    let all = usize::MAX;
    let limits = Limits { connections_max: all, streams_max: all, ..Limits::default() };
    let shared = Shared::new(limits, Vec::new(), stopped);
    let seat = shared.stream().unwrap();
    assert_eq!(shared.streams(), 1);
    drop(seat);
    shared.no_streams().await;
    drop(stop);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_reading_loses_its_connection_and_its_seat() {
    let limits = Limits { streams_max: 1, ..Limits::default() };
    let (mut client, shared, _stop) = connect(limits);
    client.write_all(b"GET /lines HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut octets = [0; 2000];
    client.read_exact(&mut octets).await.unwrap();
    assert_eq!(shared.streams(), 1);
    assert!(shared.stream().is_err());
    assert_eq!(shared.refusals().streams, 1);
    let before = Instant::now();
    shared.no_streams().await;
    assert_eq!(before.elapsed().as_secs(), limits.stall_timeout.as_secs());
    drop(client);
}

#[tokio::test]
async fn one_source_leaves_seats_to_others_and_is_told_so() {
    let limits = Limits { connections_max: 4, ..Limits::default() };
    let (endpoint, shared, _stop) = start(limits).await;
    let client = Client::new(endpoint.clone(), None, Duration::from_secs(60));
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(client.lines("/lines", "text/plain").await.unwrap().unwrap());
    }
    let reply = client.get("/hello").await.unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(shared.refusals().connections, 1);
    assert_eq!(open[0].next().await.unwrap().unwrap().len(), 999);
    drop(open);
    // The server sees the ends of connections when it does.
    loop {
        let reply = client.get("/hello").await.unwrap();
        if reply.status == StatusCode::OK {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_connections_and_is_not_reached_any_more() {
    let (endpoint, _, stop) = start(Limits::default()).await;
    let client = Client::new(endpoint, Some("view".into()), Duration::from_secs(60));
    let reply = client.get("/hello").await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"\"eve\""[..]));
    stop.send_replace(true);
    loop {
        match client.get("/hello").await {
            Err(ClientError::Unreachable { .. }) => break,
            _ => tokio::task::yield_now().await,
        }
    }
}
