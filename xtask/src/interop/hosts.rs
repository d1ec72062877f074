//! Hosts of their own: network namespaces, with links that can be cut.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, ensure};

use super::capture::Interface;
use super::lab::{Lab, let_addresses_be_known};

/// Hosts beside this one.
pub(super) struct Hosts(());

impl Hosts {
    /// Makes hosts with these numbers (1 to 253) in two networks, with IPv4 and IPv6. This host is
    /// number 254 there, and captures what passes.
    pub(super) fn in_two_networks(lab: &mut Lab, numbers: &[u32]) -> anyhow::Result<Self> {
        prepare()?;
        for net in NETWORKS {
            ip(&format!("link add net{net} type bridge mcast_snooping 0"))?;
            ip(&format!("addr add {}/24 dev net{net}", on_network(net, 254)))?;
            ip(&format!("link set net{net} up"))?;
        }
        for n in numbers {
            let name = host_name(*n);
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
            for net in NETWORKS {
                let port = port(*n, net);
                ip(&format!("link add {port} type veth peer name eth{net} netns {name}"))?;
                ip(&format!("link set {port} master net{net} up"))?;
                let address = on_network(net, *n);
                ip(&format!("-n {name} addr add {address}/24 dev eth{net}"))?;
                ip(&format!("-n {name} addr add fd00:{net}::{n}/64 dev eth{net} nodad"))?;
                ip(&format!("-n {name} link set eth{net} up"))?;
            }
            ip(&format!("-n {name} route add 224.0.0.0/4 dev eth1"))?;
            // Each network namespace has its own.
            for setting in ["addip_enable", "addip_noauth_enable", "auth_enable"] {
                lab.at(&name, &["sysctl", "-q", "-w", &format!("net.sctp.{setting}=1")])?;
            }
        }
        let network = |net| Interface {
            name: format!("net{net}"),
            everybody: Ipv4Addr::new(10, net, 0, 255),
        };
        lab.capture_at(NETWORKS.map(network).into())?;
        let_addresses_be_known();
        Ok(Self(()))
    }

    /// Nothing passes any more between a host and a network. Nobody is told.
    pub(super) fn cut(&self, n: u32, net: u8) -> anyhow::Result<()> {
        self.degrade(n, net, "loss 100%")
    }

    /// What passes between a host and a network suffers, in both directions, as netem is told.
    pub(super) fn degrade(&self, n: u32, net: u8, how: &str) -> anyhow::Result<()> {
        tc(&format!("qdisc replace dev {} root netem {how}", port(n, net)))?;
        let name = host_name(n);
        tc(&format!("-n {name} qdisc replace dev eth{net} root netem {how}"))
    }

    /// Undoes [`cut`](Self::cut) and [`degrade`](Self::degrade).
    pub(super) fn mend(&self, n: u32, net: u8) -> anyhow::Result<()> {
        tc(&format!("qdisc del dev {} root", port(n, net)))?;
        tc(&format!("-n {} qdisc del dev eth{net} root", host_name(n)))
    }

    /// Takes a host's plug out of a network: its kernel knows, nobody else does.
    pub(super) fn unplug(&self, n: u32, net: u8) -> anyhow::Result<()> {
        ip(&format!("-n {} link set eth{net} down", host_name(n)))
    }

    /// Undoes [`unplug`](Self::unplug).
    pub(super) fn plug_in(&self, n: u32, net: u8) -> anyhow::Result<()> {
        ip(&format!("-n {} link set eth{net} up", host_name(n)))
    }

    /// How many connections of TCP with this address the kernel of a host has, those that it still
    /// tries to end included.
    pub(super) fn tcp_connections(&self, n: u32, with: &str) -> anyhow::Result<usize> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &host_name(n), "cat", "/proc/net/tcp"]);
        let output = command.output().context("ip")?;
        ensure!(output.status.success(), "no list of connections on host {n}");
        let address: Ipv4Addr = with.parse().context("an address")?;
        // As the kernel lists it: the octets as a number of this machine.
        let wanted = format!("{:08X}:", u32::from_ne_bytes(address.octets()));
        let text = String::from_utf8_lossy(&output.stdout);
        let peers = text.lines().skip(1).filter_map(|row| row.split_whitespace().nth(2));
        Ok(peers.filter(|peer| peer.starts_with(&wanted)).count())
    }

    /// Whether all paths of all associations of these hosts are in use: those that had failed are
    /// asked by heartbeats.
    pub(super) fn all_paths_work(&self, numbers: &[u32]) -> anyhow::Result<bool> {
        for n in numbers {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &host_name(*n), "cat", "/proc/net/sctp/remaddr"]);
            let output = command.output().context("ip")?;
            ensure!(output.status.success(), "no list of paths on host {n}");
            let text = String::from_utf8_lossy(&output.stdout);
            let mut states = text.lines().skip(1).filter_map(|row| row.split_whitespace().last());
            if !states.all(|state| state == PATH_ACTIVE) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives a host one more address, or takes it away: `verb` is `add` or `del`.
    pub(super) fn change_address(
        &self,
        verb: &str,
        n: u32,
        net: u8,
        address: &str,
    ) -> anyhow::Result<()> {
        ip(&format!("-n {} addr {verb} {address}/24 dev eth{net}", host_name(n)))
    }

    /// Makes hosts with these numbers (1 to 254) that have one link each, to this one, which is the
    /// router between them and captures what passes.
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
        let interfaces = numbers.iter().map(|n| -> anyhow::Result<Interface> {
            let everybody = Ipv4Addr::new(10, 0, u8::try_from(*n)?, 255);
            Ok(Interface { name: interface(*n), everybody })
        });
        lab.capture_at(interfaces.collect::<Result<_, _>>()?)?;
        let_addresses_be_known();
        Ok(Self(()))
    }

    /// The address of a host that is [`routed`](Self::routed).
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

/// `SCTP_ACTIVE`, as the kernel lists it.
const PATH_ACTIVE: &str = "2";
const NETWORKS: [u8; 2] = [1, 2];

/// A host's address in one of two networks.
pub(super) fn on_network(net: u8, n: u32) -> String {
    format!("10.{net}.0.{n}")
}

/// Where a host is connected to a network.
fn port(n: u32, net: u8) -> String {
    format!("port{n}-{net}")
}

fn tc(arguments: &str) -> anyhow::Result<()> {
    let status = Command::new("tc").args(arguments.split_whitespace()).status().context("tc")?;
    ensure!(status.success(), "tc {arguments}: {status}");
    Ok(())
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
