//! The signals of this process: to end, and to pass on.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// What is passed on to the server.
const PASSED: [(Signal, SignalKind); 5] = [
    (Signal::HUP, SignalKind::hangup()),
    (Signal::QUIT, SignalKind::quit()),
    (Signal::USR1, SignalKind::user_defined1()),
    (Signal::USR2, SignalKind::user_defined2()),
    (Signal::WINCH, SignalKind::window_change()),
];

/// The signals of this process. As long as this lives they end nothing by themselves.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    passed: Vec<(Signal, unix::Signal)>,
}

/// A signal that came.
pub(super) enum Received {
    /// SIGTERM, SIGINT.
    End,
    /// One that is for the server.
    ForServer(Signal),
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let of = |(number, kind): (Signal, SignalKind)| Ok((number, signal(kind)?));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            passed: PASSED.into_iter().map(of).collect::<io::Result<_>>()?,
        })
    }

    /// Waits for the next one. Cancelling loses none.
    pub(super) async fn next(&mut self) -> Received {
        let [(hup, s0), (quit, s1), (usr1, s2), (usr2, s3), (winch, s4)] = &mut *self.passed else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = self.terminate.recv() => Received::End,
            _ = self.interrupt.recv() => Received::End,
            _ = s0.recv() => Received::ForServer(*hup),
            _ = s1.recv() => Received::ForServer(*quit),
            _ = s2.recv() => Received::ForServer(*usr1),
            _ = s3.recv() => Received::ForServer(*usr2),
            _ = s4.recv() => Received::ForServer(*winch),
        }
    }
}
