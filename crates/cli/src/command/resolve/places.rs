//! Where an element is, for programs that know nothing of pools.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rserpool::wire::param::{PoolElement, PoolHandle};
use rserpool_registrar::json::transport_name;

/// Where an element is. Nothing in it can be taken for anything else by a shell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    at: SocketAddr,
    transport: &'static str,
    id: String,
}

impl Place {
    /// The first address of an element; `None` where it has none, or no port.
    pub(super) fn of(element: &PoolElement) -> Option<Self> {
        let transport = transport_name(&element.user_transport);
        let at = element.user_transport.socket_addrs().next()?;
        Some(Self { at, transport, id: element.id.to_string() })
    }

    /// `10.0.0.1:80`, `[2001:db8::1]:80`.
    pub(super) fn hostport(&self) -> String {
        self.at.to_string()
    }

    /// `tcp://10.0.0.1:80`.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.transport, self.at)
    }

    /// Variables with their values: `WEB_HOST`, `WEB_PORT` and `WEB_ADDR`, which is both.
    pub(super) fn variables(&self, pool: &PoolHandle) -> [(String, String); 3] {
        let name = variable(pool);
        let (host, port) = (self.at.ip().to_string(), self.at.port().to_string());
        [("HOST", host), ("PORT", port), ("ADDR", self.hostport())]
            .map(|(what, value)| (format!("{name}_{what}"), value))
    }

    /// A word of a command, with what stands in it for `{host}` and so on.
    pub(super) fn fill(&self, word: &OsStr) -> OsString {
        let values = [
            ("{host}", self.at.ip().to_string()),
            ("{port}", self.at.port().to_string()),
            ("{addr}", self.hostport()),
            ("{url}", self.url()),
            ("{id}", self.id.clone()),
        ];
        let (mut rest, mut filled) = (word.as_bytes(), Vec::new());
        while let Some((&first, more)) = rest.split_first() {
            let value = values.iter().find(|(name, _)| rest.starts_with(name.as_bytes()));
            rest = match value {
                Some((name, value)) => {
                    filled.extend_from_slice(value.as_bytes());
                    &rest[name.len()..]
                }
                None => {
                    filled.push(first);
                    more
                }
            };
        }
        OsString::from_vec(filled)
    }
}

/// The name of a variable, whatever octets the handle has.
fn variable(pool: &PoolHandle) -> String {
    let letter = |octet: &u8| match octet.is_ascii_alphanumeric() {
        true => char::from(octet.to_ascii_uppercase()),
        false => '_',
    };
    let name: String = pool.as_bytes().iter().map(letter).collect();
    // No variable begins with a digit.
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: &str) -> Place {
        Place { at: at.parse().unwrap(), transport: "tcp", id: "0x11".into() }
    }

    #[test]
    fn a_variable_is_one_whatever_the_handle_is() {
        for (handle, expected) in [
            ("web", "WEB"),
            ("my-pool.1", "MY_POOL_1"),
            ("1st", "_1ST"),
            ("$(reboot); \\x00\n", "__REBOOT_____"),
            ("Pöol", "P__OL"),
        ] {
            assert_eq!(variable(&PoolHandle::from_text(handle).unwrap()), expected, "{handle}");
        }
        let [host, port, address] = place("[2001:db8::1]:80").variables(&"a".parse().unwrap());
        assert_eq!(host, ("A_HOST".into(), "2001:db8::1".into()));
        assert_eq!(port, ("A_PORT".into(), "80".into()));
        assert_eq!(address, ("A_ADDR".into(), "[2001:db8::1]:80".into()));
    }

    #[test]
    fn what_stands_in_braces_is_filled_in_once() {
        let place = place("10.0.0.1:80");
        for (word, expected) in [
            ("-h", "-h"),
            ("{host}", "10.0.0.1"),
            ("a{port}b{port}", "a80b80"),
            ("{url}/{id}{", "tcp://10.0.0.1:80/0x11{"),
            ("{{addr}}{host", "{10.0.0.1:80}{host"),
        ] {
            assert_eq!(place.fill(OsStr::new(word)), expected);
        }
        let octets = OsStr::from_bytes(b"\xff{port}\xfe");
        assert_eq!(place.fill(octets).as_bytes(), b"\xff80\xfe");
    }
}
