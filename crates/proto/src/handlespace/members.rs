use rserpool_wire::param::{PeId, RegistrarId};

/// Members on one chunk, at most: 1.5 KiB, so that moving half of them is quick.
const CHUNK: usize = 128;

/// An element of a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Member {
    pub(super) slot: u32,
    /// As the element says; here, too, so that those of one home are found without a look at all.
    pub(super) home: Option<RegistrarId>,
}

/// The elements of a pool by identifier, in order, on chunks: of a million elements one is found in
/// two places of the memory, not in one for each level of a tree.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// For each chunk an identifier that is not above its first and above all before it.
    bounds: Vec<PeId>,
    /// In order; none is empty.
    chunks: Vec<Vec<(PeId, Member)>>,
    len: usize,
}

impl Members {
    /// Enters a member, or replaces what is known of it.
    pub(super) fn insert(&mut self, id: PeId, member: Member) {
        if self.chunks.is_empty() {
            self.open(0, vec![(id, member)]);
            self.len = 1;
            return;
        }
        let chunk = self.chunk(id).unwrap_or_default();
        match place(&self.chunks[chunk], id) {
            Ok(place) => self.chunks[chunk][place].1 = member,
            Err(place) => {
                self.put(chunk, place, (id, member));
                self.len += 1;
            }
        }
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, id: PeId) -> Option<Member> {
        let number = self.chunk(id)?;
        let chunk = &mut self.chunks[number];
        let (_, member) = chunk.remove(place(chunk, id).ok()?);
        self.len -= 1;
        if chunk.is_empty() {
            self.close(number);
        } else if chunk.len() <= CHUNK / 4 {
            self.make_room_elsewhere(number);
        }
        Some(member)
    }

    /// The member with this identifier.
    pub(super) fn get(&self, id: PeId) -> Option<&Member> {
        let chunk = &self.chunks[self.chunk(id)?];
        Some(&chunk[place(chunk, id).ok()?].1)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// True where there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All members, in order, behind this one.
    pub(super) fn after(&self, id: Option<PeId>) -> impl Iterator<Item = &Member> {
        let first = id.and_then(|id| self.chunk(id)).unwrap_or_default();
        let chunks = self.chunks.get(first..).unwrap_or_default();
        let behind = id.zip(chunks.first());
        let skipped = behind.map_or(0, |(id, chunk)| chunk.partition_point(|(it, _)| *it <= id));
        chunks.iter().flatten().skip(skipped).map(|(_, member)| member)
    }

    /// The chunk that an identifier belongs on; `None` where it is below all.
    fn chunk(&self, id: PeId) -> Option<usize> {
        self.bounds.partition_point(|bound| *bound <= id).checked_sub(1)
    }

    fn put(&mut self, number: usize, place: usize, entry: (PeId, Member)) {
        let is_last = number + 1 == self.chunks.len();
        let chunk = &mut self.chunks[number];
        if place == 0 {
            self.bounds[number] = entry.0.min(self.bounds[number]);
        }
        if chunk.len() < CHUNK {
            chunk.insert(place, entry);
            return;
        }
        // Those that come in order leave full chunks behind.
        let split = if is_last && place == CHUNK { CHUNK } else { CHUNK / 2 };
        let mut upper = chunk.split_off(split);
        match place.checked_sub(split) {
            Some(place) if split < CHUNK || place == 0 => upper.insert(place, entry),
            _ => chunk.insert(place, entry),
        }
        self.open(number + 1, upper);
    }

    fn open(&mut self, number: usize, chunk: Vec<(PeId, Member)>) {
        let Some((bound, _)) = chunk.first() else { return };
        // Most pools have one chunk.
        if self.chunks.is_empty() {
            self.bounds.reserve_exact(1);
            self.chunks.reserve_exact(1);
        }
        self.bounds.insert(number, *bound);
        self.chunks.insert(number, chunk);
    }

    fn close(&mut self, number: usize) {
        self.bounds.remove(number);
        self.chunks.remove(number);
    }

    /// Puts what is left on a chunk to its neighbours, if one of them has room; else the chunk
    /// shrinks.
    fn make_room_elsewhere(&mut self, number: usize) {
        let has_room = |upper: &usize| {
            let pair = upper.checked_sub(1).and_then(|lower| self.chunks.get(lower..=*upper));
            pair.is_some_and(|pair| pair[0].len() + pair[1].len() <= CHUNK * 3 / 4)
        };
        if let Some(upper) = [number, number + 1].into_iter().find(has_room) {
            let mut moved = std::mem::take(&mut self.chunks[upper]);
            self.chunks[upper - 1].append(&mut moved);
            self.close(upper);
        } else {
            let chunk = &mut self.chunks[number];
            if chunk.capacity() > 4 * chunk.len() {
                chunk.shrink_to(2 * chunk.len());
            }
        }
    }
}

/// Where an identifier is on a chunk, or would be.
fn place(chunk: &[(PeId, Member)], id: PeId) -> Result<usize, usize> {
    chunk.binary_search_by_key(&id, |(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    fn check(members: &Members, map: &BTreeMap<PeId, Member>, after: Option<PeId>) {
        assert_eq!((members.len(), members.is_empty()), (map.len(), map.is_empty()));
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = map.range((start, Bound::Unbounded)).map(|(_, member)| member);
        assert!(members.after(after).eq(behind), "behind {after:?}");
        let chunks = &members.chunks;
        assert!(chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.len())));
        let room: usize = chunks.iter().map(Vec::capacity).sum();
        assert!(room <= 2 * CHUNK + 8 * map.len(), "room for {room}, {} members", map.len());
    }

    fn member(slot: u32) -> Member {
        Member { slot, home: RegistrarId::new(slot % 3) }
    }

    proptest! {
        #[test]
        fn do_what_a_tree_does(
            in_order in 0..600u32,
            steps in prop::collection::vec((0..5u8, 0..1000u32), 0..1500),
        ) {
            let (mut members, mut map) = (Members::default(), BTreeMap::new());
            for id in 0..in_order {
                members.insert(PeId(200 + id), member(id));
                map.insert(PeId(200 + id), member(id));
            }
            check(&members, &map, None);
            // More come than go, and then the other way round.
            let half = steps.len() / 2;
            for (number, (kind, id)) in steps.into_iter().enumerate() {
                let id = PeId(id);
                if (kind < 4) == (number < half) {
                    members.insert(id, member(kind.into()));
                    map.insert(id, member(kind.into()));
                } else {
                    prop_assert_eq!(members.remove(id), map.remove(&id));
                }
                prop_assert_eq!(members.get(id), map.get(&id));
            }
            for after in [None, Some(0), Some(500), Some(999), Some(u32::MAX)] {
                check(&members, &map, after.map(PeId));
            }
            for id in map.keys().copied().collect::<Vec<_>>() {
                prop_assert_eq!(members.remove(id), map.remove(&id));
                prop_assert_eq!(members.get(id), None);
            }
            check(&members, &map, None);
            assert!(members.chunks.is_empty() && members.bounds.is_empty());
        }
    }

    #[test]
    fn those_that_come_in_order_fill_the_shelves() {
        let mut members = Members::default();
        (0..10_000).for_each(|id| members.insert(PeId(id), member(id)));
        assert_eq!(members.chunks.len(), 10_000_usize.div_ceil(CHUNK));
    }
}
