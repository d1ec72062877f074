//! Packets as the machine gets them: without DATA that there is no room for, and with SACKs where peers
//! acknowledge by SHUTDOWN.

use std::borrow::Cow;
use std::time::Duration;

use super::arrivals::{Arrivals, Verdict};
use super::endpoint::UserlandEndpoint;
use super::limits::Network;
use super::packet::{Edit, Packet, chunk, sack_of};
use crate::endpoint::AssocId;

impl UserlandEndpoint {
    /// A packet as the machine gets it; `None` where the peer breaks the rules of fragments.
    pub(super) fn screen<'a>(
        &mut self,
        id: AssocId,
        packet: &Packet<'a>,
        now: Duration,
    ) -> Option<Cow<'a, [u8]>> {
        if !packet.has_data && !packet.shuts_down {
            return Some(Cow::Borrowed(packet.octets));
        }
        let association = self.table.get_mut(id)?;
        // RFC 9260 §9.2: what is queued goes before SHUTDOWN ACK. The machine would forget it, so it
        // does not hear of the SHUTDOWN, which the peer repeats, until the queue is empty. Nor does
        // it see that a SHUTDOWN acknowledges DATA, and some peers then send no SACK.
        let waits = packet.shuts_down && association.waiting() > 0;
        let (window, acknowledges) = (association.window, packet.window.is_none());
        let mut arrivals = association.coming.as_mut().or(association.arrivals.as_mut());
        let network = Network::of(association.route.remote.ip());
        let (message_max, statistics) = (self.options.message_max, &mut self.statistics);
        let (fragments, charged, mut most_kept) = (&self.fragments, association.charged, None);
        let mut sound = true;
        let octets = packet.edited(|chunk| match chunk[0] {
            chunk::DATA => {
                let Some(arrivals) = arrivals.as_mut() else { return Edit::Keep };
                let kept = arrivals.cost();
                let room = || {
                    // What this association keeps already is in what is charged.
                    let most = || fragments.room(network) + charged;
                    most_kept.get_or_insert_with(most).saturating_sub(kept)
                };
                match arrivals.take(chunk, message_max, room, now) {
                    Verdict::Taken => return Edit::Keep,
                    Verdict::Far => statistics.data_far_ahead += 1,
                    Verdict::NoRoom => statistics.fragments_dropped += 1,
                    Verdict::Violation => sound = false,
                }
                Edit::Drop
            }
            chunk::SHUTDOWN if waits => Edit::Replace(sack_of(chunk, window)),
            chunk::SHUTDOWN if acknowledges => Edit::Precede(sack_of(chunk, window)),
            _ => Edit::Keep,
        });
        self.charge(id);
        sound.then_some(octets)
    }

    /// Counts what an association keeps of unfinished messages.
    pub(super) fn charge(&mut self, id: AssocId) {
        let Some(association) = self.table.get_mut(id) else { return };
        let kept = |arrivals: &Option<Arrivals>| arrivals.as_ref().map_or(0, Arrivals::cost);
        let kept = kept(&association.arrivals) + kept(&association.coming);
        let before = std::mem::replace(&mut association.charged, kept);
        let network = Network::of(association.route.remote.ip());
        self.fragments.change(network, before, kept);
    }
}
