//! Deeds at the port for elements and users.

use std::time::Duration;

use rand::RngExt;
use rserpool_proto::machine::Peer;
use rserpool_proto::time::Time;
use rserpool_wire::asap::{
    Announce, Asap, BusinessCard, Deregistration, HandleResolution, KeepAlive, KeepAliveAck,
    Registration, RegistrationResponse, Unreachable,
};
use rserpool_wire::param::{PeId, Policy, PoolElement, PoolHandle, RegistrationLife, TransportUse};

use super::{Hostile, Kind};

/// Requests at once.
const BURST: usize = 12;
/// Answers that lie around.
const LATE_MAX: usize = 64;

impl Hostile {
    pub(super) fn greet(&mut self, peer: Peer) {
        match self.config.kind {
            Kind::Stranger | Kind::Slanderer | Kind::Liar | Kind::Mute => self.look_around(peer),
            Kind::Impostor | Kind::MuteRegistrar => self.introduce(peer),
        }
    }

    /// Asks for all elements of a pool.
    fn look_around(&mut self, peer: Peer) {
        if let Some((handle, ..)) = self.some_pool() {
            let want_updates = self.rng.random_bool(0.3);
            let question = HandleResolution { want_updates, handle, items: None };
            self.say(peer, Asap::HandleResolution(question));
        }
    }

    fn some_pool(&mut self) -> Option<(PoolHandle, Policy, TransportUse)> {
        let row = self.any(self.config.pools.len())?;
        self.config.pools.get(row).cloned()
    }

    fn made_up_pool(&mut self) -> Option<PoolHandle> {
        PoolHandle::new(format!("taken {}", self.rng.random_range(0..500)))
    }

    fn element(&mut self, id: PeId, policy: Policy, serves: TransportUse) -> PoolElement {
        let life = match self.rng.random_range(0..4) {
            0 => RegistrationLife::FOREVER,
            _ => RegistrationLife(self.rng.random_range(1..1_000)),
        };
        let user_transport = self.transport(serves);
        PoolElement { id, home: None, life, user_transport, policy, asap_transport: None }
    }

    fn register(&mut self, peer: Peer, handle: PoolHandle, element: PoolElement) {
        self.say(peer, Asap::Registration(Registration { handle, element }));
    }

    fn register_own(&mut self, peer: Peer) {
        if let Some((handle, policy, serves)) = self.some_pool() {
            let id = self.made_up_id();
            let element = self.element(id, policy, serves);
            self.register(peer, handle, element);
        }
    }

    /// Registers somebody else's identifier.
    fn register_victim(&mut self, peer: Peer) {
        if let Some((handle, victim)) = self.victim() {
            let serves = victim.user_transport.transport_use();
            let mut element = self.element(victim.id, victim.policy.clone(), serves);
            if self.rng.random_bool(0.5) {
                element.user_transport = victim.user_transport;
            }
            self.register(peer, handle, element);
        }
    }

    pub(super) fn be_strange(&mut self, peer: Peer) {
        match self.rng.random_range(0..12) {
            0 => {
                // A pool that nobody else has.
                if let Some(handle) = self.made_up_pool() {
                    let id = self.made_up_id();
                    let element = self.element(id, Policy::round_robin(), TransportUse::DataOnly);
                    self.register(peer, handle, element);
                }
            }
            1 => self.register_own(peer),
            2 => self.register_victim(peer),
            3 => {
                if let Some((handle, victim)) = self.victim() {
                    self.say(peer, Asap::Deregistration(Deregistration { handle, id: victim.id }));
                }
            }
            4 => self.register_nonsense(peer),
            5 => {
                if let Some((handle, victim)) = self.victim() {
                    self.say(peer, Asap::KeepAliveAck(KeepAliveAck { handle, id: victim.id }));
                }
            }
            6 => self.say_what_others_say(peer),
            7 | 8 => (0..BURST).for_each(|_| self.look_around(peer)),
            9 => (0..BURST).for_each(|_| self.register_own(peer)),
            10 => self.dial(),
            _ => self.look_around(peer),
        }
    }

    /// What nobody can mean.
    fn register_nonsense(&mut self, peer: Peer) {
        let Some((handle, policy, serves)) = self.some_pool() else { return };
        let id = self.made_up_id();
        let mut element = self.element(id, policy, serves);
        let mut of = handle;
        match self.rng.random_range(0..5) {
            0 => element.id = PeId(0),
            1 => element.life = RegistrationLife(0),
            2 => element.life = RegistrationLife(-2),
            3 => of = PoolHandle::new(vec![b'x'; 5_000]).unwrap_or(of),
            // Another policy than the pool's, where that has elements.
            _ if self.victims.keys().any(|(known, _)| *known == of) => {
                element.policy = Policy::of_type(rserpool_wire::registry::PolicyType::RANDOM);
            }
            _ => return,
        }
        self.register(peer, of, element);
    }

    fn say_what_others_say(&mut self, peer: Peer) {
        let Some((handle, victim)) = self.victim() else { return };
        let id = victim.id;
        let message = match self.rng.random_range(0..5) {
            0 => {
                let (rejected, causes) = (self.rng.random_bool(0.5), Vec::new());
                Asap::RegistrationResponse(RegistrationResponse { rejected, handle, id, causes })
            }
            1 => {
                let claim_home = self.rng.random_bool(0.5);
                Asap::KeepAlive(KeepAlive { claim_home, sender: None, handle, id: Some(id) })
            }
            2 => Asap::Announce(Announce { sender: None, transports: Vec::new() }),
            3 => Asap::BusinessCard(BusinessCard { handle, elements: vec![victim] }),
            _ => Asap::Error(Vec::new()),
        };
        self.say(peer, message);
    }

    pub(super) fn slander(&mut self, peer: Peer) {
        match self.victim() {
            Some((handle, victim)) => {
                self.say(peer, Asap::Unreachable(Unreachable { handle, id: victim.id }));
                self.dial();
            }
            None => self.look_around(peer),
        }
    }

    pub(super) fn lie(&mut self, peer: Peer) {
        match self.rng.random_range(0..6) {
            0 => self.register_victim(peer),
            1 => self.look_around(peer),
            _ => self.register_own(peer),
        }
    }

    pub(super) fn ask_much(&mut self, peer: Peer) {
        for _ in 0..BURST / 4 {
            let Some((handle, ..)) = self.some_pool() else { return };
            let question = HandleResolution { want_updates: true, handle, items: None };
            self.say(peer, Asap::HandleResolution(question));
        }
        self.register_own(peer);
    }

    pub(super) fn on_asap(&mut self, now: Time, peer: Peer, message: Asap) {
        match message {
            Asap::HandleResolutionResponse(answer) => {
                self.learn(&answer.handle, answer.elements);
            }
            Asap::KeepAlive(KeepAlive { handle, id: Some(id), .. }) => {
                let ack = Asap::KeepAliveAck(KeepAliveAck { handle: handle.clone(), id });
                match self.rng.random_range(0..4) {
                    0 => {}
                    1 if self.late.len() < LATE_MAX => {
                        let wait = self.config.pause * self.rng.random_range(1..20);
                        let latest = self.late.back().map_or(now, |(at, ..)| *at);
                        let at = latest.max(now + wait.min(Duration::from_secs(5)));
                        self.late.push_back((at, peer, ack));
                    }
                    2 if self.config.kind == Kind::Liar => {
                        let id = self.victim().map_or(id, |(_, victim)| victim.id);
                        self.say(peer, Asap::KeepAliveAck(KeepAliveAck { handle, id }));
                    }
                    _ => self.say(peer, ack),
                }
            }
            _ => {}
        }
    }
}
