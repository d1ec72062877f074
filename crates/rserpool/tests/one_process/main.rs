//! Registrars, servers and clients of one process, as a program that uses the library has them.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

mod element;
#[path = "../../../transport/tests/keys/mod.rs"]
mod keys;
mod leaks;
mod lifecycle;
mod listen;
mod pool;
mod secure;
mod servers;
mod service;
mod session;
mod transfer;
mod user;
