use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::codec::{Codec, HEADER_LEN, Reader, Writer, padding_len};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::registry::ParamType;

/// The name of a pool: opaque octets, unique in the operational scope (RFC 5354 §3.9).
///
/// `Display` writes UTF-8 as it is, but for a backslash, which is doubled; octets that are none and
/// what cannot be printed are written as `\xNN`. `parse` and [`PoolHandle::from_text`] read that.
/// Cloning never allocates.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Type = 0x9           |        Length = variable      |
/// +-------------------------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone)]
pub struct PoolHandle(Stored);

#[derive(Clone)]
enum Stored {
    /// In place, as most are: no message needs an allocation for it.
    Short {
        len: u8,
        octets: [u8; SHORT_MAX],
    },
    Long(Arc<[u8]>),
}

/// What fits beside a length without taking more room than [`Stored::Long`] has to.
const SHORT_MAX: usize = 22;

impl PoolHandle {
    /// Longest handle, in octets: what a 16-bit message length leaves for it. Registrars allow
    /// less: 32 by default.
    pub const MAX_LEN: usize = 65_000;

    /// A handle of the given octets, `None` where there are none or more than [`Self::MAX_LEN`].
    pub fn new(octets: impl AsRef<[u8]>) -> Option<Self> {
        let octets = octets.as_ref();
        if !(1..=Self::MAX_LEN).contains(&octets.len()) {
            return None;
        }
        let mut short = [0; SHORT_MAX];
        Some(Self(match (short.get_mut(..octets.len()), u8::try_from(octets.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(octets);
                Stored::Short { len, octets: short }
            }
            _ => Stored::Long(octets.into()),
        }))
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Stored::Short { len, octets } => &octets[..usize::from(*len)],
            Stored::Long(octets) => octets,
        }
    }
}

impl PoolHandle {
    /// Reads a handle as `Display` writes it, and as people type it: `\xNN` is an octet, `\\` a
    /// backslash; any other backslash stands for itself. `None` where [`new`](Self::new) has none.
    pub fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// For people: the handle, or so many of its octets and how many there are.
    pub fn shortened(&self, octets_max: usize) -> String {
        let octets = self.as_bytes();
        match octets.get(..octets_max).and_then(Self::new) {
            Some(beginning) if octets.len() > octets_max => {
                format!("{beginning}… ({} octets)", octets.len())
            }
            _ => self.to_string(),
        }
    }
}

/// What a text stands for.
fn octets_of(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b'\\', behind @ ..]) => {
                octets.push(b'\\');
                behind
            }
            (b'\\', [b'x', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                octets.push((digit(*high) << 4) | digit(*low));
                behind
            }
            _ => {
                octets.push(first);
                after
            }
        };
    }
    octets
}

/// A text that is no pool handle.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("a pool handle has 1 to {} octets, and not {octets}", PoolHandle::MAX_LEN)]
#[non_exhaustive]
pub struct HandleParseError {
    /// How many octets it would have had.
    pub octets: usize,
}

/// Reads what `Display` writes: UTF-8 as it is, `\xNN` for any octet, `\\` for a backslash.
///
/// ```
/// use rserpool_wire::param::PoolHandle;
///
/// let handle: PoolHandle = r"Pöol\x00\xff".parse()?;
/// assert_eq!(handle.as_bytes(), [b"P\xc3\xb6ol".as_slice(), &[0, 0xff]].concat());
/// assert_eq!(handle.to_string(), r"Pöol\x00\xff");
/// # Ok::<_, rserpool_wire::param::HandleParseError>(())
/// ```
impl FromStr for PoolHandle {
    type Err = HandleParseError;

    fn from_str(text: &str) -> Result<Self, HandleParseError> {
        let octets = octets_of(text);
        Self::new(&octets).ok_or(HandleParseError { octets: octets.len() })
    }
}

/// The value of a hexadecimal digit.
fn digit(octet: u8) -> u8 {
    match octet {
        b'0'..=b'9' => octet - b'0',
        _ => (octet | 0x20) - b'a' + 10,
    }
}

/// Whether a character shows what it is: neither a control character nor one that has no form or
/// changes the direction of the text.
fn is_printable(c: char) -> bool {
    // The standard library knows, but only for characters of a text, and tells by escaping them.
    let mut text = [b'a'; 5];
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    let text = str::from_utf8(&text[..length]).unwrap_or_default();
    matches!(c, '"' | '\'') || text.escape_debug().nth(1) == Some(c)
}

impl Eq for PoolHandle {}

impl PartialEq for PoolHandle {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Ord for PoolHandle {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for PoolHandle {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for PoolHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without the length: nothing is hashed along with it.
        state.write(self.as_bytes());
    }
}

impl fmt::Display for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if is_printable(c) => f.write_char(c)?,
                    c => escape(c.encode_utf8(&mut [0; 4]).as_bytes(), f)?,
                }
            }
            escape(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

fn escape(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "\\x{octet:02x}"))
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolHandle({self})")
    }
}

impl Codec for PoolHandle {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::POOL_HANDLE)?;
        let octets = value.remainder();
        Self::new(octets).ok_or_else(|| {
            let length = octets.len() + HEADER_LEN;
            let kind = DecodeErrorKind::Length { field: "Pool Handle", length };
            let mut error = value.error(kind);
            error.offset = error.parameter.unwrap_or_default() + 2;
            error
        })
    }

    fn encoded_len(&self) -> usize {
        let len = self.as_bytes().len();
        HEADER_LEN + len + padding_len(len)
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::POOL_HANDLE, |w| w.slice(self.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_what_they_are_made_of_however_long() {
        let long = [b'x'; SHORT_MAX + 2];
        for len in 1..long.len() {
            let handle = PoolHandle::new(&long[..len]).unwrap();
            assert_eq!(handle.as_bytes(), &long[..len]);
            assert!(handle < PoolHandle::new(&long[..=len]).unwrap());
        }
        assert_eq!(PoolHandle::new([]), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for (octets, text) in [
            (&b"EchoPool"[..], "EchoPool"),
            ("Pöòl 池".as_bytes(), "Pöòl 池"),
            (b"say \"hi\"", "say \"hi\""),
            (b"a\\b", "a\\\\b"),
            (b"\0\n\x1b", "\\x00\\x0a\\x1b"),
            (b"\xffo\xc3", "\\xffo\\xc3"),
            ("\u{202e}evil".as_bytes(), "\\xe2\\x80\\xaeevil"),
            ("o\u{308}".as_bytes(), "o\u{308}"),
        ] {
            let handle = PoolHandle::new(octets).unwrap();
            assert_eq!(handle.to_string(), text);
            assert_eq!(PoolHandle::from_text(text), Some(handle));
        }
        let typed = |text| PoolHandle::from_text(text).unwrap().as_bytes().to_vec();
        assert_eq!(typed("a\\b\\xzz\\x4"), b"a\\b\\xzz\\x4");
        assert_eq!(typed("\\xFf"), b"\xff");
        assert_eq!(PoolHandle::from_text(""), None);
        assert_eq!("".parse::<PoolHandle>(), Err(HandleParseError { octets: 0 }));
        let long = "x".repeat(PoolHandle::MAX_LEN + 1);
        let error = long.parse::<PoolHandle>().unwrap_err();
        assert_eq!(error.to_string(), "a pool handle has 1 to 65000 octets, and not 65001");
    }

    #[test]
    fn a_short_handle_takes_no_more_room_than_three_words() {
        assert_eq!(size_of::<PoolHandle>(), 24);
    }
}
