use std::collections::BTreeSet;

use rserpool_wire::param::Policy;

use super::slab::Slab;
use super::{Request, Stake};
use crate::packed_u64::PackedU64;

/// The lowest number first: for priorities and loads. Equals take turns: first comes whoever was
/// longest not selected. A selection that meets no equals leaves the order alone.
#[derive(Debug)]
pub(in crate::handlespace) struct Ranking {
    /// What of an element counts.
    stake: fn(&Policy) -> Stake,
    seats: Slab<Seat>,
    in_order: BTreeSet<Rank>,
    /// The turn that comes next; counts up.
    next_turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    slot: u32,
    stake: Stake,
    /// How often it was listed since it registered, as far as that counts.
    listings: u32,
    turn: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    number: u32,
    turn: PackedU64,
    seat: u32,
}

impl Ranking {
    pub(super) fn new(stake: fn(&Policy) -> Stake) -> Self {
        Self { stake, seats: Slab::default(), in_order: BTreeSet::new(), next_turn: 0 }
    }

    pub(super) fn insert(&mut self, slot: u32, policy: &Policy) -> u32 {
        let turn = self.take_turn();
        let value = Seat { slot, stake: (self.stake)(policy), listings: 0, turn };
        let seat = self.seats.take(value);
        self.in_order.insert(value.rank(seat));
        seat
    }

    pub(super) fn change(&mut self, seat: u32, policy: &Policy) {
        let stake = (self.stake)(policy);
        // RFC 5356 §5.2.1: registering again resets the counter.
        self.replace(seat, Seat { stake, listings: 0, ..self.seats[seat] });
    }

    pub(super) fn remove(&mut self, seat: u32) {
        self.in_order.remove(&self.seats[seat].rank(seat));
        self.seats.leave(seat);
    }

    pub(super) fn select(&mut self, request: Request, listed: &mut Vec<u32>) {
        let start = listed.len();
        let mut ranks = self.in_order.iter();
        listed.extend(ranks.by_ref().take(request.items).map(|rank| rank.seat));
        let number_behind = ranks.next().map(|rank| rank.number);
        let mut number_before = None;
        for place in start..listed.len() {
            let mut value = self.seats[listed[place]];
            let number = value.number();
            let behind = listed.get(place + 1).map(|&seat| self.seats[seat].number());
            let has_equals = [number_before, behind.or(number_behind)].contains(&Some(number));
            number_before = Some(number);
            // RFC 5356 §5.2.2: whoever is put into a response counts one up.
            if value.stake.step > 0 {
                value.listings = value.listings.saturating_add(1);
            }
            let moves = has_equals || value.number() != number;
            if moves && place - start < request.increment {
                value.turn = self.take_turn();
            }
            self.replace(listed[place], value);
            listed[place] = value.slot;
        }
    }

    fn take_turn(&mut self) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        turn
    }

    fn replace(&mut self, seat: u32, value: Seat) {
        let before = std::mem::replace(&mut self.seats[seat], value).rank(seat);
        if value.rank(seat) != before {
            self.in_order.remove(&before);
            self.in_order.insert(value.rank(seat));
        }
    }
}

impl Seat {
    fn number(&self) -> u32 {
        self.stake.raised(self.listings)
    }

    fn rank(&self, seat: u32) -> Rank {
        Rank { number: self.number(), turn: PackedU64::new(self.turn), seat }
    }
}
