//! The handlespace: all pools of an operational scope, and their elements (RFC 5353 §1.1).
//!
//! It holds what is registered, answers handle resolutions in the order of each pool's policy
//! (RFC 5356), and knows which registrar is the home of what. It knows no time and sends nothing:
//! when elements expire and who is told is the registrar's business.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | limits, sizes of answers |
//! | `element`, `pool` | what is stored, and views of it |
//! | `members` | the elements of a pool by identifier |
//! | `ownership` | homes, checksums, marks of a resynchronisation (RFC 5353 §3.3, §3.6) |
//! | `reach` | who may be told of an element |
//! | `per_element` | what else someone knows of elements |
//! | `withheld` | who is there and not listed |
//! | `table` | everything in order, from any point on (RFC 5353 §3.2) |
//! | `policy` | how elements are picked, one file a family |
//! | `timing` | deadlines, one for each key |
//!
//! The same seed and the same calls give the same answers.

mod arena;
mod config;
mod element;
mod hash;
mod members;
mod ownership;
mod per_element;
mod policy;
mod pool;
mod reach;
mod refused;
mod table;
#[cfg(test)]
mod tests;
mod withheld;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rserpool_wire::param::{PeId, Policy, PoolElement, PoolHandle, RegistrationLife, Transport};

pub(crate) use config::limit_reached;
pub use config::{Config, Limit, LimitCounts, Limits};
pub use element::{ElementIndex, ElementView, Outcome, Registered};
pub use per_element::PerElement;
pub use pool::PoolView;
pub use reach::Reach;
pub use refused::Refused;

use arena::Arena;
use element::Stored;
use hash::Keyed;
use members::Member;
use ownership::Homes;
use policy::Request;
use pool::Pool;
use withheld::NO_SEAT;

/// All pools and their elements.
#[derive(Debug)]
pub struct Handlespace {
    config: Config,
    pools: Arena<Pool>,
    /// Slots of pools, to find one quickly.
    by_handle: HashMap<PoolHandle, u32, Keyed>,
    /// Slots of pools, in order.
    in_order: BTreeMap<PoolHandle, u32>,
    elements: Arena<Stored>,
    homes: Homes,
    rng: StdRng,
    limits_reached: LimitCounts,
    /// The slots of the elements that a resolution lists.
    listed: Vec<u32>,
    /// Elements that are not listed, whether they are there or not.
    withheld: BTreeMap<PoolHandle, BTreeSet<PeId>>,
}

/// What a handle resolution found (RFC 5352 §2.2.6).
#[derive(Clone, Debug)]
pub struct Resolution<'a> {
    /// The pool's policy; its fields are 0, each element has its own.
    pub policy: Policy,
    /// The slots of the listed elements.
    listed: &'a [u32],
    elements: &'a Arena<Stored>,
}

impl<'a> Resolution<'a> {
    /// Elements in the order of the policy, none twice, as they are stored: with ASAP transports,
    /// which are not for pool users. None where all weights are 0.
    pub fn elements(&self) -> impl Iterator<Item = &'a PoolElement> + use<'a> {
        let Self { listed, elements, .. } = *self;
        listed.iter().map(|&slot| &elements[slot].element)
    }

    /// True where there is none to turn to.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

impl Handlespace {
    /// Answers and takes in by these values from now on. Who is there stays, also beyond a lower
    /// limit.
    pub fn reconfigure(&mut self, config: Config) {
        self.config = config;
    }

    /// An empty handlespace. The seed decides what the random policies pick.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let key = [rng.next_u64(), rng.next_u64()];
        Self {
            config,
            pools: Arena::default(),
            by_handle: HashMap::with_hasher(Keyed::new(key)),
            in_order: BTreeMap::new(),
            elements: Arena::default(),
            homes: Homes::default(),
            rng,
            limits_reached: LimitCounts::default(),
            listed: Vec::new(),
            withheld: BTreeMap::new(),
        }
    }

    /// Enters an element, or replaces what is known of it; its home is what the element says.
    ///
    /// The first element of a pool decides its policy and transport (RFC 5352 §3.1). A degradation
    /// that was counted starts over, and a mark is cleared.
    ///
    /// # Errors
    ///
    /// Why not; nothing has changed then.
    pub fn register(
        &mut self,
        handle: &PoolHandle,
        element: PoolElement,
    ) -> Result<Registered, Refused> {
        let registered = self.enter(handle, element);
        self.note_refusal(&registered);
        registered
    }

    /// The same of an element that was [found](Self::find) in this pool: that is quicker.
    ///
    /// # Errors
    ///
    /// Why not; nothing has changed then.
    pub fn register_again(
        &mut self,
        index: ElementIndex,
        handle: &PoolHandle,
        element: PoolElement,
    ) -> Result<Registered, Refused> {
        let Some(stored) = self.stored(index).filter(|stored| stored.element.id == element.id)
        else {
            return self.register(handle, element);
        };
        let accepted = check_values(&element, &self.config.limits)
            .and_then(|()| self.pools[stored.pool].accepts(&element, &self.elements));
        let registered = accepted.map(|()| self.renew(index.slot, element));
        self.note_refusal(&registered);
        registered
    }

    fn note_refusal(&mut self, registered: &Result<Registered, Refused>) {
        match registered {
            Err(Refused::Limit(limit)) => self.limits_reached.count(*limit),
            Err(Refused::InvalidHandle(_)) => self.limits_reached.count(Limit::HandleOctets),
            _ => {}
        }
    }

    /// Takes an element out; its pool ends with its last one. `None` where it is gone already.
    pub fn deregister(&mut self, index: ElementIndex) -> Option<(PoolHandle, PoolElement)> {
        self.stored(index)?;
        let removed = self.elements.remove(index.slot)?;
        let Stored { element, pool: number, seat, reach, .. } = removed;
        let pool = &mut self.pools[number];
        pool.members.remove(element.id);
        if seat == NO_SEAT {
            pool.withheld -= 1;
        } else {
            pool.near.remove(reach);
            if let Some(moved) = pool.selection.remove(seat) {
                self.elements[moved].seat = seat;
            }
        }
        let handle = pool.handle.clone();
        self.homes.remove(element.home, &handle, element.id, reach);
        if pool.members.is_empty() {
            self.pools.remove(number);
            self.by_handle.remove(&handle);
            self.in_order.remove(&handle);
        }
        Some((handle, element))
    }

    /// The elements to turn to, in the order of the pool's policy, and their turns taken
    /// (RFC 5352 §3.3, 5356). `None` where there is no such pool.
    ///
    /// `items` is how many are wanted (draft-dreibholz-rserpool-asap-hropt); 0 and `None` leave it
    /// to [`Config::items_default`].
    pub fn resolve(&mut self, handle: &PoolHandle, items: Option<u32>) -> Option<Resolution<'_>> {
        self.resolve_within(handle, items, || Reach::Nowhere)
    }

    /// The same of the elements that reach as far as where the answer goes, which is asked for only
    /// where there are others.
    pub fn resolve_within(
        &mut self,
        handle: &PoolHandle,
        items: Option<u32>,
        reach: impl FnOnce() -> Reach,
    ) -> Option<Resolution<'_>> {
        let pool = &mut self.pools[*self.by_handle.get(handle)?];
        let available = pool.members.len() - pool.withheld as usize;
        let mut request = Request::new(&self.config, items, available);
        self.listed.clear();
        let reach = if pool.near.is_empty() { Reach::Nowhere } else { reach() };
        let hidden = pool.near.nearer_than(reach);
        if hidden == 0 {
            pool.selection.select(request, &mut self.rng, &mut self.listed);
        } else if hidden < available {
            let wanted = request.widen(hidden, available);
            pool.selection.select(request, &mut self.rng, &mut self.listed);
            self.listed.retain(|&slot| self.elements[slot].reach >= reach);
            self.listed.truncate(wanted);
        }
        let policy = Policy::of_type(pool.policy_type);
        Some(Resolution { policy, listed: &self.listed, elements: &self.elements })
    }

    /// The element of this pool with this identifier.
    pub fn find(&self, handle: &PoolHandle, id: PeId) -> Option<ElementIndex> {
        let member = self.pools[*self.by_handle.get(handle)?].members.get(id)?;
        Some(ElementIndex::of(&self.elements, member.slot))
    }

    /// An element, `None` once it is gone.
    pub fn element(&self, index: ElementIndex) -> Option<ElementView<'_>> {
        let stored = self.stored(index)?;
        Some(ElementView::of(&self.pools[stored.pool], &self.elements, index.slot))
    }

    /// A pool.
    pub fn pool(&self, handle: &PoolHandle) -> Option<PoolView<'_>> {
        let pool = &self.pools[*self.by_handle.get(handle)?];
        Some(PoolView { pool, elements: &self.elements })
    }

    /// True where there is such a pool.
    pub fn contains(&self, handle: &PoolHandle) -> bool {
        self.by_handle.contains_key(handle)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements.len() as usize
    }

    /// True where nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of pools.
    pub fn pool_count(&self) -> usize {
        self.in_order.len()
    }

    /// How often something was refused because of a limit.
    pub fn limits_reached(&self) -> &LimitCounts {
        &self.limits_reached
    }

    fn stored(&self, index: ElementIndex) -> Option<&Stored> {
        let (generation, stored) = self.elements.get(index.slot)?;
        (generation == index.generation).then_some(stored)
    }

    fn enter(&mut self, handle: &PoolHandle, element: PoolElement) -> Result<Registered, Refused> {
        let limits = self.config.limits;
        let known = self.by_handle.get(handle).copied();
        // A pool that is there stays, also where the limit is lower now.
        if known.is_none() && handle.as_bytes().len() > limits.handle_octets_max as usize {
            return Err(Refused::InvalidHandle(handle.clone()));
        }
        check_values(&element, &limits)?;
        let Some(number) = known else {
            return self.found(handle, element);
        };
        let pool = &self.pools[number];
        pool.accepts(&element, &self.elements)?;
        if let Some(member) = pool.members.get(element.id) {
            return Ok(self.renew(member.slot, element));
        }
        if pool.members.len() >= limits.elements_per_pool_max as usize {
            return Err(Refused::Limit(Limit::ElementsPerPool));
        }
        if self.elements.len() >= limits.elements_max {
            return Err(Refused::Limit(Limit::Elements));
        }
        Ok(self.join(number, element))
    }

    /// A pool begins with its first element.
    fn found(&mut self, handle: &PoolHandle, element: PoolElement) -> Result<Registered, Refused> {
        let limits = self.config.limits;
        let Some(pool) = Pool::of(handle, &element) else {
            return Err(Refused::UnknownPolicy(Box::new(element.policy)));
        };
        if self.pools.len() >= limits.pools_max {
            return Err(Refused::Limit(Limit::Pools));
        }
        if limits.elements_per_pool_max == 0 {
            return Err(Refused::Limit(Limit::ElementsPerPool));
        }
        if self.elements.len() >= limits.elements_max {
            return Err(Refused::Limit(Limit::Elements));
        }
        let (number, _) = self.pools.insert(pool);
        self.by_handle.insert(handle.clone(), number);
        self.in_order.insert(handle.clone(), number);
        Ok(self.join(number, element))
    }

    /// An element comes new into a pool.
    fn join(&mut self, number: u32, element: PoolElement) -> Registered {
        let pool = &mut self.pools[number];
        let (id, home) = (element.id, element.home);
        let reach = Reach::of_element(&element);
        pool.near.add(reach);
        let stored = Stored { element, pool: number, seat: 0, marked: false, reach };
        let (slot, generation) = self.elements.insert(stored);
        let stored = &mut self.elements[slot];
        stored.seat = pool.selection.insert(slot, id, &stored.element.policy);
        pool.members.insert(id, Member { slot, home });
        self.homes.add(home, &pool.handle, number, id, reach);
        if !self.withheld.is_empty() {
            self.withhold_newcomer(number, id, slot);
        }
        let index = ElementIndex { slot, generation };
        Registered { index, outcome: Outcome::New, previous_home: None }
    }

    /// An element registers again. Its pool accepts it.
    fn renew(&mut self, slot: u32, element: PoolElement) -> Registered {
        let stored = &mut self.elements[slot];
        stored.marked = false;
        let previous_home = stored.element.home;
        let outcome = match stored.element == element {
            true => Outcome::Unchanged,
            false => Outcome::Changed,
        };
        if stored.seat != NO_SEAT {
            self.pools[stored.pool].selection.change(stored.seat, &element.policy);
        }
        let was_hidden = stored.reach == Reach::Nowhere;
        if outcome == Outcome::Changed || was_hidden {
            let reach = Reach::of_element(&element);
            self.move_home(slot, element.home);
            self.elements[slot].element = element;
            self.set_reach(slot, reach);
        }
        Registered { index: ElementIndex::of(&self.elements, slot), outcome, previous_home }
    }
}

/// Refuses what no element can be (RFC 5354 §3.12.4).
fn check_values(element: &PoolElement, limits: &Limits) -> Result<(), Refused> {
    if element.id == PeId(0) {
        return Err(Refused::InvalidIdentifier(element.id));
    }
    if element.life == RegistrationLife(0) {
        return Err(Refused::InvalidLife(Box::new(element.clone())));
    }
    let transport = &element.user_transport;
    let opaque = match transport {
        Transport::Opaque(octets) => Some(octets.len()),
        _ => None,
    };
    if opaque.is_some_and(|len| len > limits.opaque_octets_max as usize) {
        return Err(Refused::Limit(Limit::OpaqueOctets));
    }
    if opaque.is_none() && (transport.addresses().is_empty() || transport.port() == Some(0)) {
        return Err(Refused::InvalidTransport(Box::new(transport.clone())));
    }
    let asap_addresses = match &element.asap_transport {
        Some(sctp) if sctp.addresses.is_empty() || sctp.port == 0 => {
            return Err(Refused::InvalidTransport(Box::new(Transport::Sctp(sctp.clone()))));
        }
        Some(sctp) => sctp.addresses.len(),
        None => 0,
    };
    let addresses_max = limits.addresses_per_transport_max as usize;
    if transport.addresses().len().max(asap_addresses) > addresses_max {
        return Err(Refused::Limit(Limit::AddressesPerTransport));
    }
    Ok(())
}
