//! Business cards: which other elements of the pool a user may turn to (RFC 5352 §3.6).

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rserpool_wire::asap::BusinessCard;
use rserpool_wire::param::{PeId, PoolElement, PoolHandle, Transport};

use crate::user::{self, PoolUser};
use crate::{StartError, element};

/// The other elements of the own pool.
pub(super) struct Neighbours {
    user: PoolUser,
    handle: PoolHandle,
    items: u32,
    known: Mutex<Vec<PoolElement>>,
}

/// How often the pool is looked at for cards, and over UDP, where it tells whom not to answer.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
pub(super) const INTERVAL_UDP: Duration = Duration::from_secs(1);

impl Neighbours {
    pub(super) fn start(element: &element::Config, items: u32) -> Result<Self, StartError> {
        let mut config = user::Config::new(element.registrars.clone());
        config.listen.clone_from(&element.listen);
        config.timing = element.timing;
        config.tls.clone_from(&element.tls);
        let user = PoolUser::start(config)?;
        let handle = element.handle.clone();
        Ok(Self { user, handle, items, known: Mutex::default() })
    }

    /// Looks at the pool. What was known stays where nobody answers.
    pub(super) async fn refresh(&self) {
        // One more: the element itself may be among them.
        let items = Some(self.items.saturating_add(1));
        if let Ok(answer) = self.user.resolve(&self.handle, items).await {
            let elements = answer.in_order().cloned().collect();
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = elements;
        }
    }

    /// Whether an element of the pool serves datagrams at this address.
    pub(super) fn serve_at(&self, client: SocketAddr) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|element| {
            matches!(&element.user_transport, Transport::Udp { port, address }
                if *port == client.port() && address.to_canonical() == client.ip())
        })
    }

    /// Whom the element `own` names, at most so many; `None` where it is alone.
    pub(super) fn card(&self, own: PeId, items: u32) -> Option<BusinessCard> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let others = known.iter().filter(|element| element.id != own);
        let elements: Vec<_> = others.take(items as usize).cloned().collect();
        let handle = self.handle.clone();
        (!elements.is_empty()).then_some(BusinessCard { handle, elements })
    }
}
