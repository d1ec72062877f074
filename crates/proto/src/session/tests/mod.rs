//! The two sides of a session, driven by hand.

mod client;
mod cookie;
mod server;

use rserpool_wire::param::{
    PeId, Policy, PoolElement, PoolHandle, RegistrationLife, SctpTransport, Transport, TransportUse,
};
use rserpool_wire::registry::PolicyType;

use crate::user::{Answer, Resolution, Source};

fn handle() -> PoolHandle {
    PoolHandle::new(&b"Pool"[..]).unwrap()
}

fn element(id: u32) -> PoolElement {
    let transport_use = TransportUse::DataPlusControl;
    let (port, addresses) = (7, [[10, 0, 0, 1].into()].into());
    PoolElement {
        id: PeId(id),
        home: None,
        life: RegistrationLife::FOREVER,
        user_transport: Transport::Sctp(SctpTransport { port, transport_use, addresses }),
        policy: Policy::round_robin(),
        asap_transport: None,
    }
}

fn answer(ids: &[u32]) -> Answer {
    let elements = ids.iter().copied().map(element).collect();
    let resolution = Resolution {
        handle: handle(),
        policy_type: PolicyType::ROUND_ROBIN,
        elements,
        items: None,
    };
    Answer { resolution: resolution.into(), first: 0, source: Source::Registrar }
}
