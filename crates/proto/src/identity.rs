//! Who the other end of an association has proved to be. How that is proved is for the transport.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;

/// Who the other end of an association has proved to be: its public key, and the names that an
/// authority vouches for. Clones share it, so that each can have one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity(Arc<Proved>);

#[derive(Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Proved {
    key: [u8; 32],
    names: Vec<String>,
}

impl Identity {
    /// `key` is the SHA-256 of the public key (SubjectPublicKeyInfo), `names` are those in the
    /// certificate: host names in lower case, addresses, URIs.
    pub fn new(key: [u8; 32], names: Vec<String>) -> Self {
        Self(Arc::new(Proved { key, names }))
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub fn key(&self) -> &[u8; 32] {
        &self.0.key
    }

    /// The names that an authority vouches for; none where the key itself is trusted.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// What the certificate says that it is for, such as `registrar`; nothing where it does not say.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let roles = self.0.names.iter().filter_map(|name| name.strip_prefix("rserpool:"));
        roles.filter(|role| !role.contains(':'))
    }

    /// True where both are the same one's: the same key, or the same names, which a new key does not
    /// change. What says what a certificate is for is no name.
    pub fn is_same_owner(&self, other: &Self) -> bool {
        fn names(identity: &Identity) -> Vec<&String> {
            let names = identity.names().iter().filter(|name| !name.starts_with("rserpool:"));
            let mut names: Vec<&String> = names.collect();
            names.sort();
            names
        }
        self.key() == other.key() || (!names(self).is_empty() && names(self) == names(other))
    }
}

/// What is in front of a key in hexadecimal.
pub(crate) const KEY_PREFIX: &str = "spki:";
/// So many names are shown.
const SHOWN_MAX: usize = 4;

/// For people: `spki:` and the key in hexadecimal, then names.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}", HEXLOWER_PERMISSIVE.encode_display(&self.0.key))?;
        let names = self.0.names.iter().take(SHOWN_MAX);
        names.into_iter().try_for_each(|name| write!(f, " {}", name.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_shown_on_one_line_that_has_an_end() {
        let names = vec!["a\nb".to_owned(); 9];
        let text = Identity::new([0xab; 32], names).to_string();
        assert_eq!(text, format!("spki:{}{}", "ab".repeat(32), r" a\nb".repeat(4)));
    }
}
