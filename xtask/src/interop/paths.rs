//! Our SCTP in userland, with several paths, and the kernel's: a network that fails, a first address
//! that is dead, addresses that come and go on both sides.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::hosts::{Hosts, host_name, on_network};
use super::lab::{Lab, PATIENCE};
use super::process::Process;

const KERNEL: u32 = 1;
const USERLAND: u32 = 2;
/// What the kernel's side is told, so that both have the same timers; and that it encapsulates.
const SETTINGS: &[&str] = &[
    "udp_port=9899",
    "encap_port=9899",
    "rto_min=100",
    "rto_initial=250",
    "rto_max=1000",
    "hb_interval=500",
    "path_max_retrans=2",
];
/// When a client changes an address, and how long it sends.
const AT: Duration = Duration::from_secs(1);
const SENDS: Duration = Duration::from_secs(4);

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[KERNEL, USERLAND])?;
    let kernel = host_name(KERNEL);
    for setting in SETTINGS {
        lab.at(&kernel, &["sysctl", "-q", "-w", &format!("net.sctp.{setting}")])?;
    }
    for net in [1, 2] {
        // Linux leaves the checksum of encapsulated packets to be made where it cuts them, and a veth
        // does not cut any.
        let words = format!("ip link set dev eth{net} gso_max_size 1500");
        lab.at(&kernel, &words.split(' ').collect::<Vec<_>>())?;
    }
    let echo = lab.example("echo");
    let echo = echo.to_str().context("a path that is no text")?;
    let echo = lab.start_at(&kernel, "echo", &[echo, "sctp+kernel://0.0.0.0:7"])?;
    ensure!(echo.line(PATIENCE)? == "bound");

    let failed = fails(lab, &hosts)?;
    let dead_first = first_is_dead(lab, &hosts)?;
    let ours = ours_change(lab)?;
    let theirs = kernels_change(lab, &hosts)?;
    let dialed = kernel_dials(lab, &hosts)?;
    Ok(json!({
        "network_fails": failed, "first_address_dead": dead_first, "our_addresses_change": ours,
        "kernels_addresses_change": theirs, "kernel_dials": dialed,
    }))
}

fn both(n: u32) -> String {
    format!("{},{}", on_network(1, n), on_network(2, n))
}

/// Starts our side; `change` is a change of its own addresses.
fn client(lab: &Lab, own: &str, remote: &str, change: &[&str]) -> anyhow::Result<Process> {
    let program = example(&lab.example("paths"))?;
    let time = SENDS.as_millis().to_string();
    let words = [&[&program[..], "client", own, remote, &time][..], change].concat();
    let client = lab.start_at(&host_name(USERLAND), "paths", &words)?;
    says(&client, "Up")?;
    Ok(client)
}

fn example(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// Waits until it says something like this.
fn says(process: &Process, what: &str) -> anyhow::Result<()> {
    while !process.line(PATIENCE)?.contains(what) {}
    Ok(())
}

/// How it ended: nothing may be lost.
fn end(client: &Process) -> anyhow::Result<Value> {
    let mut said = String::new();
    loop {
        let line = client.line(PATIENCE)?;
        said += &format!("\n{line}");
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["sent", sent, "answered", answered, "longest", pause] = words[..] else {
            continue;
        };
        ensure!(sent == answered, "{sent} messages, and {answered} answers:{said}");
        let (sent, pause): (u64, f64) = (sent.parse()?, pause.parse()?);
        return Ok(json!({ "answered": sent, "longest_pause_ms": pause }));
    }
}

fn fails(lab: &Lab, hosts: &Hosts) -> anyhow::Result<Value> {
    let client = client(lab, &both(USERLAND), &both(KERNEL), &[])?;
    says(&client, "Confirmed")?;
    hosts.cut(USERLAND, 1)?;
    says(&client, "Used")?;
    says(&client, "Unreachable")?;
    hosts.mend(USERLAND, 1)?;
    says(&client, "Reachable")?;
    end(&client)
}

fn first_is_dead(lab: &Lab, hosts: &Hosts) -> anyhow::Result<Value> {
    hosts.cut(USERLAND, 1)?;
    let client = client(lab, &both(USERLAND), &both(KERNEL), &[])?;
    let result = end(&client)?;
    hosts.mend(USERLAND, 1)?;
    Ok(result)
}

/// An own address is added, then in another association one is deleted: the kernel's list says so.
fn ours_change(lab: &Lab) -> anyhow::Result<Value> {
    let at = AT.as_millis().to_string();
    let [first, second] = [1, 2].map(|net| on_network(net, USERLAND));
    let adds = client(lab, &first, &both(KERNEL), &["add", &second, &at])?;
    says(&adds, &format!("Address({second}, Added)"))?;
    ensure!(knows(lab, &second)? && knows(lab, &first)?, "the kernel does not know it");
    let added = end(&adds)?;
    let deletes = client(lab, &both(USERLAND), &both(KERNEL), &["delete", &first, &at])?;
    says(&deletes, &format!("Address({first}, Deleted)"))?;
    ensure!(knows(lab, &second)? && !knows(lab, &first)?, "the kernel has not forgotten it");
    Ok(json!([added, end(&deletes)?]))
}

/// Whether the kernel sends to this address.
fn knows(lab: &Lab, address: &str) -> anyhow::Result<bool> {
    let words = ["cat", "/proc/net/sctp/remaddr"];
    let list = lab.start_at(&host_name(KERNEL), "remaddr", &words)?;
    let mut found = false;
    while let Ok(Some(line)) = list.line_within(PATIENCE) {
        found |= line.starts_with(&format!("{address} "));
    }
    Ok(found)
}

/// The kernel's host gets an address, and loses one.
fn kernels_change(lab: &Lab, hosts: &Hosts) -> anyhow::Result<Value> {
    let client = client(lab, &both(USERLAND), &on_network(1, KERNEL), &[])?;
    let (old, new) = (on_network(1, KERNEL), on_network(2, 77));
    hosts.change_address("add", KERNEL, 2, &new)?;
    says(&client, &format!("Path({new}, Confirmed)"))?;
    hosts.change_address("del", KERNEL, 1, &old)?;
    says(&client, &format!("Path({old}, Removed)"))?;
    let result = end(&client)?;
    hosts.change_address("add", KERNEL, 1, &old)?;
    hosts.change_address("del", KERNEL, 2, &new)?;
    Ok(result)
}

/// The kernel dials, and a network fails.
fn kernel_dials(lab: &Lab, hosts: &Hosts) -> anyhow::Result<Value> {
    let program = example(&lab.example("paths"))?;
    let words = [&program[..], "server", &both(USERLAND)];
    let server = lab.start_at(&host_name(USERLAND), "server", &words)?;
    let speak = example(&lab.example("speak"))?;
    let [own, peer] = [(KERNEL, "9901"), (USERLAND, "7?encap=9899")]
        .map(|(n, port)| format!("sctp+kernel://{}:{port}", both(n)));
    let mut speak = lab.start_at(&host_name(KERNEL), "speak", &[&speak, &own, &peer])?;
    says(&speak, "up 0")?;
    says(&server, "Confirmed")?;
    let mut answered = 0;
    for number in 0..200_u32 {
        if number == 50 {
            hosts.cut(USERLAND, 1)?;
        }
        if number == 150 {
            hosts.mend(USERLAND, 1)?;
        }
        let hex = format!("{number:08x}");
        speak.tell(&format!("0 0 {hex}"))?;
        says(&speak, &format!("message 0 0 {hex}"))?;
        answered += 1;
    }
    Ok(json!({ "answered": answered }))
}
