//! What names in the zone mean.
//!
//! ```text
//! NAME.ZONE                     a pool            B32.b32.ZONE
//! _NAME._tcp.ZONE               its servers       _B32._tcp.b32.ZONE
//! ID.NAME.pe.ZONE               one element       ID.B32.b32.pe.ZONE
//! ```

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32HEX_NOPAD;
use hickory_proto::rr::Name;
use rserpool::{PeId, PoolHandle};

/// Names of elements are below this one.
const ELEMENTS: &[u8] = b"pe";
/// Names in base32hex (RFC 4648 §7) are below this one.
const BASE32: &[u8] = b"b32";
/// The most octets of a handle that has a name: in base32hex they fit into a label behind `_`.
const HANDLE_OCTETS_MAX: usize = 38;
/// The most octets of a label, and of one that comes behind `_`.
const LABEL_OCTETS_MAX: usize = 63;

/// The zone that is answered for, such as `rserpool.internal`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone(Name);

/// What is no zone.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is no name of a zone, such as {DEFAULT}: letters, digits and hyphens, at most 128 octets"
)]
pub struct ZoneParseError(String);

/// The default zone.
const DEFAULT: &str = "rserpool.internal";

impl Default for Zone {
    fn default() -> Self {
        Self(Name::from_labels(DEFAULT.split('.').map(str::as_bytes)).unwrap_or_default())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_ascii().trim_end_matches('.'))
    }
}

impl FromStr for Zone {
    type Err = ZoneParseError;

    fn from_str(text: &str) -> Result<Self, ZoneParseError> {
        /// What leaves room for the name of any element.
        const OCTETS_MAX: usize = 128;
        let wrong = || ZoneParseError(text.to_owned());
        let bare = text.strip_suffix('.').unwrap_or(text);
        let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_octet);
        if bare.len() > OCTETS_MAX || !bare.split('.').all(is_label) {
            return Err(wrong());
        }
        let labels = bare.split('.').map(str::as_bytes);
        Name::from_labels(labels).map(Self).map_err(|_| wrong())
    }
}

/// A pool, as a name says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PoolName {
    /// By a label, whatever the case of its letters is.
    Label(Vec<u8>),
    /// By all of its octets.
    Handle(PoolHandle),
}

/// A transport, as the names of services say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// What a name in the zone means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// The zone itself.
    Apex,
    /// A pool.
    Pool(PoolName),
    /// Those of a pool's elements that are reached over this transport.
    Service(PoolName, Protocol),
    /// An element of a pool.
    Element(PoolName, PeId),
    /// A name that only has names below it, whatever pools there are.
    Between,
    /// The same where there is such a pool.
    Elements(PoolName),
    /// Nothing.
    Nothing,
}

impl Zone {
    /// The name of the zone.
    pub(super) fn name(&self) -> &Name {
        &self.0
    }

    /// What a name means; `None`: it is in another zone.
    pub(super) fn asked(&self, name: &Name) -> Option<Asked> {
        if !self.0.zone_of(name) {
            return None;
        }
        let own = usize::from(name.num_labels()) - usize::from(self.0.num_labels());
        // Resolvers shuffle the case of letters.
        let exact: Vec<&[u8]> = name.iter().take(own).collect();
        let lower: Vec<Vec<u8>> = exact.iter().map(|label| label.to_ascii_lowercase()).collect();
        let lower: Vec<&[u8]> = lower.iter().map(Vec::as_slice).collect();
        Some(meaning(&exact, &lower).unwrap_or(Asked::Nothing))
    }

    /// The name of an element, if its pool has one.
    pub(super) fn element(&self, pool: &PoolHandle, id: PeId) -> Option<Name> {
        let id = format!("{:08x}", id.0);
        let mut labels = vec![id.into_bytes()];
        if is_plain(pool) {
            labels.push(pool.as_bytes().to_vec());
        } else {
            labels.push(base32(pool)?);
            labels.push(BASE32.to_vec());
        }
        labels.push(ELEMENTS.to_vec());
        labels.extend(self.0.iter().map(<[u8]>::to_vec));
        Name::from_labels(labels.iter().map(Vec::as_slice)).ok()
    }
}

/// What these labels before the zone mean, as they were written and in lower case.
fn meaning(exact: &[&[u8]], lower: &[&[u8]]) -> Option<Asked> {
    let label = |number: usize| PoolName::Label(exact[number].to_vec());
    let service = |number: usize| {
        let label = exact[number].strip_prefix(b"_").filter(|label| !label.is_empty());
        label.map(<[u8]>::to_vec)
    };
    Some(match lower {
        [] => Asked::Apex,
        [one] if *one == ELEMENTS || *one == BASE32 || protocol(one).is_some() => Asked::Between,
        [one, BASE32] if protocol(one).is_some() => Asked::Between,
        [BASE32, ELEMENTS] => Asked::Between,
        [_] => Asked::Pool(label(0)),
        [octets, BASE32] => Asked::Pool(handle(octets)?),
        [_, ELEMENTS] => Asked::Elements(label(0)),
        [octets, BASE32, ELEMENTS] => Asked::Elements(handle(octets)?),
        [id, _, ELEMENTS] => Asked::Element(label(1), element(id)?),
        [id, octets, BASE32, ELEMENTS] => Asked::Element(handle(octets)?, element(id)?),
        [octets, transport, BASE32] => {
            Asked::Service(handle(octets.strip_prefix(b"_")?)?, protocol(transport)?)
        }
        [_, transport] => Asked::Service(PoolName::Label(service(0)?), protocol(transport)?),
        _ => return None,
    })
}

/// A transport by its label.
fn protocol(label: &[u8]) -> Option<Protocol> {
    match label {
        b"_tcp" => Some(Protocol::Tcp),
        b"_udp" => Some(Protocol::Udp),
        b"_sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

/// An element's identifier: eight hexadecimal digits.
fn element(label: &[u8]) -> Option<PeId> {
    let digits = str::from_utf8(label).ok()?;
    let is_id = digits.len() == 8 && digits.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_id.then(|| u32::from_str_radix(digits, 16).ok().map(PeId)).flatten()
}

/// A handle by a label in base32hex.
fn handle(label: &[u8]) -> Option<PoolName> {
    let octets = BASE32HEX_NOPAD.decode(&label.to_ascii_uppercase()).ok()?;
    let is_handle = octets.len() <= HANDLE_OCTETS_MAX;
    is_handle.then(|| PoolHandle::new(&octets)).flatten().map(PoolName::Handle)
}

/// A handle as a label in base32hex, if it fits.
fn base32(pool: &PoolHandle) -> Option<Vec<u8>> {
    let octets = pool.as_bytes();
    let fits = octets.len() <= HANDLE_OCTETS_MAX;
    fits.then(|| BASE32HEX_NOPAD.encode(octets).to_ascii_lowercase().into_bytes())
}

/// A handle as a label: itself, or in base32hex; `None`: it does not fit.
pub(crate) fn label(pool: &PoolHandle) -> Option<String> {
    let octets = if is_plain(pool) { pool.as_bytes().to_vec() } else { base32(pool)? };
    String::from_utf8(octets).ok()
}

/// Whether a handle is a label that a host may have, behind `_` too.
fn is_plain(pool: &PoolHandle) -> bool {
    let octets = pool.as_bytes();
    let lower = octets.to_ascii_lowercase();
    octets.len() < LABEL_OCTETS_MAX
        && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
        && lower != ELEMENTS
        && lower != BASE32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> Option<Asked> {
        let labels = name.split('.').map(str::as_bytes);
        Zone::default().asked(&Name::from_labels(labels).unwrap())
    }

    fn handle_of(octets: &[u8]) -> PoolHandle {
        PoolHandle::new(octets).unwrap()
    }

    #[test]
    fn names_are_read_without_case() {
        let label = |text: &str| PoolName::Label(text.into());
        let abc = || PoolName::Handle("abc".parse().unwrap());
        for (name, expected) in [
            ("rserpool.internal", Asked::Apex),
            ("RSERPOOL.INTERNAL", Asked::Apex),
            ("EchoPool.rserpool.Internal", Asked::Pool(label("EchoPool"))),
            ("_echo._TCP.rserpool.internal", Asked::Service(label("echo"), Protocol::Tcp)),
            ("_echo._sctp.rserpool.internal", Asked::Service(label("echo"), Protocol::Sctp)),
            ("c5h66.B32.rserpool.internal", Asked::Pool(abc())),
            ("_C5H66._udp.b32.rserpool.internal", Asked::Service(abc(), Protocol::Udp)),
            ("0000beEF.web.pe.rserpool.internal", Asked::Element(label("web"), PeId(0xbeef))),
            ("0000beef.c5h66.b32.pe.rserpool.internal", Asked::Element(abc(), PeId(0xbeef))),
            ("web.pe.rserpool.internal", Asked::Elements(label("web"))),
            ("c5h66.b32.pe.rserpool.internal", Asked::Elements(abc())),
            ("pe.rserpool.internal", Asked::Between),
            ("b32.rserpool.internal", Asked::Between),
            ("b32.pe.rserpool.internal", Asked::Between),
            ("_tcp.rserpool.internal", Asked::Between),
            ("_udp.b32.rserpool.internal", Asked::Between),
            ("a.b.rserpool.internal", Asked::Nothing),
            ("_echo._dccp.rserpool.internal", Asked::Nothing),
            ("_._tcp.rserpool.internal", Asked::Nothing),
            ("echo._tcp.rserpool.internal", Asked::Nothing),
            ("beef.web.pe.rserpool.internal", Asked::Nothing),
            ("+000beef.web.pe.rserpool.internal", Asked::Nothing),
            ("c5h6!.b32.rserpool.internal", Asked::Nothing),
            ("a.b.c.d.rserpool.internal", Asked::Nothing),
        ] {
            assert_eq!(asked(name), Some(expected), "{name}");
        }
        for name in ["internal", "example.com", "xrserpool.internal", "rserpool.internal.x"] {
            assert_eq!(asked(name), None, "{name}");
        }
    }

    #[test]
    fn elements_of_any_pool_have_names_that_lead_back() {
        let zone = Zone::default();
        let binary: Vec<u8> =
            (0..32).map(|number| if number % 2 == 0 { 0 } else { b'.' }).collect();
        for (octets, is_label) in [
            (&b"web"[..], true),
            (b"Web-2", true),
            (&[b'x'; 62], true),
            (b"pe", false),
            (b"B32", false),
            (b"_tcp", false),
            (b"a b", false),
            (&binary, false),
            (&[0xff; 38], false),
        ] {
            let pool = handle_of(octets);
            let name = zone.element(&pool, PeId(0x11)).unwrap();
            let expected = match is_label {
                true => PoolName::Label(octets.to_vec()),
                false => PoolName::Handle(pool),
            };
            assert_eq!(zone.asked(&name), Some(Asked::Element(expected, PeId(0x11))), "{name}");
        }
        assert_eq!(zone.element(&handle_of(&[0xff; 39]), PeId(1)), None);
    }

    #[test]
    fn zones_are_names() {
        for text in ["rserpool.internal", "a", "x-1._y"] {
            assert_eq!(text.parse::<Zone>().unwrap().to_string(), text);
        }
        assert_eq!("a.b.".parse::<Zone>().unwrap().to_string(), "a.b");
        let long = "a.".repeat(65);
        for text in ["", ".", "a..b", "a b", "ä", &"x".repeat(64), &long] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
