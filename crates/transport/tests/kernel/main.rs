//! What only SCTP of the kernel can do. Where the kernel has none, each test says so and ends:
//! `cargo xtask uml-test` runs them on a kernel that has it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod associations;
mod lab;
mod many;
mod messages;
mod paths;
mod udp;
