//! Looks at a running registrar, for operators: short ones, of bounded size.

use std::time::Duration;

use rserpool_proto::machine::Peer;
use rserpool_proto::registrar::{
    AssociationRow, ElementQuery, ElementRow, HoldRow, Overview, Page, PeerView, PoolQuery,
    PoolRow, Registrar,
};
use rserpool_proto::time::Time;
use rserpool_transport::Counters;
use rserpool_wire::param::{PeId, PoolHandle, RegistrarId};

use crate::Stopped;
use crate::inspect::{Inspector, thread_cpu_time};

/// The way to look at a registrar while it runs, from any thread. It does not keep the registrar
/// running. Each look is done between two messages and takes microseconds, a page of 512 elements
/// some 50. One is done at a time, and while the registrar is busy there are pauses between them, so
/// that all together take 2 % of its thread.
#[derive(Clone)]
pub struct View {
    pub(super) inspector: Inspector<Registrar>,
}

/// How a registrar and its associations are, in a few numbers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The registrar.
    pub overview: Overview,
    /// What its endpoints refused.
    pub transport: Counters,
    /// Octets that wait in all queues of its endpoints.
    pub queued_octets: usize,
    /// What the thread that runs it has taken of a processor.
    pub cpu_time: Duration,
    /// What it takes for now.
    pub now: Time,
    /// How many looks there were before this one.
    pub looks: u64,
    /// What all of them took.
    pub looks_took: Duration,
}

impl View {
    /// How it is.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    ///
    /// # Cancel safety
    ///
    /// Cancelling stops the waiting and nothing else; so do all of these, and none of them panics.
    pub async fn summary(&self) -> Result<Summary, Stopped> {
        let (looks, looks_took) = self.inspector.taken();
        let look = self.inspector.look(move |seen| Summary {
            overview: seen.machine.overview(),
            transport: seen.associations.counters(),
            queued_octets: seen.associations.queued_octets(),
            cpu_time: thread_cpu_time(),
            now: seen.now,
            looks,
            looks_took,
        });
        look.await
    }

    /// Pools, by handle.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn pools(&self, query: PoolQuery) -> Result<Page<PoolRow, PoolHandle>, Stopped> {
        self.inspector.look(move |seen| seen.machine.pool_page(&query)).await
    }

    /// A pool; `None` where there is none of that handle.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn pool(&self, handle: PoolHandle) -> Result<Option<PoolRow>, Stopped> {
        self.inspector.look(move |seen| seen.machine.pool_detail(&handle)).await
    }

    /// Elements, by pool and identifier.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn elements(
        &self,
        query: ElementQuery,
    ) -> Result<Page<ElementRow, (PoolHandle, PeId)>, Stopped> {
        self.inspector.look(move |seen| seen.machine.element_page(seen.now, &query)).await
    }

    /// An element; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn element(
        &self,
        handle: PoolHandle,
        id: PeId,
    ) -> Result<Option<ElementRow>, Stopped> {
        self.inspector.look(move |seen| seen.machine.element_detail(seen.now, &handle, id)).await
    }

    /// The other registrars, by identifier, behind this one; `limit` is at most 512.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn peers(
        &self,
        after: Option<RegistrarId>,
        limit: usize,
    ) -> Result<(Page<PeerView, RegistrarId>, Time), Stopped> {
        self.inspector.look(move |seen| (seen.machine.peer_page(after, limit), seen.now)).await
    }

    /// What operators say of elements: holds, then bans, each by pool and identifier, behind this
    /// one.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn holds(
        &self,
        after: Option<(bool, PoolHandle, PeId)>,
        limit: usize,
    ) -> Result<Page<HoldRow, (bool, PoolHandle, PeId)>, Stopped> {
        self.inspector
            .look(move |seen| seen.machine.hold_page(seen.now, after.as_ref(), limit))
            .await
    }

    /// The associations, behind this one; `limit` is at most 512.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn associations(
        &self,
        after: Option<Peer>,
        limit: usize,
    ) -> Result<Page<AssociationRow, Peer>, Stopped> {
        let look = move |seen: &crate::inspect::Look<'_, Registrar>| {
            seen.machine.association_page(seen.now, after, limit)
        };
        self.inspector.look(look).await
    }
}
