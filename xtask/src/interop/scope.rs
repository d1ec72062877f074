//! Three registrars that share a handlespace, all ours: one is killed and comes back, one freezes,
//! two are killed at once, one is cut off from the others. Elements that live are in the pool all
//! the time, at every registrar that serves and that they can reach.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::asap::{Client, Element};
use super::hosts::{Hosts, host_name};
use super::lab::{Lab, PATIENCE, PATIENT, json as line};
use super::pool::millis;
use super::process::{Process, wait_for};

const POOL: &str = "EchoPool";
/// The last octet of a registrar's loopback address; with 0x10 it is the identifier.
const REGISTRARS: [u32; 3] = [1, 2, 3];
const ELEMENTS: [u32; 3] = [0x21, 0x22, 0x23];

/// Configuration of a registrar that comes back: it waits for what the others know, however long
/// they take to tell.
const BACK: &str = "start_timeout = \"60s\"\n";

pub(super) fn over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "sctp+kernel")
}

pub(super) fn over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "sctp+udp")
}

pub(super) fn over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    run(lab, "tcp")
}

pub(super) fn both_killed_over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    both_killed(lab, "sctp+kernel")
}

pub(super) fn both_killed_over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    both_killed(lab, "sctp+udp")
}

pub(super) fn partition_over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    partition(lab, "sctp+kernel")
}

pub(super) fn partition_over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    partition(lab, "sctp+udp")
}

pub(super) fn partition_over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    partition(lab, "tcp")
}

/// One is killed and comes back, another one is frozen and wakes up.
fn run(lab: &Lab, scheme: &str) -> anyhow::Result<Value> {
    let (mut scope, _elements) = Scope::begin(lab, scheme, None)?;
    let began = scope.agree(&REGISTRARS, &ELEMENTS)?;
    scope.keep(&REGISTRARS, &ELEMENTS);

    // Killed: its end is known at once, and its elements find another home by themselves.
    let victim = began[0].home - 0x10;
    let started = Instant::now();
    drop(scope.registrars.remove(&victim));
    scope.agree(&others(&[victim]), &ELEMENTS)?;
    let killed = started.elapsed();

    // It comes back, and serves once it knows what the others know.
    let started = Instant::now();
    let process = scope.start(victim, BACK)?;
    scope.serves(victim, process)?;
    // From the first look on: it may not miss any.
    let homes = scope.agree(&REGISTRARS, &ELEMENTS)?;
    let rejoined = started.elapsed();

    // Frozen: only silence tells. It wakes up, and is one of them again.
    let victim = homes[0].home - 0x10;
    let started = Instant::now();
    let Some((frozen, client)) = scope.registrars.remove(&victim) else {
        anyhow::bail!("a home that is no registrar: {homes:?}");
    };
    frozen.signal(Signal::STOP)?;
    scope.agree(&others(&[victim]), &ELEMENTS)?;
    let silent = started.elapsed();
    let started = Instant::now();
    frozen.signal(Signal::CONT)?;
    scope.registrars.insert(victim, (frozen, client));
    scope.kept.clear();
    scope.agree(&REGISTRARS, &ELEMENTS)?;
    let thawed = started.elapsed();

    dump(lab, scheme)?;
    Ok(json!({
        "killed_ms": millis(&[killed])[0],
        "rejoined_ms": millis(&[rejoined])[0],
        "frozen_ms": millis(&[silent])[0],
        "thawed_ms": millis(&[thawed])[0],
    }))
}

/// Two of three are killed in the same moment: the last one has all elements all the time. Then
/// both come back.
fn both_killed(lab: &Lab, scheme: &str) -> anyhow::Result<Value> {
    let (mut scope, _elements) = Scope::begin(lab, scheme, None)?;
    let began = scope.agree(&REGISTRARS, &ELEMENTS)?;
    scope.keep(&REGISTRARS, &ELEMENTS);
    // The home of an element is among them.
    let first = began[0].home - 0x10;
    let second = others(&[first])[0];
    let last = others(&[first, second])[0];
    let started = Instant::now();
    for victim in [first, second] {
        scope.registrars[&victim].0.signal(Signal::KILL)?;
    }
    scope.registrars.retain(|&n, _| n == last);
    scope.agree(&[last], &ELEMENTS)?;
    let killed = started.elapsed();

    let started = Instant::now();
    let starting = [(first, scope.start(first, BACK)?), (second, scope.start(second, BACK)?)];
    for (n, process) in starting {
        scope.serves(n, process)?;
    }
    scope.agree(&REGISTRARS, &ELEMENTS)?;
    let rejoined = started.elapsed();

    dump(lab, scheme)?;
    Ok(json!({ "both_killed_ms": millis(&[killed])[0], "rejoined_ms": millis(&[rejoined])[0] }))
}

/// Three hosts, each with a registrar and an element; the first is cut off from the others, and
/// joined again. Each side has what lives on it all the time, and nothing else after a while.
fn partition(lab: &mut Lab, scheme: &str) -> anyhow::Result<Value> {
    let hosts = Hosts::routed(lab, &REGISTRARS)?;
    let (mut scope, _elements) = Scope::begin(lab, scheme, Some(&hosts))?;
    scope.agree(&REGISTRARS, &ELEMENTS)?;
    let (alone, together) = (&REGISTRARS[..1], &REGISTRARS[1..]);
    scope.keep(alone, &ELEMENTS[..1]);
    scope.keep(together, &ELEMENTS[1..]);

    let started = Instant::now();
    hosts.part(alone, together)?;
    scope.agree(alone, &ELEMENTS[..1])?;
    scope.agree(together, &ELEMENTS[1..])?;
    let parted = started.elapsed();

    let started = Instant::now();
    hosts.join(alone, together)?;
    scope.agree(&REGISTRARS, &ELEMENTS)?;
    let healed = started.elapsed();

    Ok(json!({ "parted_ms": millis(&[parted])[0], "healed_ms": millis(&[healed])[0] }))
}

/// All registrars but these.
fn others(than: &[u32]) -> Vec<u32> {
    REGISTRARS.into_iter().filter(|n| !than.contains(n)).collect()
}

/// `rserpool dump` shows the same at each registrar.
fn dump(lab: &Lab, scheme: &str) -> anyhow::Result<()> {
    for n in REGISTRARS {
        let url = format!("{scheme}://127.0.0.{n}:9901");
        let pools = lab.ask(&format!("dump-{n}"), &["dump", "--enrp", &url, "--timeout", "60s"])?;
        let elements = pools[0]["elements"].as_array().map_or(0, Vec::len);
        ensure!(elements == ELEMENTS.len(), "registrar {n} has {pools}");
    }
    Ok(())
}

/// The registrars that run, and a client at each.
struct Scope<'a> {
    lab: &'a Lab,
    scheme: &'a str,
    /// Where they run: on these hosts, or all on this one.
    hosts: Option<&'a Hosts>,
    registrars: BTreeMap<u32, (Process, Client)>,
    /// What a registrar may not miss for a moment.
    kept: BTreeMap<u32, Vec<u32>>,
}

impl<'a> Scope<'a> {
    /// Starts all registrars and all elements.
    fn begin(
        lab: &'a Lab,
        scheme: &'a str,
        hosts: Option<&'a Hosts>,
    ) -> anyhow::Result<(Self, Vec<Process>)> {
        let kept = BTreeMap::new();
        let mut scope = Self { lab, scheme, hosts, registrars: BTreeMap::new(), kept };
        let starting: Vec<Process> =
            REGISTRARS.iter().map(|&n| scope.start(n, "")).collect::<Result<_, _>>()?;
        for (n, process) in REGISTRARS.into_iter().zip(starting) {
            scope.serves(n, process)?;
        }
        let elements: Vec<Process> =
            ELEMENTS.iter().map(|&id| scope.start_element(id)).collect::<Result<_, _>>()?;
        elements.iter().try_for_each(|element| line(element).map(drop))?;
        Ok((scope, elements))
    }

    fn address(&self, n: u32) -> String {
        self.hosts.map_or_else(|| format!("127.0.0.{n}"), |hosts| hosts.address(n))
    }

    /// Starts our program on the host of a registrar.
    fn rserpool(&self, n: u32, label: &str, arguments: &[String]) -> anyhow::Result<Process> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match self.hosts {
            Some(_) => self.lab.rserpool_at(&host_name(n), label, &arguments),
            None => self.lab.rserpool(label, &arguments),
        }
    }

    fn start(&self, n: u32, config: &str) -> anyhow::Result<Process> {
        let Self { scheme, .. } = self;
        let url =
            |scheme: &str, n: u32, port: u16| format!("{scheme}://{}:{port}", self.address(n));
        let id = format!("{:#x}", 0x10 + n);
        let label = format!("registrar-{n}");
        let config = self.lab.config(&label, &format!("{config}{PATIENT}"))?;
        let mut arguments = vec!["registrar".into(), "--id".into(), id, "--config".into(), config];
        arguments.extend(["--asap".into(), url("tcp", n, 3863)]);
        if *scheme != "tcp" {
            arguments.extend(["--asap".into(), url(scheme, n, 3863)]);
        }
        arguments.extend(["--enrp".into(), url(scheme, n, 9901)]);
        for other in others(&[n]) {
            arguments.extend(["--peer".into(), url(scheme, other, 9901)]);
        }
        self.rserpool(n, &label, &arguments)
    }

    /// Waits until a registrar serves.
    fn serves(&mut self, n: u32, process: Process) -> anyhow::Result<()> {
        line(&process)?;
        let client = Client::connect(&format!("{}:3863", self.address(n)))?;
        self.registrars.insert(n, (process, client));
        Ok(())
    }

    /// Starts an element on the host of its number; without hosts of their own all are here.
    fn start_element(&self, id: u32) -> anyhow::Result<Process> {
        let n = id - 0x20;
        let data = if self.scheme == "tcp" { "tcp" } else { "sctp" };
        let listen = self.hosts.map_or_else(|| "127.0.0.1".into(), |hosts| hosts.address(n));
        let mut arguments = vec!["serve".into(), "echo".into(), "--id".into(), id.to_string()];
        arguments.extend(["--wait".into(), "60s".into()]);
        arguments.extend(["--listen".into(), listen, "--transport".into(), data.into()]);
        for n in REGISTRARS {
            let url = format!("{}://{}:3863", self.scheme, self.address(n));
            arguments.extend(["--registrar".into(), url]);
        }
        self.rserpool(n, &format!("element-{id:x}"), &arguments)
    }

    /// From now on these registrars may not miss these elements for a moment.
    fn keep(&mut self, registrars: &[u32], elements: &[u32]) {
        self.kept.extend(registrars.iter().map(|&n| (n, elements.to_vec())));
    }

    /// Waits until these registrars list the same: exactly these elements, all of them at home at
    /// one of these registrars.
    fn agree(&mut self, registrars: &[u32], elements: &[u32]) -> anyhow::Result<Vec<Element>> {
        let mut seen = Vec::new();
        let agreed = wait_for("registrars that agree", PATIENCE, || {
            seen = self.lists()?;
            let mut lists: Vec<&Vec<Element>> =
                seen.iter().filter(|(n, _)| registrars.contains(n)).map(|(_, list)| list).collect();
            lists.dedup();
            let [list] = lists[..] else { return Ok(None) };
            let is_here = |element: &Element| registrars.contains(&(element.home - 0x10));
            let ids = list.iter().map(|element| element.id);
            let is_whole = ids.eq(elements.iter().copied()) && list.iter().all(is_here);
            Ok(is_whole.then(|| list.clone()))
        });
        agreed.with_context(|| format!("at last there were {seen:x?}"))
    }

    /// What each registrar lists.
    fn lists(&mut self) -> anyhow::Result<Vec<(u32, Vec<Element>)>> {
        let mut lists = Vec::new();
        for (n, (_, client)) in &mut self.registrars {
            let mut list = client.resolve(POOL)?;
            list.sort_unstable();
            let misses = |id: &&u32| !list.iter().any(|element| element.id == **id);
            if let Some(id) = self.kept.get(n).and_then(|kept| kept.iter().find(misses)) {
                anyhow::bail!("registrar {n} has lost element {id:#x}: {list:x?}");
            }
            lists.push((*n, list));
        }
        Ok(lists)
    }
}
