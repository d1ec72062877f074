//! What runs the machine of a session: its transport, its clock, and its user.

use rserpool_proto::machine::Peer;
use rserpool_proto::session::client::{self as machine, Input, Loss, Output};
use rserpool_proto::user::Answer;
use rserpool_transport::{DownReason, Event as TransportEvent, Framing, Ppid, Remote};
use rserpool_wire::param::{PoolElement, Transport, TransportUse};
use rserpool_wire::{Message, Protocol};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::{Event, Pool, Session, Told};
use crate::Error;
use crate::associations::remote_of;
use crate::user::Resolving;

impl Session {
    /// Waits for something to tell the application.
    pub(super) async fn told(&mut self) -> Result<Told, Error> {
        loop {
            self.drain();
            if let Some(told) = self.told.pop_front() {
                return told;
            }
            if self.client.is_idle() {
                self.client.handle(self.now(), Input::Seek);
                continue;
            }
            self.wait().await;
        }
    }

    /// Waits for one thing, and hands it in.
    async fn wait(&mut self) {
        let timer = self.client.next_timeout().map(|due| self.origin + due.since_origin());
        // What has arrived comes first: it may be what a timer waits for.
        let input = tokio::select! {
            biased;
            event = self.pool.endpoints.next() => self.arrived(event),
            (question, answer) = answer(&mut self.resolving) => {
                self.resolving = None;
                match answer {
                    Ok(answer) => Some(Input::Answer(question, Ok(answer))),
                    Err(Error::Resolve(error)) => Some(Input::Answer(question, Err(error))),
                    Err(error) => {
                        self.told.push_back(Err(error));
                        None
                    }
                }
            }
            () = until(timer) => Some(Input::Timeout),
        };
        if let Some(input) = input {
            self.client.handle(self.now(), input);
        }
    }

    /// What the machine gets to know of something that happened at the transport.
    fn arrived(&mut self, event: TransportEvent) -> Option<Input> {
        let (peer, _) = self.assoc.filter(|(_, assoc)| *assoc == event.assoc())?;
        match event {
            TransportEvent::Up { .. } => Some(Input::Up(peer)),
            TransportEvent::Down { reason, .. } => {
                debug!(%reason, "server lost");
                self.assoc = None;
                Some(Input::Down(
                    peer,
                    match reason {
                        DownReason::Closed => Loss::Closed,
                        DownReason::System => Loss::System,
                        _ => Loss::Lost,
                    },
                ))
            }
            TransportEvent::Message { ppid: Ppid::ASAP, octets, .. } => {
                match Message::decode(Protocol::Asap, &octets).map(|decoded| decoded.message) {
                    Ok(Message::Asap(message)) => Some(Input::Control(peer, message)),
                    Ok(Message::Enrp(_)) | Err(_) => Some(Input::Malformed(peer)),
                }
            }
            TransportEvent::Message { octets, .. } => {
                self.told.push_back(Ok(Told::Event(Event::Received(octets))));
                Some(Input::Data(peer))
            }
            TransportEvent::Addresses { .. }
            | TransportEvent::Path { .. }
            | TransportEvent::Congested { .. }
            | TransportEvent::Drained { .. } => None,
        }
    }

    /// Does everything that the machine wants done.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Resolve(question) => {
                    let Pool { user, handle, config, .. } = &self.pool;
                    let answer = user.ask(handle, Some(config.items), None);
                    self.resolving = Some((question, answer));
                }
                Output::Connect(peer, element) => self.dial(peer, *element),
                Output::Control(peer, message) => {
                    if let Some((_, assoc)) = self.assoc.filter(|(known, _)| *known == peer) {
                        // A server that takes nothing more will be silent, or lost.
                        let octets = Message::from(message).encode();
                        let _ = self.pool.endpoints.send(assoc, Ppid::ASAP, &octets);
                    }
                }
                Output::Abort(peer) => {
                    if let Some((_, assoc)) = self.assoc.take_if(|(known, _)| *known == peer) {
                        self.pool.endpoints.abort(assoc);
                    }
                }
                Output::Report(id) => self.pool.user.report_unreachable(&self.pool.handle, id),
                Output::Event(event) => self.tell(event),
            }
        }
    }

    fn dial(&mut self, peer: Peer, element: PoolElement) {
        let Some((remote, framing)) = dialable(&element.user_transport) else {
            debug!(element = %element.id, "is reached in a way that sessions do not know");
            return self.client.handle(self.now(), Input::Down(peer, Loss::System));
        };
        match self.pool.endpoints.connect(&remote, framing) {
            Ok(assoc) => self.assoc = Some((peer, assoc)),
            Err(error) => {
                debug!(%error, element = %element.id, "cannot be dialed");
                self.refusal = Some(error);
                self.client.handle(self.now(), Input::Down(peer, Loss::CannotDial));
            }
        }
    }

    fn tell(&mut self, event: machine::Event) {
        let told = match event {
            machine::Event::Connected { .. } => Ok(Told::Connected),
            machine::Event::FailoverNeeded { from, reason } => {
                Ok(Told::Event(Event::FailoverNeeded { from, reason }))
            }
            machine::Event::FailedOver { from, to, reason, resumed } => {
                info!(%from, %to, %reason, resumed, "failed over");
                Ok(Told::Event(Event::FailedOver { from, to, reason, resumed }))
            }
            machine::Event::CookieStored { octets } => {
                debug!(octets, "cookie stored");
                return;
            }
            machine::Event::GaveUp(problem) => Err(self.error(problem)),
        };
        if let Some((_, server)) = self.client.server() {
            self.server = Some(server.clone());
        }
        self.told.push_back(told);
    }

    fn error(&mut self, problem: machine::Problem) -> Error {
        match (problem, self.refusal.take()) {
            (machine::Problem::NoRegistrar, _) => Error::NoRegistrar,
            (machine::Problem::Resolve(error), _) => Error::Resolve(error),
            (machine::Problem::CannotDial, Some(refusal)) => Error::Transport(refusal),
            (machine::Problem::NoElement | machine::Problem::CannotDial, _) => Error::NoElement,
        }
    }
}

/// Waits for an answer, as long as it takes; without a question there is none. Cancel safe.
async fn answer(resolving: &mut Option<(u64, Resolving)>) -> (u64, Result<Answer, Error>) {
    match resolving {
        Some((question, answer)) => (*question, answer.await),
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// How to dial a server, where sessions can.
fn dialable(transport: &Transport) -> Option<(Remote, Framing)> {
    let framing = match transport {
        Transport::Tcp { transport_use: TransportUse::DataPlusControl, .. } => Framing::Record,
        _ => Framing::Stream,
    };
    Some((remote_of(transport)?, framing))
}
