//! The life of a server that is attached to a pool.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use rserpool::element::State;
use rserpool::{PeId, RegisterError, StartError};
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::check::Asked;
use super::health::{Change, Health};
use super::membership::Membership;
use super::reaper::Reaper;
use super::server::Server;
use super::signals::{Received, Signals};
use super::{Config, connections};
use crate::deadline::{FAR_FUTURE, after};

/// After how long without a registrar it is said.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to get back into the pool.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether the last connection has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Why a server could not be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The command cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// What was to be started.
        program: OsString,
        /// Why it was not.
        source: io::Error,
    },
    /// The process that is to be watched is not there, or cannot be watched.
    #[error("cannot watch process {number}: {source}")]
    Process {
        /// Its number.
        number: u32,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be handled.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
    /// The element cannot be started. The server has been ended.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server cannot be checked any more. It has been ended.
    #[error("the checks of the server have ended")]
    Checking,
    /// No registrar takes the element into the pool. The server has been ended.
    #[error(transparent)]
    Rejected(#[from] RegisterError),
}

/// What happens to a server that is attached to a pool.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// It is in the pool.
    In(PeId),
    /// Its checks have taken it out of the pool; why.
    Out(String),
}

/// A server that is attached to a pool.
pub struct Attach<F> {
    config: Config,
    on_event: F,
    server: Server,
    membership: Membership,
    health: Health,
    signals: Signals,
    rounds: mpsc::Receiver<Result<(), String>>,
    tasks: Vec<JoinHandle<()>>,
    /// It was in the pool once.
    was_in: bool,
    /// When to try again after a rejection, and how long to wait after the next one.
    retry: Option<Instant>,
    pause: Duration,
    began: Instant,
    said: bool,
}

impl<F: FnMut(Event)> Attach<F> {
    /// Starts the server, and its checks. Takes over the signals of this process, and waits for all
    /// of its child processes from then on: there may be no others.
    ///
    /// # Errors
    ///
    /// [`AttachError`]; nothing runs then.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with IO and time.
    pub fn start(config: Config, on_event: F) -> Result<Self, AttachError> {
        let signals = Signals::new().map_err(AttachError::Signals)?;
        // Where a server goes into the background it stays a descendant.
        if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            debug!(%error, "orphans are somebody else's");
        }
        let reaper = Reaper::default();
        let server = Server::start(&config, &reaper)?;
        let asked = Asked {
            checks: config.checks(),
            addresses: config.addresses().to_vec(),
            port: config.port(),
            timeout: config.timeout,
            reaper: reaper.clone(),
        };
        let (sender, rounds) = mpsc::channel(1);
        let reaping = tokio::spawn(async move {
            if let Err(error) = reaper.run().await {
                warn!(%error, "the ends of processes cannot be seen");
            }
        });
        let checking = tokio::spawn(check_again_and_again(asked, config.interval, sender));
        Ok(Self {
            membership: Membership::new(config.element.clone(), config.warmup),
            health: Health::new(config.rise, config.fall),
            config,
            on_event,
            server,
            signals,
            rounds,
            tasks: vec![reaping, checking],
            was_in: false,
            retry: None,
            pause: Duration::from_secs(1),
            began: Instant::now(),
            said: false,
        })
    }

    /// Looks after the server until it ends, by itself or by SIGTERM or SIGINT. The exit code is the
    /// server's: 128 + signal where one ended it.
    ///
    /// # Errors
    ///
    /// [`AttachError::Start`], [`AttachError::Rejected`]: at the start it cannot register, or no
    /// registrar takes it; [`AttachError::Checking`]. The server has ended.
    pub async fn run(mut self) -> Result<u8, AttachError> {
        let result = self.supervise().await;
        if result.is_err() {
            self.membership.leave().await;
            self.stop().await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        result
    }

    async fn supervise(&mut self) -> Result<u8, AttachError> {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let retry = self.retry;
            tokio::select! {
                biased;
                code = self.server.ended() => {
                    info!(code, "the server has ended");
                    self.membership.leave().await;
                    return Ok(code);
                }
                received = self.signals.next() => match received {
                    Received::End => return Ok(self.drain().await),
                    Received::ForServer(signal) => self.server.signal(signal),
                },
                round = self.rounds.recv() => {
                    self.judge(round.ok_or(AttachError::Checking)?).await?;
                }
                state = self.membership.changed() => self.take(state).await?,
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    self.retry = None;
                    self.enter()?;
                }
                _ = seconds.tick() => self.each_second(),
            }
        }
    }

    /// What a round of checks means for the membership.
    async fn judge(&mut self, round: Result<(), String>) -> Result<(), AttachError> {
        let round = match self.server.is_stopped() {
            true if !self.config.checks().contains(&super::Check::None) => {
                Err("the process is stopped".to_owned())
            }
            _ => round,
        };
        if let Err(why) = &round {
            debug!(why, "a check is bad");
        }
        match self.health.observe(Instant::now(), round.is_ok()) {
            Some(Change::Up) => {
                self.began = Instant::now();
                self.enter()?;
            }
            Some(Change::Down) => {
                self.retry = None;
                self.membership.leave().await;
                let why = round.err().unwrap_or_default();
                warn!(why, flapping_pause = ?self.health.penalty(), "out of the pool");
                (self.on_event)(Event::Out(why));
            }
            None => {}
        }
        Ok(())
    }

    /// What a state of the membership means.
    async fn take(&mut self, state: State) -> Result<(), AttachError> {
        if let State::Registered { id, .. } = &state {
            if !self.was_in || self.said {
                info!(element = %id, "in the pool");
            }
            (self.was_in, self.said) = (true, false);
            self.pause = Duration::from_secs(1);
            (self.on_event)(Event::In(*id));
        }
        let Some(error) = state.error() else { return Ok(()) };
        if !self.was_in {
            return Err(error.into());
        }
        self.membership.leave().await;
        self.try_again(&error);
        Ok(())
    }

    /// Joins the pool. What forbids it at the start is wrong with the configuration; what forbids it
    /// later, such as a want of descriptors, may pass.
    fn enter(&mut self) -> Result<(), AttachError> {
        match self.membership.enter() {
            Err(error) if self.was_in => self.try_again(&error),
            entered => entered?,
        }
        Ok(())
    }

    fn try_again(&mut self, error: &dyn std::error::Error) {
        warn!(%error, again_in = ?self.pause, "not in the pool");
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(RETRY_MAX);
    }

    fn each_second(&mut self) {
        self.membership.warm();
        let is_late = self.membership.is_in() && self.began.elapsed() >= SILENCE_MAX;
        if is_late && !self.was_in && !self.said {
            warn!("waiting for a registrar: {}", self.membership.attempts());
            self.said = true;
        }
    }

    /// Out of the pool, then no connection any more, then the end. A further signal shortens that.
    async fn drain(&mut self) -> u8 {
        if let [_, checking] = &*self.tasks {
            checking.abort();
        }
        self.membership.leave().await;
        let (deadline, port) = (after(Instant::now(), self.config.drain), self.config.port());
        while Instant::now() < deadline && connections::open(port) > 0 {
            tokio::select! {
                biased;
                code = self.server.ended() => return code,
                received = self.signals.next() => match received {
                    Received::End => break,
                    Received::ForServer(signal) => self.server.signal(signal),
                },
                () = sleep(LOOK) => {}
            }
        }
        self.stop().await
    }

    /// Ends the server.
    async fn stop(&mut self) -> u8 {
        if !self.server.is_child() {
            return 0;
        }
        self.server.signal(Signal::TERM);
        // A process that stands still takes the signal when it goes on.
        self.server.signal(Signal::CONT);
        let deadline = after(Instant::now(), self.config.stop_timeout);
        if let Ok(code) = timeout_at(deadline, self.server.ended()).await {
            return code;
        }
        warn!(after = ?self.config.stop_timeout, "the server does not end: it is killed");
        self.server.kill();
        self.server.ended().await
    }
}

/// One round each interval, from start to start; what is late is left out.
async fn check_again_and_again(
    asked: Asked,
    pause: Duration,
    to: mpsc::Sender<Result<(), String>>,
) {
    let mut ticks = interval(pause.clamp(Duration::from_millis(1), FAR_FUTURE));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if to.send(asked.round().await).await.is_err() {
            return;
        }
    }
}
