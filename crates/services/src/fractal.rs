//! The fractal generator: pictures, point by point, with a state in which any server can go on.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use rserpool::server::{CookieError, Event, LoadReport, Service, Session};
use rserpool::wire::param::{Policy, PolicyField};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};

use generator::{Generator, Outgoing, Piece};

pub mod compute;
mod generator;
pub mod packet;

/// The service.
#[derive(Debug)]
pub(crate) struct Fractal {
    /// Of the pool: a weight in it is measured.
    policy: Policy,
    processors: usize,
    /// A permit for each.
    idle: Arc<Semaphore>,
    /// Of all processors, in millions of iterations a second.
    capacity: f64,
}

/// A client gets to see how it goes on at least so often.
const TURN_MAX: Duration = Duration::from_millis(200);
/// How long the capacity is measured.
const MEASURING: Duration = Duration::from_millis(50);

impl Service for Fractal {
    async fn serve(self: Arc<Self>, mut session: Session) {
        let mut generator = Generator::default();
        loop {
            let outgoing = tokio::select! {
                biased;
                event = session.next() => match event {
                    Some(Event::Message { octets, .. }) => {
                        match generator.begin(Instant::now(), &octets) {
                            Ok(cookie) => vec![cookie],
                            Err(error) => {
                                warn!(%error, "a picture that cannot be");
                                return;
                            }
                        }
                    }
                    Some(Event::Resumed(cookie)) => {
                        generator.resume(Instant::now(), &cookie);
                        if let Some(Piece { from, .. }) = generator.piece() {
                            info!(from, "a picture goes on");
                        }
                        Vec::new()
                    }
                    Some(Event::Draining) => {
                        let last = generator.hand_over(Instant::now());
                        let _ = send(&session, last).await;
                        return;
                    }
                    Some(_) => Vec::new(),
                    None => return,
                },
                points = self.compute(generator.piece()) => {
                    let outgoing = generator.computed(Instant::now(), points);
                    if generator.piece().is_none() {
                        info!("a picture is complete");
                    }
                    outgoing
                }
            };
            if send(&session, outgoing).await.is_err() {
                return;
            }
        }
    }

    fn load_report(&self, sessions: usize, sessions_max: usize) -> LoadReport {
        let mut standing = LoadReport::of_sessions(sessions, sessions_max);
        standing.policy = self.weighted(sessions);
        standing
    }
}

impl Fractal {
    /// Measures what this host can do. Where the pool's policy goes by weight, `policy` gets its
    /// weight from that.
    pub(crate) fn new(policy: Policy) -> Self {
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        let capacity = compute::millions_a_second(MEASURING) * as_f64(processors);
        info!(processors, capacity, "measured, in millions of iterations a second");
        let idle = Arc::new(Semaphore::new(processors));
        Self { policy, processors, idle, capacity }
    }

    /// The policy with a weight that says what is left for one session more.
    fn weighted(&self, sessions: usize) -> Option<Policy> {
        let fields = self.policy.policy_type().fields()?;
        if !fields.contains(&PolicyField::Weight) {
            return None;
        }
        let left = self.capacity / (1.0 + as_f64(sessions) / as_f64(self.processors));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let weight = left.round().max(1.0) as u32;
        Some(self.policy.clone().with(PolicyField::Weight, weight))
    }

    /// Computes on whatever processor is idle; for ever where there is nothing to do.
    async fn compute(&self, piece: Option<Piece>) -> Vec<u32> {
        let (Some(piece), Ok(permit)) = (piece, Arc::clone(&self.idle).acquire_owned().await)
        else {
            return std::future::pending().await;
        };
        let turn = move || {
            let end = Instant::now() + TURN_MAX;
            let Piece { parameter, from, count } = piece;
            let points = compute::points(&parameter, from, count, || Instant::now() < end);
            drop(permit);
            points
        };
        // It only ends otherwise where the process ends.
        spawn_blocking(turn).await.unwrap_or_default()
    }
}

async fn send(
    session: &Session,
    outgoing: impl IntoIterator<Item = Outgoing>,
) -> Result<(), CookieError> {
    for outgoing in outgoing {
        match outgoing {
            Outgoing::Message(octets) => session.send(packet::PPID, &octets).await?,
            Outgoing::Cookie(state) => session.send_cookie(&state).await?,
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "processors and sessions")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
