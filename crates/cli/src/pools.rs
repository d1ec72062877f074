//! Pools and their elements as this program shows them.

use rserpool::wire::param::{PoolElement, PoolHandle};
pub(crate) use rserpool_registrar::json::element as element_with_home;
use rserpool_registrar::json::transport_name;
use serde_json::{Value, json};

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
