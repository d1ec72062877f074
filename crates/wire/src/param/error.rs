use std::fmt;

use crate::codec::{Codec, HEADER_LEN, Reader, Writer};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::param::{Policy, Transport};
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
            Some(label) => write!(f, "{label} (cause {:#x})", self.code.0),
            None => write!(f, "cause {:#x}", self.code.0),
        }
    }
}

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
