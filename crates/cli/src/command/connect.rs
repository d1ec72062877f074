//! `rserpool connect`: a session with a pool, from a terminal or a script.

mod lines;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::mem;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rserpool::Session;
use rserpool::session::{Event, FailureReason, SendError};
use rserpool::transport::Ppid;
use rserpool::wire::param::{PeId, PoolHandle, Transport};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::command::resolve::pool_handle;
use crate::exit::OutputError;
use crate::output::Output;
use crate::runtime;
use crate::sessions::{FRUITLESS_MAX, SessionArgs};
use lines::{LINE_MAX, Lines, Piece, lines_of_stdin};

/// Talk to a pool: standard input goes to a server, its answers to standard output.
///
/// Each line of standard input is sent to a server of the pool; what comes back is written to
/// standard output. When the server fails, another one takes over, and lines without an answer are
/// sent again.
///
/// At the end of the input it waits for the answers that are due, or, if nothing was asked, for
/// what the service sends by itself. A server that takes lines and does not answer is left for
/// another one. If no server answers, and none closes the session in good order, the command fails.
///
/// A line may have 64 MiB. Over SCTP, framed TCP and UDP, a long line is sent as messages of 32
/// KiB.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pool handle.
    #[arg(value_parser = pool_handle)]
    pool: PoolHandle,

    /// A server that does not answer for this long has failed; one that has never answered is left
    /// for another one.
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

/// A session between standard input and standard output.
struct Terminal<'a> {
    args: &'a Args,
    session: Session,
    lines: Lines,
    input_ended: bool,
    service: Answers,
    /// Nothing can be sent until another server has the session.
    is_lost: bool,
    /// This server has sent something, and nothing was sent to it.
    speaks_first: bool,
    /// The beginning of a line that the server has not ended yet.
    begun: Vec<u8>,
    /// When the server was last heard of, has taken something, or was asked for the first time.
    heard: Instant,
    /// Servers that were asked and said nothing.
    silent: BTreeSet<PeId>,
    /// Answers to keep-alives before the server of the moment.
    keep_alives_before: u64,
    /// Servers in a row that did not answer.
    fruitless: u32,
    /// Lines that nobody has answered, and that are not asked again.
    unanswered: usize,
}

/// Whether a service answers what it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    /// It was not asked yet, or just now.
    Unknown,
    /// It has answered before.
    Always,
    /// It lives, has had its time, and owes nothing.
    Never,
    /// Every server has had its time; whether one of them lives shows at the end.
    Doubtful,
}

impl<'a> Terminal<'a> {
    fn new(args: &'a Args, session: Session) -> Self {
        Self {
            args,
            session,
            lines: Lines::default(),
            input_ended: false,
            service: Answers::Unknown,
            is_lost: false,
            speaks_first: false,
            begun: Vec::new(),
            heard: Instant::now(),
            silent: BTreeSet::new(),
            keep_alives_before: 0,
            fruitless: 0,
            unanswered: 0,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        if let Some(server) = self.session.server() {
            info!("server {} has the session", server.id);
        }
        let mut input = lines_of_stdin();
        let mut was_asked = false;
        loop {
            if self.input_ended && self.lines.is_empty() && was_asked {
                self.write_begun()?;
                return self.finish().await;
            }
            let reads = !self.input_ended && self.lines.has_room();
            let patience = self.args.answer_timeout.saturating_sub(self.heard.elapsed());
            // A service that speaks without being asked is heard out.
            let waits = !self.lines.is_empty() || !self.begun.is_empty() || self.input_ended;
            let unsent = self.lines.unsent().filter(|_| !self.is_lost);
            tokio::select! {
                piece = input.recv(), if reads => match piece {
                    Some(piece) => {
                        was_asked = true;
                        self.ask(piece?)?;
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
                sent = self.session.send(unsent.unwrap_or_default()), if unsent.is_some() => {
                    self.on_sent(sent)?;
                }
                () = sleep(patience), if waits && !self.is_lost => {
                    if self.on_overdue()?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn ask(&mut self, piece: Piece) -> anyhow::Result<()> {
        if self.lines.is_empty() {
            self.heard = Instant::now();
        }
        self.lines.push(piece)
    }

    /// A piece is on its way, or its server has failed.
    fn on_sent(&mut self, sent: Result<(), SendError>) -> anyhow::Result<()> {
        match sent {
            // What takes something lives.
            Ok(()) => (self.heard, self.speaks_first) = (Instant::now(), false),
            Err(SendError::ServerLost) => {
                self.is_lost = true;
                return Ok(());
            }
            Err(error) => return Err(error).context("cannot send"),
        }
        self.lines.sent();
        self.expect_nothing();
        Ok(())
    }

    /// Forgets what is on its way to a service that does not answer.
    fn expect_nothing(&mut self) {
        match self.service {
            Answers::Unknown | Answers::Always => {}
            Answers::Never => drop(self.lines.forget_sent()),
            Answers::Doubtful => self.unanswered += self.lines.forget_sent(),
        }
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
            Event::FailoverNeeded { .. } => self.is_lost = true,
            Event::FailedOver { from, to, .. } => self.on_failover(from, to)?,
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn on_failover(&mut self, from: PeId, to: PeId) -> anyhow::Result<()> {
        let was_asked_before = self.silent.contains(&to);
        // That there is nobody else is no news.
        if !(was_asked_before && from == to) {
            eprintln!("server {from} failed, going on with {to}");
        }
        self.fruitless += 1;
        if self.fruitless > FRUITLESS_MAX {
            bail!("the servers of {} do not answer", self.args.pool);
        }
        if self.service == Answers::Unknown && was_asked_before {
            self.service = Answers::Doubtful;
        }
        (self.is_lost, self.speaks_first) = (false, false);
        self.keep_alives_before = self.session.stats().keep_alives_answered;
        self.begun.clear();
        self.lines.send_again();
        Ok(())
    }

    /// A message is an answer, whatever it has in it; in a stream each line is one.
    fn on_answer(&mut self, octets: Vec<u8>) -> anyhow::Result<()> {
        self.service = Answers::Always;
        self.fruitless = 0;
        self.speaks_first |= !self.lines.has_sent();
        if self.is_stream() {
            let end = octets.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
            let (ends, begins) = octets.split_at(end);
            let early = self.lines.answered_lines(count_lines(ends));
            self.unanswered = self.unanswered.saturating_sub(early);
            if !ends.is_empty() {
                self.begun.extend(ends);
                self.write_begun()?;
            }
            self.begun.extend(begins);
            if self.begun.len() > LINE_MAX {
                self.write_begun()?;
            }
        } else {
            let early = self.lines.answered_messages(count_lines(&octets).max(1));
            self.unanswered = self.unanswered.saturating_sub(early);
            write(&octets)?;
        }
        Ok(())
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
            self.lines.answered_lines(1);
            self.write_begun()?;
        } else if self.lines.is_empty() {
            // The input has ended, nothing was asked, and nothing is said.
            return Ok(ControlFlow::Break(()));
        } else if self.lives() {
            if self.service == Answers::Always {
                self.leave();
            } else if self.lines.unsent().is_none() {
                self.service = Answers::Never;
                self.expect_nothing();
            }
        } else {
            self.leave();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Wants another server than this one, which says nothing.
    fn leave(&mut self) {
        self.silent.extend(self.session.server().map(|server| server.id));
        self.is_lost = true;
        self.session.force_failover();
    }

    /// True where the server has told on its control channel that it lives.
    fn lives(&self) -> bool {
        self.session.stats().keep_alives_answered > self.keep_alives_before
    }

    /// All input is sent, and what is due has come. Where nothing has come, a server that ends its
    /// connection in good order has taken all, and did not want to say anything.
    async fn finish(self) -> anyhow::Result<()> {
        let server = self.session.server();
        let is_tcp =
            server.is_some_and(|server| matches!(server.user_transport, Transport::Tcp { .. }));
        if self.unanswered == 0 {
            return Ok(());
        }
        let is_taken = self.session.close().await && is_tcp;
        if !is_taken {
            let (count, pool) = (self.unanswered, &self.args.pool);
            let lines = if count == 1 { "1 line has" } else { &format!("{count} lines have") };
            bail!("{lines} no answer: the servers of {pool} accept sessions and do not answer");
        }
        Ok(())
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
