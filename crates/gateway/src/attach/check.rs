//! Questions to a server that say whether it is well.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reaper::{Process, Reaper, exit_code};

/// A check of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Check {
    /// `tcp`, `tcp:ADDRESS:PORT`: a connection is accepted, by default at the server's port on this
    /// host.
    Tcp(Option<SocketAddr>),
    /// `http:/path`, `http:/path=200-399`, `http://ADDRESS:PORT/path`: the status of a GET is in the
    /// range; by default 200 to 399. What stands behind the first `=` of a query's last parameter is
    /// no range, but its value: `http:/path?ready=200`, `http:/path?ready=1=200`.
    Http {
        /// Where, if not at the server's port on this host.
        at: Option<SocketAddr>,
        /// What is asked for.
        path: String,
        /// The lowest good status.
        from: u16,
        /// The highest good status.
        to: u16,
    },
    /// `exec:PROGRAM ARG…`: the program ends with exit code 0. No shell is between, what it prints
    /// goes nowhere, and what is left of its process group when it has ended or its time is over is
    /// killed.
    Exec(Vec<String>),
    /// `none`: nothing is asked; only the end of the process says that the server is gone.
    None,
}

/// The statuses that are good where nothing else is said.
const GOOD: (u16, u16) = (200, 399);

/// A check that is none, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct CheckParseError(String);

impl FromStr for Check {
    type Err = CheckParseError;

    fn from_str(text: &str) -> Result<Self, CheckParseError> {
        let wrong = || {
            let forms = "tcp, tcp:ADDRESS:PORT, http:/PATH[=200-399], exec:PROGRAM ARG... or none";
            CheckParseError(format!("`{text}` is no check: {forms}"))
        };
        match text.split_once(':') {
            None if text == "tcp" => Ok(Self::Tcp(None)),
            None if text == "none" => Ok(Self::None),
            Some(("tcp", at)) => at.parse().map(|at| Self::Tcp(Some(at))).map_err(|_| wrong()),
            Some(("http", rest)) => http(rest).ok_or_else(wrong),
            Some(("exec", line)) => {
                let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
                if words.is_empty() { Err(wrong()) } else { Ok(Self::Exec(words)) }
            }
            _ => Err(wrong()),
        }
    }
}

fn http(text: &str) -> Option<Check> {
    let (at, text) = match text.strip_prefix("//") {
        Some(rest) => {
            let (at, _) = rest.split_once('/')?;
            (Some(at.parse().ok()?), rest.get(at.len()..)?)
        }
        None => (None, text),
    };
    let (path, range) = split_range(text);
    let (from, to) = match range {
        Some(range) => {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            (status(from)?, status(to)?)
        }
        None => GOOD,
    };
    let is_path = path.starts_with('/') && path.bytes().all(|octet| octet.is_ascii_graphic());
    let path = path.to_owned();
    (is_path && from <= to).then_some(Check::Http { at, path, from, to })
}

/// The path, and what has the form of a range behind it.
fn split_range(text: &str) -> (&str, Option<&str>) {
    let Some((path, range)) = text.rsplit_once('=') else { return (text, None) };
    let has_form = range.starts_with(|first: char| first.is_ascii_digit())
        && range.bytes().all(|octet| octet.is_ascii_digit() || octet == b'-');
    let parameter = path.split_once('?').map(|(_, query)| query.rsplit('&').next());
    // A parameter without a value yet takes this one.
    let is_value = parameter.flatten().is_some_and(|parameter| !parameter.contains('='));
    if has_form && !is_value { (path, Some(range)) } else { (text, None) }
}

/// The status of an answer, which has three digits.
fn status(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|status| (100..=999).contains(status))
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(None) => f.write_str("tcp"),
            Self::Tcp(Some(at)) => write!(f, "tcp:{at}"),
            Self::Http { at, path, from, to } => {
                f.write_str("http:")?;
                if let Some(at) = at {
                    write!(f, "//{at}")?;
                }
                match (*from, *to) {
                    GOOD if split_range(path).1.is_none() => f.write_str(path),
                    (from, to) if from == to => write!(f, "{path}={from}"),
                    (from, to) => write!(f, "{path}={from}-{to}"),
                }
            }
            Self::Exec(words) => write!(f, "exec:{}", words.join(" ")),
            Self::None => f.write_str("none"),
        }
    }
}

/// What checks ask.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) checks: Vec<Check>,
    /// Where the server is; unspecified ones mean this host.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) port: u16,
    pub(super) timeout: Duration,
    pub(super) reaper: Reaper,
}

impl Asked {
    /// Asks all of them at once; the first that is bad says why.
    pub(super) async fn round(&self) -> Result<(), String> {
        let mut round = JoinSet::new();
        for check in self.checks.clone() {
            let (at, reaper, patience) = (self.at(), self.reaper.clone(), self.timeout);
            round.spawn(async move {
                let result = match timeout(patience, one(&check, at, &reaper)).await {
                    Ok(result) => result,
                    Err(_) => Err(format!("no answer within {patience:?}")),
                };
                result.map_err(|why| format!("{check}: {why}"))
            });
        }
        while let Some(result) = round.join_next().await {
            result.unwrap_or_else(|error| Err(error.to_string()))?;
        }
        Ok(())
    }

    /// Where the server may be found, in this order.
    fn at(&self) -> Vec<SocketAddr> {
        let is_known = |ip: &&IpAddr| !ip.is_unspecified();
        let mut ips: Vec<IpAddr> = self.addresses.iter().filter(is_known).copied().collect();
        ips.truncate(1);
        if ips.is_empty() {
            ips = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect()
    }
}

async fn one(check: &Check, at: Vec<SocketAddr>, reaper: &Reaper) -> Result<(), String> {
    let given = |at: &Option<SocketAddr>| at.map(|at| vec![at]);
    match check {
        Check::None => Ok(()),
        Check::Tcp(other) => {
            let connected = TcpStream::connect(&*given(other).unwrap_or(at)).await;
            connected.map(drop).map_err(|error| error.to_string())
        }
        Check::Http { at: other, path, from, to } => {
            let status = get(&given(other).unwrap_or(at), path).await;
            match status.map_err(|error| error.to_string())? {
                status if (*from..=*to).contains(&status) => Ok(()),
                status => Err(format!("status {status}")),
            }
        }
        Check::Exec(words) => exec(words, reaper).await,
    }
}

/// The status of a GET. Of the answer no more is read than that takes.
async fn get(at: &[SocketAddr], path: &str) -> std::io::Result<u16> {
    /// Where the status stands in `HTTP/1.1 200`.
    const STATUS: std::ops::Range<usize> = 9..12;
    let mut stream = TcpStream::connect(at).await?;
    let host = stream.peer_addr()?;
    let head = "User-Agent: rserpool-attach\r\nAccept: */*\r\nConnection: close";
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; STATUS.end];
    stream.read_exact(&mut start).await?;
    let status = str::from_utf8(&start[STATUS]).ok().and_then(|digits| digits.parse().ok());
    let is_http = start.starts_with(b"HTTP/1.") && start[STATUS.start - 1] == b' ';
    status.filter(|_| is_http).ok_or_else(|| std::io::Error::other("the answer is no HTTP"))
}

/// Kills what is left of a check.
struct Group(Process);

impl Drop for Group {
    fn drop(&mut self) {
        self.0.kill_group();
    }
}

async fn exec(words: &[String], reaper: &Reaper) -> Result<(), String> {
    let [program, args @ ..] = words else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut group = Group(reaper.spawn(&mut command).map_err(|error| error.to_string())?);
    match group.0.ended().await.map(exit_code) {
        Some(0) => Ok(()),
        Some(code) => Err(format!("exit code {code}")),
        None => Err("its end was missed".into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn checks_are_read_and_shown() {
        let shown = |text: &str| text.parse::<Check>().ok().map(|check| check.to_string());
        for text in [
            "tcp",
            "none",
            "tcp:127.0.0.1:80",
            "http:/",
            "http://[::1]:8/x=y",
            "http:/a=200-204",
            "http://[::1]:8/a=503",
            "http:/a?ready=1",
            "http:/a?ready=200",
            "http:/a?b=1&ready=200-299",
            "http:/a?ready=1=204",
            "http:/a=1?ready==100-299",
            "exec:a b",
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        let range = |from, to| Some(Check::Http { at: None, path: "/a".into(), from, to });
        assert_eq!("http:/a=200-204".parse().ok(), range(200, 204));
        assert_eq!("http:/a=503".parse().ok(), range(503, 503));
        // The value of a parameter is none of a status.
        let path = "/a?ready=200".to_owned();
        let query = Check::Http { at: None, path, from: 200, to: 399 };
        assert_eq!("http:/a?ready=200".parse(), Ok(query));
        let path = "/a?ready=1".to_owned();
        let query = Check::Http { at: None, path, from: 204, to: 204 };
        assert_eq!("http:/a?ready=1=204".parse(), Ok(query));
        for text in ["", "tcp:", "tcp:x:1", "http:", "http:x", "http:/a b", "http:/=3-2", "exec: "]
        {
            assert!(text.parse::<Check>().is_err(), "{text}");
        }
        for text in ["http:/=399-200", "http:/a=1", "http:/a=200-", "http:/a=200-1000"] {
            assert!(text.parse::<Check>().is_err(), "{text}");
        }
    }

    fn asked(checks: &[&str], port: u16, reaper: &Reaper) -> Asked {
        let checks = checks.iter().map(|check| check.parse().unwrap()).collect();
        let timeout = Duration::from_millis(300);
        Asked { checks, addresses: Vec::new(), port, timeout, reaper: reaper.clone() }
    }

    #[tokio::test]
    async fn answers_are_judged_by_their_first_octets() {
        let reaper = Reaper::default();
        for (answer, check, is_good) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "http:/", true),
            ("HTTP/1.0 399 Odd\r\n\r\n", "http:/", true),
            ("HTTP/1.1 500 No\r\n\r\n", "http:/", false),
            ("HTTP/1.1 500 No\r\n\r\n", "http:/=500", true),
            ("HTTP/1.1", "http:/", false),
            ("SSH-2.0-x 200 yes", "http:/", false),
            ("HTTP/1.1 2x0 OK\r\n", "http:/", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            };
            let asked = asked(&[check], port, &reaper);
            let (round, ()) = tokio::join!(asked.round(), server);
            assert_eq!(round.is_ok(), is_good, "{answer}: {round:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_or_never_ends_is_not_well() {
        let reaper = Reaper::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(asked(&["tcp"], port, &reaper).round().await, Ok(()));
        let silent = asked(&["tcp", "http:/"], port, &reaper).round().await.unwrap_err();
        assert_eq!(silent, "http:/: no answer within 300ms");
        drop(listener);
        let refused = asked(&["tcp"], port, &reaper).round().await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }
}
