//! One job, on as many servers as it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use rserpool::session::Event;
use rserpool::wire::param::PoolHandle;
use rserpool::{PoolUser, Session};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::sessions::{EVER, SessionArgs, say};
use rserpool_services::exec::job::{Client, Output, Progress};
use rserpool_services::exec::packet::{Outcome, PPID, Refusal};

/// What all jobs have in common.
pub(super) struct Worker {
    pub(super) sessions: SessionArgs,
    pub(super) user: PoolUser,
    pub(super) pool: PoolHandle,
    pub(super) job: String,
    pub(super) retries: u32,
    /// How long a server may take to say whether it runs a job.
    pub(super) answer_timeout: Duration,
    pub(super) output_max: usize,
}

/// What became of a job.
#[derive(Debug)]
pub(super) struct Ended {
    /// How the command ended; the text where it did not get that far.
    pub(super) outcome: Result<Outcome, String>,
    pub(super) output: Output,
    /// On how many servers it was begun.
    pub(super) attempts: u32,
    /// The last one.
    pub(super) server: Option<String>,
}

/// When to ask busy servers again, at first and at last: however long, for jobs may be.
const BUSY_PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

impl Worker {
    /// Runs a job. With it comes an error that all other jobs will have, too.
    pub(super) async fn run(&self, number: u64, input: &[u8]) -> (Ended, Option<anyhow::Error>) {
        let mut ended = Ended::failed(String::new());
        match self.try_all(number, input, &mut ended).await {
            Ok(()) => (ended, None),
            Err(error) => {
                ended.outcome = Err(format!("{error:#}"));
                (ended, Some(error))
            }
        }
    }

    async fn try_all(&self, number: u64, input: &[u8], ended: &mut Ended) -> anyhow::Result<()> {
        let mut pause = BUSY_PAUSE[0];
        while ended.attempts <= self.retries {
            let session = self.sessions.connect(&self.user, &self.pool, PPID).await?;
            let progress = self.attempt(&session, number, input, &mut ended.attempts).await?;
            ended.server = session.server().map(|server| server.id.to_string());
            tokio::spawn(session.close());
            match progress {
                Progress::Done(outcome, output) => {
                    (ended.outcome, ended.output) = (Ok(outcome), output);
                    return Ok(());
                }
                Progress::Refused(Refusal::Busy, _) => {
                    // It has not begun.
                    ended.attempts -= 1;
                    sleep(pause).await;
                    pause = (pause * 2).min(BUSY_PAUSE[1]);
                }
                Progress::Refused(Refusal::Unknown, text) => bail!(UnknownJob(text)),
                // It would say as much on any other server.
                Progress::Overflow => {
                    ended.outcome = Err("it says more than is taken".into());
                    return Ok(());
                }
                Progress::Refused(Refusal::Broken, text) => ended.outcome = Err(text),
                Progress::Broken(why) => ended.outcome = Err(why.into()),
                Progress::Runs => {}
            }
        }
        Ok(())
    }

    /// One session: the job is begun again at each server that takes the session over. Servers that
    /// do not know it are left for others.
    async fn attempt(
        &self,
        session: &Session,
        number: u64,
        input: &[u8],
        attempts: &mut u32,
    ) -> anyhow::Result<Progress> {
        let begin = || Client::new(number, &self.job, input, self.output_max);
        let (mut client, run) = begin();
        let mut lacking = BTreeMap::new();
        *attempts += 1;
        say(session, &run.encode()).await?;
        loop {
            // A command may take its time; the servers' limits bound it.
            let patience = if client.is_accepted() { EVER } else { self.answer_timeout };
            let Ok(event) = timeout(patience, session.next()).await else {
                session.force_failover();
                continue;
            };
            match event.map_err(|error| self.sessions.explain(&self.pool, error))? {
                Event::Received(octets) => match client.receive(&octets) {
                    Progress::Runs => {}
                    Progress::Refused(Refusal::Unknown, text) => {
                        // It has not begun.
                        *attempts -= 1;
                        lacking.extend(session.server().map(|server| (server.id, text)));
                        session.switch_server();
                    }
                    end => return Ok(end),
                },
                Event::FailedOver { to, .. } => {
                    if let Some(text) = lacking.remove(&to) {
                        return Ok(Progress::Refused(Refusal::Unknown, text));
                    }
                    if *attempts > self.retries {
                        return Ok(Progress::Broken("its servers fail one after the other"));
                    }
                    *attempts += 1;
                    let (anew, run) = begin();
                    client = anew;
                    say(session, &run.encode()).await?;
                }
                _ => {}
            }
            while let Some(packet) = client.poll() {
                say(session, &packet.encode()).await?;
            }
        }
    }
}

/// No server has a job of that name: there is nothing to run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnknownJob(String);

impl Ended {
    /// It did not get so far as to end by itself.
    pub(super) fn failed(why: String) -> Self {
        Self { outcome: Err(why), output: Output::default(), attempts: 0, server: None }
    }

    /// True where the command ended by itself with 0.
    pub(super) fn is_good(&self) -> bool {
        self.outcome == Ok(Outcome::Exited(0))
    }

    /// Why it failed, for people; `None` where it did not.
    pub(super) fn why(&self) -> Option<String> {
        match &self.outcome {
            Ok(Outcome::Exited(0)) => None,
            Ok(Outcome::Exited(code)) => Some(format!("exit code {code}")),
            Ok(Outcome::Signalled(signal)) => Some(format!("ended by signal {signal}")),
            Ok(Outcome::TimeLimit) => Some("it took longer than it may".into()),
            Ok(Outcome::OutputLimit) => Some("it said more than it may".into()),
            Err(text) => Some(text.clone()),
        }
    }

    /// It as JSON.
    pub(super) fn json(&self, number: u64) -> Value {
        let (outcome, code) = match &self.outcome {
            Ok(Outcome::Exited(code)) => ("exited", Some(*code)),
            Ok(Outcome::Signalled(signal)) => ("signalled", Some(*signal)),
            Ok(Outcome::TimeLimit) => ("time-limit", None),
            Ok(Outcome::OutputLimit) => ("output-limit", None),
            Err(_) => ("failed", None),
        };
        json!({
            "job": number,
            "outcome": outcome,
            "code": code,
            "why": self.why(),
            "attempts": self.attempts,
            "server": self.server,
            "stdout": String::from_utf8_lossy(&self.output.out),
            "stderr": String::from_utf8_lossy(&self.output.err),
        })
    }
}
