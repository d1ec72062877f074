//! rsplib's programs and ours, on SCTP of the kernel: rsplib has nothing else.
//!
//! rsplib takes no loopback addresses, so the loopback interface has others here. Its registrar and
//! ours are at 10.0.0.1, elements at 10.0.0.2 and 10.0.0.3.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::Client;
use super::lab::{Lab, PATIENCE, PATIENT};
use super::pool::{gone_after, millis};
use super::process::{Process, wait_for};

const ADDRESSES: [&str; 3] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"];
const POOL: &str = "EchoPool";
const REGISTRAR: &str = "10.0.0.1:3863";
const REGISTRAR_URL: &str = "sctp+kernel://10.0.0.1:3863";
/// Where our registrar also serves, for the client that measures.
const TCP: &str = "127.0.0.1:3863";
/// What rsplib's programs say, and how.
pub(super) const LOG: [&str; 2] = ["-loglevel=5", "-logcolor=off"];
/// What rsplib's registrar logs when elements and users can come. Its own elements are not to come
/// sooner: they end when they find none.
pub(super) const SERVES: &str = "Registrar started";
/// Between two lines that the terminal is given when it does not answer.
const AGAIN: Duration = Duration::from_millis(500);
/// rsplib's policies as `rspserver` takes them, and as we name them. The others that it offers have
/// no form on the wire: it ends when it is to register with them.
const POLICIES: [(&str, &str); 14] = [
    ("RoundRobin", "round-robin"),
    ("WeightedRoundRobin:3", "weighted-round-robin:3"),
    ("Random", "random"),
    ("WeightedRandom:3", "weighted-random:3"),
    ("Priority:3", "priority:3"),
    ("LeastUsed", "least-used"),
    ("LeastUsedDegradation:0.1", "least-used-degradation:0.1"),
    ("PriorityLeastUsed:0.1", "priority-least-used:0.1"),
    ("RandomizedLeastUsed", "randomized-least-used"),
    ("RandomizedPriorityLeastUsed", "randomized-priority-least-used:0.1"),
    ("PriorityLeastUsedDegradation:0.1", "priority-least-used-degradation:0.1"),
    ("WeightedRandomDPF:3:0.1", "weighted-random-dpf:3:0.1"),
    ("LeastUsedDPF:0.1", "least-used-dpf:0.1"),
    ("LeastUsedDegradationDPF:0.1:0.1", "least-used-degradation-dpf:0.1:0.1"),
];
/// rsplib's registrar finds a frozen element sooner than by default, which is after 10 s; not so soon
/// that one that lives and has to wait for the processor is taken for frozen.
const QUICK: [&str; 2] =
    ["-endpointkeepalivetransmissioninterval=1000", "-endpointkeepalivetimeoutinterval=4000"];

/// rsplib's elements and user at our registrar: one element is killed, the other frozen.
pub(super) fn at_our_registrar(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let _registrar = our_registrar(lab, "")?;
    let mut client = Client::connect(TCP)?;
    let ids = [0xec40_0001, 0xec40_0002];
    let first = rspserver(lab, ids[0], "10.0.0.2:0", POOL, "RoundRobin", REGISTRAR)?;
    let second = rspserver(lab, ids[1], "10.0.0.3:0", POOL, "RoundRobin", REGISTRAR)?;
    wait_for("both elements", PATIENCE, || {
        Ok((client.ids(POOL)?.len() == ids.len()).then_some(()))
    })?;
    let mut terminal = Terminal::start(lab)?;
    let used = terminal.asks("hello")?;

    let (used, other) = if used == ids[0] {
        ((ids[0], first), (ids[1], second))
    } else {
        ((ids[1], second), (ids[0], first))
    };
    let started = Instant::now();
    let killed = gone_after(&mut client, POOL, used.0, &used.1, Signal::KILL)?;
    ensure!(terminal.asks("again")? == other.0, "who answers after the end of the other one?");
    let failover = started.elapsed();
    let frozen = gone_after(&mut client, POOL, other.0, &other.1, Signal::STOP)?;
    other.1.signal(Signal::CONT)?;
    wait_for("a thawed element", PATIENCE, || {
        Ok(client.ids(POOL)?.contains(&other.0).then_some(()))
    })?;
    Ok(json!({
        "killed_ms": millis(&[killed])[0],
        "user_on_next_ms": millis(&[failover])[0],
        "frozen_ms": millis(&[frozen])[0],
    }))
}

/// rsplib's elements with each of its policies at our registrar, which tells the policy of each.
pub(super) fn policies_at_our_registrar(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let _registrar = our_registrar(lab, PATIENT)?;
    let mut client = Client::connect(TCP)?;
    let mut elements = Vec::new();
    for (id, (policy, _)) in (1..).zip(POLICIES) {
        elements.push(rspserver(lab, id, "10.0.0.2:0", policy, policy, REGISTRAR)?);
    }
    for (theirs, ours) in POLICIES {
        wait_for(theirs, PATIENCE, || Ok((!client.ids(theirs)?.is_empty()).then_some(())))?;
        let url = format!("tcp://{TCP}");
        let answer = lab.ask(theirs, &["resolve", theirs, "--registrar", &url])?;
        ensure!(answer["policy"] == policy_name(ours), "{theirs} is {answer}");
    }
    Ok(json!({ "policies": POLICIES.len() }))
}

/// Our elements with each of rsplib's policies at rsplib's registrar.
pub(super) fn policies_at_their_registrar(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let _registrar = rspregistrar(lab)?;
    let mut elements = Vec::new();
    for (id, (_, policy)) in (1..).zip(POLICIES) {
        elements.push(our_element(lab, id, "10.0.0.2", &pool_of(id), policy)?);
    }
    for (id, (_, policy)) in (1..).zip(POLICIES) {
        let answer = resolve(lab, &pool_of(id))?;
        ensure!(answer["policy"] == policy_name(policy), "{policy} is {answer}");
    }
    Ok(json!({ "policies": POLICIES.len() }))
}

/// Our elements and users, and rsplib's user, at rsplib's registrar: one element is killed, the
/// other frozen.
pub(super) fn at_their_registrar(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let registrar = rspregistrar(lab)?;
    let ids = [0x21, 0x22];
    let first = our_element(lab, ids[0], "10.0.0.2", POOL, "round-robin")?;
    let second = our_element(lab, ids[1], "10.0.0.3", POOL, "round-robin")?;
    let answer = resolve(lab, POOL)?;
    ensure!(count(&answer) == ids.len(), "{answer}");

    let mut terminal = Terminal::start(lab)?;
    let used = terminal.asks("hello")?;
    let (used, other, id) =
        if used == ids[0] { (first, second, ids[1]) } else { (second, first, ids[0]) };
    let started = Instant::now();
    used.signal(Signal::KILL)?;
    ensure!(terminal.asks("again")? == id, "who answers after the end of the other one?");
    let failover = started.elapsed();
    // Its user may have noticed the end before it.
    wait_for("rsplib to notice the end of an element", PATIENCE, || {
        Ok((count(&resolve(lab, POOL)?) == 1).then_some(()))
    })?;

    let arguments = ["connect", POOL, "--wait", "--registrar", REGISTRAR_URL];
    let arguments = [&arguments[..], &["--dialect", "rsplib"]].concat();
    let mut connect = lab.rserpool("connect", &arguments)?;
    connect.tell("hello")?;
    ensure!(connect.line(PATIENCE)? == "hello", "our user gets something else");
    connect.close_input();
    ensure!(connect.wait(PATIENCE)?.success(), "connect does not end well");

    let started = Instant::now();
    other.signal(Signal::STOP)?;
    wait_for("the end of a frozen element", PATIENCE, || empty(lab, POOL))?;
    let frozen = started.elapsed();
    other.signal(Signal::CONT)?;
    let started = Instant::now();
    wait_for("a thawed element", PATIENCE, || {
        // What resolves nothing fails.
        Ok(resolve(lab, POOL).is_ok_and(|answer| count(&answer) == 1).then_some(()))
    })?;
    let thawed = started.elapsed();
    drop(registrar);
    Ok(json!({
        "user_on_next_ms": millis(&[failover])[0],
        "frozen_ms": millis(&[frozen])[0],
        "thawed_ms": millis(&[thawed])[0],
    }))
}

fn our_registrar(lab: &Lab, config: &str) -> anyhow::Result<Process> {
    let (tcp, config) = (format!("tcp://{TCP}"), lab.config("registrar", config)?);
    let arguments = ["registrar", "--id", "0x11", "--dialect", "rsplib"];
    let arguments =
        [&arguments[..], &["--asap", REGISTRAR_URL, "--asap", &tcp, "--config", &config]];
    lab.serving("registrar", &arguments.concat())
}

fn our_element(
    lab: &Lab,
    id: u32,
    address: &str,
    pool: &str,
    policy: &str,
) -> anyhow::Result<Process> {
    let (label, id) = (format!("element-{id:x}"), id.to_string());
    let arguments = ["serve", "echo", "--id", &id, "--listen", address, "--dialect", "rsplib"];
    let more = ["--pool", pool, "--policy", policy, "--registrar", REGISTRAR_URL, "--wait", "60s"];
    lab.serving(&label, &[&arguments[..], &more].concat())
}

/// Starts rsplib's registrar, and waits until it serves.
pub(super) fn rspregistrar(lab: &Lab) -> anyhow::Result<Process> {
    let mut command = Command::new("rspregistrar");
    command.args(["-identifier=0x11111111", "-asap=10.0.0.1:3863", "-enrp=10.0.0.1:9901"]);
    command.args(["-asapannounce=off", "-enrpannounce=off"]).args(QUICK).args(LOG);
    let process = Process::start("rspregistrar", &mut command, lab.out())?;
    process.logs(SERVES, PATIENCE)?;
    Ok(process)
}

/// What rsplib's registrar answers to our user.
fn resolve(lab: &Lab, pool: &str) -> anyhow::Result<Value> {
    let arguments = ["resolve", pool, "--registrar", REGISTRAR_URL, "--dialect", "rsplib"];
    lab.ask("resolve", &arguments)
}

/// Whether rsplib's registrar has no such pool, which is an error to our user.
fn empty(lab: &Lab, pool: &str) -> anyhow::Result<Option<()>> {
    if resolve(lab, pool).is_ok() {
        return Ok(None);
    }
    let log = std::fs::read_to_string(lab.out().join("resolve.log"))?;
    Ok(log.contains("unknown pool handle").then_some(()))
}

/// How many elements an answer has.
fn count(answer: &Value) -> usize {
    answer["elements"].as_array().map_or(0, Vec::len)
}

/// A pool for an element alone.
fn pool_of(id: u32) -> String {
    format!("pool-{id}")
}

/// The name of a policy, without parameters.
fn policy_name(policy: &str) -> &str {
    policy.split(':').next().unwrap_or(policy)
}

/// Starts rsplib's echo server.
pub(super) fn rspserver(
    lab: &Lab,
    id: u32,
    local: &str,
    pool: &str,
    policy: &str,
    registrar: &str,
) -> anyhow::Result<Process> {
    let mut command = Command::new("rspserver");
    command.arg("-echo").arg(format!("-identifier={id:#x}")).arg(format!("-local={local}"));
    command.arg(format!("-poolhandle={pool}")).arg(format!("-policy={policy}"));
    // An element that was frozen comes back when it registers the next time, 30 s by default.
    command.arg("-rereginterval=2000");
    command.arg(format!("-registrar={registrar}")).args(LOG);
    Process::start(&format!("rspserver-{id:x}"), &mut command, lab.out())
}

/// rsplib's terminal session.
struct Terminal(Process);

impl Terminal {
    fn start(lab: &Lab) -> anyhow::Result<Self> {
        // It does not flush what it prints to a pipe.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "rspterminal"]).arg(format!("-poolhandle={POOL}"));
        command.arg(format!("-registrar={REGISTRAR}")).args(LOG);
        Ok(Self(Process::start("rspterminal", &mut command, lab.out())?))
    }

    /// Says a line until it is answered; the identifier of who has answered.
    fn asks(&mut self, text: &str) -> anyhow::Result<u32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.0.tell(text)?;
            let asked = Instant::now();
            while let Some(left) = AGAIN.checked_sub(asked.elapsed()) {
                let Some(line) = self.0.line_within(left)? else { break };
                // "from PE $ec400001> hello", in colour.
                let Some((from, answer)) = line.split_once("> ") else { continue };
                if let Some((_, id)) = from.split_once("PE $").filter(|_| answer.starts_with(text))
                {
                    return u32::from_str_radix(id, 16).context("an element's identifier");
                }
            }
        }
        anyhow::bail!("rspterminal has no answer to {text}")
    }
}
