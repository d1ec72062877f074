//! Wires that lose some of what passes, and one that is cut.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use super::asap::Client;
use super::hosts::{Hosts, host_name, on_network};
use super::lab::{Lab, PATIENCE, json as line};
use super::pool::millis;
use super::process::{Process, wait_for};

const POOL: &str = "EchoPool";
const REGISTRAR: u32 = 1;
const ELEMENTS: u32 = 2;
const IDS: [u32; 3] = [0x21, 0x22, 0x23];
/// Of each direction: a round trip takes 30 ms.
const LOSSY: &str = "delay 15ms loss 3%";
/// So long nobody may be missed.
const SPAN: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// A connection whose peer does not acknowledge is gone after 45 s; without a bound it would be there
/// for a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Packets get lost for a minute, and no element is missed for a moment.
pub(super) fn over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    lossy(lab, "tcp")
}

pub(super) fn over_userland_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    lossy(lab, "sctp+udp")
}

pub(super) fn over_kernel_sctp(lab: &mut Lab) -> anyhow::Result<Value> {
    lossy(lab, "sctp+kernel")
}

fn lossy(lab: &mut Lab, scheme: &str) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[REGISTRAR, ELEMENTS])?;
    let (registrar, _elements, mut client) = begin(lab, scheme)?;
    hosts.degrade(ELEMENTS, 1, LOSSY)?;
    let (began, mut looks) = (Instant::now(), 0);
    while began.elapsed() < SPAN {
        let mut ids = client.ids(POOL)?;
        ids.sort_unstable();
        ensure!(ids == IDS, "after {:?} there are {ids:x?}", began.elapsed());
        looks += 1;
        // Nothing is waited for: no look is to find an element missing.
        std::thread::sleep(LOOK);
    }
    ensure!(!registrar.log()?.contains(" left "), "the registrar has missed an element");
    Ok(json!({ "scheme": scheme, "looks": looks, "seconds": SPAN.as_secs() }))
}

/// A wire is cut: who was behind it is missed, and what the kernel keeps of its connections ends.
/// Then the wire is mended, and all come back.
pub(super) fn cut_over_tcp(lab: &mut Lab) -> anyhow::Result<Value> {
    let hosts = Hosts::in_two_networks(lab, &[REGISTRAR, ELEMENTS])?;
    let (registrar, _elements, mut client) = begin(lab, "tcp")?;
    // Who is told of each change, so that something is on its way to it that nobody acknowledges.
    let url = at("tcp");
    let watching =
        lab.rserpool_at(&host_name(ELEMENTS), "watch", &["watch", POOL, "--registrar", &url])?;
    line(&watching)?;
    let connected = hosts.tcp_connections(REGISTRAR, &on_network(1, ELEMENTS))?;
    ensure!(connected > IDS.len(), "only {connected} connections");

    hosts.unplug(ELEMENTS, 1)?;
    let cut = Instant::now();
    wait_for("elements that are missed", PATIENCE, || {
        Ok(client.ids(POOL)?.is_empty().then_some(()))
    })?;
    let missed = cut.elapsed();
    registrar.logs("reason=silent", PATIENCE)?;
    wait_for("the end of all connections", UNACKNOWLEDGED, || {
        let left = hosts.tcp_connections(REGISTRAR, &on_network(1, ELEMENTS))?;
        Ok((left == 0).then_some(()))
    })?;
    let ended = cut.elapsed();

    hosts.plug_in(ELEMENTS, 1)?;
    let mended = Instant::now();
    wait_for("elements that are back", PATIENCE, || {
        Ok((client.ids(POOL)?.len() == IDS.len()).then_some(()))
    })?;
    Ok(json!({
        "missed_ms": millis(&[missed])[0],
        "connections_ended_ms": millis(&[ended])[0],
        "back_ms": millis(&[mended.elapsed()])[0],
    }))
}

fn at(scheme: &str) -> String {
    format!("{scheme}://{}:3863", on_network(1, REGISTRAR))
}

/// A registrar on one host, with what it does by default, and elements on another one. Who measures
/// asks over the other network.
fn begin(lab: &Lab, scheme: &str) -> anyhow::Result<(Process, Vec<Process>, Client)> {
    let beside = format!("tcp://{}:3863", on_network(2, REGISTRAR));
    let arguments = ["registrar", "--id", "0x11", "--asap", &at(scheme), "--asap", &beside];
    let registrar = lab.rserpool_at(&host_name(REGISTRAR), "registrar", &arguments)?;
    line(&registrar)?;
    let (mut elements, url) = (Vec::new(), at(scheme));
    for id in IDS {
        let (id, listen) = (format!("{id:#x}"), on_network(1, ELEMENTS));
        let arguments = ["serve", "echo", "--id", &id, "--listen", &listen, "--transport", "tcp"];
        let arguments = [&arguments[..], &["--registrar", &url, "--wait", "60s"]].concat();
        let element =
            lab.rserpool_at(&host_name(ELEMENTS), &format!("element-{id}"), &arguments)?;
        line(&element)?;
        elements.push(element);
    }
    let client = Client::connect(&format!("{}:3863", on_network(2, REGISTRAR)))?;
    Ok((registrar, elements, client))
}
