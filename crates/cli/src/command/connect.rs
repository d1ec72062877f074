//! `rserpool connect`: a session with a pool, from a terminal or a script.

use std::collections::VecDeque;
use std::io::{BufRead as _, Write as _};
use std::mem;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context as _;
use rserpool::Session;
use rserpool::session::{Event, FailureReason};
use rserpool::transport::{Ppid, SendError};
use rserpool::wire::param::{PoolHandle, Transport};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::command::resolve::pool_handle;
use crate::failure::OutputError;
use crate::output::Output;
use crate::runtime;
use crate::sessions::SessionArgs;

/// Sends each line of standard input to a server of a pool, and writes what comes back to standard
/// output. When the server fails, another one takes over: lines without an answer are sent again.
/// At the end of the input it waits for the answers that are due; where nothing was asked, for what
/// the service says by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// A server that has answered before and then does not answer for so long has failed.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    answer_timeout: Duration,

    #[command(flatten)]
    sessions: SessionArgs,
}

impl Args {
    pub(crate) fn run(self, _output: &mut Output) -> anyhow::Result<()> {
        runtime::block_on(async {
            let user = self.sessions.user()?;
            let session = self.sessions.connect(&user, &self.pool, Ppid::default()).await?;
            Terminal::new(&self, session).run().await
        })
    }
}

/// Lines that wait for their answers: so many are kept to be sent again.
const UNANSWERED_MAX: usize = 10_000;
/// And so many octets, so that neither side has to keep more for the other than it is ready to.
const UNANSWERED_OCTETS_MAX: usize = 1 << 20;
/// When to try again where the server takes less than is sent.
const RETRY: Duration = Duration::from_millis(10);

/// A session between standard input and standard output.
struct Terminal<'a> {
    args: &'a Args,
    session: Session,
    /// Lines without an answer, oldest first; the first `sent` of them are on their way.
    lines: VecDeque<Vec<u8>>,
    sent: usize,
    /// The octets of these lines.
    octets: usize,
    input_ended: bool,
    service: Answers,
    /// This server has sent something, and nothing was sent to it.
    speaks_first: bool,
    /// The beginning of a line that the server has not ended yet.
    begun: Vec<u8>,
    /// When the server was last heard of, or asked for the first time.
    heard: Instant,
}

/// Whether a service answers what it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    /// It was not asked yet, or just now.
    Unknown,
    /// It has answered before.
    Always,
    /// It has had its time, and owes nothing.
    Never,
}

impl<'a> Terminal<'a> {
    fn new(args: &'a Args, session: Session) -> Self {
        Self {
            args,
            session,
            lines: VecDeque::new(),
            sent: 0,
            octets: 0,
            input_ended: false,
            service: Answers::Unknown,
            speaks_first: false,
            begun: Vec::new(),
            heard: Instant::now(),
        }
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        if let Some(server) = self.session.server() {
            info!("server {} has the session", server.id);
        }
        let mut input = lines_of_stdin();
        let mut was_asked = false;
        loop {
            if self.input_ended && self.lines.is_empty() && was_asked {
                return self.write_begun();
            }
            let has_room = self.lines.len() < UNANSWERED_MAX && self.octets < UNANSWERED_OCTETS_MAX;
            let patience = self.args.answer_timeout.saturating_sub(self.heard.elapsed());
            // A service that speaks without being asked is heard out.
            let waits = !self.lines.is_empty() || !self.begun.is_empty() || self.input_ended;
            tokio::select! {
                line = input.recv(), if !self.input_ended && has_room => match line {
                    Some(line) => {
                        was_asked = true;
                        self.ask(line)?;
                    }
                    None => {
                        self.input_ended = true;
                        self.heard = Instant::now();
                    }
                },
                event = self.session.next() => {
                    let Args { sessions, pool, .. } = self.args;
                    let event = event.map_err(|error| sessions.explain(pool, error))?;
                    if self.on_event(event)?.is_break() {
                        return Ok(());
                    }
                }
                () = sleep(RETRY), if self.sent < self.lines.len() => self.send()?,
                () = sleep(patience), if waits => {
                    if self.on_overdue()?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn ask(&mut self, line: Vec<u8>) -> anyhow::Result<()> {
        if self.lines.is_empty() {
            self.heard = Instant::now();
        }
        self.octets += line.len();
        self.lines.push_back(line);
        self.send()
    }

    /// Sends what was not sent yet, as far as the server takes it.
    fn send(&mut self) -> anyhow::Result<()> {
        while let Some(line) = self.lines.get(self.sent) {
            match self.session.send(line) {
                Ok(()) => self.sent += 1,
                Err(SendError::Full) => break,
                Err(error) => return Err(error).context("cannot send"),
            }
            self.speaks_first = false;
        }
        if self.service == Answers::Never {
            self.answered(self.sent);
        }
        Ok(())
    }

    /// Forgets lines that have their answers.
    fn answered(&mut self, count: usize) {
        let count = count.min(self.sent);
        self.octets -= self.lines.drain(..count).map(|line| line.len()).sum::<usize>();
        self.sent -= count;
    }

    fn on_event(&mut self, event: Event) -> anyhow::Result<ControlFlow<()>> {
        self.heard = Instant::now();
        match event {
            Event::Received(octets) => self.on_answer(octets)?,
            Event::FailoverNeeded { reason: FailureReason::Closed, .. } if self.speaks_first => {
                // That was all that it had to say, as with the time of day.
                self.write_begun()?;
                return Ok(ControlFlow::Break(()));
            }
            Event::FailedOver { from, to, .. } => {
                eprintln!("server {from} failed, going on with {to}");
                self.begun.clear();
                self.sent = 0;
                self.speaks_first = false;
                self.send()?;
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A message is an answer, whatever it has in it; in a stream each line is one.
    fn on_answer(&mut self, octets: Vec<u8>) -> anyhow::Result<()> {
        self.service = Answers::Always;
        self.speaks_first |= self.sent == 0;
        if self.is_stream() {
            self.begun.extend(octets);
            let end = self.begun.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
            let rest = self.begun.split_off(end);
            let lines = mem::replace(&mut self.begun, rest);
            self.answered(count_lines(&lines));
            write(&lines)?;
        } else {
            self.answered(count_lines(&octets).max(1));
            write(&octets)?;
        }
        // There is room for more.
        self.send()
    }

    fn is_stream(&self) -> bool {
        let server = self.session.server();
        server.is_none_or(|server| !matches!(server.user_transport, Transport::Sctp(_)))
    }

    /// The server has been silent for so long as it may be.
    fn on_overdue(&mut self) -> anyhow::Result<ControlFlow<()>> {
        self.heard = Instant::now();
        if !self.begun.is_empty() {
            // A service that does not end its answers with a line end.
            self.answered(1);
            self.write_begun()?;
        } else if self.lines.is_empty() {
            // The input has ended, nothing was asked, and nothing is said.
            return Ok(ControlFlow::Break(()));
        } else if self.service == Answers::Always {
            self.session.fail_over();
        } else {
            self.service = Answers::Never;
            self.send()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn write_begun(&mut self) -> anyhow::Result<()> {
        Ok(write(&mem::take(&mut self.begun))?)
    }
}

fn count_lines(octets: &[u8]) -> usize {
    octets.iter().filter(|&&octet| octet == b'\n').count()
}

fn write(octets: &[u8]) -> Result<(), OutputError> {
    let mut stdout = std::io::stdout();
    Ok(stdout.write_all(octets).and_then(|()| stdout.flush())?)
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
