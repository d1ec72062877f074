//! What can go wrong in a net.

use std::collections::VecDeque;

use super::{Arrival, DELAY, Net, Node, Place, make};
use crate::machine::{Carrier, Input, Peer};
use crate::registrar::{Command, Config};

impl Net {
    pub(in crate::registrar::tests) fn start(&mut self, place: usize) {
        self.input(place, Input::Command(Command::Start));
    }

    /// The process at this place is replaced by a new one.
    pub(in crate::registrar::tests) fn restart(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut Config),
    ) {
        self.kill(place);
        self.run(2);
        let configured = self.places[place].configured.clone();
        let node = make(place, configured.len(), self.sequence, change);
        let mut fresh = Place::new(Node::Registrar(Box::new(node)), configured);
        fresh.accepted = self.places[place].accepted;
        self.places[place] = fresh;
        self.start(place);
    }

    pub(in crate::registrar::tests) fn use_tcp(&mut self, place: usize) {
        self.places[place].carrier = Carrier::Tcp;
        self.places[place].dials_only = matches!(self.places[place].node, Node::Element(_));
    }

    /// The process has ended, and its port with it.
    pub(in crate::registrar::tests) fn gone(&mut self, place: usize) {
        self.places[place].alive = false;
    }

    pub(in crate::registrar::tests) fn leave(&mut self, place: usize) {
        self.input(place, Input::Command(Command::Leave));
    }

    /// The process ends; the others' kernels notice.
    pub(in crate::registrar::tests) fn kill(&mut self, place: usize) {
        self.places[place].alive = false;
        self.places[place].frozen = None;
        let ends: Vec<_> = self.ends.range((place, Peer::accepted(0))..).collect();
        let ends: Vec<_> = ends.into_iter().take_while(|(own, _)| own.0 == place).collect();
        let ends: Vec<_> = ends.into_iter().map(|(own, other)| (*own, *other)).collect();
        for (own, other) in ends {
            self.ends.remove(&own);
            if self.ends.remove(&other).is_some() {
                self.send(place, other.0, Arrival::Down(other.1));
            }
        }
    }

    pub(in crate::registrar::tests) fn freeze(&mut self, place: usize) {
        self.places[place].frozen = Some(VecDeque::new());
    }

    pub(in crate::registrar::tests) fn thaw(&mut self, place: usize) {
        for arrival in self.places[place].frozen.take().unwrap_or_default() {
            self.arrive(place, arrival);
        }
    }

    /// Nothing passes between these two sides, and nobody notices.
    pub(in crate::registrar::tests) fn cut(&mut self, left: &[usize], right: &[usize]) {
        for &a in left {
            for &b in right {
                self.cuts.extend([(a, b), (b, a)]);
            }
        }
    }

    /// Whoever is cut off from each other notices.
    pub(in crate::registrar::tests) fn break_cut(&mut self) {
        let cuts = self.cuts.clone();
        let broken = |from: &(usize, Peer), to: &(usize, Peer)| cuts.contains(&(from.0, to.0));
        let ends = self.ends.iter().filter(|(from, to)| broken(from, to));
        let ends: Vec<_> = ends.map(|(from, to)| (*from, *to)).collect();
        // What ended meanwhile is still found out.
        let is_end = |arrival: &Arrival| matches!(arrival, Arrival::Down(_));
        self.kept.retain(|(from, to, it)| !cuts.contains(&(*from, *to)) || is_end(it));
        for (own, _) in ends {
            self.ends.remove(&own);
            self.sequence += 1;
            let at = (self.now + DELAY, self.sequence);
            self.queue.insert(at, (own.0, Arrival::Down(own.1)));
        }
    }

    pub(in crate::registrar::tests) fn heal(&mut self) {
        self.cuts.clear();
        for (from, to, arrival) in std::mem::take(&mut self.kept) {
            self.send(from, to, arrival);
        }
    }
}
