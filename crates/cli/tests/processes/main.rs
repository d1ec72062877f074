//! Real processes over loopback: registrars, servers and clients as people start them.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

mod acting;
mod asap;
mod attaching;
mod bench;
mod connecting;
mod demo;
mod failures;
mod feeding;
mod naming;
mod networks;
mod operators;
mod pool;
mod programs;
mod proxying;
mod reload;
mod resolving;
mod running;
mod scopes;
mod secure;
mod services;
