//! An existing server as an element of a pool.
//!
//! ```text
//!            rise good rounds          fall bad rounds
//! starting ------------------> in  <------------------> out
//!     |                         |                        |
//!     +---- SIGTERM, SIGINT ----+------------------------+--> draining --> ended
//! ```
//!
//! The end of the server takes it out of its pool at once, whatever its checks say.

mod check;
mod config;
mod connections;
mod health;
mod launch;
mod membership;
mod reaper;
mod server;
mod signals;
mod supervision;

pub use check::{Check, CheckParseError};
pub use config::Config;
pub use launch::become_server;
pub use supervision::{Attach, AttachError, Event};
