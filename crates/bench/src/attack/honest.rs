//! Honest elements, and whether each of them is listed with its own address and port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rserpool::wire::Message;
use rserpool::wire::asap::{Asap, HandleResolution, HandleResolutionResponse};
use rserpool::wire::param::{PeId, PoolHandle, Transport, TransportUse};
use rserpool::{PoolElement, element};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::stranger::{Host, Stranger};
use super::target::Target;

/// Ten elements, and somebody who looks after them.
pub(super) struct Honest {
    _elements: Vec<PoolElement>,
    looks: Arc<Looks>,
    /// Aborted when they are dropped.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Looks {
    all: AtomicU64,
    missing: AtomicU64,
}

/// How many there are.
const ELEMENTS: u16 = 10;
/// The first one serves at this port: nobody dials it.
const PORT: u16 = 7000;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);

impl Honest {
    /// Registers the elements, and tells the target of them.
    pub(super) async fn start(target: &mut Target) -> anyhow::Result<Self> {
        let mut elements = Vec::new();
        for number in 0..ELEMENTS {
            let (id, port) = (PeId(0x5100 + u32::from(number)), PORT + number);
            let mut config =
                element::Config::new(target.urls(), target.pool.clone(), transport(port));
            config.id = Some(id);
            let element = PoolElement::start(config)?;
            element.registered().await?;
            elements.push(element);
            target.elements.push((id, port));
        }
        let looks = Arc::<Looks>::default();
        let mut tasks = JoinSet::new();
        for registrar in target.ports() {
            let mut look = Look { registrar, target: wanted(target), pool: target.pool.clone() };
            // The second one hears of the elements over ENRP.
            while !look.is_complete().await.unwrap_or_default() {
                sleep(LOOK).await;
            }
            let looks = Arc::clone(&looks);
            tasks.spawn(async move { look.go_on(&looks).await });
        }
        Ok(Self { _elements: elements, looks, _tasks: tasks })
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks.all.load(Ordering::Relaxed)
    }

    /// How many looks did not find all elements where they are, or had no answer.
    pub(super) fn missing(&self) -> u64 {
        self.looks.missing.load(Ordering::Relaxed)
    }
}

/// Where an element serves.
pub(super) fn transport(port: u16) -> Transport {
    let (address, transport_use) = (Host::Honest.address(), TransportUse::DataOnly);
    Transport::Tcp { port, transport_use, address }
}

fn wanted(target: &Target) -> Vec<(PeId, Transport)> {
    target.elements.iter().map(|(id, port)| (*id, transport(*port))).collect()
}

/// Looks at one registrar.
struct Look {
    registrar: std::net::SocketAddr,
    target: Vec<(PeId, Transport)>,
    pool: PoolHandle,
}

impl Look {
    async fn go_on(&mut self, looks: &Looks) {
        loop {
            sleep(LOOK).await;
            looks.all.fetch_add(1, Ordering::Relaxed);
            match self.is_complete().await {
                Ok(true) => {}
                Ok(false) | Err(_) => {
                    looks.missing.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Asks over a connection of its own each time: honest ones still get in.
    async fn is_complete(&mut self) -> anyhow::Result<bool> {
        let mut stranger = Stranger::dial(Host::Honest, self.registrar).await?;
        let question =
            HandleResolution { want_updates: false, handle: self.pool.clone(), items: None };
        stranger.say(Asap::HandleResolution(question)).await?;
        let answer = stranger.hear().await?;
        let Message::Asap(Asap::HandleResolutionResponse(HandleResolutionResponse {
            elements,
            ..
        })) = answer
        else {
            return Ok(false);
        };
        ensure!(!elements.is_empty(), "nobody is listed");
        Ok(self.target.iter().all(|(id, transport)| {
            let listed = elements.iter().find(|element| element.id == *id);
            listed.is_some_and(|element| element.user_transport == *transport)
        }))
    }
}

/// The message that a registration is.
pub(super) fn registration(pool: &PoolHandle, id: PeId, transport: Transport) -> Message {
    use rserpool::wire::asap::Registration;
    use rserpool::wire::param::{Policy, PoolElement, RegistrationLife};
    let element = PoolElement {
        id,
        home: None,
        life: RegistrationLife(7200),
        user_transport: transport,
        policy: Policy::round_robin(),
        asap_transport: None,
    };
    Asap::Registration(Registration { handle: pool.clone(), element }).into()
}

/// An element as others tell of it.
pub(super) fn told(
    id: PeId,
    home: rserpool::wire::param::RegistrarId,
    transport: Transport,
) -> anyhow::Result<rserpool::wire::param::PoolElement> {
    let Message::Asap(Asap::Registration(registration)) =
        registration(&PoolHandle::new("x").context("no pool handle")?, id, transport)
    else {
        anyhow::bail!("no registration")
    };
    let mut element = registration.element;
    element.home = Some(home);
    Ok(element)
}
