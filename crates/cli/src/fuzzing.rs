//! What must hold for whatever a file has in it that is called a capture: no panic.
//!
//! The corpus is in `tests/data`; it is run as it is, and changed at random, from a fixed seed.

use std::path::Path;

use crate::command::decode_capture;

#[path = "../../../fuzz/changes.rs"]
mod changes;

/// Takes a capture apart.
fn capture(octets: &[u8]) {
    let _ = decode_capture(octets);
}

#[test]
fn captures() {
    // The short ones: long ones are more of the same.
    let mut captures = changes::inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    captures.iter_mut().for_each(|capture| capture.truncate(4096));
    // Each has buffers for the longest frame.
    changes::run(&captures, 300, capture);
}
