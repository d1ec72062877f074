use rserpool_wire::param::{Cause, PeId, Policy, PoolElement, PoolHandle, Transport, TransportUse};
use rserpool_wire::registry::{CauseCode, PolicyType};
use thiserror::Error;

use super::Limit;

/// Why an element was not entered. The handlespace is as it was before.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// The pool handle is longer than [`super::Limits::handle_octets_max`].
    #[error("pool handle too long")]
    InvalidHandle(PoolHandle),
    /// The identifier is 0.
    #[error("PE identifier {0}")]
    InvalidIdentifier(PeId),
    /// A transport, which is here, has no address or port 0.
    #[error("transport without address or port")]
    InvalidTransport(Box<Transport>),
    /// The registration of this element would end at once.
    #[error("registration life of nothing")]
    InvalidLife(Box<PoolElement>),
    /// The policy is none that this implementation knows.
    #[error("unknown policy {}", .0.policy_type())]
    UnknownPolicy(Box<Policy>),
    /// The pool has another policy: this one.
    #[error("the pool's policy is {0}")]
    InconsistentPolicy(PolicyType),
    /// The pool's elements serve over another protocol: that of this transport of one of them.
    #[error("the pool's transport is {}", .0.param_type())]
    InconsistentTransport(Box<Transport>),
    /// The pool's elements have another Transport Use: this one.
    #[error("the pool's transport use is {}", .0.label())]
    InconsistentUse(TransportUse),
    /// A limit is reached.
    #[error("limit reached: {}", .0.label())]
    Limit(Limit),
}

impl Refused {
    /// What to tell whoever wanted to register (RFC 5354 §3.12).
    pub fn cause(&self) -> Cause {
        match self {
            Self::InvalidHandle(handle) => Cause::invalid_values(handle),
            Self::InvalidIdentifier(id) => Cause::invalid_values(id),
            Self::InvalidTransport(transport) => Cause::invalid_values(&**transport),
            Self::InvalidLife(element) => Cause::invalid_values(&**element),
            Self::UnknownPolicy(policy) => Cause::invalid_values(&**policy),
            Self::InconsistentPolicy(pool) => Cause::inconsistent_policy(&Policy::of_type(*pool)),
            Self::InconsistentTransport(pool) => Cause::inconsistent_transport(pool),
            Self::InconsistentUse(_) => Cause::new(CauseCode::INCONSISTENT_TRANSPORT_USE),
            Self::Limit(_) => Cause::new(CauseCode::LACK_OF_RESOURCES),
        }
    }
}
