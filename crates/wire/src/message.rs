//! A message of either protocol, and what to report of what was not understood.

use crate::asap::Asap;
use crate::codec::{Codec, Reader, Skipped, SkippedParam};
use crate::enrp::Enrp;
use crate::error::{DecodeError, parameter_at};
use crate::param::Cause;
use crate::registry::{ASAP_PPID, CauseCode, ENRP_PPID, Unrecognized};

/// Which of the two protocols; their message types overlap. On SCTP the payload protocol
/// identifier tells, elsewhere the port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// Elements and users with registrars, and the control channel between them (RFC 5352).
    Asap,
    /// Registrars among each other (RFC 5353).
    Enrp,
}

impl Protocol {
    /// The protocol of an SCTP payload protocol identifier, in host order.
    pub const fn from_ppid(ppid: u32) -> Option<Self> {
        match ppid {
            ASAP_PPID => Some(Self::Asap),
            ENRP_PPID => Some(Self::Enrp),
            _ => None,
        }
    }

    /// The SCTP payload protocol identifier, in host order.
    pub const fn ppid(self) -> u32 {
        match self {
            Self::Asap => ASAP_PPID,
            Self::Enrp => ENRP_PPID,
        }
    }
}

/// A message of either protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Of ASAP.
    Asap(Asap),
    /// Of ENRP.
    Enrp(Enrp),
}

/// A decoded message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    /// The message.
    pub message: Message,
    /// What was skipped in it, because its type is not known and asks for that.
    pub skipped: Vec<SkippedParam>,
}

impl Message {
    /// Longest message, in octets, padding included.
    pub const MAX_LEN: usize = 65_536;

    /// Reads a message that takes the whole of `octets`, its padding present or not.
    ///
    /// # Errors
    ///
    /// What is wrong and where. [`DecodeError::cause`] knows what to report to the sender.
    pub fn decode(protocol: Protocol, octets: &[u8]) -> Result<Decoded, DecodeError> {
        let skipped = Skipped::default();
        let mut r = Reader::new(octets, &skipped);
        let message = match protocol {
            Protocol::Asap => Self::Asap(Asap::decode(&mut r)?),
            Protocol::Enrp => Self::Enrp(Enrp::decode(&mut r)?),
        };
        r.finish()?;
        Ok(Decoded { message, skipped: skipped.into_vec() })
    }

    /// The message as octets, padded to a multiple of 4.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Asap(message) => message.to_octets(),
            Self::Enrp(message) => message.to_octets(),
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Asap(_) => Protocol::Asap,
            Self::Enrp(_) => Protocol::Enrp,
        }
    }
}

impl Decoded {
    /// One cause for each skipped parameter whose type asks for a report (RFC 5354 §3.12.2), at
    /// most [`Self::REPORTS_MAX`]. `octets` is what was decoded.
    pub fn reports(&self, octets: &[u8]) -> Vec<Cause> {
        let reported =
            |param: &&SkippedParam| param.param_type.unrecognized() == Unrecognized::SkipAndReport;
        let cause = |param: &SkippedParam| {
            let tlv = parameter_at(octets, param.offset as usize);
            Cause::with_info(CauseCode::UNRECOGNIZED_PARAMETER, tlv)
        };
        self.skipped.iter().filter(reported).take(Self::REPORTS_MAX).map(cause).collect()
    }

    /// So many parameters of one message are reported; an answer must not outgrow its request.
    pub const REPORTS_MAX: usize = 16;
}

impl From<Asap> for Message {
    fn from(message: Asap) -> Self {
        Self::Asap(message)
    }
}

impl From<Enrp> for Message {
    fn from(message: Enrp) -> Self {
        Self::Enrp(message)
    }
}
