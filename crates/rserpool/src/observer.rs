//! A look at a registrar's handlespace over ENRP, without taking part in its scope.

use std::collections::BTreeMap;
use std::time::Duration;

use rserpool_transport::tls::Role;
use rserpool_transport::{Address, AssocId, AssocInfo, Endpoints, Event, Options, Ppid, Tls};
use rserpool_wire::asap::{Asap, HandleResolution};
use rserpool_wire::enrp::{Body, Enrp, Presence, TableRequest, TableResponse};
use rserpool_wire::param::{
    PeChecksum, PeId, PoolElement, PoolHandle, RegistrarId, SctpTransport, ServerInformation,
    TransportUse,
};
use rserpool_wire::{Message, Protocol};
use tokio::runtime::Handle;
use tokio::time::{timeout, timeout_at};

use crate::TransportError;
use crate::associations::speaks;
use crate::deadline::deadline;
use crate::setters::setters;

/// How to look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The registrar's ENRP endpoint.
    pub registrar: Address,
    /// Only the elements whose home it is (the W flag, RFC 5353 §2.2). Default: false.
    pub own_only: bool,
    /// Introduce oneself by a presence with this identifier, as rsplib wants it: it then takes the
    /// observer for a registrar until it misses it, some 10 s later. Default: `None`, ask as nobody,
    /// which our registrars answer without taking note.
    pub greet_as: Option<RegistrarId>,
    /// How long the whole may take. Default: 10 s.
    pub timeout: Duration,
    /// The keys, for `tls://`. Default: none.
    pub tls: Option<Tls>,
}

/// The pools of a handlespace, and the elements of each by their identifiers.
pub type Table = BTreeMap<PoolHandle, BTreeMap<PeId, PoolElement>>;

impl Config {
    /// Everything that a registrar knows, asked for as nobody.
    pub fn new(registrar: Address) -> Self {
        Self {
            registrar,
            own_only: false,
            greet_as: None,
            timeout: Duration::from_secs(10),
            tls: None,
        }
    }

    setters! {
        own_only: as bool;
        greet_as: into Option<RegistrarId>;
        timeout: as Duration;
        tls: into Option<Tls>;
    }
}

/// Why a handlespace was not downloaded. Nothing has changed at the registrar.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The registrar does not accept, or does not answer in time.
    #[error("the registrar cannot be reached")]
    NoRegistrar,
    /// The registrar speaks ASAP at this port.
    #[error("that is where elements and users reach the registrar: ask at its ENRP port")]
    NotEnrp,
    /// The registrar does not tell its handlespace: it is starting, or does not know who asks.
    #[error("the registrar does not tell its handlespace")]
    Refused,
    /// This host cannot dial the registrar.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// There is no tokio runtime here.
    #[error("the registrar is not asked: there is no tokio runtime here")]
    NoRuntime,
}

impl TableError {
    /// A name for programs: `no-registrar`, `not-enrp`, `table-refused`, `no-runtime`, or that of a
    /// [`TransportError`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRegistrar => "no-registrar",
            Self::NotEnrp => "not-enrp",
            Self::Refused => "table-refused",
            Self::Transport(error) => error.code(),
            Self::NoRuntime => "no-runtime",
        }
    }
}

impl From<rserpool_transport::Error> for TableError {
    fn from(error: rserpool_transport::Error) -> Self {
        Self::Transport(error.into())
    }
}

/// Downloads a registrar's handlespace.
///
/// # Errors
///
/// [`TableError`].
///
/// # Cancel safety
///
/// Cancelling ends the association; what was downloaded is lost.
///
/// # Panics
///
/// In a runtime that was built without IO or time.
///
/// # Examples
///
/// ```
/// use rserpool::observer::{self, table};
/// # use rserpool::{Registrar, RegistrarConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rserpool::Error> {
/// # let config = RegistrarConfig::new(vec!["tcp://127.0.0.1:0".parse()?])
/// #     .enrp(vec!["tcp://127.0.0.1:0".parse()?]);
/// # let registrar = Registrar::start(config)?;
/// # let url = registrar.enrp_urls()[0].clone();
/// for (handle, elements) in table(observer::Config::new(url)).await? {
///     println!("{handle}: {} elements", elements.len());
/// }
/// # Ok(())
/// # }
/// ```
pub async fn table(config: Config) -> Result<Table, TableError> {
    Handle::try_current().map_err(|_| TableError::NoRuntime)?;
    let deadline = deadline(config.timeout);
    let mut remote = config.registrar.resolve().await?;
    remote.expected.role = Some(Role::Registrar);
    let tls = config.tls.clone();
    let mut endpoints = Endpoints::new(Options { tls, ..Options::default() });
    let assoc = endpoints.connect(&remote, speaks(Protocol::Enrp))?;
    let mut observer = Observer { endpoints, assoc, config };
    match timeout_at(deadline, observer.download()).await {
        Ok(table) => table,
        Err(_) => Err(TableError::NoRegistrar),
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
    async fn download(&mut self) -> Result<Table, TableError> {
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
                return Err(TableError::Refused);
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
        Err(TableError::Refused)
    }

    async fn up(&mut self) -> Result<AssocInfo, TableError> {
        loop {
            match self.endpoints.next().await {
                Event::Up { assoc, info } if assoc == self.assoc => return Ok(info),
                Event::Down { assoc, .. } if assoc == self.assoc => {
                    return Err(TableError::NoRegistrar);
                }
                _ => {}
            }
        }
    }

    /// Who says nothing to a question over ENRP may speak ASAP at this port: then it answers this.
    fn ask_over_asap(&mut self) -> Result<(), TableError> {
        let Some(handle) = PoolHandle::new(NOBODY) else { return Ok(()) };
        let question = HandleResolution { handle, items: Some(1), want_updates: false };
        let octets = Message::from(Asap::HandleResolution(question)).encode();
        self.endpoints.send(self.assoc, Ppid::ASAP, &octets).map_err(|_| TableError::NoRegistrar)
    }

    fn say(&mut self, body: Body) -> Result<(), TableError> {
        let message = Message::Enrp(Enrp { sender: self.config.greet_as, receiver: None, body });
        self.endpoints
            .send(self.assoc, Ppid::ENRP, &message.encode())
            .map_err(|_| TableError::NoRegistrar)
    }

    /// The next part of the table; whatever else the registrar says is not for an observer.
    async fn part(&mut self) -> Result<TableResponse, TableError> {
        loop {
            match self.endpoints.next().await {
                Event::Message { assoc, octets, .. } if assoc == self.assoc => {
                    if answers_over_asap(&octets) {
                        return Err(TableError::NotEnrp);
                    }
                    let decoded = Message::decode(Protocol::Enrp, &octets);
                    if let Ok(Message::Enrp(Enrp { body: Body::TableResponse(part), .. })) =
                        decoded.map(|decoded| decoded.message)
                    {
                        return Ok(part);
                    }
                }
                Event::Down { assoc, .. } if assoc == self.assoc => {
                    return Err(TableError::NoRegistrar);
                }
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
