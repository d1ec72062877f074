//! The registrar of Reliable Server Pooling as a daemon: configuration, signals, its life.
//!
//! The protocol is in `rserpool_proto::registrar`, its endpoints in `rserpool::registrar`.

#![forbid(unsafe_code)]

mod config;
mod run;
mod timing;

pub use config::{Announce, Config, ConfigError, Limits, RegistrarNumber};
pub use run::{Ready, run};
pub use timing::TimingOverrides;
