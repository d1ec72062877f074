//! Runs `rserpool_transport::fuzzing::tls_handshakes`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_transport::fuzzing::tls_handshakes(input));
