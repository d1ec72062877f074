//! Where a registrar listens for operators, and who may.

use std::path::{Path, PathBuf};

use rserpool::wire::param::RegistrarId;
use rserpool_web::access::Tokens;
use rserpool_web::listen::Endpoint;
use rserpool_web::server::Limits;
use serde::{Deserialize, Deserializer, Serialize, de};

/// What `--admin` without a URL adds.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8863";

/// The section `[admin]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where: `unix:PATH`, `unix:auto`, `http://ADDRESS:PORT`. Default: `unix:auto`, which is
    /// `$RUNTIME_DIRECTORY/admin.sock`, else `$XDG_RUNTIME_DIR/rserpool/ID.sock`, else nothing.
    #[serde(deserialize_with = "listens")]
    pub listen: Vec<String>,
    /// A file of lines `NAME ROLE SHA256HEX`.
    pub tokens: Option<PathBuf>,
    /// Further names that this registrar may be asked as.
    pub hosts: Vec<String>,
    /// Whether addresses that others reach may be listened at in the clear.
    pub plaintext_ok: bool,
    /// Connections at once.
    pub connections_max: usize,
    /// Answers at once that go on, such as events.
    pub streams_max: usize,
    /// Events that are kept.
    pub events_max: usize,
    /// Pools that have metrics of their own: those with most elements.
    pub metrics_pools_max: usize,
}

/// Takes the place of a path.
const AUTO: &str = "unix:auto";

impl Default for AdminConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            listen: vec![AUTO.into()],
            tokens: None,
            hosts: Vec::new(),
            plaintext_ok: false,
            connections_max: limits.connections_max,
            streams_max: limits.streams_max,
            events_max: 4096,
            metrics_pools_max: 100,
        }
    }
}

fn listens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let listen = Vec::<String>::deserialize(deserializer)?;
    for url in &listen {
        url.parse::<Endpoint>().map_err(de::Error::custom)?;
    }
    Ok(listen)
}

impl AdminConfig {
    /// What is wrong with it.
    pub(crate) fn complaints(&self, found: &mut Vec<String>) {
        for url in &self.listen {
            match url.parse() {
                Err(error) => found.push(format!("admin.listen: {error}")),
                Ok(Endpoint::Http { host, .. }) if !is_loopback(&host) => {
                    self.complain_of_others(url, found);
                }
                Ok(_) => {}
            }
        }
        for (name, is_none) in [
            ("connections_max", self.connections_max == 0),
            ("streams_max", self.streams_max == 0),
            ("events_max", self.events_max == 0),
        ] {
            if is_none {
                found.push(format!("admin.{name} is 0: everything would be refused"));
            }
        }
        for (name, value, most) in [
            ("connections_max", self.connections_max, Limits::MOST),
            ("streams_max", self.streams_max, Limits::MOST),
            ("events_max", self.events_max, EVENTS_MAX),
            ("metrics_pools_max", self.metrics_pools_max, METRICS_POOLS_MAX),
        ] {
            if value > most {
                found.push(format!("admin.{name} is above {most}"));
            }
        }
        if let Err(error) = self.load_tokens() {
            found.push(format!("admin.tokens: {error}"));
        }
    }

    /// Others reach this one.
    fn complain_of_others(&self, url: &str, found: &mut Vec<String>) {
        if !self.plaintext_ok {
            found.push(format!(
                "admin.listen: {url} would send tokens in the clear; listen at a loopback address \
                 or a Unix socket, or set admin.plaintext_ok = true"
            ));
        } else if self.tokens.is_none() {
            found.push(format!(
                "admin.listen: others reach {url}, so they need tokens: set admin.tokens"
            ));
        }
    }

    /// Whether nothing differs but where the tokens are, which may change at any time.
    pub(crate) fn is_same_but_tokens(&self, other: &Self) -> bool {
        let tokens = other.tokens.clone();
        Self { tokens, ..self.clone() } == *other
    }

    pub(crate) fn load_tokens(&self) -> Result<Tokens, rserpool_web::access::TokenError> {
        self.tokens.as_deref().map_or_else(|| Ok(Tokens::default()), Tokens::load)
    }

    /// Where to listen, and whether it may fail.
    pub(crate) fn endpoints(&self, id: RegistrarId) -> Vec<(Endpoint, bool)> {
        let endpoint = |url: &String| {
            if url == AUTO {
                return Some((Endpoint::Unix(runtime_socket(id)?), true));
            }
            url.parse().ok().map(|endpoint| (endpoint, false))
        };
        self.listen.iter().filter_map(endpoint).collect()
    }
}

/// So many events take some 16 MB.
const EVENTS_MAX: usize = 65_536;
/// Each takes some 500 octets of each answer.
const METRICS_POOLS_MAX: usize = 10_000;

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Where the socket is if nobody says where; `None` where this process has no place for it.
fn runtime_socket(id: RegistrarId) -> Option<PathBuf> {
    let directory = |name| std::env::var_os(name).filter(|it| Path::new(it).is_absolute());
    // systemd may give several, with colons between them.
    if let Some(own) = directory("RUNTIME_DIRECTORY") {
        let own = own.to_string_lossy().split(':').next().map(PathBuf::from)?;
        return Some(own.join("admin.sock"));
    }
    let own = PathBuf::from(directory("XDG_RUNTIME_DIR")?).join("rserpool");
    Some(own.join(format!("{id}.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(config: &AdminConfig) -> String {
        let mut found = Vec::new();
        config.complaints(&mut found);
        found.join("; ")
    }

    #[test]
    fn what_others_reach_wants_a_token_and_a_word_that_it_is_in_the_clear() {
        let at = |url: &str| AdminConfig { listen: vec![url.into()], ..AdminConfig::default() };
        for open in ["http://10.0.0.1:8863", "http://0.0.0.0:8863", "http://[::]:1", "http://x:1"] {
            let config = at(open);
            assert!(complaints(&config).contains("plaintext_ok = true"), "{open}");
            let config = AdminConfig { plaintext_ok: true, ..config };
            assert!(complaints(&config).contains("set admin.tokens"), "{open}");
        }
        for own in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:/x", AUTO] {
            assert_eq!(complaints(&at(own)), "", "{own}");
        }
        assert!(complaints(&at("ftp://x")).contains("neither unix:PATH nor"));
    }

    #[test]
    fn limits_that_refuse_all_or_hold_too_much_are_refused() {
        let config = AdminConfig {
            connections_max: 0,
            streams_max: 0,
            events_max: EVENTS_MAX + 1,
            metrics_pools_max: METRICS_POOLS_MAX + 1,
            tokens: Some("/no/such/file".into()),
            ..AdminConfig::default()
        };
        let said = complaints(&config);
        for part in [
            "connections_max is 0",
            "streams_max is 0",
            "events_max is above",
            "metrics_pools_max is above",
            "admin.tokens: cannot read",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let config = AdminConfig {
            connections_max: usize::MAX,
            streams_max: 1 << 61,
            ..AdminConfig::default()
        };
        let said = complaints(&config);
        for part in ["connections_max is above 65536", "streams_max is above 65536"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
