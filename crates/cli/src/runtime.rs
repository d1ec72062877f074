//! The runtime of the commands that speak with others.

use std::fs::File;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::debug;

/// File descriptors of a runtime with its signals.
const RUNTIME_DESCRIPTORS: usize = 6;

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    raise_descriptor_limit();
    spare_descriptors().context("too few file descriptors: see ulimit -n")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(future);
    // A thread that waits for standard input must not keep the process.
    runtime.shutdown_background();
    result
}

/// Each association over TCP takes a file descriptor. Most systems give a process 1024, and more to
/// those that ask.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        debug!(%error, ?limit, "no more file descriptors to be had");
    }
}

/// How many file descriptors this process may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DescriptorLimit(Rlimit);

impl DescriptorLimit {
    /// As it is now.
    pub(crate) fn now() -> Self {
        Self(getrlimit(Resource::Nofile))
    }

    /// Makes it what it was: for a program that takes the place of this one, and may count on it.
    pub(crate) fn restore(self) {
        if let Err(error) = setrlimit(Resource::Nofile, self.0) {
            debug!(%error, "the limit of file descriptors stays");
        }
    }
}

/// Fails where this process cannot have as many descriptors as the runtime takes, which panics then.
fn spare_descriptors() -> std::io::Result<()> {
    let taken: Result<Vec<File>, _> =
        (0..RUNTIME_DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    taken.map(drop)
}

/// The signals that tell this process to end, SIGTERM and SIGINT: as long as they are waited for
/// here, they do not end it by themselves.
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// From now on they come here.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the next one. Cancelling loses none.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Signals that would end a process and mean nothing here: SIGUSR1 and SIGUSR2. As long as they are
/// waited for they end nothing.
pub(crate) struct IgnoredSignals {
    user1: Signal,
    user2: Signal,
}

impl IgnoredSignals {
    /// From now on they come here.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let user1 = signal(SignalKind::user_defined1()).context("cannot handle SIGUSR1")?;
        let user2 = signal(SignalKind::user_defined2()).context("cannot handle SIGUSR2")?;
        Ok(Self { user1, user2 })
    }

    /// The name of the next one. Cancelling loses none.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.user1.recv() => "SIGUSR1",
            _ = self.user2.recv() => "SIGUSR2",
        }
    }
}
