//! What other registrars, and observers, send (RFC 5353).

use std::net::IpAddr;

use rserpool_wire::Enrp;
use rserpool_wire::enrp::{Body, ListResponse, Presence, TableResponse};
use rserpool_wire::param::{RegistrarId, ServerInformation};

use super::{Event, Misbehaviour, Registrar, State};
use crate::machine::{Output, Peer};
use crate::time::Time;

impl Registrar {
    pub(super) fn on_enrp(&mut self, now: Time, link: Peer, message: Enrp) {
        let Enrp { sender, receiver, body } = message;
        if let Some(sender) = sender
            && !self.may_be(now, link, sender)
        {
            return;
        }
        match sender {
            Some(sender) if sender == self.id => self.on_own_id(now, link, &body),
            _ if receiver.is_some_and(|receiver| receiver != self.id) => {
                self.stats.misaddressed += 1;
                self.complain(link, Misbehaviour::Misaddressed);
            }
            Some(sender) => {
                let is_new = self.associations.get(&link).is_some_and(|a| a.registrar.is_none());
                let asks = matches!(&body, Body::Presence(presence) if presence.reply_required);
                if !self.heard(now, link, sender, asks) {
                    return;
                }
                if self.config.dialect.is_foreign(receiver, &body) && self.notices.other_dialect() {
                    let event = Event::OtherDialect { peer: sender, from: self.remote_addr(link) };
                    self.outputs.push_back(Output::Event(event));
                }
                let is_stranger = self.peers.get(&sender).is_some_and(|peer| !peer.met);
                if is_new && is_stranger && !matches!(body, Body::Presence(_)) {
                    // RFC 5353 §3.4.1.
                    self.send_presence(link, None, true);
                }
                if let (false, Body::Presence(Presence { reply_required: true, .. })) =
                    (is_new, &body)
                {
                    self.prefer(link, sender);
                }
                self.on_peer_message(now, link, sender, is_stranger, body);
            }
            None => self.on_observer(now, link, body),
        }
    }

    fn on_peer_message(
        &mut self,
        now: Time,
        link: Peer,
        sender: RegistrarId,
        is_stranger: bool,
        body: Body,
    ) {
        match body {
            Body::Presence(presence) => self.on_presence(now, link, sender, presence),
            Body::ListRequest => self.on_list_request(link),
            Body::TableRequest(request) => self.on_table_request(now, link, request),
            Body::Error(_) => self.stats.errors_received += 1,
            // Whoever wants to change something here says first who and where it is.
            Body::TableResponse(_)
            | Body::Update(_)
            | Body::ListResponse(_)
            | Body::TakeoverInit(_)
            | Body::TakeoverAck(_)
            | Body::TakeoverDone(_)
                if is_stranger =>
            {
                self.stats.strangers += 1;
                self.complain(link, Misbehaviour::Stranger);
            }
            Body::TableResponse(response) => self.on_table_response(now, sender, response),
            Body::Update(update) => self.on_update(now, sender, update),
            Body::ListResponse(response) => self.on_list_response(now, link, sender, response),
            Body::TakeoverInit(takeover) => self.on_takeover_init(now, link, sender, takeover),
            Body::TakeoverAck(takeover) => self.on_takeover_ack(now, sender, takeover),
            Body::TakeoverDone(takeover) => self.on_takeover_done(now, sender, takeover),
        }
    }

    /// Someone who looks on, and is no registrar: it gets lists and tables, and nothing else.
    fn on_observer(&mut self, now: Time, link: Peer, body: Body) {
        if !self.may_look_on(now, link) {
            return;
        }
        if let Some(association) = self.associations.get_mut(&link) {
            association.is_observer = true;
        }
        match body {
            Body::ListRequest => self.on_list_request(link),
            Body::TableRequest(request) => self.on_table_request(now, link, request),
            Body::Error(_) => self.stats.errors_received += 1,
            Body::Presence(_)
            | Body::TableResponse(TableResponse { .. })
            | Body::Update(_)
            | Body::ListResponse(ListResponse { .. })
            | Body::TakeoverInit(_)
            | Body::TakeoverAck(_)
            | Body::TakeoverDone(_) => self.stats.strangers += 1,
        }
    }

    /// Someone has this registrar's identifier: it dialed itself, or somebody else uses it, too.
    /// Neither is listened to. What it says of itself tells which.
    fn on_own_id(&mut self, now: Time, link: Peer, body: &Body) {
        self.stats.own_id_heard += 1;
        let told = match body {
            Body::Presence(presence) => presence.server.as_ref(),
            _ => None,
        };
        let own = self.server_information(Some(link));
        let is_self = told.is_some() && told == own.as_ref();
        let Some(association) = self.associations.get(&link) else { return };
        let addresses: Vec<IpAddr> = association.link.remote.clone();
        let port = Some(association.link.remote_port);
        for configured in &mut self.dialing.configured {
            if configured.peer == Some(link) {
                configured.is_self = is_self;
                // Only an operator can help; the pauses are the longest ones.
                configured.failures = u32::MAX;
            }
        }
        self.outputs.push_back(Output::Close(link));
        self.on_down(now, link);
        if !is_self {
            self.tell_duplicate(addresses, port);
        }
    }

    /// This registrar's identifier is heard by multicast: its own presence comes back to it, or
    /// somebody else uses it, too. Who finds others by multicast dials nobody who has its own.
    pub(super) fn on_own_id_announced(&mut self, source: IpAddr, told: &ServerInformation) {
        if self.server_information(None).as_ref() != Some(told) {
            self.stats.own_id_heard += 1;
            self.tell_duplicate(vec![source], None);
        }
    }

    fn tell_duplicate(&mut self, addresses: Vec<IpAddr>, port: Option<u16>) {
        if self.notices.duplicate(&addresses) {
            self.outputs.push_back(Output::Event(Event::DuplicateId { addresses, port }));
        }
    }

    /// True while this registrar takes part in the scope: from the beginning where it has no peers,
    /// else from [`Event::Serving`] on.
    pub fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving)
    }
}
