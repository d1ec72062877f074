//! Runs `rserpool_transport::fuzzing::userland_packets`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_transport::fuzzing::userland_packets(input));
