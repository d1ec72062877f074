//! `rserpool demo --watch`: the pool lives until its owner has seen enough.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rserpool_bench::process::Cause;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Count, Report};
use super::cluster::{Cluster, milliseconds};
use crate::output::{Format, Output};

const REGISTRARS: usize = 3;
const SERVERS: usize = 3;
/// More than that a terminal and a small machine need not bear.
const PROCESSES_MAX: usize = 64;
/// How often the count of requests is told.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

const KEYS: &str =
    "k kill a server   f freeze one   s start one   r kill a registrar   n start one   q end";

/// What a key stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    Fail(Cause),
    StartServer,
    KillRegistrar,
    StartRegistrar,
    End,
    Help,
}

/// What to do at a key; nothing at white space, so that keys may come in lines.
fn act(key: u8) -> Option<Act> {
    match key.to_ascii_lowercase() {
        b'k' => Some(Act::Fail(Cause::Killed)),
        b'f' => Some(Act::Fail(Cause::Frozen)),
        b's' => Some(Act::StartServer),
        b'r' => Some(Act::KillRegistrar),
        b'n' => Some(Act::StartRegistrar),
        // What Ctrl-D comes to in a terminal that gives keys at once.
        b'q' | 4 => Some(Act::End),
        key if key.is_ascii_whitespace() => None,
        _ => Some(Act::Help),
    }
}

/// Plays until q is pressed or standard input ends.
pub(super) async fn run(is_secure: bool, output: &mut Output) -> anyhow::Result<()> {
    let mut cluster = Cluster::open(REGISTRARS, is_secure, true).await?;
    for _ in 0..SERVERS {
        cluster.add_element().await?;
    }
    cluster.start_client().await?;
    let page = cluster.registrars.first().and_then(|registrar| registrar.page.clone());
    let page = format!("{}/", page.context("a registrar without a page")?);
    match output.format() {
        Format::Json => output.json(&json!({ "dashboard": page }))?,
        _ => output.line(format_args!("\n  dashboard: {page}\n  keys: {KEYS}\n"))?,
    }
    let mut show = Show { cluster, struck_us: None };
    show.go_on().await?;
    let Show { mut cluster, .. } = show;
    cluster.end_client().await?;
    let Count { requests, answered, resent, .. } = cluster.count;
    let lost = requests.saturating_sub(answered);
    match output.format() {
        Format::Json => output.json(&json!({
            "requests": requests, "answered": answered, "resent": resent, "lost": lost,
        }))?,
        _ => output.line(format_args!(
            "\n{requests} requests: {answered} answered, {resent} of them sent again, {lost} lost"
        ))?,
    }
    if lost > 0 {
        bail!("requests were lost");
    }
    Ok(())
}

struct Show {
    cluster: Cluster,
    /// When the client's server was made to fail, in microseconds since 1970, until another one
    /// has answered.
    struck_us: Option<u64>,
}

impl Show {
    async fn go_on(&mut self) -> anyhow::Result<()> {
        let mut keys = Keys::read();
        let mut counts = interval(COUNT_INTERVAL);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        counts.tick().await;
        loop {
            tokio::select! {
                key = keys.next() => match key.map_or(Some(Act::End), act) {
                    Some(Act::End) => return Ok(()),
                    Some(act) => self.play(act).await?,
                    None => {}
                },
                report = self.cluster.report() => {
                    self.hear(&report?);
                    // They are for the plain demo; nobody keeps them here.
                    while self.cluster.sightings.try_recv().is_ok() {}
                }
                _ = counts.tick() => self.tell_count(),
                ended = tokio::signal::ctrl_c() => {
                    return ended.context("cannot wait for SIGINT");
                }
            }
        }
    }

    async fn play(&mut self, act: Act) -> anyhow::Result<()> {
        let cluster = &mut self.cluster;
        let is_full = cluster.elements.len() + cluster.registrars.len() >= PROCESSES_MAX;
        match act {
            Act::StartServer | Act::StartRegistrar if is_full => {
                cluster.tell(format_args!("there are enough processes"));
            }
            Act::StartServer => cluster.add_element().await?,
            Act::StartRegistrar => cluster.add_registrar().await?,
            Act::KillRegistrar => self.kill_registrar()?,
            Act::Fail(cause) => self.fail(cause)?,
            Act::Help | Act::End => cluster.tell(format_args!("{KEYS}")),
        }
        Ok(())
    }

    /// Has the client's server fail; where it already has, another one.
    fn fail(&mut self, cause: Cause) -> anyhow::Result<()> {
        let cluster = &mut self.cluster;
        let living: Vec<u32> =
            cluster.elements.iter().filter(|(_, it)| !it.has_failed).map(|(id, _)| *id).collect();
        let [first, _, ..] = living[..] else {
            cluster.tell(format_args!("that is the last server: s starts another one first"));
            return Ok(());
        };
        let is_used = living.contains(&cluster.server);
        let victim = if is_used { cluster.server } else { first };
        let what = if cause == Cause::Killed { "kill -9" } else { "SIGSTOP" };
        let used = if is_used { ", which the client uses" } else { "" };
        cluster.tell(format_args!("{what} {}{used}", cluster.name(victim)));
        let element = cluster.elements.get_mut(&victim).context("the server is unknown")?;
        let struck = element.process.strike(cause)?;
        element.has_failed = true;
        if is_used {
            self.struck_us = Some(struck);
        }
        Ok(())
    }

    /// Kills the registrar that came last: the first one shows the page.
    fn kill_registrar(&mut self) -> anyhow::Result<()> {
        let cluster = &mut self.cluster;
        if cluster.registrars.len() < 2 {
            cluster.tell(format_args!("that is the last registrar: n starts another one first"));
            return Ok(());
        }
        let victim = cluster.registrars.pop().context("there is no registrar")?;
        cluster.tell(format_args!("kill -9 the registrar {}", victim.id));
        victim.process.strike(Cause::Killed)?;
        Ok(())
    }

    fn hear(&mut self, report: &Report) {
        self.cluster.note(report);
        let since = |at_us: u64, from: u64| milliseconds(at_us.saturating_sub(from));
        match (report, self.struck_us) {
            (&Report::Failed { at_us, .. }, Some(struck)) => self
                .cluster
                .tell(format_args!("   the client noticed after {}", since(at_us, struck))),
            (&Report::Recovered { at_us, server, .. }, struck) => {
                let name = self.cluster.name(server);
                let after = struck.map(|struck| format!(" after {}", since(at_us, struck)));
                let after = after.unwrap_or_default();
                self.cluster.tell(format_args!("   {name} answered{after}"));
                self.struck_us = None;
                self.tell_count();
            }
            _ => {}
        }
    }

    fn tell_count(&self) {
        let Count { requests, answered, .. } = self.cluster.count;
        self.cluster.tell(format_args!("   {requests} requests, {answered} answered"));
    }
}

/// What is typed. A terminal gives each key at once meanwhile.
struct Keys {
    keys: mpsc::Receiver<u8>,
    former: Option<Termios>,
}

impl Keys {
    fn read() -> Self {
        let stdin = std::io::stdin();
        // What is no terminal has no modes, and gives what it gets.
        let former = tcgetattr(&stdin).ok();
        if let Some(mut modes) = former.clone() {
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            let _ = tcsetattr(&stdin, OptionalActions::Now, &modes);
        }
        let (sender, keys) = mpsc::channel(64);
        // It waits for the next key as long as the process lives.
        std::thread::spawn(move || {
            let mut typed = [0; 64];
            while let Ok(len @ 1..) = std::io::stdin().read(&mut typed) {
                if typed[..len].iter().any(|key| sender.blocking_send(*key).is_err()) {
                    return;
                }
            }
        });
        Self { keys, former }
    }

    async fn next(&mut self) -> Option<u8> {
        self.keys.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(former) = &self.former {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, former);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_in_the_line_that_explains_them() {
        for key in 0..=u8::MAX {
            let known = !matches!(act(key), None | Some(Act::Help));
            let named = KEYS.split("   ").any(|it| it.as_bytes()[0] == key.to_ascii_lowercase());
            assert_eq!(known, named || key == 4, "{key}");
        }
        assert_eq!(act(b'\n'), None);
        assert_eq!(act(b'K'), Some(Act::Fail(Cause::Killed)));
    }
}
