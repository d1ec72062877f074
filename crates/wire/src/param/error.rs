use std::fmt;

use crate::codec::{Codec, HEADER_LEN, Reader, Skipped, Writer};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::param::{PeId, Policy, PoolElement, Transport};
use crate::registry::{CauseCode, ParamType};

/// One cause of an error (RFC 5354 §3.12).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Cause Code           |          Cause Length         |
/// +-------------------------------+-------------------------------+
/// :                  Cause-specific Information                   :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Cause {
    /// What is wrong. Peers send private codes: any code is a failure.
    pub code: CauseCode,
    /// The offending or the expected object, as octets; often empty.
    pub info: Box<[u8]>,
}

impl Cause {
    /// Longest information that a cause takes along; longer ones are cut, for an error must fit
    /// into one message.
    pub const INFO_MAX: usize = 1024;

    /// A cause without information.
    pub fn new(code: CauseCode) -> Self {
        Self { code, info: Box::default() }
    }

    /// A cause with the object that it is about, at most [`Self::INFO_MAX`] octets of it.
    pub fn with_info(code: CauseCode, info: &[u8]) -> Self {
        Self { code, info: info[..info.len().min(Self::INFO_MAX)].into() }
    }

    /// Cause 5: the pool has this policy.
    pub fn inconsistent_policy(pool: &Policy) -> Self {
        Self::with_info(CauseCode::INCONSISTENT_POLICY, &pool.to_octets())
    }

    /// Cause 7: the pool's elements have a transport of this kind.
    pub fn inconsistent_transport(pool: &Transport) -> Self {
        Self::with_info(CauseCode::INCONSISTENT_TRANSPORT, &pool.to_octets())
    }

    /// Cause 3: this parameter's values make no sense here.
    pub fn invalid_values(parameter: &impl Codec) -> Self {
        Self::with_info(CauseCode::INVALID_VALUES, &parameter.to_octets())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.label() {
            Some(label) => write!(f, "{label} (cause {:#x})", self.code.0)?,
            None => write!(f, "cause {:#x}", self.code.0)?,
        }
        match self.object() {
            Some(object) => write!(f, ": {object}"),
            None => Ok(()),
        }
    }
}

impl Cause {
    /// The object that it takes along, in words of a bounded length; `None` where there is none, or
    /// none that is known.
    fn object(&self) -> Option<String> {
        let skipped = Skipped::default();
        let mut reader = Reader::new(&self.info, &skipped);
        match self.code {
            CauseCode::INVALID_VALUES => invalid_value(&self.info),
            CauseCode::INCONSISTENT_POLICY => {
                let policy = Policy::decode(&mut reader).ok()?;
                Some(format!("the pool has {}", policy.policy_type()))
            }
            CauseCode::INCONSISTENT_TRANSPORT => {
                let transport = Transport::decode(&mut reader).ok()?;
                Some(format!("the pool has {}", transport.param_type()))
            }
            // It takes nothing along, but there are only two.
            CauseCode::INCONSISTENT_TRANSPORT_USE => Some(
                "the pool has the other one of data only, and data with a control channel".into(),
            ),
            _ => None,
        }
    }
}

/// A parameter whose value is wrong.
fn invalid_value(octets: &[u8]) -> Option<String> {
    let (ty, rest) = octets.split_first_chunk()?;
    let skipped = Skipped::default();
    let mut reader = Reader::new(octets, &skipped);
    Some(match ParamType(u16::from_be_bytes(*ty)) {
        ParamType::POOL_HANDLE => {
            let (length, _) = rest.split_first_chunk()?;
            let octets = usize::from(u16::from_be_bytes(*length)).checked_sub(HEADER_LEN)?;
            format!("a pool handle of {octets} octets")
        }
        ParamType::PE_IDENTIFIER => {
            format!("the identifier {}", PeId::decode(&mut reader).ok()?)
        }
        ParamType::POLICY => format!("the policy {}", Policy::decode(&mut reader).ok()?),
        ParamType::POOL_ELEMENT => {
            let element = PoolElement::decode(&mut reader).ok()?;
            format!("a registration life of {}", element.life.0)
        }
        _ => {
            let transport = Transport::decode(&mut reader).ok()?;
            let listed = transport.addresses().iter().take(LISTED_MAX);
            let addresses: Vec<String> = listed.map(ToString::to_string).collect();
            let port = transport.port().map_or_else(String::new, |port| format!(" port {port}"));
            format!("{} {}{port}", transport.param_type(), addresses.join(","))
        }
    })
}

/// So many addresses of a transport are said.
const LISTED_MAX: usize = 4;

/// Reads an Operation Error parameter: at least one cause, padded between causes.
///
/// # Errors
///
/// What is wrong with the octets, and where.
pub fn decode_causes(r: &mut Reader<'_>) -> Result<Vec<Cause>, DecodeError> {
    let mut value = r.param(ParamType::OPERATION_ERROR)?;
    // A cause has the layout of a parameter, but its code is no parameter type.
    let mut causes = Vec::with_capacity(value.room_for(HEADER_LEN));
    while !value.is_empty() {
        let (code, mut info) = value.take_param()?;
        causes.push(Cause { code: CauseCode(code.0), info: info.remainder().into() });
    }
    if causes.is_empty() {
        let kind = DecodeErrorKind::Length { field: "Operation Error", length: HEADER_LEN };
        return Err(value.error_before(2, kind));
    }
    Ok(causes)
}

/// Appends an Operation Error parameter, nothing where there is no cause.
pub fn encode_causes(causes: &[Cause], w: &mut Writer) {
    if causes.is_empty() {
        return;
    }
    w.param(ParamType::OPERATION_ERROR, |w| {
        for cause in causes {
            w.param(ParamType(cause.code.0), |w| w.slice(&cause.info));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::{PoolHandle, TransportUse};

    #[test]
    fn a_cause_says_the_value_that_is_wrong_or_what_the_pool_has() {
        let handle = PoolHandle::new([b'x'; 200]).unwrap();
        let address = "192.0.2.7".parse().unwrap();
        let tcp = Transport::Tcp { port: 7, transport_use: TransportUse::DataOnly, address };
        let policy: Policy = "least-used".parse().unwrap();
        for (cause, text) in [
            (Cause::invalid_values(&handle), "(cause 0x3): a pool handle of 200 octets"),
            (Cause::invalid_values(&PeId(7)), "(cause 0x3): the identifier 0x00000007"),
            (Cause::invalid_values(&tcp), "(cause 0x3): TCP Transport 192.0.2.7 port 7"),
            (Cause::invalid_values(&policy), "(cause 0x3): the policy least-used:0.0000"),
            (Cause::inconsistent_policy(&policy), "(cause 0x5): the pool has least-used"),
            (Cause::inconsistent_transport(&tcp), "(cause 0x7): the pool has TCP Transport"),
            // Nothing, and nothing that can be read.
            (Cause::new(CauseCode::INVALID_VALUES), "(cause 0x3)"),
            (Cause::with_info(CauseCode::INVALID_VALUES, &[0, 5, 0, 99]), "(cause 0x3)"),
            (Cause::new(CauseCode(0x7777)), "cause 0x7777"),
        ] {
            assert!(cause.to_string().ends_with(text), "{cause}");
        }
    }
}
