//! Three registrars that share a handlespace, all ours: one is killed and comes back, one freezes.
//! Elements that live are in the pool all the time, at every registrar that serves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::{Client, Element};
use super::lab::{Lab, PATIENCE, json as line};
use super::pool::millis;
use super::process::{Process, wait_for};

const POOL: &str = "EchoPool";
/// The last octet of a registrar's loopback address; with 0x10 it is the identifier.
const REGISTRARS: [u32; 3] = [1, 2, 3];
const ELEMENTS: [u32; 3] = [0x21, 0x22, 0x23];

pub(super) fn over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "sctp+kernel")
}

pub(super) fn over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "sctp+udp")
}

pub(super) fn over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "tcp")
}

fn run(lab: &Lab, scheme: &str) -> anyhow::Result<Value> {
    let mut scope = Scope { lab, scheme, registrars: BTreeMap::new() };
    let starting: Vec<Process> =
        REGISTRARS.iter().map(|&n| scope.start(n)).collect::<Result<_, _>>()?;
    for (n, process) in REGISTRARS.into_iter().zip(starting) {
        scope.serves(n, process)?;
    }
    let elements: Vec<Process> =
        ELEMENTS.iter().map(|&id| scope.start_element(id)).collect::<Result<_, _>>()?;
    elements.iter().try_for_each(|element| line(element).map(drop))?;
    let began = scope.agree(None, &[], Patient::Yes)?;

    // Killed: its end is known at once, and its elements find another home by themselves.
    let victim = began[0].home - 0x10;
    let started = Instant::now();
    drop(scope.registrars.remove(&victim));
    scope.agree(Some(victim), &ELEMENTS, Patient::Yes)?;
    let killed = started.elapsed();

    // It comes back, and serves once it knows what the others know.
    let started = Instant::now();
    let process = scope.start(victim)?;
    scope.serves(victim, process)?;
    let homes = scope.agree(None, &ELEMENTS, Patient::No)?;
    let rejoined = started.elapsed();

    // Frozen: only silence tells. It wakes up, and is one of them again.
    let victim = homes[0].home - 0x10;
    let started = Instant::now();
    let Some((frozen, client)) = scope.registrars.remove(&victim) else {
        anyhow::bail!("a home that is no registrar: {homes:?}");
    };
    frozen.signal(Signal::STOP)?;
    scope.agree(Some(victim), &ELEMENTS, Patient::Yes)?;
    let silent = started.elapsed();
    let started = Instant::now();
    frozen.signal(Signal::CONT)?;
    scope.registrars.insert(victim, (frozen, client));
    scope.agree(None, &[], Patient::Yes)?;
    let thawed = started.elapsed();

    let times = json!({
        "killed_ms": millis(&[killed])[0],
        "rejoined_ms": millis(&[rejoined])[0],
        "frozen_ms": millis(&[silent])[0],
        "thawed_ms": millis(&[thawed])[0],
    });
    dump(lab, scheme)?;
    Ok(times)
}

/// `rserpool dump` shows the same at each registrar.
fn dump(lab: &Lab, scheme: &str) -> anyhow::Result<()> {
    for n in REGISTRARS {
        let url = format!("{scheme}://127.0.0.{n}:9901");
        let pools = lab.ask(&format!("dump-{n}"), &["dump", "--enrp", &url])?;
        let elements = pools[0]["elements"].as_array().map_or(0, Vec::len);
        ensure!(elements == ELEMENTS.len(), "registrar {n} has {pools}");
    }
    Ok(())
}

/// Whether there may be differences for a while.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Patient {
    Yes,
    No,
}

/// The registrars that run, and a client at each.
struct Scope<'a> {
    lab: &'a Lab,
    scheme: &'a str,
    registrars: BTreeMap<u32, (Process, Client)>,
}

impl Scope<'_> {
    fn start(&self, n: u32) -> anyhow::Result<Process> {
        let Self { scheme, .. } = self;
        let url = |scheme: &str, n: u32, port: u16| format!("{scheme}://127.0.0.{n}:{port}");
        let id = format!("{:#x}", 0x10 + n);
        let mut arguments = vec!["registrar".into(), "--id".into(), id];
        arguments.extend(["--asap".into(), url("tcp", n, 3863)]);
        if *scheme != "tcp" {
            arguments.extend(["--asap".into(), url(scheme, n, 3863)]);
        }
        arguments.extend(["--enrp".into(), url(scheme, n, 9901)]);
        for other in REGISTRARS.into_iter().filter(|&other| other != n) {
            arguments.extend(["--peer".into(), url(scheme, other, 9901)]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.lab.rserpool(&format!("registrar-{n}"), &arguments)
    }

    /// Waits until a registrar serves.
    fn serves(&mut self, n: u32, process: Process) -> anyhow::Result<()> {
        line(&process)?;
        let client = Client::connect(&format!("127.0.0.{n}:3863"))?;
        self.registrars.insert(n, (process, client));
        Ok(())
    }

    fn start_element(&self, id: u32) -> anyhow::Result<Process> {
        let (label, id) = (format!("element-{id:x}"), id.to_string());
        let data = if self.scheme == "tcp" { "tcp" } else { "sctp" };
        let registrars = REGISTRARS.map(|n| format!("{}://127.0.0.{n}:3863", self.scheme));
        let mut arguments = vec!["serve", "echo", "--id", &id, "--listen", "127.0.0.1"];
        arguments.extend(["--transport", data]);
        for url in &registrars {
            arguments.extend(["--registrar", url]);
        }
        self.lab.rserpool(&label, &arguments)
    }

    /// Waits until all registrars list the same, all elements, none of them at home at `dead`.
    /// Those of `always` may not be missing for a moment.
    fn agree(
        &mut self,
        dead: Option<u32>,
        always: &[u32],
        patient: Patient,
    ) -> anyhow::Result<Vec<Element>> {
        let limit = if patient == Patient::Yes { PATIENCE } else { Duration::ZERO };
        wait_for("registrars that agree", limit, || {
            let mut lists = Vec::new();
            for (n, (_, client)) in &mut self.registrars {
                let mut list = client.resolve(POOL)?;
                list.sort_unstable();
                let misses = |id: &&u32| !list.iter().any(|element| element.id == **id);
                if let Some(id) = always.iter().find(misses) {
                    anyhow::bail!("registrar {n} has lost element {id:#x}: {list:?}");
                }
                lists.push(list);
            }
            lists.dedup();
            let [list] = &lists[..] else { return Ok(None) };
            let is_dead = |element: &Element| Some(element.home) == dead.map(|n| 0x10 + n);
            let is_whole = list.len() == ELEMENTS.len() && !list.iter().any(is_dead);
            Ok(is_whole.then(|| list.clone()))
        })
    }
}
