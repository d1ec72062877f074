//! Handlespaces to measure.

use std::net::IpAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rserpool_proto::deadlines::Key;
use rserpool_proto::handlespace::{Config, ElementIndex, Handlespace};
use rserpool_wire::param::{
    PeId, Policy, PolicyField, PoolElement, PoolHandle, RegistrarId, RegistrationLife,
    SctpTransport, Transport, TransportUse,
};
use rserpool_wire::registry::PolicyType;

/// A handlespace, and elements for it.
pub(crate) struct Lab {
    pub(crate) space: Handlespace,
    pub(crate) handles: Vec<PoolHandle>,
    policy_type: PolicyType,
    pub(crate) size: u32,
    pub(crate) rng: StdRng,
}

impl Lab {
    pub(crate) fn new(config: Config, policy_type: PolicyType, size: u32, pools: u32) -> Self {
        let handles = (0..pools).map(|pool| format!("a pool: {pool:08}").into_bytes());
        let handles = handles.filter_map(PoolHandle::new).collect();
        let rng = StdRng::seed_from_u64(1);
        Self { space: Handlespace::new(config, 1), handles, policy_type, size, rng }
    }

    pub(crate) fn filled(config: Config, policy_type: PolicyType, size: u32, pools: u32) -> Self {
        let mut lab = Self::new(config, policy_type, size, pools);
        lab.fill();
        lab
    }

    pub(crate) fn fill(&mut self) {
        for number in 0..self.size {
            let (pool, element) = self.element(number);
            let _ = self.space.register(&self.handles[pool], element);
        }
    }

    /// The pool and the data of an element; what its policy weighs is drawn.
    pub(crate) fn element(&mut self, number: u32) -> (usize, PoolElement) {
        let [_, a, b, c] = number.to_be_bytes();
        let sctp = |port| SctpTransport {
            port,
            transport_use: TransportUse::DataOnly,
            addresses: IpAddr::from([10, a, b, c]).into(),
        };
        let policy = Policy::of_type(self.policy_type)
            .with(PolicyField::Weight, self.rng.random_range(1..100))
            .with(PolicyField::Load, self.rng.random())
            .with(PolicyField::LoadDegradation, 1 << 20);
        let element = PoolElement {
            // In no order, none twice.
            id: PeId((number + 1).wrapping_mul(0x9e37_79b1)),
            home: RegistrarId::new(1),
            life: RegistrationLife(300),
            user_transport: Transport::Sctp(sctp(7)),
            policy,
            asap_transport: Some(sctp(4711)),
        };
        (number as usize % self.handles.len(), element)
    }
}

/// The timer of an element.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Timer(pub(crate) ElementIndex);

impl Key for Timer {
    fn row(self) -> Option<usize> {
        Some(self.0.slot())
    }
}
