//! Deeds at the port for registrars.

use rand::RngExt;
use rserpool_proto::machine::Peer;
use rserpool_wire::Enrp;
use rserpool_wire::enrp::{
    Body, ListResponse, PoolEntry, Presence, TableRequest, TableResponse, Takeover, Update,
    UpdateAction,
};
use rserpool_wire::param::{
    PeChecksum, PoolElement, RegistrarId, SctpTransport, ServerInformation, Transport, TransportUse,
};

use super::{Hostile, Kind};

/// Identifiers of its own.
const OWN_IDS: u32 = 6;
/// Servers that there are not, in one list.
const INVENTED: u32 = 50;

impl Hostile {
    /// One of few identifiers of its own, or that of a registrar that there is.
    fn some_identity(&mut self) -> Option<RegistrarId> {
        if self.config.kind == Kind::Impostor
            && self.rng.random_bool(0.4)
            && let Some(row) = self.any(self.registrars.len())
        {
            return self.registrars.get(row).copied();
        }
        RegistrarId::new(super::FIRST_ID + self.rng.random_range(0..OWN_IDS))
    }

    fn tell(&mut self, peer: Peer, sender: Option<RegistrarId>, body: Body) {
        let receiver = match self.any(self.registrars.len()) {
            Some(row) if self.rng.random_bool(0.1) => self.registrars.get(row).copied(),
            _ => None,
        };
        self.say(peer, Enrp { sender, receiver, body });
    }

    /// Says who it is; an impostor looks on first, now and then.
    pub(super) fn introduce(&mut self, peer: Peer) {
        if self.config.kind == Kind::Impostor && self.rng.random_bool(0.3) {
            self.tell(peer, None, Body::TableRequest(TableRequest { own_only: false }));
            return;
        }
        let identity = self.some_identity();
        if let Some(link) = self.links.iter_mut().find(|(link, _)| *link == peer) {
            link.1 = identity;
        }
        self.say_presence(peer, identity);
    }

    fn say_presence(&mut self, peer: Peer, identity: Option<RegistrarId>) {
        let server = self.server(identity);
        let checksum = Some(PeChecksum(self.rng.random()));
        let reply_required = self.rng.random_bool(0.3);
        let presence = Presence { reply_required, checksum, server };
        self.tell(peer, identity, Body::Presence(presence));
    }

    /// Where it says that it is: at its own address.
    fn server(&mut self, id: Option<RegistrarId>) -> Option<ServerInformation> {
        let addresses = self.config.transport.addresses().into();
        let port = self.rng.random_range(1..=u16::MAX);
        let transport = SctpTransport { port, transport_use: TransportUse::DataOnly, addresses };
        Some(ServerInformation { id, transport })
    }

    /// Somebody's element as if it were here.
    fn stolen(
        &mut self,
        home: Option<RegistrarId>,
    ) -> Option<(rserpool_wire::param::PoolHandle, PoolElement)> {
        let (handle, mut element) = self.victim()?;
        element.home = home;
        if self.rng.random_bool(0.7) {
            element.user_transport = self.transport(element.user_transport.transport_use());
            if let Transport::Sctp(sctp) = &self.config.transport {
                element.asap_transport = Some(sctp.clone());
            }
        }
        Some((handle, element))
    }

    pub(super) fn pretend(&mut self, peer: Peer, identity: Option<RegistrarId>) {
        // Now and then somebody else speaks over the same association.
        let sender = if self.rng.random_bool(0.1) { self.some_identity() } else { identity };
        match self.rng.random_range(0..14) {
            0 => self.dial(),
            1 => self.abort_one(),
            2 | 3 => self.say_presence(peer, sender),
            4 => self.tell(peer, sender, Body::ListRequest),
            5 => self.tell(peer, sender, Body::TableRequest(TableRequest { own_only: false })),
            6..=8 => {
                let Some((handle, element)) = self.stolen(sender) else { return };
                let takeover_suggested = self.rng.random_bool(0.2);
                let action = match self.rng.random_bool(0.6) {
                    true => UpdateAction::AddElement,
                    false => UpdateAction::DeleteElement,
                };
                let update = Update { takeover_suggested, action, handle, element };
                self.tell(peer, sender, Body::Update(update));
            }
            9 | 10 => {
                let target = self.any(self.registrars.len()).map(|row| self.registrars[row]);
                let takeover = Takeover { target };
                let body = match self.rng.random_range(0..3) {
                    0 => Body::TakeoverInit(takeover),
                    1 => Body::TakeoverAck(takeover),
                    _ => Body::TakeoverDone(takeover),
                };
                self.tell(peer, sender, body);
            }
            11 => {
                let servers = (0..INVENTED).filter_map(|number| {
                    let id = RegistrarId::new(super::FIRST_ID + 20 + number);
                    self.server(id)
                });
                let servers = servers.collect();
                let list = ListResponse { rejected: false, servers };
                self.tell(peer, sender, Body::ListResponse(list));
            }
            12 => self.tell_table(peer, sender),
            _ => self.tell(peer, sender, Body::Error(Vec::new())),
        }
    }

    fn tell_table(&mut self, peer: Peer, sender: Option<RegistrarId>) {
        let mut pools = Vec::new();
        for _ in 0..self.rng.random_range(0..5) {
            if let Some((handle, element)) = self.stolen(sender) {
                pools.push(PoolEntry { handle, elements: vec![element] });
            }
        }
        let more = self.rng.random_bool(0.5) && !pools.is_empty();
        let table = TableResponse { rejected: self.rng.random_bool(0.1), more, pools };
        self.tell(peer, sender, Body::TableResponse(table));
    }

    pub(super) fn ask_much_as_registrar(&mut self, peer: Peer, identity: Option<RegistrarId>) {
        self.tell(peer, identity, Body::TableRequest(TableRequest { own_only: false }));
        self.tell(peer, identity, Body::ListRequest);
        self.say_presence(peer, identity);
    }

    pub(super) fn on_enrp(&mut self, peer: Peer, message: Enrp) {
        if let Some(id) = message.sender.filter(|id| !self.registrars.contains(id))
            && self.registrars.len() < 16
        {
            self.registrars.push(id);
        }
        let identity = self.links.iter().find(|(link, _)| *link == peer).and_then(|link| link.1);
        match message.body {
            Body::Presence(Presence { reply_required: true, .. }) if self.rng.random_bool(0.8) => {
                self.say_presence(peer, identity);
            }
            Body::TableRequest(_) if self.rng.random_bool(0.8) => self.tell_table(peer, identity),
            Body::TakeoverInit(takeover) if self.rng.random_bool(0.5) => {
                self.tell(peer, identity, Body::TakeoverAck(takeover));
            }
            Body::TableResponse(table) => {
                for pool in table.pools {
                    self.learn(&pool.handle, pool.elements);
                }
            }
            Body::Update(update) => self.learn(&update.handle, [update.element]),
            _ => {}
        }
    }
}
