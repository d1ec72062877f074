//! Messages made by hand (RFC 5354), and a program that says them over SCTP of the kernel.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::lab::{Lab, PATIENCE};
use super::process::Process;

/// Payload protocol identifiers.
pub(super) const ASAP: u32 = 11;
pub(super) const ENRP: u32 = 12;

/// Types of ENRP messages (RFC 5353 §2).
pub(super) const PRESENCE: u8 = 1;
pub(super) const HANDLE_UPDATE: u8 = 4;
pub(super) const LIST_REQUEST: u8 = 5;
pub(super) const LIST_RESPONSE: u8 = 6;
pub(super) const INIT_TAKEOVER: u8 = 7;
pub(super) const INIT_TAKEOVER_ACK: u8 = 8;
pub(super) const TAKEOVER_SERVER: u8 = 9;

/// Types of ASAP messages (RFC 5352 §2.2).
pub(super) const REGISTRATION: u8 = 1;
pub(super) const REGISTRATION_RESPONSE: u8 = 3;
pub(super) const HANDLE_RESOLUTION: u8 = 5;
pub(super) const HANDLE_RESOLUTION_RESPONSE: u8 = 6;
pub(super) const ENDPOINT_KEEP_ALIVE: u8 = 7;
pub(super) const ASAP_ERROR: u8 = 0xe;

/// Types of parameters (RFC 5354 §3).
pub(super) const POOL_HANDLE: u16 = 0x9;
pub(super) const POOL_ELEMENT: u16 = 0xa;
pub(super) const OPERATION_ERROR: u16 = 0xc;
pub(super) const PE_IDENTIFIER: u16 = 0xe;

/// What an update does.
pub(super) const ADD: u16 = 0;
pub(super) const DELETE: u16 = 1;

/// A parameter: type, length without padding, value, padding.
pub(super) fn parameter(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut octets = [kind.to_be_bytes(), length.to_be_bytes()].concat();
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

/// A message of these parts, none of which needs padding.
pub(super) fn message(kind: u8, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(4 + body.len()).unwrap_or(u16::MAX);
    [&[kind, flags][..], &length.to_be_bytes(), &body].concat()
}

/// An ENRP message from one registrar to another one.
pub(super) fn enrp(kind: u8, flags: u8, from: u32, to: u32, parts: &[&[u8]]) -> Vec<u8> {
    let ends = [from.to_be_bytes(), to.to_be_bytes()].concat();
    message(kind, flags, &[&[&ends[..]], parts].concat())
}

/// An SCTP transport with one IPv4 address.
pub(super) fn sctp(address: [u8; 4], port: u16) -> Vec<u8> {
    let mut value = [port.to_be_bytes(), [0; 2]].concat();
    value.extend(parameter(0x1, &address));
    parameter(0x4, &value)
}

/// The presence of a registrar without elements.
pub(super) fn presence(from: u32, address: [u8; 4]) -> Vec<u8> {
    let checksum = parameter(0xf, &[0xff, 0xff]);
    let server = [&from.to_be_bytes()[..], &sctp(address, 9901)].concat();
    enrp(PRESENCE, 0, from, 0, &[&checksum, &parameter(0xb, &server)])
}

/// An update about an element that is served over SCTP at `address`, and registered from there.
pub(super) fn update(from: u32, action: u16, pool: &str, id: u32, address: [u8; 4]) -> Vec<u8> {
    let element = element(id, from, address, &sctp(address, 4000));
    let action = [action.to_be_bytes(), [0; 2]].concat();
    let handle = parameter(POOL_HANDLE, pool.as_bytes());
    enrp(HANDLE_UPDATE, 0, from, 0, &[&action, &handle, &element])
}

/// An element of rsplib's kind, with what follows its policy.
pub(super) fn element(id: u32, home: u32, address: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let round_robin = parameter(0x8, &1_u32.to_be_bytes());
    let mut user = sctp(address, 7);
    // With a control channel, as all of rsplib's.
    user[7] = 1;
    let life = 300_000_u32;
    let ids = [id, home, life].map(u32::to_be_bytes).concat();
    parameter(POOL_ELEMENT, &[&ids, &user, &round_robin, rest].concat())
}

/// A cause of an error, in an Operation Error parameter.
pub(super) fn cause(code: u16, info: &[u8]) -> Vec<u8> {
    parameter(OPERATION_ERROR, &parameter(code, info))
}

/// Someone at an address of this host who says what it is told to, and hears what it is told.
pub(super) struct Speaker {
    process: Process,
    /// With whom it speaks: whoever spoke to it last.
    peer: String,
}

impl Speaker {
    /// Binds `local` and dials `remote`, both `ADDRESS:PORT`; waits until they are associated.
    pub(super) fn start(lab: &Lab, label: &str, local: &str, remote: &str) -> anyhow::Result<Self> {
        let process = Self::run(lab, label, &[local, remote])?;
        let first = process.line(PATIENCE)?;
        ensure!(first == "up 0", "{label}: {first}");
        Ok(Self { process, peer: "0".into() })
    }

    /// Binds `local`, and is there for others.
    pub(super) fn listen(lab: &Lab, label: &str, local: &str) -> anyhow::Result<Self> {
        Ok(Self { process: Self::run(lab, label, &[local])?, peer: String::new() })
    }

    fn run(lab: &Lab, label: &str, places: &[&str]) -> anyhow::Result<Process> {
        let mut command = Command::new(lab.example("speak"));
        command.args(places.iter().map(|place| format!("sctp+kernel://{place}")));
        let process = Process::start(label, &mut command, lab.out())?;
        let first = process.line(PATIENCE)?;
        ensure!(first == "bound", "{label}: {first}");
        Ok(process)
    }

    /// Sends a message.
    pub(super) fn say(&mut self, ppid: u32, octets: &[u8]) -> anyhow::Result<()> {
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        self.process.tell(&format!("{} {ppid} {hex}", self.peer))
    }

    /// The next message that comes in time.
    pub(super) fn hears(&mut self, limit: Duration) -> anyhow::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(line) = self.process.line_within(left)? else { return Ok(None) };
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["message", from, _, hex] => {
                    self.peer = from.into();
                    return octets(hex).map(Some);
                }
                ["down", "0", ref reason @ ..] => bail!("it was left: {}", reason.join(" ")),
                _ => {}
            }
        }
    }

    /// The next message of this type that comes in time. Others before it are left out.
    pub(super) fn hears_of(
        &mut self,
        kind: u8,
        limit: Duration,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.hears(left)? {
                Some(message) if message.first() == Some(&kind) => return Ok(Some(message)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Whether a message of this type about this registrar comes in time.
    pub(super) fn hears_about(
        &mut self,
        kind: u8,
        registrar: u32,
        limit: Duration,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.hears_of(kind, left)? {
                Some(message) if message.ends_with(&registrar.to_be_bytes()) => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
    }
}

fn octets(hex: &str) -> anyhow::Result<Vec<u8>> {
    let pair = |at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16);
    (0..hex.len()).step_by(2).map(pair).collect::<Result<_, _>>().context("not hexadecimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_padded_and_messages_say_their_length() {
        assert_eq!(parameter(0x9, b"abcde"), b"\x00\x09\x00\x09abcde\0\0\0");
        assert_eq!(enrp(7, 0, 1, 2, &[&[9]]), b"\x07\0\0\x0d\0\0\0\x01\0\0\0\x02\x09");
        assert_eq!(octets("00ff").unwrap(), [0, 0xff]);
        assert_eq!(presence(1, [10, 0, 0, 4]).len(), 44);
    }
}
