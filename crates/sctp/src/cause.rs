//! Error causes (RFC 9260 §3.3.10, RFC 4895 §5.1, RFC 5061 §4.3): what ERROR and ABORT say.

use crate::parameter::write;

/// Cause codes.
pub mod code {
    /// DATA on a stream that there is not.
    pub const INVALID_STREAM: u16 = 1;
    /// INIT ACK without a cookie.
    pub const MISSING_PARAMETER: u16 = 2;
    /// The cookie is too old.
    pub const STALE_COOKIE: u16 = 3;
    /// No more associations.
    pub const OUT_OF_RESOURCE: u16 = 4;
    /// An address that cannot be used: a name.
    pub const UNRESOLVABLE_ADDRESS: u16 = 5;
    /// A chunk of an unknown type.
    pub const UNRECOGNIZED_CHUNK: u16 = 6;
    /// A mandatory parameter has a value that makes no sense.
    pub const INVALID_PARAMETER: u16 = 7;
    /// Parameters that were not understood.
    pub const UNRECOGNIZED_PARAMETERS: u16 = 8;
    /// DATA without user data.
    pub const NO_USER_DATA: u16 = 9;
    /// A COOKIE ECHO while it shuts down.
    pub const COOKIE_WHILE_SHUTTING_DOWN: u16 = 10;
    /// A restart with addresses that the association did not have.
    pub const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
    /// The user wants it.
    pub const USER_INITIATED: u16 = 12;
    /// A rule was broken.
    pub const PROTOCOL_VIOLATION: u16 = 13;
    /// ASCONF: the last address cannot be deleted.
    pub const LAST_ADDRESS: u16 = 0xa0;
    /// ASCONF: too many addresses.
    pub const RESOURCE_SHORTAGE: u16 = 0xa1;
    /// ASCONF: the address that it comes from cannot be deleted.
    pub const SOURCE_ADDRESS: u16 = 0xa2;
    /// ASCONF ACK that answers nothing.
    pub const ILLEGAL_ASCONF_ACK: u16 = 0xa3;
    /// ASCONF: may not be done.
    pub const NO_AUTHORIZATION: u16 = 0xa4;
    /// AUTH with an HMAC that was not offered.
    pub const UNSUPPORTED_HMAC: u16 = 0x105;
}

/// Appends a cause: it has the form of a parameter.
pub(crate) fn cause(octets: &mut Vec<u8>, code: u16, information: &[u8]) {
    write(octets, code, |octets| octets.extend_from_slice(information));
}
