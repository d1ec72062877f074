//! From octets to nodes.

use std::net::IpAddr;

use super::{Header, HeaderKind, Node, Value};
use crate::codec::{HEADER_LEN, Reader, Skipped, padding_len};
use crate::message::Protocol;
use crate::param::{PeChecksum, Transport};
use crate::registry::{AsapType, CauseCode, EnrpType, ParamType, PolicyType, Unrecognized};

/// A message; the rest of the octets where its length makes no sense.
pub(super) fn message(protocol: Protocol, octets: &[u8]) -> Node {
    let skipped = Skipped::default();
    let mut root = Node {
        offset: 0,
        octets: octets.len(),
        name: match protocol {
            Protocol::Asap => "unknown ASAP message",
            Protocol::Enrp => "unknown ENRP message",
        },
        header: None,
        value: None,
        inner: Vec::new(),
    };
    let &[ty, flags, high, low, ..] = octets else {
        let mut inner = Inner { r: Reader::new(octets, &skipped), octets, depth: 0, nodes: vec![] };
        inner.rest("octets");
        root.inner = inner.nodes;
        return root;
    };
    let length = u16::from_be_bytes([high, low]);
    root.header = Some(Header { kind: HeaderKind::Message, number: ty.into(), length });
    let length = usize::from(length);
    let end = if (HEADER_LEN..=octets.len()).contains(&length) { length } else { octets.len() };
    let r = Reader::new(&octets[..end], &skipped);
    let mut inner = Inner { r, octets, depth: 0, nodes: vec![] };
    inner.message_header(flag_names(protocol, ty), flags);
    match protocol {
        Protocol::Asap => {
            root.name = AsapType(ty).label().unwrap_or(root.name);
            inner.asap(AsapType(ty));
        }
        Protocol::Enrp => {
            root.name = EnrpType(ty).label().unwrap_or(root.name);
            inner.enrp(EnrpType(ty));
        }
    }
    if end < octets.len() {
        let surplus = &octets[end..];
        let name =
            if surplus.len() <= padding_len(end) { "padding" } else { "octets behind the message" };
        inner.leaf(end, surplus.len(), name, Value::Octets(surplus.into()));
    }
    root.inner = inner.nodes;
    root
}

/// The flags that have a meaning: bit, name.
fn flag_names(protocol: Protocol, ty: u8) -> &'static [(u8, &'static str)] {
    match protocol {
        Protocol::Asap => match AsapType(ty) {
            AsapType::REGISTRATION_RESPONSE => &[(0x01, "R: rejected")],
            AsapType::HANDLE_RESOLUTION => &[(0x01, "S: updates wanted")],
            AsapType::HANDLE_RESOLUTION_RESPONSE => &[(0x01, "A: updates accepted")],
            AsapType::ENDPOINT_KEEP_ALIVE => &[(0x01, "H: claims to be home")],
            _ => &[],
        },
        Protocol::Enrp => match EnrpType(ty) {
            EnrpType::PRESENCE => &[(0x01, "reply required")],
            EnrpType::HANDLE_TABLE_REQUEST => &[(0x01, "W: own elements only")],
            EnrpType::HANDLE_TABLE_RESPONSE => &[(0x01, "R: rejected"), (0x02, "M: more to come")],
            EnrpType::HANDLE_UPDATE => &[(0x01, "T: takeover suggested")],
            EnrpType::LIST_RESPONSE => &[(0x01, "R: rejected")],
            _ => &[],
        },
    }
}

/// Octets that become nodes, from the first to the last.
struct Inner<'a> {
    r: Reader<'a>,
    /// The whole message.
    octets: &'a [u8],
    /// How deep `nodes` are nested.
    depth: usize,
    nodes: Vec<Node>,
}

/// Parameters nest four deep, in an error cause five; hostile octets any.
const DEPTH_MAX: usize = 8;

impl<'a> Inner<'a> {
    fn message_header(&mut self, names: &[(u8, &'static str)], flags: u8) {
        // The caller has seen the four octets.
        let _ = self.r.array::<HEADER_LEN>("message header");
        let set: Vec<_> =
            names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
        let text = match set[..] {
            [] => format!("{flags:#04x}"),
            _ => format!("{flags:#04x} ({})", set.join(", ")),
        };
        self.leaf(1, 1, "Message Flags", Value::Text(text));
    }

    fn asap(&mut self, ty: AsapType) {
        match ty {
            AsapType::ENDPOINT_KEEP_ALIVE | AsapType::SERVER_ANNOUNCE => {
                self.u32("Server Identifier", Value::Id);
                self.parameters();
            }
            ty if ty.label().is_none() => self.rest("octets"),
            _ => self.parameters(),
        }
    }

    fn enrp(&mut self, ty: EnrpType) {
        if ty.label().is_none() {
            return self.rest("octets");
        }
        self.u32("Sending Server's ID", Value::Id);
        self.u32("Receiving Server's ID", Value::Id);
        match ty {
            EnrpType::HANDLE_UPDATE => {
                self.u16("Update Action", |action| choice(action, &["ADD_PE", "DEL_PE"]));
                self.u16("reserved", |value| Value::Number(value.into()));
            }
            EnrpType::INIT_TAKEOVER | EnrpType::INIT_TAKEOVER_ACK | EnrpType::TAKEOVER_SERVER => {
                self.u32("Targeting Server's ID", Value::Id);
            }
            _ => {}
        }
        self.parameters();
    }

    /// Takes everything that is left, as parameters.
    fn parameters(&mut self) {
        while !self.r.is_empty() {
            let offset = self.r.offset();
            let Ok((ty, value)) = self.r.take_param() else {
                return self.rest("octets");
            };
            let octets = value.room_for(1) + HEADER_LEN;
            let name = ty.label().unwrap_or_else(|| match ty.unrecognized() {
                Unrecognized::Discard => "unknown parameter (message dropped)",
                Unrecognized::DiscardAndReport => "unknown parameter (message dropped, reported)",
                Unrecognized::Skip => "unknown parameter (skipped)",
                Unrecognized::SkipAndReport => "unknown parameter (skipped, reported)",
            });
            let mut inner = self.inside(value);
            inner.parameter(ty);
            let nodes = inner.nodes;
            self.headed(offset, octets, name, HeaderKind::Parameter, ty.0, nodes);
        }
    }

    /// Takes the value of a parameter.
    fn parameter(&mut self, ty: ParamType) {
        if self.depth > DEPTH_MAX {
            return self.rest(VALUE);
        }
        match ty {
            ParamType::IPV4_ADDRESS => {
                self.field(VALUE, |octets: [u8; 4]| Value::Text(IpAddr::from(octets).to_string()));
            }
            ParamType::IPV6_ADDRESS => {
                self.field(VALUE, |octets: [u8; 16]| Value::Text(IpAddr::from(octets).to_string()));
            }
            ty if Transport::is_transport(ty) => self.transport(ty),
            ParamType::POLICY => self.policy(),
            ParamType::POOL_HANDLE => {
                let (offset, handle) = (self.r.offset(), self.r.remainder());
                if !handle.is_empty() {
                    let text = Value::Text(handle.escape_ascii().to_string());
                    self.leaf(offset, handle.len(), VALUE, text);
                }
            }
            ParamType::POOL_ELEMENT => {
                self.u32("PE Identifier", Value::Id);
                self.u32("Home ENRP Server ID", Value::Id);
                self.u32("Registration Life", |life| Value::Number(life.cast_signed().into()));
                self.parameters();
            }
            ParamType::SERVER_INFORMATION => {
                self.u32("Server ID", Value::Id);
                self.parameters();
            }
            ParamType::OPERATION_ERROR => self.causes(),
            ParamType::PE_IDENTIFIER => self.u32(VALUE, Value::Id),
            ParamType::PE_CHECKSUM => {
                self.u16(VALUE, |sum| Value::Text(PeChecksum(sum).to_string()));
            }
            ParamType::HANDLE_RESOLUTION_OPTION => {
                self.u32("Items", |items| Value::Number(items.into()));
            }
            _ => {}
        }
        self.rest(VALUE);
    }

    fn transport(&mut self, ty: ParamType) {
        if ty == ParamType::OPAQUE_TRANSPORT {
            return;
        }
        let number = |value: u16| Value::Number(value.into());
        self.u16(if ty == ParamType::SCTP_TRANSPORT { "SCTP port" } else { "port" }, number);
        match ty {
            ParamType::SCTP_TRANSPORT => self.u16("Transport Use", |transport_use| {
                choice(transport_use, &["data only", "data plus control"])
            }),
            _ => self.u16("reserved", number),
        }
        if ty == ParamType::DCCP_TRANSPORT {
            self.u32("DCCP service code", Value::Id);
        }
        self.parameters();
    }

    fn policy(&mut self) {
        let mut policy_type = PolicyType(0);
        self.u32("Policy Type", |number| {
            policy_type = PolicyType(number);
            let label = policy_type.label().unwrap_or("unknown");
            Value::Text(format!("{label} ({number:#010x})"))
        });
        for field in policy_type.fields().unwrap_or_default() {
            self.u32(field.label(), |value| match field.is_fraction() {
                true => Value::Fraction(value),
                false => Value::Number(value.into()),
            });
        }
    }

    fn causes(&mut self) {
        while !self.r.is_empty() {
            let offset = self.r.offset();
            let Ok((code, value)) = self.r.take_param() else {
                return self.rest("octets");
            };
            let code = CauseCode(code.0);
            let octets = value.room_for(1) + HEADER_LEN;
            let mut inner = self.inside(value);
            match code {
                CauseCode::UNRECOGNIZED_PARAMETER
                | CauseCode::INVALID_VALUES
                | CauseCode::INCONSISTENT_POLICY
                | CauseCode::INCONSISTENT_TRANSPORT => inner.parameters(),
                _ => inner.rest(VALUE),
            }
            let nodes = inner.nodes;
            let name = code.label().unwrap_or("unknown cause");
            self.headed(offset, octets, name, HeaderKind::Cause, code.0, nodes);
        }
    }

    fn inside(&self, value: Reader<'a>) -> Self {
        Self { r: value, octets: self.octets, depth: self.depth + 1, nodes: Vec::new() }
    }

    /// Appends a parameter or cause, and the padding up to where the reader is.
    fn headed(
        &mut self,
        offset: usize,
        octets: usize,
        name: &'static str,
        kind: HeaderKind,
        number: u16,
        mut inner: Vec<Node>,
    ) {
        let length = u16::try_from(octets).unwrap_or(u16::MAX);
        let header = Some(Header { kind, number, length });
        // One field without a name of its own is the value.
        let value = match &mut inner[..] {
            [Node { name: VALUE, value, .. }] => value.take(),
            _ => None,
        };
        if value.is_some() {
            inner = Vec::new();
        }
        self.nodes.push(Node { offset, octets, name, header, value, inner });
        let padding = self.octets.get(offset + octets..self.r.offset()).unwrap_or_default();
        if !padding.is_empty() {
            self.leaf(offset + octets, padding.len(), "padding", Value::Octets(padding.into()));
        }
    }

    fn u16(&mut self, name: &'static str, value: impl FnOnce(u16) -> Value) {
        self.field(name, |octets| value(u16::from_be_bytes(octets)));
    }

    fn u32(&mut self, name: &'static str, value: impl FnOnce(u32) -> Value) {
        self.field(name, |octets| value(u32::from_be_bytes(octets)));
    }

    /// Takes a field; what is left, where that is less.
    fn field<const N: usize>(&mut self, name: &'static str, value: impl FnOnce([u8; N]) -> Value) {
        let offset = self.r.offset();
        match self.r.array(name) {
            Ok(octets) => self.leaf(offset, N, name, value(octets)),
            Err(_) => self.rest(name),
        }
    }

    /// Takes everything that is left, if any.
    fn rest(&mut self, name: &'static str) {
        let (offset, octets) = (self.r.offset(), self.r.remainder());
        if !octets.is_empty() {
            self.leaf(offset, octets.len(), name, Value::Octets(octets.into()));
        }
    }

    fn leaf(&mut self, offset: usize, octets: usize, name: &'static str, value: Value) {
        let value = Some(value);
        self.nodes.push(Node { offset, octets, name, header: None, value, inner: Vec::new() });
    }
}

/// The name of a field that is all of its parameter.
const VALUE: &str = "value";

/// A number with the meaning that it has.
fn choice(number: u16, meanings: &[&str]) -> Value {
    match meanings.get(usize::from(number)) {
        Some(meaning) => Value::Text(format!("{number} ({meaning})")),
        None => Value::Number(number.into()),
    }
}
