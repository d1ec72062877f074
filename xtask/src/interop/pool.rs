//! A registrar, four elements and a user, all ours: who dies is missed, and the user goes on.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::Client;
use super::lab::{Lab, PATIENCE};
use super::process::{Process, wait_for};

const POOL: &str = "EchoPool";
/// Where all registrars here also serve over TCP: the client that measures asks there.
const TCP: &str = "127.0.0.1:3863";
const IDS: [u32; 4] = [0x21, 0x22, 0x23, 0x24];

/// How soon a killed element is gone where the system tells of its end.
const KILLED_MAX: Duration = Duration::from_millis(50);
/// How soon an element is gone of which only silence tells.
const SILENT_MAX: Duration = Duration::from_millis(1500);
/// Lines that the user sends between two events.
const LINES: u32 = 5;
/// Leaves the processor to others.
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);
/// One try may suffer from what else this machine does; the best of so many counts.
const TRIES: usize = 3;

/// What carries what.
struct Carriers {
    /// Where the registrar serves elements and users.
    registrar: &'static str,
    /// What users speak with elements over.
    data: &'static str,
    killed_max: Duration,
}

/// Checklist 34, 37, 38: over SCTP.
pub(super) fn over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    let registrar = "sctp+kernel://127.0.0.1:3863";
    run(lab, &Carriers { registrar, data: "sctp", killed_max: KILLED_MAX })
}

pub(super) fn over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    let registrar = "sctp+udp://127.0.0.1:3863";
    run(lab, &Carriers { registrar, data: "sctp", killed_max: SILENT_MAX })
}

/// Checklist 34: over TCP, too.
pub(super) fn over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    let registrar = "tcp://127.0.0.1:3863";
    run(lab, &Carriers { registrar, data: "tcp", killed_max: KILLED_MAX })
}

/// Two elements are killed, one is frozen and thawed and leaves, while a user goes on.
fn run(lab: &Lab, carriers: &Carriers) -> anyhow::Result<Value> {
    let _registrar = start_registrar(lab, carriers)?;
    let mut elements = Vec::new();
    for id in IDS {
        elements.push(start_element(lab, carriers, id)?);
    }
    let mut client = Client::connect(TCP)?;
    ensure!(client.ids(POOL)?.len() == IDS.len(), "not all elements are in the pool");
    resolves(lab, carriers)?;

    let arguments = ["connect", POOL, "--registrar", carriers.registrar];
    let mut user = Terminal { process: lab.rserpool("connect", &arguments)?, lines: 0 };
    user.says(LINES)?;
    let mut killed = Vec::new();
    for (&id, element) in IDS.iter().zip(&elements).take(2) {
        killed.push(gone_after(&mut client, POOL, id, element, Signal::KILL)?);
        user.says(LINES)?;
    }
    let (frozen_id, element) = (IDS[2], &mut elements[2]);
    let mut frozen = Vec::new();
    while frozen.len() < TRIES && best(&frozen) > SILENT_MAX {
        frozen.push(gone_after(&mut client, POOL, frozen_id, element, Signal::STOP)?);
        user.says(LINES)?;
        element.signal(Signal::CONT)?;
        wait_for("a thawed element", PATIENCE, || {
            Ok(client.ids(POOL)?.contains(&frozen_id).then_some(()))
        })?;
    }
    user.ends()?;

    gone_after(&mut client, POOL, frozen_id, element, Signal::TERM)?;
    ensure!(element.wait(PATIENCE)?.success(), "an element that leaves does not end well");
    ensure!(client.ids(POOL)? == IDS[3..], "others than the last element are in the pool");

    let result = json!({
        "registrar": carriers.registrar,
        "answered": user.lines,
        "killed_ms": millis(&killed),
        "frozen_ms": millis(&frozen),
    });
    ensure!(best(&killed) <= carriers.killed_max, "a killed element stays too long: {result}");
    ensure!(best(&frozen) <= SILENT_MAX, "a frozen element stays too long: {result}");
    Ok(result)
}

fn start_registrar(lab: &Lab, carriers: &Carriers) -> anyhow::Result<Process> {
    let tcp = format!("tcp://{TCP}");
    let mut arguments = vec!["registrar", "--id", "0x11", "--asap", &tcp];
    if carriers.registrar != tcp {
        arguments.extend(["--asap", carriers.registrar]);
    }
    lab.serving("registrar", &arguments)
}

fn start_element(lab: &Lab, carriers: &Carriers, id: u32) -> anyhow::Result<Process> {
    let (label, id) = (format!("element-{id:x}"), id.to_string());
    let arguments = ["serve", "echo", "--id", &id, "--listen", "127.0.0.1", "--transport"];
    let arguments = [&arguments[..], &[carriers.data, "--registrar", carriers.registrar]];
    lab.serving(&label, &arguments.concat())
}

/// `rserpool resolve` says what there is.
fn resolves(lab: &Lab, carriers: &Carriers) -> anyhow::Result<()> {
    let arguments = ["resolve", POOL, "--registrar", carriers.registrar, "--items", "3"];
    let answer = lab.ask("resolve", &arguments)?;
    let elements = answer["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(answer["policy"] == "round-robin" && elements.len() == 3, "resolve says {answer}");
    ensure!(elements.iter().all(|one| one["transport"] == carriers.data), "it says {answer}");
    Ok(())
}

/// How long after a signal an element is no longer in its pool.
pub(super) fn gone_after(
    client: &mut Client,
    pool: &str,
    id: u32,
    element: &Process,
    signal: Signal,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    element.signal(signal)?;
    while client.ids(pool)?.contains(&id) {
        let waited = started.elapsed();
        ensure!(waited < PATIENCE, "element {id:#x} is in the pool {waited:?} after {signal:?}");
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(started.elapsed())
}

/// The shortest.
fn best(times: &[Duration]) -> Duration {
    times.iter().copied().min().unwrap_or(Duration::MAX)
}

/// In milliseconds, to a tenth.
pub(super) fn millis(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| (time.as_secs_f64() * 1e4).round() / 10.0).collect()
}

/// `rserpool connect` at an echo service.
struct Terminal {
    process: Process,
    /// Lines that were answered.
    lines: u32,
}

impl Terminal {
    /// Sends some lines, one after the other, and waits for each answer.
    fn says(&mut self, count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            self.lines += 1;
            let line = format!("line {}", self.lines);
            self.process.tell(&line)?;
            // An answer may come twice: what is unanswered at a failure is sent again.
            while self.process.line(PATIENCE)? != line {}
        }
        Ok(())
    }

    /// Ends the input, and with it the program.
    fn ends(&mut self) -> anyhow::Result<()> {
        self.process.close_input();
        ensure!(self.process.wait(PATIENCE)?.success(), "connect does not end well");
        Ok(())
    }
}
