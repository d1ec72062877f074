//! How a net stands.

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::enrp::Body;
use rserpool_wire::param::{PoolElement as Element, RegistrarId};

use super::{Net, Node, Place};
use crate::element::PoolElement;
use crate::registrar::{Event, Registrar, State};
use crate::time::Time;

impl Net {
    pub(in crate::registrar::tests) fn at(&self, place: usize) -> &Registrar {
        match &self.places[place].node {
            Node::Registrar(registrar) => registrar,
            Node::Element(_) => panic!("an element"),
        }
    }

    pub(in crate::registrar::tests) fn element_at(&self, place: usize) -> &PoolElement {
        match &self.places[place].node {
            Node::Element(element) => element,
            Node::Registrar(_) => panic!("a registrar"),
        }
    }

    /// The places of registrars that live.
    fn registrars(&self) -> Vec<usize> {
        let is_one = |place: &Place| place.alive && matches!(place.node, Node::Registrar(_));
        (0..self.places.len()).filter(|row| is_one(&self.places[*row])).collect()
    }

    /// Each element and its home, as the registrar at this place has it.
    pub(in crate::registrar::tests) fn view(
        &self,
        place: usize,
    ) -> BTreeMap<u32, Option<RegistrarId>> {
        let table = self.at(place).handlespace().table_after(None, None);
        table.map(|(_, element): (_, &Element)| (element.id.0, element.home)).collect()
    }

    /// True where all registrars that live have the same elements with the same homes, and each
    /// home looks after its own.
    pub(in crate::registrar::tests) fn agrees(&self) -> bool {
        let registrars = self.registrars();
        let first = self.view(registrars[0]);
        let homes: BTreeSet<_> =
            registrars.iter().map(|place| Some(self.at(*place).id())).collect();
        registrars.iter().all(|place| {
            let registrar = self.at(*place);
            let is_settled =
                registrar.supervised.len() == registrar.handlespace().owned_count(registrar.id());
            self.view(*place) == first && is_settled && registrar.state() == State::Serving
        }) && first.values().all(|home| homes.contains(home))
    }

    pub(in crate::registrar::tests) fn assert_agrees(&self) {
        let views: Vec<_> = self.registrars().iter().map(|row| (*row, self.view(*row))).collect();
        assert!(self.agrees(), "{views:#?}");
    }

    /// How it stands.
    pub(in crate::registrar::tests) fn describe(&self) -> String {
        let mut text = format!("at {:?}\n", self.now);
        for (row, place) in self.places.iter().enumerate() {
            text += &match &place.node {
                Node::Registrar(registrar) => {
                    let peers: Vec<_> =
                        registrar.peers().map(|peer| (peer.id, peer.state)).collect();
                    format!("{row} {:?} {peers:?}\n  {:?}\n", registrar.state(), self.view(row))
                }
                Node::Element(element) => format!("{row} {element:?}\n"),
            };
        }
        let events = self.events.iter().rev().take(60);
        text + &events.map(|event| format!("{event:?}\n")).collect::<String>()
    }

    /// What the registrar at this place told its application.
    pub(in crate::registrar::tests) fn told(&self, place: usize) -> Vec<&Event> {
        let here = self.events.iter().filter(|(_, at, _)| *at == place);
        here.map(|(_, _, event)| event).collect()
    }

    /// How often messages of this kind went from one place to another since `since`.
    pub(in crate::registrar::tests) fn sent(
        &self,
        since: Time,
        from: usize,
        to: usize,
        kind: fn(&Body) -> bool,
    ) -> usize {
        let is_one = |(at, sender, receiver, body): &&(Time, usize, usize, Body)| {
            *at >= since && *sender == from && *receiver == to && kind(body)
        };
        self.trace.iter().filter(is_one).count()
    }
}
