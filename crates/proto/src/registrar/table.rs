//! Telling the handle table: the mentor's side of a download (RFC 5353 §3.2.3, §3.6.3).

use std::time::Duration;

use rserpool_wire::Message;
use rserpool_wire::codec::{Codec, HEADER_LEN};
use rserpool_wire::enrp::{Body, PoolEntry, TableRequest, TableResponse};
use rserpool_wire::param::{PeId, PoolHandle, RegistrarId};

use super::reach::as_told;
use super::supervision::{EXTENSIONS_MAX, LATENESS_TOLERATED};
use super::{Deadline, Registrar};
use crate::handlespace::{Handlespace, Reach};
use crate::machine::Peer;
use crate::time::Time;

/// How far a download over one association has come. The requests do not say it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Download {
    own_only: bool,
    /// The last element that was told.
    cursor: (PoolHandle, PeId),
    /// When it began.
    since: Time,
    /// How often the wait for the next request was extended because this registrar was late.
    extensions: u8,
}

/// How long one who only looks on may take for a whole table.
const OBSERVER_DOWNLOAD_MAX: Duration = Duration::from_secs(30);

impl Registrar {
    pub(super) fn on_table_request(&mut self, now: Time, link: Peer, request: TableRequest) {
        let TableRequest { own_only } = request;
        let Some(association) = self.associations.get_mut(&link) else { return };
        // What was asked for before is over where something else is asked for now.
        let download = association.download.take().filter(|before| before.own_only == own_only);
        let since = download.as_ref().map_or(now, |download| download.since);
        self.end_download(link);
        if !self.is_serving() || !self.may_download(now, link, since) {
            self.stats.table_rejections += 1;
            // Checklist 143, 150, 157.
            let rejection = TableResponse { rejected: true, more: false, pools: Vec::new() };
            self.send_enrp(link, Body::TableResponse(rejection));
            return;
        }
        let (home, reach) = (own_only.then_some(self.id), self.reach_of(link));
        let cursor = download.as_ref().map(|download| &download.cursor);
        let octets_max = self.config.dialect.table_response_octets_max();
        let elements_max = self.config.dialect.table_response_elements_max();
        let (pools, next) = part(
            &self.handlespace,
            cursor,
            (home, reach),
            octets_max.min(Message::MAX_LEN),
            elements_max,
        );
        let more = next.is_some();
        if let (Some(cursor), Some(association)) = (next, self.associations.get_mut(&link)) {
            association.download = Some(Download { own_only, cursor, since, extensions: 0 });
            self.downloads.insert(link);
            // Checklist 158: who does not go on is forgotten.
            self.await_next_request(now, link);
        }
        self.stats.table_parts += 1;
        let response = TableResponse { rejected: false, more, pools };
        self.send_enrp(link, Body::TableResponse(response));
    }

    fn await_next_request(&mut self, now: Time, link: Peer) {
        let wait = self.config.timing.response_timeout.saturating_mul(2);
        self.deadlines.arm(Deadline::Download(link), now + wait);
    }

    /// The next request is overdue. It may wait behind what this registrar had no time to read: then
    /// whoever fetches the table need not begin anew.
    pub(super) fn on_download_timeout(&mut self, now: Time, due: Time, link: Peer) {
        let association = self.associations.get_mut(&link);
        let download = association.and_then(|association| association.download.as_mut());
        match download.filter(|download| download.extensions < EXTENSIONS_MAX) {
            Some(download) if now - due > LATENESS_TOLERATED => {
                download.extensions += 1;
                self.await_next_request(now, link);
            }
            _ => self.end_download(link),
        }
    }

    /// True where there is room for one more download: always for registrars that the operator knows
    /// of; else for so many in all and from one source. Who only looks on has a budget of its own,
    /// and not for ever.
    fn may_download(&mut self, now: Time, link: Peer, since: Time) -> bool {
        let Some(association) = self.associations.get(&link) else { return false };
        if association.registrar.is_some_and(|id| self.is_vouched_for(id)) {
            return true;
        }
        let looks_on = association.registrar.is_none();
        let source = association.link.source();
        let of_its_kind = self.downloads.iter().filter_map(|other| {
            let other = self.associations.get(other)?;
            let is_known = other.registrar.is_some_and(|id| self.is_vouched_for(id));
            (!is_known && other.registrar.is_none() == looks_on).then(|| other.link.source())
        });
        let (mut count, mut from_there) = (0, 0);
        for other in of_its_kind {
            count += 1;
            from_there += usize::from(source.is_some() && other == source);
        }
        let (max, of_source_max) = match looks_on {
            true => (self.config.observer_downloads_max, 1),
            false => (self.config.downloads_max, self.config.downloads_max.div_ceil(4)),
        };
        let in_time = !looks_on || now - since <= OBSERVER_DOWNLOAD_MAX;
        let may = count < max && from_there < of_source_max && in_time;
        self.stats.observers_refused += u64::from(looks_on && !may);
        may
    }

    /// Whoever fetched a table has come to its end or has not gone on, or its association ended.
    pub(super) fn end_download(&mut self, link: Peer) {
        self.deadlines.disarm(Deadline::Download(link));
        self.downloads.remove(&link);
        if let Some(association) = self.associations.get_mut(&link) {
            association.download = None;
        }
    }
}

/// The next elements that fit into one message, at least one; and where there are more, the last of
/// these.
fn part(
    handlespace: &Handlespace,
    cursor: Option<&(PoolHandle, PeId)>,
    (home, reach): (Option<RegistrarId>, Reach),
    octets_max: usize,
    elements_max: usize,
) -> (Vec<PoolEntry>, Option<(PoolHandle, PeId)>) {
    let mut pools: Vec<PoolEntry> = Vec::new();
    // The header, and the two identifiers.
    let mut octets = HEADER_LEN + 8;
    for (count, (handle, element)) in handlespace.table_within(cursor, home, reach).enumerate() {
        let element = as_told(element, reach);
        let is_same = pools.last().is_some_and(|pool| pool.handle == *handle);
        octets += element.encoded_len();
        if !is_same {
            octets += handle.encoded_len();
        }
        if count > 0 && (octets >= octets_max || count == elements_max) {
            let last = pools.last().and_then(|pool| Some((pool, pool.elements.last()?)));
            let next = last.map(|(pool, element)| (pool.handle.clone(), element.id));
            return (pools, next);
        }
        match pools.last_mut().filter(|_| is_same) {
            Some(pool) => pool.elements.push(element),
            None => {
                let (handle, elements) = (handle.clone(), vec![element]);
                pools.push(PoolEntry { handle, elements });
            }
        }
    }
    (pools, None)
}
