use std::net::{IpAddr, SocketAddr};

use crate::codec::{Codec, HEADER_LEN, Reader, Writer, padding_len};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::param::Addresses;
use crate::registry::ParamType;

/// Octets of an IPv4 Address parameter.
const ADDRESS_LEN_MIN: usize = 8;

/// What runs over a transport of a pool element (RFC 5354 §3.4).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TransportUse {
    /// 0: the application's data.
    #[default]
    DataOnly,
    /// 1: data, and ASAP's control channel (RFC 5352 §3.8).
    DataPlusControl,
}

impl TransportUse {
    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::DataOnly => "data only",
            Self::DataPlusControl => "data with a control channel",
        }
    }

    fn number(self) -> u16 {
        match self {
            Self::DataOnly => 0,
            Self::DataPlusControl => 1,
        }
    }
}

/// An SCTP transport: one port, any number of addresses (RFC 5354 §3.4).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          Type = 0x4           |        Length = variable      |
/// +-------------------------------+-------------------------------+
/// |           SCTP port           |         Transport Use         |
/// +-------------------------------+-------------------------------+
/// :               IPv4 or IPv6 Address parameter #1               :
/// :                              ...                              :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SctpTransport {
    /// SCTP port.
    pub port: u16,
    /// What runs over it.
    pub transport_use: TransportUse,
    /// At least one address; both families may be mixed. Decoding takes care of that.
    pub addresses: Addresses,
}

impl Codec for SctpTransport {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut value = r.param(ParamType::SCTP_TRANSPORT)?;
        let port = value.u16("SCTP port")?;
        let transport_use = match value.u16("Transport Use")? {
            0 => TransportUse::DataOnly,
            1 => TransportUse::DataPlusControl,
            other => {
                let value_of = u32::from(other);
                let kind = DecodeErrorKind::Value { field: "Transport Use", value: value_of };
                return Err(value.error_before(2, kind));
            }
        };
        if value.next_type()?.is_none() {
            return Err(value.error(DecodeErrorKind::Missing(ParamType::IPV4_ADDRESS)));
        }
        let first = IpAddr::decode(&mut value)?;
        if value.next_type()?.is_none() {
            return Ok(Self { port, transport_use, addresses: first.into() });
        }
        let mut addresses = Vec::with_capacity(1 + value.room_for(ADDRESS_LEN_MIN));
        addresses.push(first);
        while value.next_type()?.is_some() {
            addresses.push(IpAddr::decode(&mut value)?);
        }
        Ok(Self { port, transport_use, addresses: addresses.into() })
    }

    fn encoded_len(&self) -> usize {
        HEADER_LEN + 4 + self.addresses.iter().map(Codec::encoded_len).sum::<usize>()
    }

    fn encode(&self, w: &mut Writer) {
        w.param(ParamType::SCTP_TRANSPORT, |w| {
            w.u16(self.port);
            w.u16(self.transport_use.number());
            for address in &self.addresses {
                address.encode(w);
            }
        });
    }
}

/// Where a pool element serves, or a registrar listens (RFC 5354 §3.3 to §3.7, §3.16).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |      Type = 0x5 to 0x7        |       Length = 16 or 28       |
/// +-------------------------------+-------------------------------+
/// |             port              |            reserved           |
/// +-------------------------------+-------------------------------+
/// :                IPv4 or IPv6 Address parameter                 :
/// +---------------------------------------------------------------+
/// ```
///
/// DCCP (0x3) has a 32-bit service code between the reserved field and the address, an opaque
/// transport (0x10) any octets.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// SCTP.
    Sctp(SctpTransport),
    /// TCP.
    Tcp {
        /// TCP port.
        port: u16,
        /// The RFC reserves this field; rsplib and we put the Transport Use there. Other values
        /// than 1 read as data only.
        transport_use: TransportUse,
        /// Where it listens.
        address: IpAddr,
    },
    /// UDP.
    Udp {
        /// UDP port.
        port: u16,
        /// Where it listens.
        address: IpAddr,
    },
    /// UDP-Lite.
    UdpLite {
        /// UDP-Lite port.
        port: u16,
        /// Where it listens.
        address: IpAddr,
    },
    /// DCCP.
    Dccp {
        /// DCCP port.
        port: u16,
        /// DCCP service code (RFC 4340 §8.1.2).
        service_code: u32,
        /// Where it listens.
        address: IpAddr,
    },
    /// Something that only the application understands.
    Opaque(Box<[u8]>),
}

impl Transport {
    /// TCP at this address, without a control channel.
    pub fn tcp(at: SocketAddr) -> Self {
        let transport_use = TransportUse::DataOnly;
        Self::Tcp { port: at.port(), transport_use, address: at.ip() }
    }

    /// UDP at this address.
    pub fn udp(at: SocketAddr) -> Self {
        Self::Udp { port: at.port(), address: at.ip() }
    }

    /// Its addresses with its port; none for an opaque transport.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        let port = self.port().unwrap_or_default();
        self.addresses().iter().map(move |&ip| SocketAddr::new(ip, port))
    }

    /// The parameter type: what makes two transports of one kind.
    pub fn param_type(&self) -> ParamType {
        match self {
            Self::Sctp(_) => ParamType::SCTP_TRANSPORT,
            Self::Tcp { .. } => ParamType::TCP_TRANSPORT,
            Self::Udp { .. } => ParamType::UDP_TRANSPORT,
            Self::UdpLite { .. } => ParamType::UDP_LITE_TRANSPORT,
            Self::Dccp { .. } => ParamType::DCCP_TRANSPORT,
            Self::Opaque(_) => ParamType::OPAQUE_TRANSPORT,
        }
    }

    /// What runs over it; all but SCTP and TCP are data only.
    pub fn transport_use(&self) -> TransportUse {
        match self {
            Self::Sctp(SctpTransport { transport_use, .. }) | Self::Tcp { transport_use, .. } => {
                *transport_use
            }
            Self::Udp { .. } | Self::UdpLite { .. } | Self::Dccp { .. } | Self::Opaque(_) => {
                TransportUse::DataOnly
            }
        }
    }

    /// The port, `None` for an opaque transport.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Sctp(SctpTransport { port, .. })
            | Self::Tcp { port, .. }
            | Self::Udp { port, .. }
            | Self::UdpLite { port, .. }
            | Self::Dccp { port, .. } => Some(*port),
            Self::Opaque(_) => None,
        }
    }

    /// The addresses; none for an opaque transport.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Sctp(SctpTransport { addresses, .. }) => addresses,
            Self::Tcp { address, .. }
            | Self::Udp { address, .. }
            | Self::UdpLite { address, .. }
            | Self::Dccp { address, .. } => std::slice::from_ref(address),
            Self::Opaque(_) => &[],
        }
    }

    /// True where a parameter of this type is a transport.
    pub fn is_transport(ty: ParamType) -> bool {
        matches!(
            ty,
            ParamType::DCCP_TRANSPORT
                | ParamType::SCTP_TRANSPORT
                | ParamType::TCP_TRANSPORT
                | ParamType::UDP_TRANSPORT
                | ParamType::UDP_LITE_TRANSPORT
                | ParamType::OPAQUE_TRANSPORT
        )
    }
}

impl Codec for Transport {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.next_type()? {
            Some(ParamType::SCTP_TRANSPORT) => SctpTransport::decode(r).map(Self::Sctp),
            Some(ParamType::OPAQUE_TRANSPORT) => {
                let mut value = r.param(ParamType::OPAQUE_TRANSPORT)?;
                Ok(Self::Opaque(value.remainder().into()))
            }
            Some(ty) if Self::is_transport(ty) => {
                let mut value = r.param(ty)?;
                let port = value.u16("port")?;
                let reserved = value.u16("reserved")?;
                let service_code = match ty {
                    ParamType::DCCP_TRANSPORT => value.u32("DCCP service code")?,
                    _ => 0,
                };
                let address = IpAddr::decode(&mut value)?;
                value.finish()?;
                Ok(match ty {
                    ParamType::TCP_TRANSPORT if reserved == 1 => {
                        let transport_use = TransportUse::DataPlusControl;
                        Self::Tcp { port, transport_use, address }
                    }
                    ParamType::TCP_TRANSPORT => {
                        Self::Tcp { port, transport_use: TransportUse::DataOnly, address }
                    }
                    ParamType::UDP_TRANSPORT => Self::Udp { port, address },
                    ParamType::UDP_LITE_TRANSPORT => Self::UdpLite { port, address },
                    _ => Self::Dccp { port, service_code, address },
                })
            }
            Some(other) => Err(r.error(DecodeErrorKind::Unexpected(other))),
            None => Err(r.error(DecodeErrorKind::Missing(ParamType::SCTP_TRANSPORT))),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Sctp(sctp) => sctp.encoded_len(),
            Self::Tcp { address, .. }
            | Self::Udp { address, .. }
            | Self::UdpLite { address, .. } => HEADER_LEN + 4 + address.encoded_len(),
            Self::Dccp { address, .. } => HEADER_LEN + 8 + address.encoded_len(),
            Self::Opaque(octets) => HEADER_LEN + octets.len() + padding_len(octets.len()),
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::Sctp(sctp) => sctp.encode(w),
            Self::Tcp { port, transport_use, address } => {
                plain(w, self.param_type(), *port, transport_use.number(), None, address);
            }
            Self::Udp { port, address } | Self::UdpLite { port, address } => {
                plain(w, self.param_type(), *port, 0, None, address);
            }
            Self::Dccp { port, service_code, address } => {
                plain(w, self.param_type(), *port, 0, Some(*service_code), address);
            }
            Self::Opaque(octets) => w.param(ParamType::OPAQUE_TRANSPORT, |w| w.slice(octets)),
        }
    }
}

fn plain(
    w: &mut Writer,
    ty: ParamType,
    port: u16,
    reserved: u16,
    service_code: Option<u32>,
    address: &IpAddr,
) {
    w.param(ty, |w| {
        w.u32((u32::from(port) << 16) | u32::from(reserved));
        if let Some(code) = service_code {
            w.u32(code);
        }
        address.encode(w);
    });
}
