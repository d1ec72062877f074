//! `rserpool connect`: a session with a pool, from a terminal or a script.

use std::collections::VecDeque;
use std::io::{BufRead as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use rserpool::session::{self, Event};
use rserpool::wire::param::PoolHandle;
use rserpool::{PoolUser, Session, transport_options, user};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::command::resolve::pool_handle;
use crate::failure::{OutputError, no_registrar};
use crate::output::Output;
use crate::registrars::RegistrarArgs;
use crate::runtime;

/// Sends each line of standard input to a server of a pool, and writes what comes back to standard
/// output. When the server fails, another one takes over: lines without an answer are sent again.
/// At the end of the input it waits for the answers that are due.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// A server that has answered before and then does not answer for so long has failed.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    answer_timeout: Duration,

    /// How long to look for a server that accepts.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    failover_timeout: Duration,

    #[command(flatten)]
    registrars: RegistrarArgs,
}

/// Lines that wait for their answers: so many are kept to be sent again.
const UNANSWERED_MAX: usize = 10_000;

impl Args {
    pub(crate) fn run(self, _output: &mut Output) -> anyhow::Result<()> {
        runtime::block_on(async {
            let timing = self.registrars.timing();
            let mut config = user::Config::new(self.registrars.registrars.clone());
            config.listen = self.registrars.listen();
            config.user.timing = timing;
            let user = PoolUser::start(config)?;
            let config = session::Config {
                failover_timeout: self.failover_timeout,
                transport: transport_options(&timing),
                ..session::Config::default()
            };
            let describe = self.registrars.describe();
            let session = Session::connect(user, self.pool.clone(), config)
                .await
                .map_err(|error| no_registrar(error, &describe))
                .with_context(|| format!("cannot connect to {}", self.pool))?;
            let mut terminal = Terminal {
                session,
                unanswered: VecDeque::new(),
                has_answered: false,
                answer_timeout: self.answer_timeout,
                heard: Instant::now(),
            };
            terminal.run().await
        })
    }
}

/// A session between standard input and standard output.
struct Terminal {
    session: Session,
    /// Lines without an answer, oldest first.
    unanswered: VecDeque<Vec<u8>>,
    /// The service is one that answers.
    has_answered: bool,
    answer_timeout: Duration,
    /// When the server was last heard of, or asked for the first time.
    heard: Instant,
}

impl Terminal {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut lines = lines_of_stdin();
        let mut input_ended = false;
        loop {
            if input_ended && self.unanswered.is_empty() {
                return Ok(());
            }
            let overdue = self.heard + self.answer_timeout;
            tokio::select! {
                line = lines.recv(), if !input_ended && self.unanswered.len() < UNANSWERED_MAX => {
                    match line {
                        Some(line) => self.ask(line)?,
                        None => {
                            input_ended = true;
                            self.heard = Instant::now();
                        }
                    }
                }
                event = self.session.next() => self.on_event(event?)?,
                () = sleep_until(overdue), if !self.unanswered.is_empty() => {
                    if self.has_answered {
                        self.session.fail_over();
                    } else if input_ended {
                        // A service that never answers owes none.
                        return Ok(());
                    }
                    self.heard = Instant::now();
                }
            }
        }
    }

    fn ask(&mut self, line: Vec<u8>) -> anyhow::Result<()> {
        if self.unanswered.is_empty() {
            self.heard = Instant::now();
        }
        self.session.send(&line).context("cannot send")?;
        self.unanswered.push_back(line);
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> anyhow::Result<()> {
        self.heard = Instant::now();
        match event {
            Event::Received(octets) => {
                self.has_answered = true;
                // A message, or as many lines as the stream had.
                let answers = octets.iter().filter(|&&octet| octet == b'\n').count().max(1);
                self.unanswered.drain(..answers.min(self.unanswered.len()));
                let mut stdout = std::io::stdout();
                let written = stdout.write_all(&octets).and_then(|()| stdout.flush());
                Ok(written.map_err(OutputError::from)?)
            }
            Event::FailedOver { from, to, .. } => {
                eprintln!("server {from} failed, going on with {to}");
                for line in &self.unanswered {
                    self.session.send(line).context("cannot send again")?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The lines of standard input, each with its line end. A thread waits for them, since standard
/// input cannot be waited for in another way everywhere.
fn lines_of_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match stdin.read_until(b'\n', &mut line) {
                Ok(1..) if sender.blocking_send(line).is_ok() => {}
                _ => return,
            }
        }
    });
    receiver
}
