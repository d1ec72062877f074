//! Sessions between pool users and pool elements (RFC 5352 §3.5 to §3.7, §5).
//!
//! A session outlives its server. The user's side, [`Client`], finds a server, watches it, and moves
//! to the next one when it fails; the server's side, [`Control`], answers on the control channel.
//! What the servers of a pool hand each other is a cookie: the user keeps the newest, and echoes it
//! to the next server before anything else. [`cookie`] seals them, so that only servers of the pool
//! can make them.
//!
//! Data of the application does not pass through here: the driver tells the machines only that some
//! came.

pub mod client;
pub mod cookie;
pub mod fuzzing;
pub mod server;

mod config;
mod event;
mod search;
mod watch;

pub use client::Client;
pub use cookie::Cookies;
pub use server::Control;
pub use watch::KeepAlive;

#[cfg(test)]
mod tests;
