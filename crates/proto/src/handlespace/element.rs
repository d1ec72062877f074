use std::num::NonZeroU32;

use rserpool_wire::param::{PoolElement, PoolHandle, RegistrarId};

use super::arena::Arena;
use super::pool::Pool;
use super::reach::Reach;

/// Which element: stays the same over re-registrations and changes of home, and is never that of
/// another element, even once this one is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ElementIndex {
    pub(super) slot: u32,
    pub(super) generation: NonZeroU32,
}

impl ElementIndex {
    /// A small number that no other element has as long as this one is there.
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// The index of what is in this slot.
    pub(super) fn of(elements: &Arena<Stored>, slot: u32) -> Self {
        Self { slot, generation: elements.generation(slot) }
    }
}

/// What a registration did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Registered {
    /// The element.
    pub index: ElementIndex,
    /// How it differs from before.
    pub outcome: Outcome,
    /// The home that the element had until now; `None` for a new one, or where it was undetermined.
    pub previous_home: Option<RegistrarId>,
}

/// How a registration changed an element.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// There was no such element.
    New,
    /// Something about it is other than before.
    Changed,
    /// All is as it was. (A counted degradation starts over even so, RFC 5356 §5.2.1.)
    Unchanged,
}

/// An element of a handlespace.
#[derive(Clone, Copy, Debug)]
pub struct ElementView<'a> {
    /// Its index.
    pub index: ElementIndex,
    /// Its pool.
    pub handle: &'a PoolHandle,
    /// The element, with its ASAP transport.
    pub element: &'a PoolElement,
    /// True where a resynchronisation has not seen it yet.
    pub marked: bool,
}

impl<'a> ElementView<'a> {
    pub(super) fn of(pool: &'a Pool, elements: &'a Arena<Stored>, slot: u32) -> Self {
        let Stored { element, marked, .. } = &elements[slot];
        let index = ElementIndex::of(elements, slot);
        Self { index, handle: &pool.handle, element, marked: *marked }
    }
}

/// What a handlespace keeps of an element.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) element: PoolElement,
    /// The slot of its pool.
    pub(super) pool: u32,
    /// Its seat in the pool's selection.
    pub(super) seat: u32,
    pub(super) marked: bool,
    /// Who may be told of it.
    pub(super) reach: Reach,
}
