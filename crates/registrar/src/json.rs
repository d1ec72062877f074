//! Elements as JSON: the same in the answers of a registrar and in what commands print.

use rserpool::wire::param::{Load, PoolElement, Transport};
use serde_json::{Map, Value, json};

/// An element as registrars know it. Identifiers are text, loads are fractions between 0 and 1.
pub fn element(element: &PoolElement) -> Value {
    let mut policy = Map::new();
    policy.insert("type".into(), element.policy.policy_type().to_string().into());
    for (field, value) in element.policy.fields() {
        let value =
            if field.is_fraction() { json!(rounded(Load(value).fraction())) } else { json!(value) };
        policy.insert(field.label().into(), value);
    }
    json!({
        "id": element.id.to_string(),
        "transport": transport_name(&element.user_transport),
        "addresses": element.user_transport.addresses(),
        "port": element.user_transport.port(),
        "policy": policy,
        "home": element.home.map(|home| home.to_string()),
    })
}

/// As exact as anyone wants it: a load that was given as 0.25 comes out as 0.25.
fn rounded(fraction: f64) -> f64 {
    (fraction * 1e6).round() / 1e6
}

/// The transport protocol, as in URLs.
pub fn transport_name(transport: &Transport) -> &'static str {
    match transport {
        Transport::Sctp(_) => "sctp",
        Transport::Tcp { .. } => "tcp",
        Transport::Udp { .. } => "udp",
        Transport::UdpLite { .. } => "udp-lite",
        Transport::Dccp { .. } => "dccp",
        Transport::Opaque(_) => "opaque",
    }
}
