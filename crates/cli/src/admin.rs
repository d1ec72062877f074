//! Asking registrars over their admin API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rserpool_web::Method;
use rserpool_web::client::{Client, ClientError, Lines, Reply};
use rserpool_web::listen::Endpoint;
use serde_json::Value;

use crate::exit::Failure;

/// Where registrars answer operators. The first that answers is asked.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Registrar")]
pub(crate) struct AdminArgs {
    /// Where a registrar answers operators, such as unix:/run/rserpool/admin.sock or
    /// http://127.0.0.1:8863; several are separated by commas, and the first that answers is asked.
    /// What changes something is asked of all of them.
    /// By default the sockets that registrars of this host have opened, then
    /// http://127.0.0.1:8863.
    #[arg(long, value_name = "URL", env = "RSERPOOL_ADMIN", value_delimiter = ',')]
    admin: Vec<Endpoint>,

    /// A file with the token that says who asks. Over a Unix socket, and to look from the same host,
    /// none is needed.
    #[arg(long, value_name = "FILE", env = "RSERPOOL_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// How long an answer may take.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// A registrar that answers.
pub(crate) struct Admin {
    clients: Vec<Client>,
    /// Somebody said which ones; else they were looked for.
    is_given: bool,
}

/// Entries that are asked for at once.
const PAGE: usize = 512;
/// Where a packaged registrar has its socket.
const PACKAGED: &str = "/run/rserpool/admin.sock";

impl AdminArgs {
    /// The registrars to ask.
    pub(crate) fn open(&self) -> anyhow::Result<Admin> {
        let token = self.token_file.as_ref().map(|path| {
            let token = std::fs::read_to_string(path);
            let token = token.with_context(|| format!("cannot read {}", path.display()));
            token.map(|token| token.trim().to_owned()).context(Failure::Configuration)
        });
        let token = token.transpose()?;
        let endpoints = if self.admin.is_empty() { found() } else { self.admin.clone() };
        let client = |endpoint| Client::new(endpoint, token.clone(), self.timeout);
        let is_given = !self.admin.is_empty();
        Ok(Admin { clients: endpoints.into_iter().map(client).collect(), is_given })
    }
}

/// Where registrars of this host may be.
fn found() -> Vec<Endpoint> {
    let mut found = vec![PathBuf::from(PACKAGED)];
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR") {
        let directory = PathBuf::from(directory).join("rserpool");
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut sockets: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "sock")).collect();
        sockets.sort();
        found.extend(sockets);
    }
    let sockets = found.into_iter().filter(|path| path.exists()).map(Endpoint::Unix);
    sockets.chain(rserpool_registrar::DEFAULT_ADMIN_URL.parse()).collect()
}

impl Admin {
    /// What is at a path.
    ///
    /// # Errors
    ///
    /// Exit code 69 where nobody answers, 77 where it is not allowed, 68 for an unknown pool.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut failures = Vec::new();
        for client in &self.clients {
            match client.get(path).await {
                Ok(reply) => return value(client, &reply),
                Err(error @ ClientError::Unreachable { .. }) => failures.push(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(nobody(&failures))
    }

    /// Each registrar alone.
    pub(crate) fn singly(self) -> Vec<Self> {
        let Self { clients, is_given } = self;
        clients.into_iter().map(|client| Self { clients: vec![client], is_given }).collect()
    }

    /// Somebody named it, so that it has to answer.
    pub(crate) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Has something done by every registrar that answers; what each says. One that is asked for by
    /// name and does not answer is a failure, too.
    ///
    /// # Errors
    ///
    /// Exit code 69 where nobody answers.
    pub(crate) async fn act(
        &self,
        (method, path): (Method, &str),
        body: &Value,
    ) -> anyhow::Result<Vec<(String, anyhow::Result<Value>)>> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut said: Vec<(String, anyhow::Result<Value>)> = Vec::new();
        let mut failures = Vec::new();
        for client in &self.clients {
            let endpoint = client.endpoint().to_string();
            match client.send(method.clone(), path, body.clone()).await {
                Ok(reply) => {
                    let answer = value(client, &reply);
                    let name = answer.as_ref().ok().and_then(|it| it["registrar"].as_str());
                    let name = name.map_or(endpoint, ToOwned::to_owned);
                    // One may be there twice: at its socket, and at a port.
                    if !said.iter().any(|(other, _)| *other == name) {
                        said.push((name, answer));
                    }
                }
                Err(ClientError::Unreachable { .. }) if !self.is_given => {
                    failures.push(format!("nobody answers at {endpoint}"));
                }
                Err(error) => said.push((endpoint, Err(error.into()))),
            }
        }
        let is_unreachable = |(_, answer): &(String, anyhow::Result<Value>)| {
            answer.as_ref().is_err_and(|error| {
                matches!(error.downcast_ref(), Some(ClientError::Unreachable { .. }))
            })
        };
        if said.iter().all(is_unreachable) {
            failures.extend(said.iter().filter_map(|(_, it)| Some(it.as_ref().err()?.to_string())));
            return Err(nobody(&failures));
        }
        Ok(said)
    }

    /// All entries of a list. `path` has a question mark, and may have parameters.
    pub(crate) async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let mut page = self.get(&format!("{path}&limit={PAGE}{after}")).await?;
            if let Value::Array(more) = page["items"].take() {
                items.extend(more);
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", encoded(next.as_bytes())),
                None => return Ok(items),
            }
        }
    }

    /// What is at a path as it happens, a line at a time.
    pub(crate) async fn follow(&self, path: &str) -> anyhow::Result<Lines> {
        let mut failures = Vec::new();
        for client in &self.clients {
            match client.lines(path, "application/x-ndjson").await {
                Ok(Ok(lines)) => return Ok(lines),
                Ok(Err(reply)) => {
                    value(client, &reply)?;
                    bail!("{} does not follow", client.endpoint());
                }
                Err(error @ ClientError::Unreachable { .. }) => failures.push(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(nobody(&failures))
    }
}

/// No registrar answers operators.
fn nobody(failures: &[String]) -> anyhow::Error {
    let tried = failures.join("; ");
    anyhow!("{tried}; a registrar answers there with --admin").context(Failure::NoRegistrar)
}

/// What an answer says; a problem as an error.
fn value(client: &Client, reply: &Reply) -> anyhow::Result<Value> {
    let value: Result<Value, _> = serde_json::from_slice(&reply.body);
    if reply.status.is_success() {
        return value.with_context(|| format!("{} did not answer in JSON", client.endpoint()));
    }
    let said = value.as_ref().ok().and_then(|problem| problem["detail"].as_str());
    let error = anyhow!("{}: {}", client.endpoint(), said.unwrap_or(reply.status.as_str()));
    let kind = value.as_ref().ok().and_then(|problem| problem["type"].as_str());
    Err(match (reply.status.as_u16(), kind) {
        (401 | 403, _) => error.context(Failure::NotAllowed),
        (_, Some("urn:rserpool:problem:unknown-pool")) => error.context(Failure::UnknownPool),
        _ => error,
    })
}

/// Octets as a part of a URL.
pub(crate) fn encoded(octets: &[u8]) -> String {
    let encode = |octet: &u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(*octet).into(),
        octet => format!("%{octet:02X}"),
    };
    octets.iter().map(encode).collect()
}

/// The text of a field, as a cell: nothing where it is null.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether something is so, as a cell.
pub(crate) fn yes_or_no(value: &Value) -> String {
    match value.as_bool() {
        Some(true) => "yes".into(),
        Some(false) => "no".into(),
        None => String::new(),
    }
}

/// Milliseconds as a cell.
pub(crate) fn span(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(ms) if ms < 10.0 => format!("{ms:.1} ms"),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) if ms < 100_000.0 => format!("{:.1} s", ms / 1000.0),
        Some(ms) => format!("{:.0} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_short() {
        let shown = [json!(null), json!(0.4), json!(99.6), json!(1100), json!(120_000)];
        assert_eq!(shown.map(|it| span(&it)), ["", "0.4 ms", "100 ms", "1.1 s", "120 s"]);
        let shown = [json!(null), json!("a"), json!(7)];
        assert_eq!(shown.map(|it| cell(&it)), ["", "a", "7"]);
        assert_eq!([json!(true), json!(null)].map(|it| yes_or_no(&it)), ["yes", ""]);
        assert_eq!(encoded("a-b/é %".as_bytes()), "a-b%2F%C3%A9%20%25");
    }
}
