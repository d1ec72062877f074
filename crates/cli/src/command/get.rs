//! `rserpool get`: a file from a pool.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use rserpool::Session;
use rserpool::session::{Event, FailureReason};
use rserpool::wire::param::{PeId, PoolHandle};
use serde_json::json;
use tokio::time::timeout;
use tracing::info;

use crate::atomic_file::AtomicFile;
use crate::output::{Format, Output, progress};
use crate::pools::with_pool;
use crate::runtime;
use crate::sessions::{FRUITLESS_MAX, SessionArgs, say};
use rserpool_services::download::packet::{PPID, Refusal};
use rserpool_services::download::receiver::{Arrival, Receiver};

/// Fetch a file from a pool.
///
/// A server that has the file sends it. When the server fails, another one sends the rest. The file
/// gets its name only when it is complete and has the SHA-256 that the server tells. Until then it
/// is named FILE.part, and another try goes on from there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle and the file's path below the servers' root, with a slash in between.
    #[arg(value_name = "POOL/PATH", value_parser = source)]
    from: Source,

    /// The file to write; - is standard output, which gets it once all of it is there. By default
    /// the last part of the path.
    #[arg(short = 'O', long, value_name = "FILE")]
    out: Option<String>,

    /// A server that sends nothing for this long has failed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    answer_timeout: Duration,

    #[command(flatten)]
    sessions: SessionArgs,
}

/// Where a file is.
#[derive(Clone, Debug)]
struct Source {
    pool: PoolHandle,
    path: String,
}

impl Args {
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        let name = self.from.path.rsplit('/').next().unwrap_or_default();
        let to_stdout = self.out.as_deref() == Some("-");
        let aside = to_stdout.then(Aside::new).transpose()?;
        let out = match &aside {
            Some(aside) => aside.file(),
            None => PathBuf::from(self.out.as_deref().unwrap_or(name)),
        };
        ensure!(!out.as_os_str().is_empty(), "no name for the file");
        let start = Instant::now();
        let mut target = AtomicFile::resume(&out)?;
        let fetched =
            Fetch::new(&self, &out, &mut target).and_then(|fetch| runtime::block_on(fetch.run()));
        let fetched = fetched.map_err(|error| match target.kept().filter(|_| !to_stdout) {
            Some(part) => error.context(format!("{} stays for another try", part.display())),
            None => error,
        })?;
        target.finish()?;
        if to_stdout {
            return copy(&out, output);
        }
        let Fetched { octets, kept, digest, failovers } = fetched;
        let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        let elapsed_ms = (start.elapsed().as_secs_f64() * 1e4).round() / 10.0;
        let file = out.display().to_string();
        if output.format() == Format::Json {
            return Ok(output.json(&with_pool(
                &self.from.pool,
                json!({
                    "path": self.from.path,
                    "file": file,
                    "octets": octets,
                    "kept": kept,
                    "sha256": digest,
                    "failovers": failovers,
                    "elapsed_ms": elapsed_ms,
                }),
            ))?);
        }
        let kept = match kept {
            0 => String::new(),
            kept => format!(" ({kept} of them from an earlier try)"),
        };
        Ok(output.line(format_args!(
            "{file}: {octets} octets{kept} in {elapsed_ms} ms, {failovers} failovers, \
             SHA-256 {digest}"
        ))?)
    }
}

/// A folder that nobody else can use, for a file on its way to standard output.
struct Aside(PathBuf);

impl Aside {
    fn new() -> anyhow::Result<Self> {
        // Whatever the clock says, nobody else's folder is taken.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("rserpool-get-{}-{}", std::process::id(), now.as_micros());
        let folder = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn file(&self) -> PathBuf {
        self.0.join("file")
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Should it not work there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, output: &mut Output) -> anyhow::Result<()> {
    let mut file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mut octets = vec![0; 1 << 16];
    loop {
        match file.read(&mut octets).with_context(|| format!("cannot read {}", from.display()))? {
            0 => return Ok(()),
            count => output.octets(&octets[..count])?,
        }
    }
}

/// What there is at the end.
struct Fetched {
    octets: u64,
    /// Of these, from an earlier try.
    kept: u64,
    digest: [u8; 32],
    failovers: u64,
}

/// A file on its way.
struct Fetch<'a> {
    args: &'a Args,
    name: &'a Path,
    target: &'a mut AtomicFile,
    receiver: Receiver,
    /// Octets of an earlier try, which may be of another file.
    kept: u64,
    failovers: u64,
    /// Servers in a row that failed without an octet.
    fruitless: u32,
    /// Servers that do not have it.
    lacking: BTreeSet<PeId>,
    bar: ProgressBar,
}

impl<'a> Fetch<'a> {
    fn new(args: &'a Args, name: &'a Path, target: &'a mut AtomicFile) -> anyhow::Result<Self> {
        let bar = progress(None, "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec} {msg}");
        let mut receiver = Receiver::new(args.from.path.clone());
        let mut octets = vec![0; 1 << 16];
        loop {
            match target.read(&mut octets).context("cannot read what an earlier try has left")? {
                0 => break,
                count => receiver.has(&octets[..count]),
            }
        }
        // What is kept was not fetched: it is no part of the speed.
        bar.set_position(receiver.offset());
        bar.reset_eta();
        let (kept, failovers, fruitless) = (receiver.offset(), 0, 0);
        let lacking = BTreeSet::new();
        Ok(Self { args, name, target, receiver, kept, failovers, fruitless, lacking, bar })
    }

    async fn run(mut self) -> anyhow::Result<Fetched> {
        let Args { from, sessions, answer_timeout, .. } = self.args;
        let session = sessions.connect(&sessions.user()?, &from.pool, PPID).await?;
        self.ask(&session).await?;
        while self.fruitless < FRUITLESS_MAX {
            let Ok(event) = timeout(*answer_timeout, session.next()).await else {
                session.force_failover();
                continue;
            };
            match event.map_err(|error| sessions.explain(&from.pool, error))? {
                Event::Received(octets) => {
                    if let Some(digest) = self.receive(&session, &octets)? {
                        self.bar.finish_and_clear();
                        let (octets, failovers) = (self.receiver.offset(), self.failovers);
                        session.close().await;
                        return Ok(Fetched { octets, kept: self.kept, digest, failovers });
                    }
                }
                Event::FailedOver { to, reason, .. } => {
                    if self.lacking.contains(&to) {
                        bail!("no server of {} has a file {}", from.pool, from.path);
                    }
                    if reason != FailureReason::Left {
                        self.failovers += 1;
                        self.fruitless += 1;
                        self.bar.set_message(format!("{} failovers", self.failovers));
                    }
                    self.ask(&session).await?;
                }
                _ => {}
            }
        }
        bail!("all servers of {} fail", from.pool)
    }

    /// Takes a message; the SHA-256 where that was the last one.
    fn receive(&mut self, session: &Session, octets: &[u8]) -> anyhow::Result<Option<[u8; 32]>> {
        match self.receiver.receive(octets) {
            Arrival::Size(size) => self.bar.set_length(size),
            Arrival::Octets(octets) => {
                self.fruitless = 0;
                if let Err(error) = self.target.write_all(&octets) {
                    // The disk may be full: others need what is left of it.
                    self.target.spoil();
                    let name = self.name.display();
                    return Err(error).with_context(|| format!("cannot write {name}"));
                }
                self.bar.set_position(self.receiver.offset());
            }
            Arrival::Nothing => {}
            Arrival::Complete(digest) => return Ok(Some(digest)),
            Arrival::Refused(Refusal::NotFound, _) => {
                self.lacking.extend(session.server().map(|server| server.id));
                session.switch_server();
            }
            Arrival::Refused(..) | Arrival::Broken => session.force_failover(),
            Arrival::Differs(_) if self.kept > 0 => {
                info!("what an earlier try left is of another file");
                self.target.begin_anew().context("cannot begin anew")?;
                self.receiver = Receiver::new(self.args.from.path.clone());
                self.kept = 0;
                // What is on its way is of the other one.
                session.switch_server();
            }
            Arrival::Differs(what) => {
                self.target.spoil();
                let Source { pool, path } = &self.args.from;
                bail!("the servers of {pool} have {what} at {path}");
            }
        }
        Ok(None)
    }

    async fn ask(&self, session: &Session) -> anyhow::Result<()> {
        say(session, &self.receiver.ask().encode()).await
    }
}

/// A pool and a path as one argument.
fn source(text: &str) -> Result<Source, String> {
    let parts = text.split_once('/').filter(|(_, path)| !path.is_empty());
    let (pool, path) = parts.ok_or("a pool and a path, such as Files/readme.txt")?;
    let pool = PoolHandle::from_text(pool).ok_or("no pool handle before the slash")?;
    Ok(Source { pool, path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_ends_at_the_first_slash() {
        let Source { pool, path } = source("Files/a/b.txt").unwrap();
        assert_eq!((pool.to_string(), &*path), ("Files".into(), "a/b.txt"));
        for text in ["Files", "Files/", "/a", ""] {
            assert!(source(text).is_err(), "{text}");
        }
    }
}
