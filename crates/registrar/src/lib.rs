//! The registrar of Reliable Server Pooling as a daemon: configuration, signals, its life.
//!
//! The protocol is in `rserpool_proto::registrar`, its endpoints in `rserpool::registrar`.

#![forbid(unsafe_code)]

mod check;
mod config;
mod listen;
mod run;
mod timing;

pub use config::{Announce, Config, ConfigError, Limits, RegistrarNumber};
pub use listen::default_urls;
pub use run::{Ready, run};
pub use timing::TimingOverrides;
