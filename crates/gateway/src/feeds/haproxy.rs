//! The servers of a backend of HAProxy, over its runtime API.
//!
//! The backend has servers whose addresses do not matter, such as those of `server-template s 1-8
//! 0.0.0.1:1 disabled`. Each element of the pool gets one of them, which is ready as long as the element
//! is in the pool, and in maintenance when it is free.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rserpool::PeId;
use rserpool::user::Resolution;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::dns::{Order, servers};

/// How long HAProxy may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Octets of an answer.
const ANSWER_OCTETS_MAX: u64 = 1 << 20;
/// The greatest weight that HAProxy takes.
const WEIGHT_MAX: u32 = 256;

/// The servers of a backend, which follow a pool.
#[derive(Debug)]
pub struct Haproxy {
    socket: PathBuf,
    backend: String,
    /// Which server an element has.
    places: BTreeMap<PeId, String>,
    /// What was said of each server last.
    said: BTreeMap<String, String>,
}

/// Why HAProxy does not follow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HaproxyError {
    /// Its socket cannot be used.
    #[error("cannot talk to HAProxy at {}: {source}", socket.display())]
    Socket {
        /// Where.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has no such backend.
    #[error("HAProxy has no backend `{0}`")]
    NoBackend(String),
    /// It does not do what it is told.
    #[error("HAProxy says: {0}")]
    Refused(String),
}

/// What HAProxy was told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Told {
    /// Servers that changed.
    pub changed: usize,
    /// Elements for which there is no server.
    pub left_out: usize,
}

/// A server, as HAProxy shows it.
#[derive(Debug, Eq, PartialEq)]
struct Known {
    name: String,
    at: Option<SocketAddr>,
}

impl Haproxy {
    /// A backend of the HAProxy that has its socket here.
    ///
    /// # Errors
    ///
    /// [`HaproxyError::NoBackend`]: no backend has such a name.
    pub fn new(socket: PathBuf, backend: String) -> Result<Self, HaproxyError> {
        let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.:".contains(&octet);
        if backend.is_empty() || !backend.bytes().all(is_octet) {
            return Err(HaproxyError::NoBackend(backend));
        }
        Ok(Self { socket, backend, places: BTreeMap::new(), said: BTreeMap::new() })
    }

    /// Forgets what was said, so that all is said again: HAProxy may have started anew.
    pub fn forget(&mut self) {
        self.said.clear();
    }

    /// Makes the servers what the pool is; `None`: there is no such pool.
    ///
    /// # Errors
    ///
    /// [`HaproxyError`]; some servers may have been changed.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with IO and time.
    pub async fn follow(&mut self, pool: Option<&Resolution>) -> Result<Told, HaproxyError> {
        let known = known(&self.ask(&format!("show servers state {}", self.backend)).await?);
        let known = known.ok_or_else(|| HaproxyError::NoBackend(self.backend.clone()))?;
        let elements = pool.map(|pool| &*pool.elements).unwrap_or_default();
        let elements = servers(elements, None, Order::Weight);
        let wanted: Vec<(PeId, SocketAddr, u32)> = elements
            .iter()
            .filter_map(|server| {
                let at = server.element.user_transport.socket_addrs().next()?;
                // Who is not of the highest priority is there for when that is gone.
                let share = if server.priority > 0 { 0 } else { u32::from(server.weight) };
                let weight = (share * WEIGHT_MAX).div_ceil(u32::from(u16::MAX));
                Some((server.element.id, at, weight))
            })
            .collect();
        let mut told = Told { left_out: self.place(&known, &wanted), ..Told::default() };
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        for server in &known {
            lines.insert(
                &server.name,
                format!("set server {}/{} state maint", self.backend, server.name),
            );
        }
        for (id, at, weight) in &wanted {
            let Some(name) = self.places.get(id) else { continue };
            let server = format!("set server {}/{name}", self.backend);
            let (ip, port) = (at.ip(), at.port());
            lines.insert(
                name,
                format!(
                    "{server} addr {ip} port {port}; {server} weight {weight}; {server} state ready"
                ),
            );
        }
        let news: Vec<(String, String)> = lines
            .into_iter()
            .filter(|(name, line)| self.said.get(*name) != Some(line))
            .map(|(name, line)| (name.to_owned(), line))
            .collect();
        for (name, line) in news {
            let answer = self.ask(&line).await?;
            let is_wrong = |line: &&str| {
                ["No such", "Invalid", "Can't", "Permission"].iter().any(|it| line.starts_with(it))
            };
            if let Some(wrong) = answer.lines().find(is_wrong) {
                return Err(HaproxyError::Refused(wrong.to_owned()));
            }
            self.said.insert(name, line);
            told.changed += 1;
        }
        Ok(told)
    }

    /// Gives each element a server, the one that it has; else the one that is there already, else any.
    /// How many have none.
    fn place(&mut self, known: &[Known], wanted: &[(PeId, SocketAddr, u32)]) -> usize {
        let is_wanted = |id: &PeId| wanted.iter().any(|(it, ..)| it == id);
        let is_known = |name: &String| known.iter().any(|it| it.name == *name);
        self.places.retain(|id, name| is_wanted(id) && is_known(name));
        let taken: BTreeSet<String> = self.places.values().cloned().collect();
        let mut free: Vec<&Known> = known.iter().filter(|it| !taken.contains(&it.name)).collect();
        let mut without: Vec<(PeId, SocketAddr)> = wanted
            .iter()
            .filter(|(id, ..)| !self.places.contains_key(id))
            .map(|(id, at, _)| (*id, *at))
            .collect();
        without.retain(|(id, at)| match free.iter().position(|it| it.at == Some(*at)) {
            Some(number) => {
                self.places.insert(*id, free.remove(number).name.clone());
                false
            }
            None => true,
        });
        let mut free = free.into_iter();
        let mut left_out = 0;
        for (id, _) in without {
            match free.next() {
                Some(server) => {
                    self.places.insert(id, server.name.clone());
                }
                None => left_out += 1,
            }
        }
        left_out
    }

    /// One line, and the answer to it.
    async fn ask(&self, line: &str) -> Result<String, HaproxyError> {
        let talk = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(ANSWER_OCTETS_MAX).read_to_end(&mut answer).await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let late = |_| Err(io::ErrorKind::TimedOut.into());
        let answer = timeout(TIMEOUT, talk).await.unwrap_or_else(late);
        answer.map_err(|source| HaproxyError::Socket { socket: self.socket.clone(), source })
    }
}

/// The servers of a backend in `show servers state`; `None`: that was another answer.
fn known(answer: &str) -> Option<Vec<Known>> {
    const NAME: usize = 3;
    const ADDRESS: usize = 4;
    const PORT: usize = 18;
    let mut lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines.next() != Some("1") {
        return None;
    }
    let server = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let address: Option<IpAddr> = words.get(ADDRESS).and_then(|word| word.parse().ok());
        let port = words.get(PORT).and_then(|word| word.parse().ok());
        let at = address.zip(port).map(SocketAddr::from);
        words.get(NAME).map(|name| Known { name: (*name).to_owned(), at })
    };
    Some(lines.filter(|line| !line.starts_with('#')).filter_map(server).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn haproxy() -> Haproxy {
        Haproxy::new("/nowhere".into(), "web".into()).unwrap()
    }

    #[test]
    fn servers_are_read_as_haproxy_shows_them() {
        let head = "# be_id be_name srv_id srv_name srv_addr srv_op_state";
        let rest = "2 4 100 1 0 1 0 0 8 0 0 0 -";
        let answer = format!(
            "1\n{head}\n2 web 1 s1 ::1 {rest} 8080 - 0 0 - - 0\n2 web 2 s2 0.0.0.1 {rest} 1 - 0\n\n"
        );
        let at = |text: &str| Some(text.parse().unwrap());
        let expected = [("s1", at("[::1]:8080")), ("s2", at("0.0.0.1:1"))];
        let expected = expected.map(|(name, at)| Known { name: name.into(), at });
        assert_eq!(known(&answer), Some(expected.into()));
        assert_eq!(known("Can't find backend.\n\n"), None);
        assert!(Haproxy::new("/nowhere".into(), "web; shutdown".into()).is_err());
    }

    #[test]
    fn an_element_keeps_its_server_and_finds_it_again() {
        let known: Vec<Known> = (1..=3)
            .map(|number| Known {
                name: format!("s{number}"),
                at: Some(SocketAddr::from(([10, 0, 0, number], 80))),
            })
            .collect();
        let wanted = |ids: &[u8]| -> Vec<(PeId, SocketAddr, u32)> {
            let one = |id: &u8| (PeId((*id).into()), ([10, 0, 0, *id], 80).into(), 256);
            ids.iter().map(one).collect()
        };
        let mut haproxy = haproxy();
        let mut places = |ids: &[u8]| {
            let left_out = haproxy.place(&known, &wanted(ids));
            let places: Vec<(u32, String)> =
                haproxy.places.iter().map(|(id, name)| (id.0, name.clone())).collect();
            (places, left_out)
        };
        let has = |id: u32, name: &str| (id, name.to_owned());
        assert_eq!(places(&[9, 2]), (vec![has(2, "s2"), has(9, "s1")], 0));
        assert_eq!(places(&[9, 3]), (vec![has(3, "s3"), has(9, "s1")], 0));
        assert_eq!(places(&[1, 3, 4, 9]).1, 1);
        assert_eq!(places(&[]), (Vec::new(), 0));
    }
}
