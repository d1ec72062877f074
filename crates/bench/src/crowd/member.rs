//! Elements that share an association.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rserpool::transport::{Address, AssocId, Endpoints, Event, Framing, Ppid, Scheme, SendError};
use rserpool::wire::asap::{Asap, KeepAlive, KeepAliveAck, RegistrationResponse};
use rserpool::wire::param::{PeId, Policy, PoolHandle};
use rserpool::wire::{Message, Protocol};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Counts, Plan};
use crate::clock::now_us;
use crate::load::registration;
use crate::scope::supervision_round;

/// Elements that share an association to their home.
pub(super) struct Member {
    endpoints: Endpoints,
    registrars: Vec<Address>,
    /// Which of them is dialed next.
    next: usize,
    /// Where elements register now.
    home: Option<Home>,
    first: u32,
    /// Where each element is: element `first` first.
    elements: Vec<Place>,
    /// Elements that have to register.
    waiting: VecDeque<usize>,
    /// Registrations without an answer.
    asked: usize,
    pools: Arc<[PoolHandle]>,
    counts: Arc<Counts>,
    silence_max: Duration,
}

struct Home {
    assoc: AssocId,
    is_up: bool,
    heard: Instant,
}

#[derive(Clone, Copy, Default)]
struct Place {
    home: Option<AssocId>,
    /// Where its registration has no answer yet.
    asked: Option<AssocId>,
    /// Who claims it meanwhile.
    claimed: Option<AssocId>,
    was_in: bool,
    has_moved: bool,
}

/// Registrations under way at once.
const ASKED_MAX: usize = 64;
const SPEAKS: Framing = Framing::Message(Ppid::ASAP);
/// How long a name may take to be looked up; there are none.
const RESOLVE_MAX: Duration = Duration::from_secs(5);

impl Member {
    pub(super) fn new(
        number: u32,
        plan: &Plan,
        elements: Range<u32>,
        pools: Arc<[PoolHandle]>,
        counts: Arc<Counts>,
    ) -> Self {
        let timing = plan.setting.timing();
        let mut registrars = plan.registrars.clone();
        if let Some(others) = registrars.get_mut(1..).filter(|others| !others.is_empty()) {
            let turn = number as usize % others.len();
            others.rotate_left(turn);
        }
        let mut endpoints = Endpoints::new(rserpool::transport_options(&timing));
        // Registrars come to elements over SCTP only.
        if plan.setting.scheme != Scheme::Tcp {
            let here = format!("{}://127.0.0.1:0", plan.setting.scheme).parse();
            if !here.is_ok_and(|here| endpoints.listen(&here, SPEAKS).is_ok()) {
                let _ = counts.failure.set("cannot listen".into());
            }
        }
        Self {
            endpoints,
            registrars,
            next: 0,
            home: None,
            first: elements.start,
            elements: vec![Place::default(); elements.len()],
            waiting: (0..elements.len()).collect(),
            asked: 0,
            pools,
            counts,
            silence_max: silence_max(timing.peer_silence_max, plan.elements),
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(mut self) {
        loop {
            if self.home.is_none() {
                self.dial().await;
            }
            let silent = self.silent_at();
            tokio::select! {
                event = self.endpoints.next() => self.on_event(event),
                () = sleep_until(silent.unwrap_or_else(Instant::now)), if silent.is_some() => {
                    self.give_up_home();
                }
            }
            self.register();
        }
    }

    async fn dial(&mut self) {
        let Some(address) = self.registrars.get(self.next % self.registrars.len().max(1)) else {
            return;
        };
        self.next += 1;
        let Ok(Ok(remote)) = timeout(RESOLVE_MAX, address.resolve()).await else { return };
        if let Ok(assoc) = self.endpoints.connect(&remote, SPEAKS) {
            self.home = Some(Home { assoc, is_up: false, heard: Instant::now() });
        }
    }

    /// When the home has been silent for too long, where it is one.
    fn silent_at(&self) -> Option<Instant> {
        let home = self.home.as_ref().filter(|home| home.is_up)?;
        let is_home = self.asked > 0 || self.elements.iter().any(|e| e.home == Some(home.assoc));
        is_home.then(|| home.heard + self.silence_max)
    }

    fn give_up_home(&mut self) {
        if let Some(home) = self.home.take() {
            self.endpoints.abort(home.assoc);
            self.lose(home.assoc);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Up { assoc, .. } => {
                if let Some(home) = self.home.as_mut().filter(|home| home.assoc == assoc) {
                    (home.is_up, home.heard) = (true, Instant::now());
                }
            }
            Event::Down { assoc, .. } => {
                if self.is_home(assoc) {
                    self.home = None;
                }
                self.lose(assoc);
            }
            Event::Message { assoc, octets, .. } => self.on_message(assoc, &octets),
            Event::Addresses { .. }
            | Event::Path { .. }
            | Event::Congested { .. }
            | Event::Drained { .. } => {}
        }
    }

    /// An association is gone: who has its home there needs another one.
    fn lose(&mut self, assoc: AssocId) {
        if self.home.is_none() {
            self.asked = 0;
        }
        self.waiting.clear();
        let mut claimed = Vec::new();
        for (row, place) in self.elements.iter_mut().enumerate() {
            place.home = place.home.filter(|home| *home != assoc);
            place.asked = place.asked.filter(|asked| *asked != assoc);
            place.claimed = place.claimed.filter(|by| *by != assoc);
            if place.home.is_none() && place.asked.is_none() {
                match place.claimed.take() {
                    Some(by) => claimed.push((row, by)),
                    None => self.waiting.push_back(row),
                }
            }
        }
        for (row, by) in claimed {
            self.agree(row, by);
        }
    }

    fn on_message(&mut self, assoc: AssocId, octets: &[u8]) {
        if let Some(home) = self.home.as_mut().filter(|home| home.assoc == assoc) {
            home.heard = Instant::now();
        }
        match Message::decode(Protocol::Asap, octets).map(|decoded| decoded.message) {
            Ok(Message::Asap(Asap::RegistrationResponse(response))) => {
                self.on_answer(assoc, &response);
            }
            Ok(Message::Asap(Asap::KeepAlive(keep_alive))) => {
                self.on_keep_alive(assoc, keep_alive);
            }
            Ok(Message::Asap(Asap::DeregistrationResponse(response))) => {
                self.on_removed(assoc, response.id);
            }
            // Nothing else concerns an element that stays.
            other => self.fail(format_args!("unexpected: {other:?}")),
        }
    }

    fn on_answer(&mut self, assoc: AssocId, response: &RegistrationResponse) {
        if self.is_home(assoc) {
            self.asked = self.asked.saturating_sub(1);
        }
        if response.rejected {
            self.fail(format_args!("rejected: {response:?}"));
            return;
        }
        let Some(row) = self.row(response.id) else { return };
        // Where another registrar has claimed it meanwhile, that one is its home.
        if let Some(place) = self.elements.get_mut(row).filter(|e| e.asked == Some(assoc)) {
            place.asked = None;
            place.claimed = None;
            self.settle(row, assoc);
        }
    }

    fn on_keep_alive(&mut self, assoc: AssocId, keep_alive: KeepAlive) {
        let KeepAlive { claim_home, handle, id, .. } = keep_alive;
        // Over TCP it may be for someone else: a port that an element dialed from is no address,
        // and may be that of another element by now. As elements do, this one says nothing to it.
        let Some((id, row)) = id.and_then(|id| Some((id, self.row(id)?))) else { return };
        let Some(place) = self.elements.get_mut(row) else { return };
        if !claim_home || place.home == Some(assoc) {
            self.send(assoc, &Asap::KeepAliveAck(KeepAliveAck { handle, id }).into());
        } else if place.home.is_none() && place.asked.is_some_and(|asked| asked != assoc) {
            // Whoever was asked first has time to answer, as elements do it.
            place.claimed = Some(assoc);
        } else {
            self.agree(row, assoc);
        }
    }

    /// The new home gets a registration at once, as elements do it.
    fn agree(&mut self, row: usize, assoc: AssocId) {
        let Some((handle, id)) = self.key(row) else { return };
        self.send(assoc, &Asap::KeepAliveAck(KeepAliveAck { handle, id }).into());
        self.settle(row, assoc);
        self.ask(row, assoc);
    }

    /// A registrar says that an element is out; where that one is its home, it registers again.
    fn on_removed(&mut self, assoc: AssocId, id: PeId) {
        let place = self.row(id).and_then(|row| Some((row, self.elements.get_mut(row)?)));
        // A former home says that it looks after the element no longer: that is no removal.
        let Some((row, place)) = place.filter(|(_, e)| e.home == Some(assoc)) else { return };
        self.counts.removed.fetch_add(1, Ordering::Relaxed);
        if place.asked.is_none() {
            place.home = None;
            self.ask(row, assoc);
        }
    }

    /// An element has a home.
    fn settle(&mut self, row: usize, assoc: AssocId) {
        let Some(place) = self.elements.get_mut(row) else { return };
        let before = place.home.replace(assoc);
        if !std::mem::replace(&mut place.was_in, true) {
            self.counts.registered.fetch_add(1, Ordering::Relaxed);
        } else if before != Some(assoc) && !std::mem::replace(&mut place.has_moved, true) {
            self.counts.moved_us.fetch_max(now_us(), Ordering::Relaxed);
            self.counts.moved.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Registers as many as may be under way.
    fn register(&mut self) {
        let Some(home) = self.home.as_ref().filter(|home| home.is_up) else { return };
        let home = home.assoc;
        while self.asked < ASKED_MAX
            && let Some(row) = self.waiting.pop_front()
        {
            // It may have been claimed meanwhile.
            let is_homeless = |e: &Place| e.home.is_none() && e.asked.is_none();
            if self.elements.get(row).is_some_and(is_homeless) {
                self.ask(row, home);
            }
        }
    }

    /// Registers an element over this association.
    fn ask(&mut self, row: usize, assoc: AssocId) {
        let Some(registration) = self.registration(row) else { return };
        if let Some(place) = self.elements.get_mut(row) {
            place.asked = Some(assoc);
        }
        self.asked += usize::from(self.is_home(assoc));
        self.send(assoc, &registration);
    }

    fn is_home(&self, assoc: AssocId) -> bool {
        self.home.as_ref().is_some_and(|home| home.assoc == assoc)
    }

    fn registration(&self, row: usize) -> Option<Message> {
        let (handle, id) = self.key(row)?;
        Some(registration(handle, id, Policy::round_robin()))
    }

    fn key(&self, row: usize) -> Option<(PoolHandle, PeId)> {
        let number = self.first + u32::try_from(row).ok()?;
        let handle = self.pools.get(number as usize % self.pools.len().max(1))?.clone();
        Some((handle, PeId(number + 1)))
    }

    fn row(&self, id: PeId) -> Option<usize> {
        let row = id.0.checked_sub(self.first + 1)? as usize;
        (row < self.elements.len()).then_some(row)
    }

    fn send(&mut self, assoc: AssocId, message: &Message) {
        match self.endpoints.send(assoc, Ppid::ASAP, &message.encode()) {
            // That it is gone is said by an event.
            Ok(()) | Err(SendError::Gone) => {}
            Err(error) => self.fail(format_args!("message not taken: {error}")),
        }
    }

    /// Only the first one is told.
    fn fail(&self, what: std::fmt::Arguments<'_>) {
        let _ = self.counts.failure.set(what.to_string());
    }
}

/// How long an element waits for its home: as elements do, by the rhythm in which it is asked.
fn silence_max(floor: Duration, elements: u32) -> Duration {
    floor.max(supervision_round(elements)).mul_f64(1.5)
}
