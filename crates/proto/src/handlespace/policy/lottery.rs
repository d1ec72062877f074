use rand::rngs::StdRng;
use rserpool_wire::param::Policy;

use super::sum_tree::SumTree;
use super::{Request, Stake};

/// At random, in proportion to numbers, none twice.
#[derive(Debug)]
pub(in crate::handlespace) struct Lottery {
    /// What of an element counts.
    stake: fn(&Policy) -> Stake,
    tickets: Vec<Ticket>,
    /// The number of each ticket.
    numbers: SumTree,
    /// 1 for each ticket whose number is 0, where those are drawn evenly once no others are left;
    /// otherwise they are never drawn.
    blanks: Option<SumTree>,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    slot: u32,
    stake: Stake,
    /// How often it was listed since it registered, as far as that counts.
    listings: u32,
}

impl Lottery {
    /// Numbers of 0 are never drawn.
    pub(super) fn without_blanks(stake: fn(&Policy) -> Stake) -> Self {
        Self { stake, tickets: Vec::new(), numbers: SumTree::default(), blanks: None }
    }

    /// Numbers of 0 are drawn when no others are left.
    pub(super) fn with_blanks(stake: fn(&Policy) -> Stake) -> Self {
        Self { blanks: Some(SumTree::default()), ..Self::without_blanks(stake) }
    }

    pub(super) fn insert(&mut self, slot: u32, policy: &Policy) -> u32 {
        let seat = u32::try_from(self.tickets.len()).unwrap_or(u32::MAX);
        self.tickets.push(Ticket { slot, stake: (self.stake)(policy), listings: 0 });
        self.numbers.push(0);
        if let Some(blanks) = &mut self.blanks {
            blanks.push(0);
        }
        self.put_in(seat);
        seat
    }

    pub(super) fn change(&mut self, seat: u32, policy: &Policy) {
        let ticket = &mut self.tickets[seat as usize];
        // RFC 5356 §5.2.1: registering again resets the counter.
        *ticket = Ticket { stake: (self.stake)(policy), listings: 0, ..*ticket };
        self.put_in(seat);
    }

    /// The last ticket comes to this seat; its slot is returned.
    pub(super) fn remove(&mut self, seat: u32) -> Option<u32> {
        self.tickets.swap_remove(seat as usize);
        self.numbers.pop();
        if let Some(blanks) = &mut self.blanks {
            blanks.pop();
        }
        let moved = self.tickets.get(seat as usize)?.slot;
        self.put_in(seat);
        Some(moved)
    }

    pub(super) fn select(&mut self, request: Request, rng: &mut StdRng, listed: &mut Vec<u32>) {
        let start = listed.len();
        let end = start + request.items;
        draw(&mut self.numbers, end, rng, listed);
        if let Some(blanks) = &mut self.blanks {
            draw(blanks, end, rng, listed);
        }
        for seat in &mut listed[start..] {
            let ticket = &mut self.tickets[*seat as usize];
            if ticket.stake.step > 0 {
                ticket.listings = ticket.listings.saturating_add(1);
            }
            let slot = ticket.slot;
            self.put_in(*seat);
            *seat = slot;
        }
    }

    /// Gives a ticket the number that it is due.
    fn put_in(&mut self, seat: u32) {
        let Ticket { stake, listings, .. } = self.tickets[seat as usize];
        let number = stake.lowered(listings);
        self.numbers.set(seat, number);
        if let Some(blanks) = &mut self.blanks {
            blanks.set(seat, u32::from(number == 0));
        }
    }
}

/// Draws and takes out, until there are `end` in all or none is left.
fn draw(numbers: &mut SumTree, end: usize, rng: &mut StdRng, drawn: &mut Vec<u32>) {
    while drawn.len() < end
        && let Some(seat) = numbers.draw(rng)
    {
        numbers.set(seat, 0);
        drawn.push(seat);
    }
}
