//! Runs `rserpool_services::fuzzing::service_packets`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| rserpool_services::fuzzing::service_packets(input));
