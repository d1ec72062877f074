//! Any value of each type that goes over the wire.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use rserpool_wire::asap::{
    Announce, BusinessCard, Deregistration, DeregistrationResponse, HandleResolution,
    HandleResolutionResponse, KeepAlive, KeepAliveAck, Registration, RegistrationResponse,
    Unreachable,
};
use rserpool_wire::codec::{Codec, Writer};
use rserpool_wire::enrp::{
    Body, ListResponse, PoolEntry, Presence, TableRequest, TableResponse, Takeover, Update,
    UpdateAction,
};
use rserpool_wire::param::{
    Cause, Cookie, PeChecksum, PeId, Policy, PoolElement, PoolHandle, RegistrarId,
    RegistrationLife, SctpTransport, ServerInformation, Transport, TransportUse,
};
use rserpool_wire::registry::{CauseCode, ParamType, PolicyType};
use rserpool_wire::{Asap, Enrp, Message};

pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>()
}

pub(crate) fn pe_id() -> impl Strategy<Value = PeId> {
    any::<u32>().prop_map(PeId)
}

fn registrar_id() -> impl Strategy<Value = Option<RegistrarId>> {
    prop_oneof![any::<u32>(), Just(0)].prop_map(RegistrarId::new)
}

fn transport_use() -> impl Strategy<Value = TransportUse> {
    select(vec![TransportUse::DataOnly, TransportUse::DataPlusControl])
}

fn sctp_transport() -> impl Strategy<Value = SctpTransport> {
    (any::<u16>(), transport_use(), vec(address(), 1..5)).prop_map(
        |(port, transport_use, addresses)| SctpTransport {
            port,
            transport_use,
            addresses: addresses.into(),
        },
    )
}

pub(crate) fn transport() -> impl Strategy<Value = Transport> {
    let single = (any::<u16>(), transport_use(), address(), any::<u32>(), 0..4);
    let single = single.prop_map(|(port, transport_use, address, service_code, kind)| match kind {
        0 => Transport::Tcp { port, transport_use, address },
        1 => Transport::Udp { port, address },
        2 => Transport::UdpLite { port, address },
        _ => Transport::Dccp { port, service_code, address },
    });
    let opaque = vec(any::<u8>(), 0..20).prop_map(|octets| Transport::Opaque(octets.into()));
    prop_oneof![2 => sctp_transport().prop_map(Transport::Sctp), 2 => single, 1 => opaque]
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let known = (select(PolicyType::ASSIGNED), any::<[u32; 4]>()).prop_map(|(ty, values)| {
        let fields = ty.fields().unwrap().len();
        Policy::new(ty, &values[..fields]).unwrap()
    });
    let unknown = (any::<u32>(), vec(any::<u8>(), 0..20)).prop_filter_map(
        "a policy that is not known",
        |(number, octets)| {
            let is_unknown = PolicyType(number).label().is_none() && number & 0xbfff_ffff != 0;
            let mut w = Writer::default();
            w.param(ParamType::POLICY, |w| {
                w.u32(number);
                w.slice(&octets);
            });
            is_unknown.then(|| Policy::from_octets(&w.into_octets()).unwrap())
        },
    );
    prop_oneof![3 => known, 1 => unknown]
}

pub(crate) fn pool_handle() -> impl Strategy<Value = PoolHandle> {
    vec(any::<u8>(), 1..40).prop_map(|octets| PoolHandle::new(octets).unwrap())
}

pub(crate) fn pool_element() -> impl Strategy<Value = PoolElement> {
    let fixed = (pe_id(), registrar_id(), any::<i32>().prop_map(RegistrationLife));
    (fixed, transport(), policy(), of(sctp_transport())).prop_map(
        |((id, home, life), user_transport, policy, asap_transport)| PoolElement {
            id,
            home,
            life,
            user_transport,
            policy,
            asap_transport,
        },
    )
}

pub(crate) fn server() -> impl Strategy<Value = ServerInformation> {
    (registrar_id(), sctp_transport())
        .prop_map(|(id, transport)| ServerInformation { id, transport })
}

pub(crate) fn cookie() -> impl Strategy<Value = Cookie> {
    vec(any::<u8>(), 0..100).prop_map(|octets| Cookie::new(octets).unwrap())
}

fn cause() -> impl Strategy<Value = Cause> {
    (prop_oneof![any::<u16>(), 0_u16..12], vec(any::<u8>(), 0..30))
        .prop_map(|(code, info)| Cause::with_info(CauseCode(code), &info))
}

fn causes() -> impl Strategy<Value = Vec<Cause>> {
    vec(cause(), 0..4)
}

fn elements() -> impl Strategy<Value = Vec<PoolElement>> {
    vec(pool_element(), 0..4)
}

fn some_elements() -> impl Strategy<Value = Vec<PoolElement>> {
    vec(pool_element(), 1..4)
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![asap().prop_map(Message::Asap), enrp().prop_map(Message::Enrp)]
}

fn asap() -> impl Strategy<Value = Asap> {
    let member = || (pool_handle(), pe_id());
    prop_oneof![
        (pool_handle(), pool_element())
            .prop_map(|(handle, element)| Asap::Registration(Registration { handle, element })),
        member().prop_map(|(handle, id)| Asap::Deregistration(Deregistration { handle, id })),
        (any::<bool>(), member(), causes()).prop_map(|(rejected, (handle, id), causes)| {
            Asap::RegistrationResponse(RegistrationResponse { rejected, handle, id, causes })
        }),
        (member(), causes()).prop_map(|((handle, id), causes)| {
            Asap::DeregistrationResponse(DeregistrationResponse { handle, id, causes })
        }),
        (any::<bool>(), pool_handle(), of(any::<u32>())).prop_map(
            |(want_updates, handle, items)| {
                Asap::HandleResolution(HandleResolution { want_updates, handle, items })
            }
        ),
        resolution_response(),
        (any::<bool>(), registrar_id(), pool_handle(), of(pe_id())).prop_map(
            |(claim_home, sender, handle, id)| {
                Asap::KeepAlive(KeepAlive { claim_home, sender, handle, id })
            }
        ),
        member().prop_map(|(handle, id)| Asap::KeepAliveAck(KeepAliveAck { handle, id })),
        member().prop_map(|(handle, id)| Asap::Unreachable(Unreachable { handle, id })),
        announce(),
        cookie().prop_map(Asap::Cookie),
        cookie().prop_map(Asap::CookieEcho),
        (pool_handle(), some_elements())
            .prop_map(|(handle, elements)| Asap::BusinessCard(BusinessCard { handle, elements })),
        vec(cause(), 1..4).prop_map(Asap::Error),
    ]
}

fn resolution_response() -> impl Strategy<Value = Asap> {
    (any::<bool>(), pool_handle(), of(policy()), elements(), causes()).prop_map(
        |(updates_accepted, handle, policy, elements, causes)| {
            Asap::HandleResolutionResponse(HandleResolutionResponse {
                updates_accepted,
                handle,
                policy,
                elements,
                causes,
            })
        },
    )
}

fn announce() -> impl Strategy<Value = Asap> {
    let tcp = (any::<u16>(), transport_use(), address())
        .prop_map(|(port, transport_use, address)| Transport::Tcp { port, transport_use, address });
    let transport = prop_oneof![sctp_transport().prop_map(Transport::Sctp), tcp];
    (registrar_id(), vec(transport, 0..4))
        .prop_map(|(sender, transports)| Asap::Announce(Announce { sender, transports }))
}

fn enrp() -> impl Strategy<Value = Enrp> {
    (registrar_id(), registrar_id(), body()).prop_map(|(sender, receiver, body)| Enrp {
        sender,
        receiver,
        body,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let takeover = || registrar_id().prop_map(|target| Takeover { target });
    let action = || select(vec![UpdateAction::AddElement, UpdateAction::DeleteElement]);
    let entry = (pool_handle(), some_elements())
        .prop_map(|(handle, elements)| PoolEntry { handle, elements });
    prop_oneof![
        (any::<bool>(), of(any::<u16>().prop_map(PeChecksum)), of(server())).prop_map(
            |(reply_required, checksum, server)| {
                Body::Presence(Presence { reply_required, checksum, server })
            }
        ),
        any::<bool>().prop_map(|own_only| Body::TableRequest(TableRequest { own_only })),
        (any::<bool>(), any::<bool>(), vec(entry, 0..4)).prop_map(|(rejected, more, pools)| {
            Body::TableResponse(TableResponse { rejected, more, pools })
        }),
        (any::<bool>(), action(), pool_handle(), pool_element()).prop_map(
            |(takeover_suggested, action, handle, element)| {
                Body::Update(Update { takeover_suggested, action, handle, element })
            }
        ),
        Just(Body::ListRequest),
        (any::<bool>(), vec(server(), 0..4)).prop_map(|(rejected, servers)| {
            Body::ListResponse(ListResponse { rejected, servers })
        }),
        takeover().prop_map(Body::TakeoverInit),
        takeover().prop_map(Body::TakeoverAck),
        takeover().prop_map(Body::TakeoverDone),
        vec(cause(), 1..4).prop_map(Body::Error),
    ]
}
