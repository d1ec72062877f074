use std::collections::BTreeSet;

use rserpool_wire::param::Policy;

use super::seats::Seats;
use super::{Request, Stake};

/// The lowest number first, among equals whoever was longest not selected: for priorities and
/// loads.
#[derive(Debug)]
pub(in crate::handlespace) struct Ranking {
    /// What of an element counts.
    stake: fn(&Policy) -> Stake,
    seats: Seats<Seat>,
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
    /// A `u64` in big endian; half the alignment spares a quarter of the memory.
    turn: [u32; 2],
    seat: u32,
}

impl Ranking {
    pub(super) fn new(stake: fn(&Policy) -> Stake) -> Self {
        Self { stake, seats: Seats::default(), in_order: BTreeSet::new(), next_turn: 0 }
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
        listed.extend(self.in_order.iter().take(request.items).map(|rank| rank.seat));
        for (place, seat) in listed[start..].iter_mut().enumerate() {
            let mut value = self.seats[*seat];
            // RFC 5356 §5.2.2: whoever is put into a response counts one up.
            if value.stake.step > 0 {
                value.listings = value.listings.saturating_add(1);
            }
            if place < request.increment {
                value.turn = self.take_turn();
            }
            self.replace(*seat, value);
            *seat = value.slot;
        }
    }

    fn take_turn(&mut self) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        turn
    }

    fn replace(&mut self, seat: u32, value: Seat) {
        let before = std::mem::replace(&mut self.seats[seat], value).rank(seat);
        let rank = value.rank(seat);
        if rank != before {
            self.in_order.remove(&before);
            self.in_order.insert(rank);
        }
    }
}

impl Seat {
    fn rank(&self, seat: u32) -> Rank {
        let [high, low] = [self.turn >> 32, self.turn & 0xffff_ffff].map(half);
        Rank { number: self.stake.raised(self.listings), turn: [high, low], seat }
    }
}

fn half(word: u64) -> u32 {
    u32::try_from(word).unwrap_or(u32::MAX)
}
