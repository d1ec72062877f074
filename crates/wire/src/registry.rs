//! Assigned numbers. One type for each IANA registry, one line for each value.

/// The port of ASAP over SCTP and TCP, and of its announces over UDP (RFC 5352 §8).
pub const ASAP_PORT: u16 = 3863;
/// The port of ASAP over TLS (RFC 5352 §8).
pub const ASAP_TLS_PORT: u16 = 3864;
/// The port of ENRP over SCTP (RFC 5353 §5).
pub const ENRP_PORT: u16 = 9901;
/// The port of ENRP over TLS (RFC 5353 §5).
pub const ENRP_TLS_PORT: u16 = 9902;
/// The SCTP payload protocol identifier of ASAP (RFC 5352 §8).
pub const ASAP_PPID: u32 = 11;
/// The SCTP payload protocol identifier of ENRP (RFC 5353 §5).
pub const ENRP_PPID: u32 = 12;

registry! {
    /// ASAP message types (RFC 5352 §8.1).
    AsapType: u8 {
        /// A PE asks its home registrar to enter it into a pool (RFC 5352 §2.2.1).
        REGISTRATION = 0x01, "ASAP_REGISTRATION";
        /// A PE asks to leave its pool (RFC 5352 §2.2.2).
        DEREGISTRATION = 0x02, "ASAP_DEREGISTRATION";
        /// The home registrar's answer to a registration (RFC 5352 §2.2.3).
        REGISTRATION_RESPONSE = 0x03, "ASAP_REGISTRATION_RESPONSE";
        /// The home registrar's answer to a deregistration (RFC 5352 §2.2.4).
        DEREGISTRATION_RESPONSE = 0x04, "ASAP_DEREGISTRATION_RESPONSE";
        /// A PU asks for elements of a pool (RFC 5352 §2.2.5).
        HANDLE_RESOLUTION = 0x05, "ASAP_HANDLE_RESOLUTION";
        /// Elements of a pool, in the order of its policy (RFC 5352 §2.2.6).
        HANDLE_RESOLUTION_RESPONSE = 0x06, "ASAP_HANDLE_RESOLUTION_RESPONSE";
        /// A registrar asks whether a PE lives (RFC 5352 §2.2.7).
        ENDPOINT_KEEP_ALIVE = 0x07, "ASAP_ENDPOINT_KEEP_ALIVE";
        /// A PE lives (RFC 5352 §2.2.8).
        ENDPOINT_KEEP_ALIVE_ACK = 0x08, "ASAP_ENDPOINT_KEEP_ALIVE_ACK";
        /// A PU reports that a PE does not answer (RFC 5352 §2.2.9).
        ENDPOINT_UNREACHABLE = 0x09, "ASAP_ENDPOINT_UNREACHABLE";
        /// A registrar tells where it is (RFC 5352 §2.2.10).
        SERVER_ANNOUNCE = 0x0a, "ASAP_SERVER_ANNOUNCE";
        /// State that a PE leaves with its PU (RFC 5352 §2.2.11).
        COOKIE = 0x0b, "ASAP_COOKIE";
        /// That state, given to the next PE (RFC 5352 §2.2.12).
        COOKIE_ECHO = 0x0c, "ASAP_COOKIE_ECHO";
        /// Which elements to turn to when this one fails (RFC 5352 §2.2.13).
        BUSINESS_CARD = 0x0d, "ASAP_BUSINESS_CARD";
        /// What was wrong with a message (RFC 5352 §2.2.14).
        ERROR = 0x0e, "ASAP_ERROR";
    }
}

registry! {
    /// ENRP message types (RFC 5353 §5.1).
    EnrpType: u8 {
        /// A registrar lives; its checksum (RFC 5353 §2.1).
        PRESENCE = 0x01, "ENRP_PRESENCE";
        /// Asks for a handlespace (RFC 5353 §2.2).
        HANDLE_TABLE_REQUEST = 0x02, "ENRP_HANDLE_TABLE_REQUEST";
        /// A part of a handlespace (RFC 5353 §2.3).
        HANDLE_TABLE_RESPONSE = 0x03, "ENRP_HANDLE_TABLE_RESPONSE";
        /// An element came, changed or went (RFC 5353 §2.4).
        HANDLE_UPDATE = 0x04, "ENRP_HANDLE_UPDATE";
        /// Asks for the known registrars (RFC 5353 §2.5).
        LIST_REQUEST = 0x05, "ENRP_LIST_REQUEST";
        /// The known registrars (RFC 5353 §2.6).
        LIST_RESPONSE = 0x06, "ENRP_LIST_RESPONSE";
        /// A registrar wants to take over a dead one's elements (RFC 5353 §2.7).
        INIT_TAKEOVER = 0x07, "ENRP_INIT_TAKEOVER";
        /// Agreement to that (RFC 5353 §2.8).
        INIT_TAKEOVER_ACK = 0x08, "ENRP_INIT_TAKEOVER_ACK";
        /// The takeover is done (RFC 5353 §2.9).
        TAKEOVER_SERVER = 0x09, "ENRP_TAKEOVER_SERVER";
        /// What was wrong with a message (RFC 5353 §2.10).
        ERROR = 0x0a, "ENRP_ERROR";
    }
}

registry! {
    /// Parameter types shared by ASAP and ENRP (RFC 5354 §3).
    ParamType: u16 {
        /// An IPv4 address (RFC 5354 §3.1).
        IPV4_ADDRESS = 0x1, "IPv4 Address";
        /// An IPv6 address (RFC 5354 §3.2).
        IPV6_ADDRESS = 0x2, "IPv6 Address";
        /// A DCCP transport address (RFC 5354 §3.3).
        DCCP_TRANSPORT = 0x3, "DCCP Transport";
        /// An SCTP transport address (RFC 5354 §3.4).
        SCTP_TRANSPORT = 0x4, "SCTP Transport";
        /// A TCP transport address (RFC 5354 §3.5).
        TCP_TRANSPORT = 0x5, "TCP Transport";
        /// A UDP transport address (RFC 5354 §3.6).
        UDP_TRANSPORT = 0x6, "UDP Transport";
        /// A UDP-Lite transport address (RFC 5354 §3.7).
        UDP_LITE_TRANSPORT = 0x7, "UDP-Lite Transport";
        /// A pool member selection policy (RFC 5354 §3.8).
        POLICY = 0x8, "Pool Member Selection Policy";
        /// A pool handle (RFC 5354 §3.9).
        POOL_HANDLE = 0x9, "Pool Handle";
        /// A pool element (RFC 5354 §3.10).
        POOL_ELEMENT = 0xa, "Pool Element";
        /// A registrar and where it is (RFC 5354 §3.11).
        SERVER_INFORMATION = 0xb, "Server Information";
        /// Causes of an error (RFC 5354 §3.12).
        OPERATION_ERROR = 0xc, "Operation Error";
        /// State of a session (RFC 5354 §3.13).
        COOKIE = 0xd, "Cookie";
        /// The identifier of a pool element (RFC 5354 §3.14).
        PE_IDENTIFIER = 0xe, "PE Identifier";
        /// The checksum over a registrar's elements (RFC 5354 §3.15).
        PE_CHECKSUM = 0xf, "PE Checksum";
        /// A transport that this protocol does not look into (RFC 5354 §3.16).
        OPAQUE_TRANSPORT = 0x10, "Opaque Transport";
        /// How many elements a resolution asks for (draft-dreibholz-rserpool-asap-hropt).
        HANDLE_RESOLUTION_OPTION = 0x803f, "Handle Resolution Option";
    }
}

impl ParamType {
    /// What to do with a parameter of this type when the type is not known (RFC 5354 §3).
    pub const fn unrecognized(self) -> Unrecognized {
        match self.0 >> 14 {
            0b00 => Unrecognized::Discard,
            0b01 => Unrecognized::DiscardAndReport,
            0b10 => Unrecognized::Skip,
            _ => Unrecognized::SkipAndReport,
        }
    }
}

/// The action that the two high bits of a parameter type ask for (RFC 5354 §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unrecognized {
    /// Drop the whole message silently.
    Discard,
    /// Drop the whole message and return the parameter in an error.
    DiscardAndReport,
    /// Ignore this parameter and go on.
    Skip,
    /// Ignore this parameter, go on, and return it in an error.
    SkipAndReport,
}

registry! {
    /// Causes of an operation error (RFC 5354 §3.12).
    CauseCode: u16 {
        /// Anything without a better code (RFC 5354 §3.12.1).
        UNSPECIFIED = 0x0, "Unspecified Error";
        /// A parameter of an unknown type, attached (RFC 5354 §3.12.2).
        UNRECOGNIZED_PARAMETER = 0x1, "Unrecognized Parameter";
        /// A message of an unknown type, attached (RFC 5354 §3.12.3).
        UNRECOGNIZED_MESSAGE = 0x2, "Unrecognized Message";
        /// A value out of range; its parameter is attached (RFC 5354 §3.12.4).
        INVALID_VALUES = 0x3, "Invalid Values";
        /// Another element has this identifier (RFC 5354 §3.12.5).
        NON_UNIQUE_PE_IDENTIFIER = 0x4, "Non-unique PE Identifier";
        /// The pool has another policy, attached (RFC 5354 §3.12.6).
        INCONSISTENT_POLICY = 0x5, "Inconsistent Pooling Policy";
        /// A limit is reached (RFC 5354 §3.12.7).
        LACK_OF_RESOURCES = 0x6, "Lack of Resources";
        /// The pool has another transport, attached (RFC 5354 §3.12.8).
        INCONSISTENT_TRANSPORT = 0x7, "Inconsistent Transport Type";
        /// The pool has another Transport Use (RFC 5354 §3.12.9).
        INCONSISTENT_TRANSPORT_USE = 0x8, "Inconsistent Data/Control Configuration";
        /// There is no such pool (RFC 5354 §3.12.10).
        UNKNOWN_POOL_HANDLE = 0x9, "Unknown Pool Handle";
        /// Not without credentials (RFC 5354 §3.12.11).
        SECURITY = 0xa, "Rejected due to security considerations";
    }
}

registry! {
    /// Member selection policies (RFC 5356 §7.1). Bit 31 marks private ones, bit 30 those that look
    /// at load.
    PolicyType: u32 {
        /// One after the other (RFC 5356 §4.1).
        ROUND_ROBIN = 0x0000_0001, "round-robin";
        /// One after the other, in proportion to weights (RFC 5356 §4.2).
        WEIGHTED_ROUND_ROBIN = 0x0000_0002, "weighted-round-robin";
        /// At random (RFC 5356 §4.3).
        RANDOM = 0x0000_0003, "random";
        /// At random, in proportion to weights (RFC 5356 §4.4).
        WEIGHTED_RANDOM = 0x0000_0004, "weighted-random";
        /// The highest priority (RFC 5356 §4.5).
        PRIORITY = 0x0000_0005, "priority";
        /// The least loaded (RFC 5356 §5.1).
        LEAST_USED = 0x4000_0001, "least-used";
        /// The least loaded, where each selection counts as load (RFC 5356 §5.2).
        LEAST_USED_DEGRADATION = 0x4000_0002, "least-used-degradation";
        /// The least loaded after one more selection (RFC 5356 §5.3).
        PRIORITY_LEAST_USED = 0x4000_0003, "priority-least-used";
        /// At random, in proportion to what is not used (RFC 5356 §5.4).
        RANDOMIZED_LEAST_USED = 0x4000_0004, "randomized-least-used";
        /// Priority least used, at random; private to rsplib.
        RANDOMIZED_PRIORITY_LEAST_USED = 0xb000_1001, "randomized-priority-least-used";
        /// Randomized least used with degradation; private to rsplib.
        RANDOMIZED_LEAST_USED_DEGRADATION = 0xb000_1002, "randomized-least-used-degradation";
        /// Priority least used with degradation; private to rsplib.
        PRIORITY_LEAST_USED_DEGRADATION = 0xb000_1003, "priority-least-used-degradation";
        /// Randomized priority least used with degradation; private to rsplib.
        RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION =
            0xb000_1004, "randomized-priority-least-used-degradation";
        /// Weighted random, less by distance (draft-dreibholz-rserpool-delay).
        WEIGHTED_RANDOM_DPF = 0xb000_2001, "weighted-random-dpf";
        /// Least used, load raised by distance (draft-dreibholz-rserpool-delay).
        LEAST_USED_DPF = 0xb000_2002, "least-used-dpf";
        /// Least used with degradation, load raised by distance; private to rsplib.
        LEAST_USED_DEGRADATION_DPF = 0xb000_2003, "least-used-degradation-dpf";
    }
}
