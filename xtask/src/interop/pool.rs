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

/// Lines that the user sends between two events.
const LINES: u32 = 5;
/// Leaves the processor to others.
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);

/// What carries what.
struct Carriers {
    /// Where the registrar serves elements and users.
    registrar: &'static str,
    /// What users speak with elements over.
    data: &'static str,
    /// The system lives on when a program is killed or frozen: it tells of the end of the one, and
    /// only the other's silence is noticed.
    is_of_the_system: bool,
}

/// Checklist 34, 37, 38: over SCTP.
pub(super) fn over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    let registrar = "sctp+kernel://127.0.0.1:3863";
    run(lab, &Carriers { registrar, data: "sctp", is_of_the_system: true })
}

pub(super) fn over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    let registrar = "sctp+udp://127.0.0.1:3863";
    run(lab, &Carriers { registrar, data: "sctp", is_of_the_system: false })
}

/// Checklist 34: over TCP, too.
pub(super) fn over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    let registrar = "tcp://127.0.0.1:3863";
    run(lab, &Carriers { registrar, data: "tcp", is_of_the_system: true })
}

/// Two elements are killed, one is frozen and thawed and leaves, while a user goes on.
fn run(lab: &Lab, carriers: &Carriers) -> anyhow::Result<Value> {
    let registrar = start_registrar(lab, carriers)?;
    let mut elements = Vec::new();
    for id in IDS {
        elements.push(start_element(lab, carriers, id)?);
    }
    let mut client = Client::connect(TCP)?;
    // One that a busy machine kept from answering comes back.
    wait_for(
        "all elements",
        PATIENCE,
        || Ok((client.ids(POOL)?.len() == IDS.len()).then_some(())),
    )?;
    resolves(lab, carriers)?;

    let arguments = ["connect", POOL, "--wait", "--registrar", carriers.registrar];
    let mut user = Terminal { process: lab.rserpool("connect", &arguments)?, lines: 0 };
    user.says(LINES)?;
    let mut killed = Vec::new();
    for (&id, element) in IDS.iter().zip(&elements).take(2) {
        killed.push(gone_after(&mut client, POOL, id, element, Signal::KILL)?);
        carriers.tell(&registrar, id, "association lost")?;
        user.says(LINES)?;
    }
    let (frozen_id, element) = (IDS[2], &mut elements[2]);
    let frozen = gone_after(&mut client, POOL, frozen_id, element, Signal::STOP)?;
    carriers.tell(&registrar, frozen_id, "silent")?;
    user.says(LINES)?;
    element.signal(Signal::CONT)?;
    wait_for("a thawed element", PATIENCE, || {
        Ok(client.ids(POOL)?.contains(&frozen_id).then_some(()))
    })?;
    user.ends()?;

    gone_after(&mut client, POOL, frozen_id, element, Signal::TERM)?;
    ensure!(element.wait(PATIENCE)?.success(), "an element that leaves does not end well");
    wait_for("the last element alone", PATIENCE, || {
        Ok((client.ids(POOL)? == IDS[3..]).then_some(()))
    })?;
    Ok(json!({
        "registrar": carriers.registrar,
        "answered": user.lines,
        "killed_ms": millis(&killed),
        "frozen_ms": millis(&[frozen]),
    }))
}

impl Carriers {
    /// The registrar says for this reason that an element is gone, where it has to be this one.
    fn tell(&self, registrar: &Process, id: u32, reason: &str) -> anyhow::Result<()> {
        if !self.is_of_the_system {
            return Ok(());
        }
        let left = format!("left pool=\"{POOL}\" element={id:#010x} reason=");
        let last = wait_for("why an element is gone", PATIENCE, || {
            Ok(registrar.log()?.rsplit_once(&left).map(|(_, last)| last.to_owned()))
        })?;
        ensure!(last.starts_with(reason), "the element is gone for another reason: {last}");
        Ok(())
    }
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
    let arguments = ["serve", "echo", "--id", &id, "--wait", "60s", "--listen", "127.0.0.1"];
    let arguments =
        [&arguments[..], &["--transport", carriers.data, "--registrar", carriers.registrar]];
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
