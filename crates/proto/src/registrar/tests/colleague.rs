//! A registrar among scripted ones.

use rserpool_wire::Protocol;
use rserpool_wire::enrp::{
    Body, Enrp, ListResponse, PoolEntry, Presence, TableRequest, TableResponse, Takeover, Update,
    UpdateAction,
};
use rserpool_wire::param::{PeChecksum, PeId, PoolElement, RegistrarId, ServerInformation};

use super::lab::{Lab, element, link, pool, sctp};
use super::net::address;
use crate::machine::{Carrier, Input, Link, Output, Peer};
use crate::registrar::{Command, Config, Event};

/// Who is tested.
pub(super) const SELF: u32 = 0x11;

pub(super) fn rid(id: u32) -> RegistrarId {
    RegistrarId::new(id).expect("not 0")
}

/// The association of the scripted registrar of this identifier.
pub(super) fn from(id: u32) -> Peer {
    Peer::accepted(1_000 + u64::from(id))
}

pub(super) fn server(id: u32) -> ServerInformation {
    let place = usize::try_from(id % 200).expect("small");
    ServerInformation { id: Some(rid(id)), transport: sctp(&[address(place)], 9901) }
}

pub(super) fn presence(id: u32, checksum: u16, reply_required: bool) -> Body {
    let checksum = Some(PeChecksum(checksum));
    Body::Presence(Presence { reply_required, checksum, server: Some(server(id)) })
}

/// The checksum over nothing.
pub(super) const EMPTY: u16 = 0xffff;

/// An element at home there.
pub(super) fn homed(id: u32, home: u32) -> PoolElement {
    let at = address(100);
    let asap_transport = Some(sctp(&[at], 4711));
    PoolElement { home: Some(rid(home)), asap_transport, ..element(id, &[at]) }
}

pub(super) fn add(element: PoolElement) -> Body {
    let action = UpdateAction::AddElement;
    Body::Update(Update { takeover_suggested: false, action, handle: pool(), element })
}

pub(super) fn delete(element: PoolElement) -> Body {
    let action = UpdateAction::DeleteElement;
    Body::Update(Update { takeover_suggested: false, action, handle: pool(), element })
}

pub(super) fn takeover(target: u32) -> Takeover {
    Takeover { target: Some(rid(target)) }
}

/// A part of a table.
pub(super) fn part(elements: Vec<PoolElement>, more: bool) -> Body {
    let pools = match elements.is_empty() {
        true => Vec::new(),
        false => vec![PoolEntry { handle: pool(), elements }],
    };
    Body::TableResponse(TableResponse { rejected: false, more, pools })
}

pub(super) fn table_request(own_only: bool) -> Body {
    Body::TableRequest(TableRequest { own_only })
}

pub(super) fn rejected_table() -> Body {
    Body::TableResponse(TableResponse { rejected: true, more: false, pools: Vec::new() })
}

pub(super) fn list(servers: Vec<ServerInformation>) -> Body {
    Body::ListResponse(ListResponse { rejected: false, servers })
}

pub(super) fn rejected_list() -> Body {
    Body::ListResponse(ListResponse { rejected: true, servers: Vec::new() })
}

pub(super) fn enrp_link(carrier: Carrier, id: u32) -> Link {
    let remote = server(id).transport.addresses.to_vec();
    // Over SCTP registrars come from where they listen.
    let remote_port = if carrier == Carrier::Sctp { 9901 } else { 50_000 };
    Link { protocol: Protocol::Enrp, remote_port, ..link(carrier, &remote) }
}

/// What goes where; ENRP messages by the identifier of the registrar.
pub(super) fn sent(outputs: &[Output<Event>]) -> Vec<(Peer, Body)> {
    let mut sent = Vec::new();
    for output in outputs {
        match output {
            Output::Send(peer, rserpool_wire::Message::Enrp(message)) => {
                sent.push((*peer, message.body.clone()));
            }
            Output::GroupCast(peers, rserpool_wire::Message::Enrp(message)) => {
                // Checklist 140.
                assert_eq!(message.receiver, None);
                sent.extend(peers.iter().map(|peer| (*peer, message.body.clone())));
            }
            _ => {}
        }
    }
    sent
}

impl Lab {
    /// A registrar that serves, with other ones connected that have nothing.
    pub(super) fn among(others: &[u32]) -> Self {
        Self::among_with(others, |_| {})
    }

    pub(super) fn among_with(others: &[u32], change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { enrp: Some(server(SELF).transport), ..Config::default() };
        change(&mut config);
        let mut lab = Self::with(config);
        lab.input(Input::Command(Command::Start));
        others.iter().for_each(|id| lab.meet(*id));
        lab
    }

    /// As [`Self::among_with`], but the first of the others is configured.
    pub(super) fn among_configured(others: &[u32], change: impl FnOnce(&mut Config)) -> Self {
        let mut lab = Self::among_with(&[], |config| {
            config.peers = 1;
            change(config);
        });
        let (first, others) = others.split_first().expect("there is one");
        lab.input(Input::Up(from(*first), enrp_link(Carrier::Sctp, *first)));
        lab.input(Input::Known(Peer::dialed(1), from(*first)));
        lab.enrp(*first, presence(*first, EMPTY, false));
        lab.enrp(*first, list(Vec::new()));
        lab.enrp(*first, part(Vec::new(), false));
        assert!(lab.registrar.is_serving());
        others.iter().for_each(|id| lab.meet(*id));
        lab
    }

    /// As [`Self::among_with`], but all of the others are configured.
    pub(super) fn among_all_configured(others: &[u32], change: impl FnOnce(&mut Config)) -> Self {
        let mut lab = Self::among_with(&[], |config| {
            config.peers = others.len();
            change(config);
        });
        for (dial, id) in (1..).zip(others) {
            lab.input(Input::Up(from(*id), enrp_link(Carrier::Sctp, *id)));
            lab.input(Input::Known(Peer::dialed(dial), from(*id)));
            lab.enrp(*id, presence(*id, EMPTY, false));
        }
        // Only the mentor is asked.
        for id in others {
            lab.enrp(*id, list(Vec::new()));
            lab.enrp(*id, part(Vec::new(), false));
        }
        lab
    }

    /// Another registrar connects and introduces itself.
    pub(super) fn meet(&mut self, id: u32) {
        self.input(Input::Up(from(id), enrp_link(Carrier::Sctp, id)));
        self.enrp(id, presence(id, EMPTY, false));
    }

    /// A message of another registrar.
    pub(super) fn enrp(&mut self, id: u32, body: Body) -> Vec<Output<Event>> {
        self.enrp_over(from(id), id, body)
    }

    pub(super) fn enrp_over(&mut self, peer: Peer, id: u32, body: Body) -> Vec<Output<Event>> {
        let (sender, receiver) = (RegistrarId::new(id), None);
        self.input(Input::Message(peer, Enrp { sender, receiver, body }.into()))
    }

    pub(super) fn home(&self, id: u32) -> Option<RegistrarId> {
        let handlespace = self.registrar.handlespace();
        let index = handlespace.find(&pool(), PeId(id))?;
        handlespace.element(index)?.element.home
    }

    /// How many elements this registrar has.
    pub(super) fn len(&self) -> usize {
        self.registrar.handlespace().len()
    }

    /// Goes on in time, through every timer.
    pub(super) fn pass(&mut self, millis: u64) -> Vec<Output<Event>> {
        use crate::machine::Machine;
        let end = self.now + std::time::Duration::from_millis(millis);
        let (mut outputs, mut events) = (Vec::new(), Vec::new());
        while self.registrar.next_timeout().is_some_and(|at| at <= end) {
            outputs.extend(self.timeout());
            events.append(&mut self.events);
        }
        self.now = end;
        self.events = events;
        outputs
    }
}
