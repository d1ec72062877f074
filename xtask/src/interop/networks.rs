//! Hosts in two networks: paths that fail, addresses that come and go, registrars that nobody
//! configured, and packets that get lost.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::Client;
use super::hosts::{Hosts, host_name, on_network};
use super::lab::{Lab, PATIENCE, PATIENT, json as line};
use super::pool::millis;
use super::process::{Process, wait_for};
use super::rsplib::LOG;

const POOL: &str = "EchoPool";
const REGISTRAR: u32 = 1;
const ELEMENT: u32 = 2;
const USER: u32 = 3;
/// A registrar that leaves what is lost on one path some time to come over another one, also where
/// the machine is busy, and that does notice when it does not come.
const PATHS_CHANGE: &str =
    "[timing]\nkeep_alive_timeout_floor = \"1s\"\nkeep_alive_timeout_cap = \"5s\"\n";
/// Of a user whose session stays where it is, however busy the machine is.
const PATIENT_USER: [&str; 3] = ["--wait", "--keep-alive-deadline", "60s"];
/// So long a path is cut: an element whose keep-alives do not find another way would be missed.
const CUT: Duration = Duration::from_secs(4);
/// What our registrar and our element on host 2 send.
pub(super) const OURS_AT_2: &str = "ip.src == 10.1.0.2 || ip.src == 10.2.0.2";

/// One of two networks fails, for an element, its registrar and its user in turn: nobody loses
/// anything. It is mended, and the other one fails.
pub(super) fn multihomed(lab: &mut Lab) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[REGISTRAR, ELEMENT, USER])?;
    let both = |n| format!("{},{}", on_network(1, n), on_network(2, n));
    let registrar = format!("sctp+kernel://{}:3863", both(REGISTRAR));
    // The client that measures is in both networks, too.
    let tcp = [1, 2].map(|net| format!("tcp://{}:3863", on_network(net, REGISTRAR)));
    let config = lab.config("registrar", PATHS_CHANGE)?;
    let arguments = ["registrar", "--id", "0x11", "--config", &config, "--asap", &registrar];
    let arguments = [&arguments[..], &["--asap", &tcp[0], "--asap", &tcp[1]]].concat();
    let serving = lab.rserpool_at(&host_name(REGISTRAR), "registrar", &arguments)?;
    line(&serving)?;
    let listen = both(ELEMENT);
    let arguments = ["serve", "echo", "--id", "0x21", "--listen", &listen];
    let arguments = [&arguments[..], &["--registrar", &registrar, "--wait", "60s"]].concat();
    let element = lab.rserpool_at(&host_name(ELEMENT), "element", &arguments)?;
    line(&element)?;
    let question = ["resolve", POOL, "--registrar", &registrar];
    let answer = lab.ask_at(&host_name(USER), "resolve", &question)?;
    let addresses = &answer["elements"][0]["addresses"];
    ensure!(addresses.as_array().map_or(0, Vec::len) == 2, "it is at {addresses}");

    let arguments = [&["connect", POOL, "--registrar", &registrar][..], &PATIENT_USER].concat();
    let process = lab.rserpool_at(&host_name(USER), "connect", &arguments)?;
    let mut session = Session { process, lines: 0 };
    session.goes_on(Duration::from_millis(300))?;
    let all_paths_work = |session: &mut Session| {
        wait_for("all paths", PATIENCE, || {
            session.goes_on(Duration::from_millis(100))?;
            Ok(hosts.all_paths_work(&[REGISTRAR, ELEMENT, USER])?.then_some(()))
        })
    };
    // A path is asked before it is used at first, too.
    all_paths_work(&mut session)?;
    let mut longest = Vec::new();
    for (net, host) in [(1, ELEMENT), (2, REGISTRAR)] {
        let mut client = Client::connect(&format!("{}:3863", on_network(3 - net, REGISTRAR)))?;
        hosts.cut(host, net)?;
        longest.push(session.goes_on(CUT)?);
        ensure!(client.ids(POOL)? == [0x21], "the element is gone without network {net}");
        hosts.mend(host, net)?;
        all_paths_work(&mut session)?;
    }
    let log = serving.log()?;
    ensure!(!log.contains("left"), "the registrar has missed the element");
    let log = element.log()?;
    ensure!(log.matches("registered").count() == 1, "the element has lost its registrar");
    Ok(json!({ "longest_ms": millis(&longest), "answered": session.lines }))
}

/// A host gets an address and loses one (RFC 5061): its element tells its registrar at once, over the
/// association that it has, and its session goes on.
pub(super) fn addresses(lab: &mut Lab) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[REGISTRAR, ELEMENT])?;
    let (registrar, at) = (host_name(REGISTRAR), host_name(ELEMENT));
    let url = "sctp+kernel://0.0.0.0:3863";
    let config = lab.config("registrar", PATHS_CHANGE)?;
    let arguments = ["registrar", "--id", "0x11", "--asap", url, "--asap", "tcp://0.0.0.0:3863"];
    let arguments = [&arguments[..], &["--config", &config]].concat();
    let serving = lab.rserpool_at(&registrar, "registrar", &arguments)?;
    line(&serving)?;
    let url = format!("sctp+kernel://{}:3863", on_network(1, REGISTRAR));
    let arguments = ["serve", "echo", "--id", "0x21", "--registrar", &url];
    let element = lab.rserpool_at(&at, "element", &arguments)?;
    line(&element)?;
    let arguments = [&["connect", POOL, "--registrar", &url][..], &PATIENT_USER].concat();
    let process = lab.rserpool_at(&registrar, "connect", &arguments)?;
    let mut session = Session { process, lines: 0 };
    session.goes_on(Duration::from_millis(300))?;

    let tcp = format!("tcp://{}:3863", on_network(1, REGISTRAR));
    let mut has = |address: &str, wanted: bool| -> anyhow::Result<Duration> {
        let started = Instant::now();
        wait_for("another registration", PATIENCE, || {
            let answer = lab.ask("resolve", &["resolve", POOL, "--registrar", &tcp])?;
            let addresses = answer["elements"][0]["addresses"].as_array();
            let has = addresses.is_some_and(|all| all.iter().any(|one| one == address));
            session.goes_on(Duration::from_millis(20))?;
            Ok((has == wanted).then_some(()))
        })?;
        Ok(started.elapsed())
    };
    let (old, new) = (on_network(1, ELEMENT), on_network(2, 77));
    has(&old, true)?;
    hosts.change_address("add", ELEMENT, 2, &new)?;
    let added = has(&new, true)?;
    hosts.change_address("del", ELEMENT, 1, &old)?;
    let removed = has(&old, false)?;
    session.goes_on(Duration::from_millis(300))?;

    let log = serving.log()?;
    ensure!(log.matches("joined").count() == 1, "the registrar has lost the element");
    let log = element.log()?;
    ensure!(!log.contains("home registrar lost"), "the element has lost its association");
    Ok(json!({ "added_ms": millis(&[added])[0], "removed_ms": millis(&[removed])[0] }))
}

/// A session with an echo service.
struct Session {
    process: Process,
    lines: u32,
}

impl Session {
    /// Asks and is answered for so long; the longest wait.
    fn goes_on(&mut self, span: Duration) -> anyhow::Result<Duration> {
        let (began, mut longest) = (Instant::now(), Duration::ZERO);
        while began.elapsed() < span {
            self.lines += 1;
            let text = format!("line {}", self.lines);
            let asked = Instant::now();
            self.process.tell(&text)?;
            let answer = self.process.line(PATIENCE)?;
            ensure!(answer == text, "the answer to {text} is {answer}");
            longest = longest.max(asked.elapsed());
        }
        Ok(longest)
    }
}

/// SCTP in UDP between the kernel and userland in both directions, over a network that loses,
/// delays and reorders.
pub(super) fn encapsulated(lab: &mut Lab) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[1, 2])?;
    let (kernel, userland) = (host_name(1), host_name(2));
    for setting in ["udp_port=9899", "encap_port=9899"] {
        lab.at(&kernel, &["sysctl", "-q", "-w", &format!("net.sctp.{setting}")])?;
    }
    for (host, url) in [(&kernel, "sctp+kernel"), (&userland, "sctp+udp")] {
        let id = if *host == kernel { "0x11" } else { "0x12" };
        let n = if *host == kernel { 1 } else { 2 };
        let url = format!("{url}://{}:3863", on_network(1, n));
        let config = lab.config("registrar", PATIENT)?;
        let arguments = ["registrar", "--id", id, "--asap", &url, "--profile", "wan"];
        let arguments = [&arguments[..], &["--config", &config]].concat();
        let process = lab.rserpool_at(host, &format!("registrar-{n}"), &arguments)?;
        line(&process)?;
        lab.keep(process);
    }
    hosts.degrade(2, 1, "delay 20ms 10ms loss 3% reorder 25%")?;
    // Each dials the other one's registrar.
    let routes = [
        (&kernel, format!("sctp+kernel://{}:3863?encap=3863", on_network(1, 2)), 1),
        (&userland, format!("sctp+udp://{}:3863?encap=9899", on_network(1, 1)), 2),
    ];
    let mut times = Vec::new();
    for (host, registrar, n) in &routes {
        let (id, listen) = (format!("{:#x}", 0x20 + n), on_network(1, *n));
        let arguments = ["serve", "echo", "--id", &id, "--listen", &listen, "--transport", "tcp"];
        let more = ["--registrar", registrar, "--profile", "wan", "--wait", "60s"];
        let arguments = [&arguments[..], &more].concat();
        let element = lab.rserpool_at(host, &format!("element-{n}"), &arguments)?;
        line(&element)?;
        let started = Instant::now();
        for _ in 0..QUESTIONS {
            let arguments = ["resolve", POOL, "--registrar", registrar, "--profile", "wan"];
            let answer = lab.ask_at(host, "resolve", &arguments)?;
            ensure!(answer["elements"][0]["id"] == format!("{:#010x}", 0x20 + n), "{answer}");
        }
        times.push(started.elapsed() / QUESTIONS);
        element.signal(Signal::TERM)?;
        let mut element = element;
        ensure!(element.wait(PATIENCE)?.success(), "an element that leaves does not end well");
    }
    Ok(json!({ "questions": 2 * QUESTIONS, "mean_ms_kernel_and_userland_dials": millis(&times) }))
}

/// How often each side of an encapsulated association asks.
const QUESTIONS: u32 = 12;

/// Nobody is told where anybody is: registrars find each other by multicast, elements and users
/// find them. Then a network fails.
pub(super) fn multicast(lab: &mut Lab) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[1, 2, 3])?;
    let started = Instant::now();
    // rsplib needs seconds to send over another path what was lost on one.
    let ours = ["registrar", "--id", "0x22222222", "--dialect", "rsplib", "--profile", "wan"];
    let at = ["--asap", "sctp+kernel://[::]:3863", "--enrp", "sctp+kernel://[::]:9901"];
    let groups = ["--announce", "239.0.0.50:3863", "--enrp-announce", "239.0.0.51:9901"];
    let tcp = ["--asap", "tcp://0.0.0.0:3863"];
    let config = lab.config("registrar", PATIENT)?;
    let ours = [&ours[..], &at, &tcp, &groups, &["--config", &config]].concat();
    let registrar = lab.rserpool_at(&host_name(2), "registrar", &ours)?;
    line(&registrar)?;
    let theirs = ["rspserver", "-echo", "-identifier=0xec400001", "-rereginterval=2000"];
    let theirs = [&theirs[..], &LOG].concat();
    lab.keep(lab.start_at(&host_name(3), "rspserver", &theirs)?);
    let mut client = Client::connect(&format!("{}:3863", on_network(2, 2)))?;
    wait_for("rsplib's element at our registrar", PATIENCE, || {
        Ok(client.ids(POOL)?.contains(&0xec40_0001).then_some(()))
    })?;
    let theirs = [&["rspregistrar", "-identifier=0x11111111"][..], &LOG].concat();
    lab.keep(lab.start_at(&host_name(1), "rspregistrar", &theirs)?);
    let ours = ["serve", "echo", "--id", "0x22", "--dialect", "rsplib"];
    let ours = [&ours[..], &["--group", "239.0.0.50:3863", "--wait", "60s"]].concat();
    let element = lab.rserpool_at(&host_name(2), "element", &ours)?;
    line(&element)?;
    let whole = |client: &mut Client| -> anyhow::Result<Option<()>> {
        let mut ids = client.ids(POOL)?;
        ids.sort_unstable();
        Ok((ids == [0x22, 0xec40_0001]).then_some(()))
    };
    wait_for("elements that nobody configured", PATIENCE, || whole(&mut client))?;
    let found = started.elapsed();
    registrar.logs("peer up peer=0x11111111", PATIENCE)?;
    // Our user asks whichever registrar it hears of first: rsplib's may not know all yet.
    let question = ["resolve", POOL, "--group", "239.0.0.50:3863", "--dialect", "rsplib"];
    wait_for("what our user is told", PATIENCE, || {
        let answer = lab.ask_at(&host_name(3), "resolve", &question);
        let count = |answer: Value| answer["elements"].as_array().map_or(0, Vec::len);
        Ok(answer.is_ok_and(|answer| count(answer) == 2).then_some(()))
    })?;

    // Without the network of the multicasts all goes on over the other one.
    for n in [1, 2, 3] {
        hosts.cut(n, 1)?;
    }
    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(8) {
        ensure!(whole(&mut client)?.is_some(), "an element is gone: {:x?}", client.ids(POOL)?);
        // Nothing is waited for: no look is to find an element missing.
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(json!({ "found_ms": millis(&[found])[0] }))
}
