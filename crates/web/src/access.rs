//! Who asks, and what that one may.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use crate::listen::Origin;
use crate::problem::{Kind, Problem};

/// What somebody may do; each may what those before it may.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Look.
    View,
    /// Change what the program does with those it serves.
    Operate,
    /// Change what it tells of itself.
    Debug,
}

impl Role {
    /// All of them, from the least to the most.
    pub const ALL: [Self; 3] = [Self::View, Self::Operate, Self::Debug];

    /// Its name, as in files.
    pub const fn label(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Debug => "debug",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.label() == text);
        role.ok_or_else(|| format!("`{text}` is none of view, operate, debug"))
    }
}

/// Who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// What it is called, for the log.
    pub name: String,
    /// What it may; `None` for what everyone may.
    pub role: Option<Role>,
    /// The digest of the token that says so, where there is one.
    token: Option<[u8; 32]>,
}

/// The tokens that are known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tokens(Vec<Token>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Token {
    name: String,
    role: Role,
    digest: [u8; 32],
}

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others than its user and group can read it.
    #[error("everybody can read {path} (mode {mode:04o}); chmod 640", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line is wrong.
    #[error("{path}:{line}: {what}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// The file may have so many octets.
const FILE_MAX: u64 = 1 << 20;

impl Tokens {
    /// Reads a file of lines `NAME ROLE SHA256HEX`; empty lines and those that begin with `#` say
    /// nothing.
    ///
    /// # Errors
    ///
    /// See [`TokenError`].
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read { path: path.into(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(TokenError::Open { path: path.into(), mode });
        }
        if metadata.len() > FILE_MAX {
            let source = std::io::Error::other("it is longer than 1 MiB");
            return Err(TokenError::Read { path: path.into(), source });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let wrong = |(line, what)| TokenError::Line { path: path.into(), line, what };
        Self::parse(&text).map_err(wrong)
    }

    /// The same of a text.
    ///
    /// # Errors
    ///
    /// The number of the line that is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| (number + 1, what.to_owned());
            let [name, role, digest] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(wrong("a line is NAME ROLE SHA256HEX"));
            };
            let role = role.parse().map_err(|error: String| wrong(&error))?;
            let digest = hex(digest).ok_or_else(|| wrong("the digest is not 64 hex digits"))?;
            if tokens.iter().any(|token| token.name == name) {
                return Err(wrong("this name is there already"));
            }
            tokens.push(Token { name: name.into(), role, digest });
        }
        Ok(Self(tokens))
    }

    /// The line of such a file for a token.
    pub fn line(name: &str, role: Role, token: &str) -> String {
        let digest: String = digest(token).iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{name} {role} {digest}")
    }

    /// Whether who asked by a token may still do what it could; who needs none always may.
    pub fn still_admit(&self, who: &Identity) -> bool {
        let Some(digest) = who.token else { return true };
        self.0.iter().any(|token| token.digest == digest && Some(token.role) >= who.role)
    }

    /// Whose token this is. Takes as long whichever it is: all are compared to their end.
    fn find(&self, token: &str) -> Option<&Token> {
        let digest = digest(token);
        let differs = |it: &Token| {
            it.digest.iter().zip(&digest).fold(0, |differs, (a, b)| differs | (a ^ b)) != 0
        };
        let matching: Vec<bool> = self.0.iter().map(|token| !differs(token)).collect();
        matching.iter().position(|it| *it).map(|place| &self.0[place])
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Says who asks: by a token where there is one, else by where the connection comes from. Whoever
/// may open the Unix socket may everything, whoever is on this host may look.
///
/// # Errors
///
/// [`Kind::UNAUTHENTICATED`] where a token is not known.
pub fn identify(tokens: &Tokens, origin: Origin, headers: &HeaderMap) -> Result<Identity, Problem> {
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        return Ok(match origin {
            Origin::Process { uid, .. } => {
                Identity { name: format!("uid {uid}"), role: Some(Role::Debug), token: None }
            }
            Origin::Address(address) => {
                let is_local = address.ip().to_canonical().is_loopback();
                let name = address.ip().to_canonical().to_string();
                Identity { name, role: is_local.then_some(Role::View), token: None }
            }
        });
    };
    let token = authorization.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token.and_then(|(_, token)| tokens.find(token.trim())) {
        Some(Token { name, role, digest }) => {
            Ok(Identity { name: name.clone(), role: Some(*role), token: Some(*digest) })
        }
        None => Err(Problem::new(Kind::UNAUTHENTICATED, "this token is not known")),
    }
}

/// Refuses who may not.
///
/// # Errors
///
/// [`Kind::UNAUTHENTICATED`] where a token would help whoever has none, else [`Kind::FORBIDDEN`].
pub fn admit(
    identity: &Identity,
    wanted: Option<Role>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(wanted) = wanted.filter(|wanted| identity.role < Some(*wanted)) else {
        return Ok(());
    };
    if headers.contains_key(AUTHORIZATION) {
        let detail = format!("{} may not do that: it wants the role {wanted}", identity.name);
        return Err(Problem::new(Kind::FORBIDDEN, detail));
    }
    let detail = format!("that wants a token with the role {wanted}");
    Err(Problem::new(Kind::UNAUTHENTICATED, detail))
}

/// Whether a `Host` names this server: an address of this host's loopback, `localhost`, the
/// address that it is bound to, or one of the names that it was given. Everything else is a page of
/// somebody else whose name was made to lead here (DNS rebinding).
pub(crate) fn is_own_host(host: Option<&str>, bound: &str, names: &[String]) -> bool {
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.ends_with(':') => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    let is_named = names.iter().any(|it| it.eq_ignore_ascii_case(name));
    is_loopback || is_named || name.eq_ignore_ascii_case("localhost") || name == bound
}

/// Whether a page of this server asks: its `Origin` is the `Host` that it was asked as.
pub(crate) fn is_own_page(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| Some(authority) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    fn tokens() -> Tokens {
        let lines = [("eve", Role::View, "t1"), ("ops", Role::Operate, "t2")];
        let lines = lines.map(|(name, role, token)| Tokens::line(name, role, token));
        Tokens::parse(&format!("# who\n\n{}", lines.join("\n"))).unwrap()
    }

    const LOCAL: &str = "127.0.0.1:5";
    const FAR: &str = "10.0.0.1:5";

    fn role_of(origin: &str, authorization: Option<&str>) -> Option<Option<Role>> {
        let origin = Origin::Address(origin.parse().unwrap());
        let identity = identify(&tokens(), origin, &headers(authorization));
        identity.ok().map(|identity| identity.role)
    }

    #[test]
    fn a_token_says_who_asks_and_else_the_place_does() {
        assert_eq!(role_of(LOCAL, None), Some(Some(Role::View)));
        assert_eq!(role_of(FAR, None), Some(None));
        assert_eq!(role_of(FAR, Some("Bearer t2")), Some(Some(Role::Operate)));
        assert_eq!(role_of(LOCAL, Some("bearer t1")), Some(Some(Role::View)));
        // One that is wrong is not passed over, wherever it comes from.
        for wrong in ["Bearer t3", "Bearer", "Basic t1", "Bearer ", "t1"] {
            assert_eq!(role_of(LOCAL, Some(wrong)), None, "{wrong}");
        }
        let process = Origin::Process { uid: 1000, pid: None };
        let identity = identify(&tokens(), process, &headers(None)).unwrap();
        assert_eq!((identity.name.as_str(), identity.role), ("uid 1000", Some(Role::Debug)));
    }

    #[test]
    fn a_token_that_is_withdrawn_or_worth_less_admits_nobody_any_more() {
        let far = Origin::Address(FAR.parse().unwrap());
        let who = identify(&tokens(), far, &headers(Some("Bearer t2"))).unwrap();
        let other = |role, token| Tokens::parse(&Tokens::line("ops", role, token)).unwrap();
        assert!(tokens().still_admit(&who) && other(Role::Debug, "t2").still_admit(&who));
        assert!(!other(Role::View, "t2").still_admit(&who));
        assert!(!other(Role::Operate, "t4").still_admit(&who));
        let local = identify(&tokens(), Origin::Address(LOCAL.parse().unwrap()), &headers(None));
        assert!(Tokens::default().still_admit(&local.unwrap()));
    }

    #[test]
    fn who_may_not_is_told_whether_a_token_would_help() {
        let who = |role| Identity { name: "x".into(), role, token: None };
        let kind = |role, wanted, token| {
            admit(&who(role), wanted, &headers(token)).err().map(|problem| problem.kind)
        };
        assert_eq!(kind(None, None, None), None);
        assert_eq!(kind(None, Some(Role::View), None), Some(Kind::UNAUTHENTICATED));
        let view = Some(Role::View);
        assert_eq!(kind(view, view, None), None);
        assert_eq!(kind(view, Some(Role::Operate), None), Some(Kind::UNAUTHENTICATED));
        assert_eq!(kind(view, Some(Role::Operate), Some("Bearer t1")), Some(Kind::FORBIDDEN));
        assert_eq!(kind(Some(Role::Debug), Some(Role::Operate), None), None);
    }

    #[test]
    fn a_file_of_tokens_says_which_line_is_wrong_and_is_not_for_everybody() {
        let digest = "0".repeat(64);
        for (text, line) in [
            ("a view".to_owned(), 1),
            (format!("\na admin {digest}"), 2),
            ("a view 00".into(), 1),
            (format!("a view {}g", &digest[1..]), 1),
            (format!("a view {digest}\na debug {digest}"), 2),
        ] {
            assert_eq!(Tokens::parse(&text).unwrap_err().0, line, "{text}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, Tokens::line("a", Role::View, "t")).unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Tokens::load(&path).err().map(|error| error.to_string())
        };
        let complaint = mode(0o644).unwrap();
        assert!(complaint.contains("(mode 0644); chmod 640"), "{complaint}");
        assert_eq!(mode(0o640), None);
    }

    #[test]
    fn the_names_of_this_server_are_few() {
        let names = ["admin.example".to_owned()];
        for own in [
            "127.0.0.1:8863",
            "127.9.9.9",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8863",
            "[::1]",
            "10.0.0.1:8863",
            "Admin.Example:1",
        ] {
            assert!(is_own_host(Some(own), "10.0.0.1", &names), "{own}");
        }
        for other in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.2",
            "",
            "[::2]:1",
            "evil.example:127.0.0.1",
        ] {
            assert!(!is_own_host(Some(other), "10.0.0.1", &names), "{other}");
        }
        assert!(!is_own_host(None, "10.0.0.1", &names));
        assert!(is_own_page("http://localhost:8863", Some("localhost:8863")));
        assert!(!is_own_page("http://localhost:1", Some("localhost:8863")));
        assert!(!is_own_page("null", Some("localhost:8863")));
        assert!(!is_own_page("http://evil.example", None));
    }
}
