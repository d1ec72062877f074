use crate::codec::{Codec, Reader, Writer};
use crate::error::DecodeError;
use crate::param::{RegistrarId, SctpTransport};
use crate::registry::ParamType;

/// A registrar and where its peers reach it (RFC 5354 §3.11).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Type = 0xb           |        Length = variable      |
/// +-------------------------------+-------------------------------+
/// |                           Server ID                           |
/// +---------------------------------------------------------------+
/// :                   SCTP Transport parameter                    :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ServerInformation {
    /// The registrar; `None` is 0, which rsplib sends for configured peers it has not heard yet.
    pub id: Option<RegistrarId>,
    /// Its ENRP transport.
    pub transport: SctpTransport,
}

impl ServerInformation {
    /// Octets of the shortest one on the wire.
    pub(crate) const LEN_MIN: usize = 24;
}

impl Codec for ServerInformation {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::SERVER_INFORMATION)?;
        let id = RegistrarId::new(value.u32("Server ID")?);
        let transport = SctpTransport::decode(&mut value)?;
        value.finish()?;
        Ok(Self { id, transport })
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::SERVER_INFORMATION, |w| {
            w.u32(RegistrarId::to_wire(self.id));
            self.transport.encode(w);
        });
    }
}
