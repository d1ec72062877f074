use super::Request;
use super::slab::Slab;

/// One after the other (RFC 5356 §4.1): a ring, and where it begins.
#[derive(Debug, Default)]
pub(in crate::handlespace) struct Ring {
    links: Slab<Link>,
    head: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    slot: u32,
    before: u32,
    behind: u32,
}

impl Ring {
    /// At the end: right before the head.
    pub(super) fn insert(&mut self, slot: u32) -> u32 {
        let seat = self.links.take(Link { slot, before: 0, behind: 0 });
        let head = *self.head.get_or_insert(seat);
        let before = if head == seat { seat } else { self.links[head].before };
        self.links[seat] = Link { slot, before, behind: head };
        self.links[before].behind = seat;
        self.links[head].before = seat;
        seat
    }

    pub(super) fn remove(&mut self, seat: u32) {
        let Link { before, behind, .. } = self.links[seat];
        self.links[before].behind = behind;
        self.links[behind].before = before;
        if self.head == Some(seat) {
            self.head = (behind != seat).then_some(behind);
        }
        self.links.leave(seat);
    }

    // RFC 5356 §4.1.2: the list begins at the head, which then moves on.
    pub(super) fn select(&mut self, request: Request, listed: &mut Vec<u32>) {
        let Some(mut next) = self.head else { return };
        for turn in 1..=request.items {
            let link = self.links[next];
            listed.push(link.slot);
            next = link.behind;
            if turn <= request.increment {
                self.head = Some(next);
            }
        }
    }
}
