//! What the system lacks or forbids: our programs say which, and what to type.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::lab::{Lab, PATIENCE};
use super::process::wait_for;

/// Names of settings under `net.sctp`, values, and what `rserpool probe` says then.
const PROBED: [(&[(&str, &str)], &str); 3] = [
    (&[("addip_enable", "0")], "net.sctp.addip_enable=1"),
    (&[("auth_enable", "0"), ("addip_noauth_enable", "0")], "net.sctp.auth_enable=1"),
    (
        &[("addip_enable", "0"), ("auth_enable", "0"), ("addip_noauth_enable", "0")],
        "sysctl -w net.sctp.addip_enable=1 net.sctp.auth_enable=1",
    ),
];

pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Value> {
    for (settings, said) in PROBED {
        let before = change(settings)?;
        let text = lab.shown(&["probe", "--json"])?;
        ensure!(text.contains(said), "with {settings:?} it says {text}, not {said}");
        let before: Vec<_> = before.iter().map(|(name, old)| (*name, old.as_str())).collect();
        change(&before)?;
    }

    let first = ["registrar", "--asap", "sctp+kernel://127.0.0.1:3863"];
    let serving = lab.serving("registrar", &first)?;
    refuses(lab, &first, "the port is in use")?;
    change(&[("udp_port", "9899")])?;
    refuses(lab, &["registrar", "--asap", "sctp+udp://127.0.0.1:9899"], "net.sctp.udp_port=0")?;
    change(&[("udp_port", "0")])?;

    // A module that Debian's kernel has, and others may lack. Sockets use it.
    drop(serving);
    wait_for("the module hmac, to be unloaded", PATIENCE, || {
        let status = Command::new("busybox").args(["rmmod", "hmac"]).status().context("busybox")?;
        Ok(status.success().then_some(()))
    })?;
    let other = ["registrar", "--asap", "sctp+kernel://127.0.0.1:3864"];
    refuses(lab, &other, "modprobe hmac")?;
    Ok(json!({ "settings": PROBED.len(), "refusals": 3 }))
}

/// A program ends with an error that says this.
fn refuses(lab: &Lab, arguments: &[&str], said: &str) -> anyhow::Result<()> {
    let mut process = lab.rserpool("refused", arguments)?;
    let status = process.wait(PATIENCE)?;
    let text = fs::read_to_string(lab.out().join("refused.log"))?;
    ensure!(status.code() == Some(1), "it ended with {status}: {text}");
    ensure!(text.contains(said), "it says {text}, not {said}");
    Ok(())
}

/// Changes settings; what they were.
fn change<'a>(settings: &[(&'a str, &str)]) -> anyhow::Result<Vec<(&'a str, String)>> {
    let change = |(name, value): &(&'a str, &str)| {
        let path = format!("/proc/sys/net/sctp/{name}");
        let before = fs::read_to_string(&path).with_context(|| path.clone())?;
        fs::write(&path, value).with_context(|| path.clone())?;
        Ok((*name, before.trim().to_owned()))
    };
    settings.iter().map(change).collect()
}
