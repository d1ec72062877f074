//! The messages of ENRP, in the order of RFC 5353 §2.

use crate::asap::list;
use crate::codec::{Codec, Reader, Writer};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::param::{
    Cause, PeChecksum, PoolElement, PoolHandle, RegistrarId, ServerInformation, decode_causes,
    encode_causes,
};
use crate::registry::{EnrpType, ParamType};

/// An ENRP message: who sends it, to whom, and what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enrp {
    /// The registrar that sends it; `None` is 0, an observer.
    pub sender: Option<RegistrarId>,
    /// The registrar that it is for; `None` is 0, everyone.
    pub receiver: Option<RegistrarId>,
    /// What it says.
    pub body: Body,
}

/// What an ENRP message says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// A registrar lives; its checksum.
    Presence(Presence),
    /// Asks for a handlespace.
    TableRequest(TableRequest),
    /// A part of a handlespace.
    TableResponse(TableResponse),
    /// An element came, changed or went.
    Update(Update),
    /// Asks for the known registrars (RFC 5353 §2.5).
    ListRequest,
    /// The known registrars.
    ListResponse(ListResponse),
    /// The sender wants to take over the target's elements.
    TakeoverInit(Takeover),
    /// The sender agrees to that.
    TakeoverAck(Takeover),
    /// The sender took them over.
    TakeoverDone(Takeover),
    /// What was wrong with a message (RFC 5353 §2.10).
    Error(Vec<Cause>),
}

/// ENRP_PRESENCE: reply-required flag, checksum, server information (RFC 5353 §2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Presence {
    /// The sender wants a presence back. RFC 5353 §2.1 draws no bit for it; everyone uses 0x01.
    pub reply_required: bool,
    /// The checksum over the sender's elements; a SHOULD in §2.1, a MUST in §3.6.1.
    pub checksum: Option<PeChecksum>,
    /// Where the sender is.
    pub server: Option<ServerInformation>,
}

/// ENRP_HANDLE_TABLE_REQUEST: W flag (RFC 5353 §2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TableRequest {
    /// The W flag: only the elements whose home is the receiver.
    pub own_only: bool,
}

/// ENRP_HANDLE_TABLE_RESPONSE: R and M flags, pools (RFC 5353 §2.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableResponse {
    /// The R flag: ask again later, or someone else.
    pub rejected: bool,
    /// The M flag: ask again for more.
    pub more: bool,
    /// Pools, each with some of its elements.
    pub pools: Vec<PoolEntry>,
}

/// A pool in a handle table: a pool handle and at least one element (RFC 5353 §2.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolEntry {
    /// The pool.
    pub handle: PoolHandle,
    /// Elements of it.
    pub elements: Vec<PoolElement>,
}

/// ENRP_HANDLE_UPDATE: T flag, action, pool handle, pool element (RFC 5353 §2.4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Update {
    /// The T flag: the receiver should become the element's home
    /// (draft-dreibholz-rserpool-enrp-takeover).
    pub takeover_suggested: bool,
    /// What happened.
    pub action: UpdateAction,
    /// The pool.
    pub handle: PoolHandle,
    /// The element, complete.
    pub element: PoolElement,
}

/// What happened to an element (RFC 5353 §2.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UpdateAction {
    /// 0: it came or changed.
    AddElement,
    /// 1: it went.
    DeleteElement,
}

/// ENRP_LIST_RESPONSE: R flag, registrars (RFC 5353 §2.6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListResponse {
    /// The R flag: ask again later, or someone else.
    pub rejected: bool,
    /// The known registrars.
    pub servers: Vec<ServerInformation>,
}

/// ENRP_INIT_TAKEOVER, its ACK and ENRP_TAKEOVER_SERVER: the target (RFC 5353 §2.7 to §2.9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Takeover {
    /// The registrar whose elements are taken over; `None` is 0 and means nobody.
    pub target: Option<RegistrarId>,
}

const REPLY_REQUIRED: u8 = 0x01;
const OWN_ONLY: u8 = 0x01;
const REJECTED: u8 = 0x01;
const MORE: u8 = 0x02;
const TAKEOVER_SUGGESTED: u8 = 0x01;

impl Body {
    /// The message type.
    pub fn message_type(&self) -> EnrpType {
        match self {
            Self::Presence(_) => EnrpType::PRESENCE,
            Self::TableRequest(_) => EnrpType::HANDLE_TABLE_REQUEST,
            Self::TableResponse(_) => EnrpType::HANDLE_TABLE_RESPONSE,
            Self::Update(_) => EnrpType::HANDLE_UPDATE,
            Self::ListRequest => EnrpType::LIST_REQUEST,
            Self::ListResponse(_) => EnrpType::LIST_RESPONSE,
            Self::TakeoverInit(_) => EnrpType::INIT_TAKEOVER,
            Self::TakeoverAck(_) => EnrpType::INIT_TAKEOVER_ACK,
            Self::TakeoverDone(_) => EnrpType::TAKEOVER_SERVER,
            Self::Error(_) => EnrpType::ERROR,
        }
    }

    fn flags(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        match self {
            Self::Presence(message) => bit(message.reply_required, REPLY_REQUIRED),
            Self::TableRequest(message) => bit(message.own_only, OWN_ONLY),
            Self::TableResponse(message) => {
                bit(message.rejected, REJECTED) | bit(message.more, MORE)
            }
            Self::Update(message) => bit(message.takeover_suggested, TAKEOVER_SUGGESTED),
            Self::ListResponse(message) => bit(message.rejected, REJECTED),
            Self::ListRequest
            | Self::TakeoverInit(_)
            | Self::TakeoverAck(_)
            | Self::TakeoverDone(_)
            | Self::Error(_) => 0,
        }
    }

    fn decode(ty: EnrpType, flags: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match ty {
            EnrpType::PRESENCE => Self::Presence(Presence {
                reply_required: flags & REPLY_REQUIRED != 0,
                checksum: match r.next_type()? {
                    Some(ParamType::PE_CHECKSUM) => Some(PeChecksum::decode(r)?),
                    _ => None,
                },
                server: match r.next_type()? {
                    Some(ParamType::SERVER_INFORMATION) => Some(ServerInformation::decode(r)?),
                    _ => None,
                },
            }),
            EnrpType::HANDLE_TABLE_REQUEST => {
                Self::TableRequest(TableRequest { own_only: flags & OWN_ONLY != 0 })
            }
            EnrpType::HANDLE_TABLE_RESPONSE => Self::TableResponse(TableResponse {
                rejected: flags & REJECTED != 0,
                more: flags & MORE != 0,
                pools: list(r, ParamType::POOL_HANDLE, PoolEntry::LEN_MIN)?,
            }),
            EnrpType::HANDLE_UPDATE => {
                let action = match r.u16("Update Action")? {
                    0 => UpdateAction::AddElement,
                    1 => UpdateAction::DeleteElement,
                    other => {
                        let value = u32::from(other);
                        let kind = DecodeErrorKind::Value { field: "Update Action", value };
                        return Err(r.error_before(2, kind));
                    }
                };
                r.u16("reserved")?;
                Self::Update(Update {
                    takeover_suggested: flags & TAKEOVER_SUGGESTED != 0,
                    action,
                    handle: PoolHandle::decode(r)?,
                    element: PoolElement::decode(r)?,
                })
            }
            EnrpType::LIST_REQUEST => Self::ListRequest,
            EnrpType::LIST_RESPONSE => Self::ListResponse(ListResponse {
                rejected: flags & REJECTED != 0,
                servers: list(r, ParamType::SERVER_INFORMATION, ServerInformation::LEN_MIN)?,
            }),
            EnrpType::INIT_TAKEOVER => Self::TakeoverInit(Takeover::decode(r)?),
            EnrpType::INIT_TAKEOVER_ACK => Self::TakeoverAck(Takeover::decode(r)?),
            EnrpType::TAKEOVER_SERVER => Self::TakeoverDone(Takeover::decode(r)?),
            EnrpType::ERROR => Self::Error(decode_causes(r)?),
            EnrpType(other) => {
                let kind = DecodeErrorKind::Message(other);
                return Err(DecodeError { kind, offset: 0, parameter: None });
            }
        })
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::Presence(Presence { checksum, server, .. }) => {
                checksum.iter().for_each(|checksum| checksum.encode(w));
                server.iter().for_each(|server| server.encode(w));
            }
            Self::TableRequest(_) | Self::ListRequest => {}
            Self::TableResponse(message) => message.pools.iter().for_each(|pool| pool.encode(w)),
            Self::Update(Update { action, handle, element, .. }) => {
                w.u16(match action {
                    UpdateAction::AddElement => 0,
                    UpdateAction::DeleteElement => 1,
                });
                w.u16(0);
                handle.encode(w);
                element.encode(w);
            }
            Self::ListResponse(message) => message.servers.iter().for_each(|s| s.encode(w)),
            Self::TakeoverInit(takeover)
            | Self::TakeoverAck(takeover)
            | Self::TakeoverDone(takeover) => w.u32(RegistrarId::to_wire(takeover.target)),
            Self::Error(causes) => encode_causes(causes, w),
        }
    }
}

impl Takeover {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { target: RegistrarId::new(r.u32("Targeting Server's ID")?) })
    }
}

impl PoolEntry {
    /// Octets of the shortest one on the wire.
    const LEN_MIN: usize = 36;
}

impl Codec for PoolEntry {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let handle = PoolHandle::decode(r)?;
        let mut elements = vec![PoolElement::decode(r)?];
        while r.next_type()? == Some(ParamType::POOL_ELEMENT) {
            elements.push(PoolElement::decode(r)?);
        }
        Ok(Self { handle, elements })
    }

    fn encode(&self, w: &mut Writer) {
        self.handle.encode(w);
        self.elements.iter().for_each(|element| element.encode(w));
    }
}

impl Codec for Enrp {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (ty, flags) = r.message_header()?;
        if EnrpType(ty).label().is_none() {
            let kind = DecodeErrorKind::Message(ty);
            return Err(DecodeError { kind, offset: 0, parameter: None });
        }
        let sender = RegistrarId::new(r.u32("Sending Server's ID")?);
        let receiver = RegistrarId::new(r.u32("Receiving Server's ID")?);
        let body = Body::decode(EnrpType(ty), flags, r)?;
        Ok(Self { sender, receiver, body })
    }

    fn encode(&self, w: &mut Writer) {
        w.message(self.body.message_type().0, self.body.flags(), |w| {
            w.u32(RegistrarId::to_wire(self.sender));
            w.u32(RegistrarId::to_wire(self.receiver));
            self.body.encode(w);
        });
    }
}
