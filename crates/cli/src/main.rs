//! The command line of Reliable Server Pooling.
fn main() {}
