//! A client of ASAP over TCP that shares no code with what it asks (RFC 5352 §2.2.5, §2.2.6).

use anyhow::{Context, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::lab::PATIENCE;

const HANDLE_RESOLUTION: u8 = 0x05;
const HANDLE_RESOLUTION_RESPONSE: u8 = 0x06;
const POOL_HANDLE: u16 = 0x09;
const POOL_ELEMENT: u16 = 0x0a;
/// Octets of the header of a message, and of that of a parameter.
const HEADER: usize = 4;

/// An element, as far as it matters here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Element {
    pub(super) id: u32,
    /// The identifier of its home registrar.
    pub(super) home: u32,
}

/// A connection to a registrar.
pub(super) struct Client(TcpStream);

impl Client {
    pub(super) fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("tcp://{address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// The identifiers of a pool's elements in the order of the answer; none: no such pool.
    pub(super) fn ids(&mut self, pool: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.resolve(pool)?.iter().map(|element| element.id).collect())
    }

    /// A pool's elements in the order of the answer; none: no such pool.
    pub(super) fn resolve(&mut self, pool: &str) -> anyhow::Result<Vec<Element>> {
        self.0.write_all(&request(pool)?)?;
        let mut header = [0; HEADER];
        self.0.read_exact(&mut header).context("no answer")?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        ensure!(header[0] == HANDLE_RESOLUTION_RESPONSE, "message {:#04x}", header[0]);
        ensure!(length >= HEADER, "a message of {length} octets");
        // The padding is not in the length, but on the wire.
        let mut parameters = vec![0; length.next_multiple_of(4) - HEADER];
        self.0.read_exact(&mut parameters)?;
        parameters.truncate(length - HEADER);
        elements(&parameters)
    }
}

fn request(pool: &str) -> anyhow::Result<Vec<u8>> {
    let handle_length = u16::try_from(HEADER + pool.len())?;
    let length = u16::try_from(HEADER + usize::from(handle_length))?;
    let mut octets = vec![HANDLE_RESOLUTION, 0];
    octets.extend(length.to_be_bytes());
    octets.extend(POOL_HANDLE.to_be_bytes());
    octets.extend(handle_length.to_be_bytes());
    octets.extend(pool.as_bytes());
    octets.resize(octets.len().next_multiple_of(4), 0);
    Ok(octets)
}

fn elements(mut parameters: &[u8]) -> anyhow::Result<Vec<Element>> {
    let mut elements = Vec::new();
    while let [a, b, c, d, ..] = *parameters {
        let length = usize::from(u16::from_be_bytes([c, d]));
        ensure!((HEADER..=parameters.len()).contains(&length), "a parameter of {length} octets");
        if u16::from_be_bytes([a, b]) == POOL_ELEMENT {
            // RFC 5354 §3.10: identifier, home, life, and parameters in it.
            let [i, j, k, l, m, n, o, p, ..] = parameters[HEADER..length] else {
                bail!("an element of {length} octets");
            };
            let (id, home) = (u32::from_be_bytes([i, j, k, l]), u32::from_be_bytes([m, n, o, p]));
            elements.push(Element { id, home });
        }
        parameters = &parameters[length.next_multiple_of(4).min(parameters.len())..];
    }
    ensure!(parameters.is_empty(), "{} octets too many", parameters.len());
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_padded() {
        let expected = b"\x05\x00\x00\x0d\x00\x09\x00\x09pools\x00\x00\x00";
        assert_eq!(request("pools").unwrap(), expected);
    }

    #[test]
    fn elements_are_found_among_other_parameters() {
        let octets = b"\x00\x09\x00\x05p\0\0\0\x00\x0a\x00\x0c\x00\x00\x00\x21\x00\x00\x00\x11";
        assert_eq!(elements(octets).unwrap(), [Element { id: 0x21, home: 0x11 }]);
        assert!(elements(b"\x00\x0a\x00\x08\x00\x00\x00").is_err());
        assert!(elements(b"\x00\x0a\x00\x03").is_err());
    }
}
