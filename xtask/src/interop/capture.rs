//! A capture of all that passes some interfaces.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::lab::PATIENCE;
use super::process::{Process, wait_for};

/// Mebibytes for what dumpcap had no time for yet.
const BUFFER: &str = "16";
/// Between two marks.
const AGAIN: Duration = Duration::from_secs(5);
/// Where nobody listens.
const DISCARD: u16 = 9;

/// An interface of this host.
pub(super) struct Interface {
    pub(super) name: String,
    /// What is sent here passes the interface: the broadcast address of its network.
    pub(super) everybody: Ipv4Addr,
}

impl Interface {
    pub(super) fn loopback() -> Self {
        Self { name: "lo".into(), everybody: Ipv4Addr::LOCALHOST }
    }

    /// Sends an empty datagram over it, for the capture; the addresses and ports in its header.
    fn mark(&self) -> anyhow::Result<[u8; 12]> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_broadcast(true)?;
        socket.connect((self.everybody, DISCARD))?;
        socket.send(&[]).with_context(|| format!("cannot send over {}", self.name))?;
        let SocketAddr::V4(from) = socket.local_addr()? else { anyhow::bail!("not IPv4") };
        Ok(header(from, SocketAddrV4::new(self.everybody, DISCARD)))
    }
}

/// The end of a header of IPv4 without options, and the beginning of that of UDP.
fn header(from: SocketAddrV4, to: SocketAddrV4) -> [u8; 12] {
    let mut octets = [0; 12];
    octets[..4].copy_from_slice(&from.ip().octets());
    octets[4..8].copy_from_slice(&to.ip().octets());
    octets[8..10].copy_from_slice(&from.port().to_be_bytes());
    octets[10..].copy_from_slice(&to.port().to_be_bytes());
    octets
}

/// dumpcap at work.
pub(super) struct Capture {
    dumpcap: Process,
    path: PathBuf,
    interfaces: Vec<Interface>,
}

impl Capture {
    /// Captures to `capture.pcapng` in `out`.
    pub(super) fn start(out: &Path, interfaces: Vec<Interface>) -> anyhow::Result<Self> {
        let path = out.join("capture.pcapng");
        let mut command = Command::new("dumpcap");
        command.arg("-q");
        for interface in &interfaces {
            command.args(["-i", &interface.name, "-B", BUFFER]);
        }
        command.arg("-w").arg(&path);
        let dumpcap = Process::start("dumpcap", &mut command, out)?;
        // The second of its two lines comes when it captures.
        dumpcap.logs("File: ", PATIENCE)?;
        Ok(Self { dumpcap, path, interfaces })
    }

    /// Ends it once everything is in the file: it has what is sent last.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let before = fs::metadata(&self.path).context("no capture")?.len();
        wait_for("the end of the capture", PATIENCE, || {
            let marks = self.interfaces.iter().map(Interface::mark);
            let marks: Vec<_> = marks.collect::<Result<_, _>>()?;
            // A mark may be lost, too, where dumpcap gets no time.
            let found = wait_for("marks", AGAIN, || Ok(self.has(before, &marks)?.then_some(())));
            Ok(found.ok())
        })?;
        self.dumpcap.signal(Signal::INT)?;
        let status = self.dumpcap.wait(PATIENCE)?;
        ensure!(status.success(), "dumpcap ended with {status}");
        Ok(())
    }

    /// Whether the file has all of these after so many octets.
    fn has(&self, before: u64, marks: &[[u8; 12]]) -> anyhow::Result<bool> {
        let mut octets = Vec::new();
        let mut file = File::open(&self.path).context("no capture")?;
        file.seek(SeekFrom::Start(before))?;
        file.read_to_end(&mut octets)?;
        let has = |mark: &[u8; 12]| octets.windows(mark.len()).any(|window| window == mark);
        Ok(marks.iter().all(has))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_what_a_packet_has_of_addresses_and_ports() {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 1), 0x8899);
        let to = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 255), DISCARD);
        assert_eq!(header(from, to), [10, 0, 1, 1, 10, 0, 1, 255, 0x88, 0x99, 0, 9]);
    }
}
