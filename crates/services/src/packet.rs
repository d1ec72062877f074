//! The packets of the demonstration protocols: type, flags, length, fields. The length covers the
//! header; unlike those of ASAP, packets are not padded.

use rserpool::wire::codec::{Reader, Skipped};
use rserpool::wire::error::{DecodeError, DecodeErrorKind};

/// Octets of the header.
pub(crate) const HEADER_LEN: usize = 4;

/// A packet with no flags. `fields` appends what comes behind the header; a packet is at most 65 535
/// octets long, which its callers see to.
pub(crate) fn encode(kind: u8, fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut octets = vec![kind, 0, 0, 0];
    fields(&mut octets);
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    octets[2..HEADER_LEN].copy_from_slice(&length.to_be_bytes());
    octets
}

/// Takes a packet apart: `fields` is given its type and what comes behind the header.
pub(crate) fn decode<T>(
    octets: &[u8],
    fields: impl FnOnce(u8, &mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let skipped = Skipped::default();
    let mut reader = Reader::new(octets, &skipped);
    let (kind, _) = reader.message_header()?;
    fields(kind, &mut reader)
}

/// Takes a big-endian `u64`.
pub(crate) fn u64(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, DecodeError> {
    reader.array(field).map(u64::from_be_bytes)
}

/// Takes an octet that stands for one of several values.
pub(crate) fn one_of<T, const N: usize>(
    reader: &mut Reader<'_>,
    field: &'static str,
    values: [T; N],
    number: impl Fn(&T) -> u8,
) -> Result<T, DecodeError> {
    let octet = reader.u8(field)?;
    let value = values.into_iter().find(|value| number(value) == octet);
    let unknown = DecodeErrorKind::Value { field, value: octet.into() };
    value.ok_or_else(|| reader.error_before(1, unknown))
}

/// Takes what is left as text for people: on a terminal it does nothing but stand there.
pub(crate) fn text(reader: &mut Reader<'_>) -> String {
    let text = String::from_utf8_lossy(reader.remainder()).into_owned();
    text.replace(char::is_control, "\u{fffd}")
}

/// Ends a packet whose fields were all read: nothing may be left.
pub(crate) fn finish<T>(reader: &Reader<'_>, packet: T) -> Result<T, DecodeError> {
    if reader.is_empty() {
        return Ok(packet);
    }
    let kind = DecodeErrorKind::Length { field: "packet", length: reader.offset() };
    Err(reader.error(kind))
}

/// Octets in a test, from hex with blanks.
#[cfg(test)]
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_default()).collect()
}
