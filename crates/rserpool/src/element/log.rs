//! What an element's events are in the log.

use rserpool_proto::element::Event;
use rserpool_wire::param::{PeId, PoolHandle};
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::log;

/// The log of one element.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// It has been in the pool: what keeps it out now is for its owner to know.
    was_in: bool,
    /// Its home was said to be lost.
    is_homeless: bool,
}

impl Log {
    /// Writes what happened; what the owner of the element gets as an error is no warning.
    pub(super) fn write(&mut self, handle: &PoolHandle, element: PeId, event: &Event) {
        let pool = || log::pool(handle);
        self.was_in |= matches!(event, Event::Registered { .. });
        match event {
            Event::Registered { home, .. } | Event::HomeChanged { home }
                if std::mem::take(&mut self.is_homeless) =>
            {
                let (registrar, at) = (home.id.map(display), log::remote(&home.link));
                warn!(pool = pool(), %element, registrar, at, "registered again");
            }
            Event::Registered { home, .. } => {
                let (registrar, at) = (home.id.map(display), log::remote(&home.link));
                info!(pool = pool(), %element, registrar, at, "registered");
            }
            Event::HomeChanged { home } => {
                let (registrar, at) = (home.id.map(display), log::remote(&home.link));
                info!(pool = pool(), %element, registrar, at, "home registrar changed");
            }
            Event::Rejected { causes, .. } => {
                info!(pool = pool(), %element, causes = log::causes(causes), "registration rejected");
            }
            Event::Refused { causes, by } => {
                let (causes, at) = (log::causes(causes), log::remote(&by.link));
                let registrar = by.id.map(display);
                let text = "refused by a registrar, trying others";
                match self.was_in {
                    true => warn!(pool = pool(), %element, registrar, at, causes, "{text}"),
                    false => info!(pool = pool(), %element, registrar, at, causes, "{text}"),
                }
            }
            Event::IdTaken { id, by } => {
                let (registrar, at) = (by.id.map(display), log::remote(&by.link));
                let text = "another element has this identifier";
                match self.was_in {
                    true => warn!(pool = pool(), %id, registrar, at, "{text}"),
                    false => info!(pool = pool(), %id, registrar, at, "{text}"),
                }
            }
            Event::Warned { causes } => {
                let causes = log::causes(causes);
                warn!(pool = pool(), %element, causes, "registered with a warning");
            }
            Event::HomeLost => {
                self.is_homeless = true;
                warn!(pool = pool(), %element, "home registrar lost");
            }
            Event::NoRegistrar => {
                info!(pool = pool(), %element, "no registrar can be reached, trying on");
            }
            Event::Deregistered => info!(pool = pool(), %element, "deregistered"),
            Event::DeregistrationRefused { causes } => {
                info!(pool = pool(), %element, causes = log::causes(causes), "deregistration refused");
            }
            Event::Abandoned => warn!(pool = pool(), %element, "left without a registrar to tell"),
            Event::Expired => {
                warn!(pool = pool(), %element, "registration ran out, registering again");
            }
            // Events have no other form for people; this one is for developers.
            other => debug!(pool = pool(), %element, ?other, "event"),
        }
    }
}
