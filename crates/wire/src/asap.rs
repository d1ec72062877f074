//! The messages of ASAP, in the order of RFC 5352 §2.2.

use crate::codec::{Codec, Reader, Writer};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::param::{
    Cause, Cookie, PeId, Policy, PoolElement, PoolHandle, RegistrarId, Transport, decode_causes,
    encode_causes,
};
use crate::registry::{AsapType, ParamType};

/// An ASAP message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asap {
    /// An element asks its home registrar to enter it into a pool.
    Registration(Registration),
    /// An element asks to leave its pool.
    Deregistration(Deregistration),
    /// The answer to a registration.
    RegistrationResponse(RegistrationResponse),
    /// The answer to a deregistration, or word that a registration ran out.
    DeregistrationResponse(DeregistrationResponse),
    /// A user asks for elements of a pool.
    HandleResolution(HandleResolution),
    /// Elements of a pool.
    HandleResolutionResponse(HandleResolutionResponse),
    /// A registrar asks whether an element lives.
    KeepAlive(KeepAlive),
    /// An element lives.
    KeepAliveAck(KeepAliveAck),
    /// A user reports that an element does not answer.
    Unreachable(Unreachable),
    /// A registrar tells where it is.
    Announce(Announce),
    /// State that an element leaves with its user (RFC 5352 §2.2.11).
    Cookie(Cookie),
    /// That state, given to the next element (RFC 5352 §2.2.12).
    CookieEcho(Cookie),
    /// Which elements to turn to when this one fails.
    BusinessCard(BusinessCard),
    /// What was wrong with a message (RFC 5352 §2.2.14).
    Error(Vec<Cause>),
}

/// ASAP_REGISTRATION: pool handle, pool element (RFC 5352 §2.2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registration {
    /// The pool.
    pub handle: PoolHandle,
    /// The element as it wants to be entered.
    pub element: PoolElement,
}

/// ASAP_DEREGISTRATION: pool handle, PE identifier (RFC 5352 §2.2.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deregistration {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeId,
}

/// ASAP_REGISTRATION_RESPONSE: R flag, pool handle, PE identifier, operation error
/// (RFC 5352 §2.2.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistrationResponse {
    /// The R flag: the element is not in the pool.
    pub rejected: bool,
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeId,
    /// Why it was rejected; without rejection, warnings.
    pub causes: Vec<Cause>,
}

/// ASAP_DEREGISTRATION_RESPONSE: pool handle, PE identifier, operation error (RFC 5352 §2.2.4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeregistrationResponse {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeId,
    /// Why the element is still in the pool; none where it is out.
    pub causes: Vec<Cause>,
}

/// ASAP_HANDLE_RESOLUTION: S flag, pool handle, handle resolution option (RFC 5352 §2.2.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandleResolution {
    /// The S flag: tell of changes as long as the association lives.
    pub want_updates: bool,
    /// The pool.
    pub handle: PoolHandle,
    /// At most so many elements; `None` leaves it to the registrar.
    pub items: Option<u32>,
}

/// ASAP_HANDLE_RESOLUTION_RESPONSE: A flag, pool handle, policy, elements, operation error
/// (RFC 5352 §2.2.6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandleResolutionResponse {
    /// The A flag: changes will be told.
    pub updates_accepted: bool,
    /// The pool.
    pub handle: PoolHandle,
    /// The pool's policy; absent, it is round robin. Only its type has a meaning.
    pub policy: Option<Policy>,
    /// The elements in the order of the policy.
    pub elements: Vec<PoolElement>,
    /// Why there are none.
    pub causes: Vec<Cause>,
}

/// ASAP_ENDPOINT_KEEP_ALIVE: H flag, server identifier, pool handle (RFC 5352 §2.2.7).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeepAlive {
    /// The H flag: the sender wants to be the element's home.
    pub claim_home: bool,
    /// The registrar; `None` is 0, a session's keep-alive.
    pub sender: Option<RegistrarId>,
    /// The pool.
    pub handle: PoolHandle,
    /// Which element of the pool; not in the RFC, but rsplib and we send it.
    pub id: Option<PeId>,
}

/// ASAP_ENDPOINT_KEEP_ALIVE_ACK: pool handle, PE identifier (RFC 5352 §2.2.8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeepAliveAck {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeId,
}

/// ASAP_ENDPOINT_UNREACHABLE: pool handle, PE identifier (RFC 5352 §2.2.9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreachable {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeId,
}

/// ASAP_SERVER_ANNOUNCE: server identifier, transports (RFC 5352 §2.2.10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announce {
    /// The registrar.
    pub sender: Option<RegistrarId>,
    /// Where it serves ASAP, SCTP or TCP; none: SCTP at the datagram's source address, port 3863.
    pub transports: Vec<Transport>,
}

/// ASAP_BUSINESS_CARD: pool handle, elements (RFC 5352 §2.2.13).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BusinessCard {
    /// The pool.
    pub handle: PoolHandle,
    /// Its elements in the order in which to turn to them; at least one.
    pub elements: Vec<PoolElement>,
}

const FLAG: u8 = 0x01;

impl Asap {
    /// The message type.
    pub fn message_type(&self) -> AsapType {
        match self {
            Self::Registration(_) => AsapType::REGISTRATION,
            Self::Deregistration(_) => AsapType::DEREGISTRATION,
            Self::RegistrationResponse(_) => AsapType::REGISTRATION_RESPONSE,
            Self::DeregistrationResponse(_) => AsapType::DEREGISTRATION_RESPONSE,
            Self::HandleResolution(_) => AsapType::HANDLE_RESOLUTION,
            Self::HandleResolutionResponse(_) => AsapType::HANDLE_RESOLUTION_RESPONSE,
            Self::KeepAlive(_) => AsapType::ENDPOINT_KEEP_ALIVE,
            Self::KeepAliveAck(_) => AsapType::ENDPOINT_KEEP_ALIVE_ACK,
            Self::Unreachable(_) => AsapType::ENDPOINT_UNREACHABLE,
            Self::Announce(_) => AsapType::SERVER_ANNOUNCE,
            Self::Cookie(_) => AsapType::COOKIE,
            Self::CookieEcho(_) => AsapType::COOKIE_ECHO,
            Self::BusinessCard(_) => AsapType::BUSINESS_CARD,
            Self::Error(_) => AsapType::ERROR,
        }
    }

    fn flags(&self) -> u8 {
        let set = match self {
            Self::RegistrationResponse(message) => message.rejected,
            Self::HandleResolution(message) => message.want_updates,
            Self::HandleResolutionResponse(message) => message.updates_accepted,
            Self::KeepAlive(message) => message.claim_home,
            _ => false,
        };
        if set { FLAG } else { 0 }
    }

    fn decode_body(ty: AsapType, flag: bool, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match ty {
            AsapType::REGISTRATION => Self::Registration(Registration {
                handle: PoolHandle::decode(r)?,
                element: PoolElement::decode(r)?,
            }),
            AsapType::DEREGISTRATION => Self::Deregistration(Deregistration {
                handle: PoolHandle::decode(r)?,
                id: PeId::decode(r)?,
            }),
            AsapType::REGISTRATION_RESPONSE => Self::RegistrationResponse(RegistrationResponse {
                rejected: flag,
                handle: PoolHandle::decode(r)?,
                id: PeId::decode(r)?,
                causes: optional_causes(r)?,
            }),
            AsapType::DEREGISTRATION_RESPONSE => {
                Self::DeregistrationResponse(DeregistrationResponse {
                    handle: PoolHandle::decode(r)?,
                    id: PeId::decode(r)?,
                    causes: optional_causes(r)?,
                })
            }
            AsapType::HANDLE_RESOLUTION => Self::HandleResolution(HandleResolution {
                want_updates: flag,
                handle: PoolHandle::decode(r)?,
                items: decode_items(r)?,
            }),
            AsapType::HANDLE_RESOLUTION_RESPONSE => {
                Self::HandleResolutionResponse(HandleResolutionResponse {
                    updates_accepted: flag,
                    handle: PoolHandle::decode(r)?,
                    policy: optional(r, ParamType::POLICY)?,
                    elements: list(r, ParamType::POOL_ELEMENT, PoolElement::LEN_MIN)?,
                    causes: optional_causes(r)?,
                })
            }
            AsapType::ENDPOINT_KEEP_ALIVE => Self::KeepAlive(KeepAlive {
                claim_home: flag,
                sender: RegistrarId::new(r.u32("Server Identifier")?),
                handle: PoolHandle::decode(r)?,
                id: optional(r, ParamType::PE_IDENTIFIER)?,
            }),
            AsapType::ENDPOINT_KEEP_ALIVE_ACK => Self::KeepAliveAck(KeepAliveAck {
                handle: PoolHandle::decode(r)?,
                id: PeId::decode(r)?,
            }),
            AsapType::ENDPOINT_UNREACHABLE => Self::Unreachable(Unreachable {
                handle: PoolHandle::decode(r)?,
                id: PeId::decode(r)?,
            }),
            AsapType::SERVER_ANNOUNCE => Self::Announce(Announce {
                sender: RegistrarId::new(r.u32("Server Identifier")?),
                transports: decode_announced(r)?,
            }),
            AsapType::COOKIE => Self::Cookie(Cookie::decode(r)?),
            AsapType::COOKIE_ECHO => Self::CookieEcho(Cookie::decode(r)?),
            AsapType::BUSINESS_CARD => Self::BusinessCard(BusinessCard {
                handle: PoolHandle::decode(r)?,
                elements: {
                    let first = PoolElement::decode(r)?;
                    let mut elements = list(r, ParamType::POOL_ELEMENT, PoolElement::LEN_MIN)?;
                    elements.insert(0, first);
                    elements
                },
            }),
            AsapType::ERROR => Self::Error(decode_causes(r)?),
            AsapType(other) => {
                let kind = DecodeErrorKind::Message(other);
                return Err(DecodeError { kind, offset: 0, parameter: None });
            }
        })
    }

    fn encode_body(&self, w: &mut Writer) {
        match self {
            Self::Registration(Registration { handle, element }) => {
                handle.encode(w);
                element.encode(w);
            }
            Self::Deregistration(Deregistration { handle, id })
            | Self::KeepAliveAck(KeepAliveAck { handle, id })
            | Self::Unreachable(Unreachable { handle, id }) => {
                handle.encode(w);
                id.encode(w);
            }
            Self::RegistrationResponse(RegistrationResponse { handle, id, causes, .. })
            | Self::DeregistrationResponse(DeregistrationResponse { handle, id, causes }) => {
                handle.encode(w);
                id.encode(w);
                encode_causes(causes, w);
            }
            Self::HandleResolution(HandleResolution { handle, items, .. }) => {
                handle.encode(w);
                if let Some(items) = items {
                    w.param(ParamType::HANDLE_RESOLUTION_OPTION, |w| w.u32(*items));
                }
            }
            Self::HandleResolutionResponse(message) => {
                message.handle.encode(w);
                message.policy.iter().for_each(|policy| policy.encode(w));
                message.elements.iter().for_each(|element| element.encode(w));
                encode_causes(&message.causes, w);
            }
            Self::KeepAlive(KeepAlive { sender, handle, id, .. }) => {
                w.u32(RegistrarId::to_wire(*sender));
                handle.encode(w);
                id.iter().for_each(|id| id.encode(w));
            }
            Self::Announce(Announce { sender, transports }) => {
                w.u32(RegistrarId::to_wire(*sender));
                transports.iter().for_each(|transport| transport.encode(w));
            }
            Self::Cookie(cookie) | Self::CookieEcho(cookie) => cookie.encode(w),
            Self::BusinessCard(BusinessCard { handle, elements }) => {
                handle.encode(w);
                elements.iter().for_each(|element| element.encode(w));
            }
            Self::Error(causes) => encode_causes(causes, w),
        }
    }
}

impl HandleResolutionResponse {
    /// The octets of an answer that lists these elements as pool users see them, without their ASAP
    /// transports (RFC 5352 §2.2.6). Of very many, the first ones that fit into a message.
    pub fn octets_of<'a>(
        updates_accepted: bool,
        handle: &PoolHandle,
        policy: &Policy,
        elements: impl Iterator<Item = &'a PoolElement>,
    ) -> Vec<u8> {
        let flags = if updates_accepted { FLAG } else { 0 };
        let mut w = Writer::new();
        w.message(AsapType::HANDLE_RESOLUTION_RESPONSE.0, flags, |w| {
            handle.encode(w);
            policy.encode(w);
            let octets_max = usize::from(u16::MAX);
            let mut elements = elements;
            elements.all(|element| w.within(octets_max, |w| element.encode_for_user(w)));
        });
        w.into_octets()
    }
}

impl Codec for Asap {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (ty, flags) = r.message_header()?;
        Self::decode_body(AsapType(ty), flags & FLAG != 0, r)
    }

    fn encode(&self, w: &mut Writer) {
        w.message(self.message_type().0, self.flags(), |w| self.encode_body(w));
    }
}

/// Whom a registration is about, when the rest of it cannot be read: so that it can be refused by
/// a registration response (RFC 5352 §2.2.3) and not only by an error.
pub fn registration_subject(octets: &[u8]) -> Option<(PoolHandle, PeId)> {
    let skipped = crate::codec::Skipped::default();
    let mut r = Reader::new(octets, &skipped);
    let (ty, _) = r.message_header().ok()?;
    if AsapType(ty) != AsapType::REGISTRATION {
        return None;
    }
    let handle = PoolHandle::decode(&mut r).ok()?;
    let id = r.param(ParamType::POOL_ELEMENT).ok()?.u32("PE Identifier").ok()?;
    Some((handle, PeId(id)))
}

fn optional<T: Codec>(r: &mut Reader<'_>, ty: ParamType) -> Result<Option<T>, DecodeError> {
    if r.next_type()? == Some(ty) { T::decode(r).map(Some) } else { Ok(None) }
}

/// Reads the parameters of type `ty` that follow, each of at least `octets_min` octets.
pub(crate) fn list<T: Codec>(
    r: &mut Reader<'_>,
    ty: ParamType,
    octets_min: usize,
) -> Result<Vec<T>, DecodeError> {
    let mut values = Vec::new();
    while r.next_type()? == Some(ty) {
        if values.is_empty() {
            values.reserve_exact(r.room_for(octets_min));
        }
        values.push(T::decode(r)?);
    }
    Ok(values)
}

fn optional_causes(r: &mut Reader<'_>) -> Result<Vec<Cause>, DecodeError> {
    match r.next_type()? {
        Some(ParamType::OPERATION_ERROR) => decode_causes(r),
        _ => Ok(Vec::new()),
    }
}

fn decode_items(r: &mut Reader<'_>) -> Result<Option<u32>, DecodeError> {
    let Some(mut value) = r.optional(ParamType::HANDLE_RESOLUTION_OPTION)? else {
        return Ok(None);
    };
    let items = value.u32("Items")?;
    value.finish_value("Handle Resolution Option")?;
    Ok(Some(items))
}

/// Octets of the shortest transport parameter of a registrar.
const TCP_TRANSPORT_LEN_MIN: usize = 16;

fn decode_announced(r: &mut Reader<'_>) -> Result<Vec<Transport>, DecodeError> {
    let mut transports = Vec::with_capacity(r.room_for(TCP_TRANSPORT_LEN_MIN));
    while let Some(ty) = r.next_type()? {
        // RFC 5352 §2.2.10: registrars are reached by SCTP or TCP.
        if !matches!(ty, ParamType::SCTP_TRANSPORT | ParamType::TCP_TRANSPORT) {
            return Err(r.error(DecodeErrorKind::Unexpected(ty)));
        }
        transports.push(Transport::decode(r)?);
    }
    Ok(transports)
}
