//! What operators see while things happen.

use rserpool_web::StatusCode;
use rserpool_web::client::Lines;
use rserpool_web::listen::Endpoint;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::lists::NDJSON;
use super::{AdminConfig, HOSTILE, HOSTILE_SHOWN, Lab, soon};

/// The octets of a handle in a URL.
fn encoded(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("%{octet:02X}")).collect()
}

#[tokio::test]
async fn a_handle_that_nobody_would_give_comes_out_as_text_and_leads_back() {
    let lab = Lab::new().await;
    let pools = lab.json("/v1/pools").await;
    assert_eq!(pools["items"][0]["pool"], HOSTILE_SHOWN);
    // As it was shown. As octets the backslash has to be two, for it begins an escape.
    let path = format!("/v1/pools/{}", encoded(HOSTILE_SHOWN.as_bytes()));
    assert_eq!(lab.json(&path).await["pool"], HOSTILE_SHOWN);
    let element = lab.json(&format!("{path}/elements/0x00000002")).await;
    assert_eq!((&element["pool"], &element["own"]), (&HOSTILE_SHOWN.into(), &true.into()));
    let raw = format!("/v1/pools/{}/elements", encoded(HOSTILE));
    assert_eq!(lab.json(&raw).await["items"][0]["id"], "0x00000002");
    let events = lab.json(&format!("/v1/events?pool={}", encoded(HOSTILE_SHOWN.as_bytes()))).await;
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    assert_eq!(events["items"][0]["pool"], HOSTILE_SHOWN);
    let metrics = String::from_utf8(lab.get("/metrics").await.body.to_vec()).unwrap();
    let label = HOSTILE_SHOWN.replace('\\', "\\\\").replace('"', "\\\"");
    assert!(metrics.contains(&format!("rserpool_pool_elements{{pool=\"{label}\"}} 1\n")));
    for path in ["/v1/pools", "/v1/elements", "/v1/events", "/metrics"] {
        let body = lab.get(path).await.body;
        let is_plain = |octet: u8| octet == b'\n' || (0x20..0x7f).contains(&octet);
        assert!(body.iter().copied().all(is_plain), "{path}");
    }
}

#[tokio::test]
async fn lists_come_by_page_and_as_lines() {
    let mut lab = Lab::new().await;
    for id in 3..10 {
        lab.join(b"EchoPool", id).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/elements?limit=2".to_owned());
    loop {
        let page = lab.json(&path).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/elements?limit=2&after={}", encoded(next.as_bytes()));
    }
    let mut lines = soon(lab.client.lines("/v1/elements", NDJSON)).await.unwrap().unwrap();
    let mut all = Vec::new();
    while let Some(line) = soon(lines.next()).await.unwrap() {
        let line: Value = serde_json::from_str(&line).unwrap();
        all.push(line["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((all.len(), &all), (9, &seen));
    assert_eq!(lab.json("/v1/elements?own=true").await["items"].as_array().unwrap().len(), 9);
    assert_eq!(lab.json("/v1/elements?home=0x22").await["items"].as_array().unwrap().len(), 0);
    assert_eq!(lab.json("/v1/pools?prefix=Echo").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_said_so() {
    let lab = Lab::new().await;
    for (path, status, name) in [
        ("/v1/pools/none", 404, "unknown-pool"),
        ("/v1/pools/none/elements", 404, "unknown-pool"),
        ("/v1/pools/none/elements/1", 404, "unknown-pool"),
        ("/v1/elements?pool=none", 404, "unknown-pool"),
        ("/v1/pools/EchoPool/elements/7", 404, "unknown-element"),
        ("/v1/pools/EchoPool/elements/x", 404, "unknown-element"),
        ("/v1/pools?limit=0", 400, "bad-query"),
        ("/v1/pools?limit=513", 400, "bad-query"),
        ("/v1/pools?limit=-1", 400, "bad-query"),
        ("/v1/elements?after=x", 400, "bad-query"),
        ("/v1/associations?after=accepted-9223372036854775808", 400, "bad-query"),
        ("/v1/peers?after=0", 400, "bad-query"),
        ("/v1/elements?home=0x", 400, "bad-query"),
        ("/v1/elements?own=maybe", 400, "bad-query"),
        ("/v1/events?since=yesterday", 400, "bad-query"),
        ("/v1/events?after=-1", 400, "bad-query"),
        ("/v1/pools/EchoPool/elements/7/explain", 404, "unknown-element"),
        ("/v1/removals?limit=x", 400, "bad-query"),
        ("/v1/nothing", 404, "unknown-path"),
    ] {
        let reply = lab.get(path).await;
        let problem: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(reply.status.as_u16(), status, "{path}: {problem}");
        assert_eq!(problem["type"], format!("urn:rserpool:problem:{name}"), "{path}");
    }
}

/// The next event of a stream of lines.
async fn next(lines: &mut Lines) -> Option<Value> {
    loop {
        let line = soon(lines.next()).await.unwrap()?;
        if !line.is_empty() {
            return Some(serde_json::from_str(&line).unwrap());
        }
    }
}

#[tokio::test]
async fn who_watches_sees_an_element_die_and_the_registrar_leave() {
    let mut lab = Lab::new().await;
    let mut lines = soon(lab.client.lines("/v1/events", NDJSON)).await.unwrap().unwrap();
    // The first line says that the stream is there: what happens from then on comes.
    assert_eq!(soon(lines.next()).await.unwrap().as_deref(), Some(""));
    lab.elements.remove(0);
    let event = next(&mut lines).await.unwrap();
    let text = event["text"].as_str().unwrap();
    assert!(
        text.starts_with("0x00000001 left EchoPool: its association from 127.0.0.1:"),
        "{text}"
    );
    assert_eq!(event["evidence"]["carrier"], "tcp");
    let explained = lab.json("/v1/pools/EchoPool/elements/1/explain").await;
    assert_eq!(explained["listed"], false);
    assert!(explained["text"].as_str().unwrap().starts_with(text), "{explained}");
    assert_eq!(explained["history"].as_array().unwrap().len(), 2);
    let removals = lab.json("/v1/removals?pool=EchoPool&reason=association-lost").await;
    assert_eq!(removals["items"][0], event);
    assert_eq!((&event["type"], &event["reason"]), (&"left".into(), &"association-lost".into()));
    soon(lab.registrar.stop()).await;
    let admin = lab.admin;
    let ended = tokio::task::spawn_blocking(move || drop(admin));
    let mut last = Value::Null;
    while let Some(event) = next(&mut lines).await {
        last = event;
    }
    assert_eq!(last["type"], "departed");
    soon(ended).await.unwrap();
}

/// A stream of events as browsers ask for it.
struct Sse {
    stream: tokio::net::TcpStream,
    text: String,
}

impl Sse {
    async fn open(lab: &Lab, path: &str, last: Option<&str>) -> Self {
        let Endpoint::Http { host, port } = lab.endpoint() else { unreachable!() };
        let mut stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await.unwrap();
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// Reads until this has come.
    async fn read_to(&mut self, wanted: &str) {
        let mut octets = [0; 4096];
        while !self.text.contains(wanted) {
            let count = soon(self.stream.read(&mut octets)).await.unwrap();
            assert!(count > 0, "{}", self.text);
            self.text.push_str(std::str::from_utf8(&octets[..count]).unwrap());
        }
    }
}

/// What comes first over a stream of events for people's browsers.
async fn sse(lab: &Lab, path: &str, last: Option<&str>) -> Vec<String> {
    let mut stream = Sse::open(lab, path, last).await;
    stream.read_to("data:").await;
    let text = stream.text;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    text.lines().filter(|line| line.contains(": ")).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_stream_that_broke_off_goes_on_and_says_what_is_gone() {
    let mut lab = Lab::with(AdminConfig { events_max: 3, ..AdminConfig::default() }).await;
    let boot = lab.json("/v1/registrar").await["boot"].as_str().unwrap().to_owned();
    for id in 3..8 {
        lab.join(b"EchoPool", id).await;
    }
    while lab.json("/v1/events").await["last"] != 7 {
        tokio::task::yield_now().await;
    }
    let has = |lines: &[String], wanted: &str| lines.iter().any(|line| line.contains(wanted));
    let lines = sse(&lab, "/v1/events", Some(&format!("{boot}-6"))).await;
    assert!(has(&lines, &format!("id: {boot}-7")) && !has(&lines, "gap"), "{lines:?}");
    let lines = sse(&lab, "/v1/events", Some(&format!("{boot}-1"))).await;
    assert!(has(&lines, "event: gap") && has(&lines, r#""missed":3"#), "{lines:?}");
    // Numbers of another run say nothing.
    let lines = sse(&lab, "/v1/events", Some("0123-6")).await;
    assert!(has(&lines, r#""missed":4"#), "{lines:?}");
}

/// Numbers that nobody has had yet, up to the greatest there is: what follows them is what happens
/// from now on. A stream that took them at their word would look for ever, and for nothing.
#[tokio::test]
async fn a_number_of_the_future_is_the_newest() {
    let mut lab = Lab::new().await;
    let boot = lab.json("/v1/registrar").await["boot"].as_str().unwrap().to_owned();
    for after in ["3", "18446744073709551614", "18446744073709551615"] {
        let page = lab.json(&format!("/v1/events?after={after}")).await;
        assert_eq!((&page["last"], &page["missed"]), (&2.into(), &0.into()), "{page}");
        assert_eq!((&page["items"], &page["next"]), (&Value::Array(vec![]), &Value::Null));
    }
    let path = "/v1/events?after=18446744073709551615";
    let mut lines = soon(lab.client.lines(path, NDJSON)).await.unwrap().unwrap();
    assert_eq!(soon(lines.next()).await.unwrap().as_deref(), Some(""));
    lab.join(b"EchoPool", 3).await;
    assert_eq!(next(&mut lines).await.unwrap()["seq"], 3);
    let last = format!("{boot}-18446744073709551615");
    let mut stream = Sse::open(&lab, "/v1/events", Some(&last)).await;
    // It is there: what happens from then on comes.
    stream.read_to("\n:\n").await;
    lab.join(b"EchoPool", 4).await;
    stream.read_to("data:").await;
    assert!(stream.text.contains(&format!("id: {boot}-4\n")), "{}", stream.text);
}

#[tokio::test]
async fn a_registrar_that_hangs_is_not_healthy() {
    use std::io::{Read as _, Write as _};
    let lab = Lab::new().await;
    assert_eq!(lab.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(lab.json("/readyz").await["ready"], true);
    let Endpoint::Http { host, port } = lab.endpoint().clone() else { unreachable!() };
    // The registrar runs on this thread, which does nothing but wait for the answer.
    let mut stream = std::net::TcpStream::connect((host.as_str(), port)).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("problem:busy"), "{answer}");
    assert_eq!(lab.get("/healthz").await.status, StatusCode::OK);
}
