//! A look at a registrar's handlespace over ENRP, without taking part in its scope.

use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_transport::{Address, AssocId, AssocInfo, Endpoints, Event, Options, Ppid};
use rserpool_wire::asap::{Asap, HandleResolution};
use rserpool_wire::enrp::{Body, Enrp, Presence, TableRequest, TableResponse};
use rserpool_wire::param::{
    PeChecksum, PeId, PoolElement, PoolHandle, RegistrarId, SctpTransport, ServerInformation,
    TransportUse,
};
use rserpool_wire::{Message, Protocol};
use tokio::time::{timeout, timeout_at};

use crate::Error;
use crate::associations::speaks;
use crate::node::deadline;

/// How to look.
#[derive(Clone, Debug)]
pub struct Config {
    /// The registrar's ENRP endpoint.
    pub registrar: Address,
    /// Only the elements whose home it is (the W flag, RFC 5353 §2.2).
    pub own_only: bool,
    /// Introduce oneself by a presence with this identifier, as rsplib wants it: it then takes the
    /// observer for a registrar until it misses it, some 10 s later. `None`: ask as nobody, which
    /// our registrars answer without taking note.
    pub greet_as: Option<RegistrarId>,
    /// How long the whole may take. Default: 10 s.
    pub timeout: Duration,
}

/// The pools of a handlespace, and the elements of each by their identifiers.
pub type Table = BTreeMap<PoolHandle, BTreeMap<PeId, PoolElement>>;

impl Config {
    /// Everything that a registrar knows, asked for as nobody.
    pub fn new(registrar: Address) -> Self {
        Self { registrar, own_only: false, greet_as: None, timeout: Duration::from_secs(10) }
    }
}

/// Downloads a registrar's handlespace.
///
/// # Errors
///
/// - [`Error::NoRegistrar`] where it does not accept, or does not answer in time.
/// - [`Error::NotEnrp`] where it speaks ASAP at this port.
/// - [`Error::TableRefused`] where it does not want to tell.
/// - [`Error::Transport`] where this host cannot dial it.
///
/// # Cancel safety
///
/// Cancelling ends the association; what was downloaded is lost.
pub async fn table(config: Config) -> Result<Table, Error> {
    let deadline = deadline(config.timeout);
    let remote = config.registrar.resolve().await?;
    let mut endpoints = Endpoints::new(Options::default());
    let assoc = endpoints.connect(&remote, speaks(Protocol::Enrp))?;
    let mut observer = Observer { endpoints, assoc, config };
    match timeout_at(deadline, observer.download()).await {
        Ok(table) => table,
        Err(_) => Err(Error::NoRegistrar),
    }
}

struct Observer {
    endpoints: Endpoints,
    assoc: AssocId,
    config: Config,
}

/// Silence after which the registrar is asked whether it speaks ASAP at this port.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// A pool that nobody asks for.
const NOBODY: &[u8] = b"rserpool dump";

/// Whether this is the answer to the question over ASAP.
fn answers_over_asap(octets: &[u8]) -> bool {
    let decoded = Message::decode(Protocol::Asap, octets).map(|decoded| decoded.message);
    matches!(decoded, Ok(Message::Asap(Asap::HandleResolutionResponse(answer)))
        if answer.handle.as_bytes() == NOBODY)
}

/// So many parts of a table are fetched: more than any registrar within its limits has.
const PARTS_MAX: usize = 100_000;

impl Observer {
    async fn download(&mut self) -> Result<Table, Error> {
        let here = self.up().await?;
        if let Some(id) = self.config.greet_as {
            self.say(Body::Presence(greeting(id, &here)))?;
        }
        let mut table = Table::new();
        for _ in 0..PARTS_MAX {
            self.say(Body::TableRequest(TableRequest { own_only: self.config.own_only }))?;
            let part = match timeout(SILENCE_MAX, self.part()).await {
                Ok(part) => part?,
                Err(_) => {
                    self.ask_over_asap()?;
                    self.part().await?
                }
            };
            if part.rejected {
                return Err(Error::TableRefused);
            }
            for pool in part.pools {
                let elements = table.entry(pool.handle).or_default();
                elements.extend(pool.elements.into_iter().map(|element| (element.id, element)));
            }
            if !part.more {
                self.endpoints.close(self.assoc);
                return Ok(table);
            }
        }
        Err(Error::TableRefused)
    }

    async fn up(&mut self) -> Result<AssocInfo, Error> {
        loop {
            match self.endpoints.next().await {
                Event::Up { assoc, info } if assoc == self.assoc => return Ok(info),
                Event::Down { assoc, .. } if assoc == self.assoc => return Err(Error::NoRegistrar),
                _ => {}
            }
        }
    }

    /// Who says nothing to a question over ENRP may speak ASAP at this port: then it answers this.
    fn ask_over_asap(&mut self) -> Result<(), Error> {
        let Some(handle) = PoolHandle::new(NOBODY) else { return Ok(()) };
        let question = HandleResolution { handle, items: Some(1), want_updates: false };
        let octets = Message::from(Asap::HandleResolution(question)).encode();
        self.endpoints.send(self.assoc, Ppid::ASAP, &octets).map_err(|_| Error::NoRegistrar)
    }

    fn say(&mut self, body: Body) -> Result<(), Error> {
        let message = Message::Enrp(Enrp { sender: self.config.greet_as, receiver: None, body });
        self.endpoints
            .send(self.assoc, Ppid::ENRP, &message.encode())
            .map_err(|_| Error::NoRegistrar)
    }

    /// The next part of the table; whatever else the registrar says is not for an observer.
    async fn part(&mut self) -> Result<TableResponse, Error> {
        loop {
            match self.endpoints.next().await {
                Event::Message { assoc, octets, .. } if assoc == self.assoc => {
                    if answers_over_asap(&octets) {
                        return Err(Error::NotEnrp);
                    }
                    let decoded = Message::decode(Protocol::Enrp, &octets);
                    if let Ok(Message::Enrp(Enrp { body: Body::TableResponse(part), .. })) =
                        decoded.map(|decoded| decoded.message)
                    {
                        return Ok(part);
                    }
                }
                Event::Down { assoc, .. } if assoc == self.assoc => return Err(Error::NoRegistrar),
                _ => {}
            }
        }
    }
}

/// A presence of somebody without elements, at this end of the association: rsplib does not listen
/// to who is elsewhere.
fn greeting(id: RegistrarId, here: &AssocInfo) -> Presence {
    let transport = SctpTransport {
        port: here.local_port,
        transport_use: TransportUse::DataOnly,
        addresses: here.local.as_slice().into(),
    };
    Presence {
        reply_required: false,
        checksum: Some(PeChecksum(0xffff)),
        server: Some(ServerInformation { id: Some(id), transport }),
    }
}
