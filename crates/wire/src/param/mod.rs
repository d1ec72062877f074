//! The parameters that ASAP and ENRP share (RFC 5354 §3).

mod address;
mod error;
mod ids;
mod policy;
mod pool_element;
mod pool_handle;
mod server;
mod transport;

pub use address::Addresses;
pub use error::{Cause, decode_causes, encode_causes};
pub use ids::{Cookie, IdError, PeChecksum, PeId, RegistrarId};
pub use policy::{Load, Policy, PolicyField, PolicyParseError};
pub use pool_element::{PoolElement, RegistrationLife};
pub use pool_handle::{HandleParseError, PoolHandle};
pub use server::ServerInformation;
pub use transport::{SctpTransport, Transport, TransportUse};
