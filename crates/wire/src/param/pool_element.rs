use crate::codec::{Codec, HEADER_LEN, Reader, Writer};
use crate::error::DecodeError;
use crate::param::{PeId, Policy, RegistrarId, SctpTransport, Transport};
use crate::registry::ParamType;

/// How long a registration stands without being renewed, as on the wire (RFC 5354 §3.10).
///
/// The RFC counts seconds; rsplib milliseconds. The protocol's dialect knows which.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RegistrationLife(pub i32);

impl RegistrationLife {
    /// −1: for ever.
    pub const FOREVER: Self = Self(-1);
}

/// A pool element as registrars store and tell it (RFC 5354 §3.10).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Type = 0xa           |        Length = variable      |
/// +-------------------------------+-------------------------------+
/// |                         PE Identifier                         |
/// +---------------------------------------------------------------+
/// |                      Home ENRP Server ID                      |
/// +---------------------------------------------------------------+
/// |                       Registration Life                       |
/// +---------------------------------------------------------------+
/// :                   User Transport parameter                    :
/// +---------------------------------------------------------------+
/// :            Pool Member Selection Policy parameter             :
/// +---------------------------------------------------------------+
/// :                   ASAP Transport parameter                    :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PoolElement {
    /// Its identifier.
    pub id: PeId,
    /// Its home registrar; `None` is 0, undetermined.
    pub home: Option<RegistrarId>,
    /// How long its registration stands.
    pub life: RegistrationLife,
    /// Where it serves.
    pub user_transport: Transport,
    /// The pool's policy, and what this element gives it.
    pub policy: Policy,
    /// Where registrars reach it. Told between registrars only.
    pub asap_transport: Option<SctpTransport>,
}

impl PoolElement {
    /// Octets of the shortest one on the wire.
    pub(crate) const LEN_MIN: usize = 28;

    /// Appends the element as pool users see it: where registrars reach it is none of their business
    /// (RFC 5352 §2.2.6).
    pub(crate) fn encode_for_user(&self, w: &mut Writer) {
        self.encode_with(None, w);
    }

    fn encode_with(&self, asap_transport: Option<&SctpTransport>, w: &mut Writer) {
        w.param(ParamType::POOL_ELEMENT, |w| {
            w.u32_pair(self.id.0, RegistrarId::to_wire(self.home));
            w.slice(&self.life.0.to_be_bytes());
            self.user_transport.encode(w);
            self.policy.encode(w);
            if let Some(asap_transport) = asap_transport {
                asap_transport.encode(w);
            }
        });
    }
}

impl Codec for PoolElement {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::POOL_ELEMENT)?;
        let id = PeId(value.u32("PE Identifier")?);
        let home = RegistrarId::new(value.u32("Home ENRP Server ID")?);
        let life = RegistrationLife(i32::from_be_bytes(value.array("Registration Life")?));
        let user_transport = Transport::decode(&mut value)?;
        let policy = Policy::decode(&mut value)?;
        let asap_transport = match value.next_type()? {
            Some(_) => Some(SctpTransport::decode(&mut value)?),
            None => None,
        };
        value.finish()?;
        Ok(Self { id, home, life, user_transport, policy, asap_transport })
    }

    fn encoded_len(&self) -> usize {
        HEADER_LEN
            + 12
            + self.user_transport.encoded_len()
            + self.policy.encoded_len()
            + self.asap_transport.as_ref().map_or(0, Codec::encoded_len)
    }

    fn encode(&self, w: &mut Writer) {
        self.encode_with(self.asap_transport.as_ref(), w);
    }
}
