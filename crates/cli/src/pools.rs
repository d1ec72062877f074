//! Pools and their elements as this program shows them.

use rserpool::wire::param::{Load, PoolElement, PoolHandle, Transport};
use serde_json::{Map, Value, json};

/// The headings of [`row`].
pub(crate) const HEADINGS: [&str; 6] =
    ["ELEMENT", "TRANSPORT", "ADDRESSES", "PORT", "POLICY", "HOME"];

/// An element as cells.
pub(crate) fn row(element: &PoolElement) -> Vec<String> {
    let transport = &element.user_transport;
    let addresses: Vec<String> = transport.addresses().iter().map(ToString::to_string).collect();
    vec![
        element.id.to_string(),
        transport_name(transport).into(),
        addresses.join(","),
        transport.port().map_or_else(String::new, |port| port.to_string()),
        element.policy.to_string(),
        element.home.map_or_else(String::new, |home| home.to_string()),
    ]
}

/// A pool as JSON. Identifiers are text, loads are fractions between 0 and 1.
pub(crate) fn pool_json(
    handle: &PoolHandle,
    policy: &impl ToString,
    elements: impl Iterator<Item = Value>,
) -> Value {
    let elements = elements.collect::<Vec<_>>();
    with_pool(handle, json!({ "policy": policy.to_string(), "elements": elements }))
}

/// Adds a pool's handle to an object: as `pool` in text, and where it is no UTF-8 as `pool_hex`, too.
pub(crate) fn with_pool(handle: &PoolHandle, mut object: Value) -> Value {
    match str::from_utf8(handle.as_bytes()) {
        Ok(text) => object["pool"] = text.into(),
        Err(_) => {
            let digits = handle.as_bytes().iter().map(|octet| format!("{octet:02x}"));
            object["pool"] = handle.to_string().into();
            object["pool_hex"] = digits.collect::<String>().into();
        }
    }
    object
}

/// An element as registrars know it.
pub(crate) fn element_with_home(element: &PoolElement) -> Value {
    let mut json = element_json(element);
    json["home"] = element.home.map(|home| home.to_string()).into();
    json
}

/// An element without its home.
fn element_json(element: &PoolElement) -> Value {
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
    })
}

/// As exact as anyone wants it: a load that was given as 0.25 comes out as 0.25.
fn rounded(fraction: f64) -> f64 {
    (fraction * 1e6).round() / 1e6
}

/// The transport protocol, as in URLs.
fn transport_name(transport: &Transport) -> &'static str {
    match transport {
        Transport::Sctp(_) => "sctp",
        Transport::Tcp { .. } => "tcp",
        Transport::Udp { .. } => "udp",
        Transport::UdpLite { .. } => "udp-lite",
        Transport::Dccp { .. } => "dccp",
        Transport::Opaque(_) => "opaque",
    }
}
