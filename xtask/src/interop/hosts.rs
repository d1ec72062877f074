//! Hosts of their own: network namespaces, with links that can be cut.

use std::process::Command;

use anyhow::{Context, ensure};

use super::lab::Lab;

/// Hosts with one link each, to this one, which is the router between them.
pub(super) struct Hosts(());

impl Hosts {
    /// Makes hosts with these numbers (1 to 254), and captures what passes between them.
    pub(super) fn routed(lab: &mut Lab, numbers: &[u32]) -> anyhow::Result<Self> {
        prepare()?;
        for n in numbers {
            let name = host_name(*n);
            ip(&format!("netns add {name}"))?;
            ip(&format!("link add {} type veth peer name eth0 netns {name}", interface(*n)))?;
            ip(&format!("addr add 10.0.{n}.1/24 dev {}", interface(*n)))?;
            ip(&format!("link set {} up", interface(*n)))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} addr add 10.0.{n}.2/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
            ip(&format!("-n {name} route add default via 10.0.{n}.1"))?;
        }
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("ip_forward")?;
        let interfaces: Vec<String> = numbers.iter().map(|n| interface(*n)).collect();
        lab.capture_at(&interfaces)?;
        Ok(Self(()))
    }

    /// The address of a host.
    #[expect(clippy::unused_self, reason = "there is no host without this")]
    pub(super) fn address(&self, n: u32) -> String {
        format!("10.0.{n}.2")
    }

    /// Nothing passes any more between the hosts of one side and those of the other. Nobody is
    /// told: packets vanish.
    pub(super) fn part(&self, one: &[u32], other: &[u32]) -> anyhow::Result<()> {
        Self::rules("add", one, other)
    }

    /// Undoes [`part`](Self::part).
    pub(super) fn join(&self, one: &[u32], other: &[u32]) -> anyhow::Result<()> {
        Self::rules("del", one, other)
    }

    fn rules(verb: &str, one: &[u32], other: &[u32]) -> anyhow::Result<()> {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            for (from, to) in [(a, b), (b, a)] {
                ip(&format!("rule {verb} iif {} to 10.0.{to}.0/24 blackhole", interface(from)))?;
            }
        }
        Ok(())
    }
}

/// The name of a host, for [`Lab::rserpool_at`].
pub(super) fn host_name(n: u32) -> String {
    format!("host{n}")
}

fn interface(n: u32) -> String {
    format!("link{n}")
}

/// Names of namespaces are files in /run: ours are not to stay.
fn prepare() -> anyhow::Result<()> {
    let status = Command::new("mount").args(["-t", "tmpfs", "none", "/run"]).status();
    ensure!(status.context("mount")?.success(), "no /run of its own");
    Ok(())
}

/// Runs `ip` with these arguments, which have no blanks in them.
pub(super) fn ip(arguments: &str) -> anyhow::Result<()> {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().context("ip")?;
    ensure!(status.success(), "ip {arguments}: {status}");
    Ok(())
}
