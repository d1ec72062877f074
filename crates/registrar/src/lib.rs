//! The registrar of Reliable Server Pooling as a daemon: configuration, signals, its
//! life, and what operators see of it.
//!
//! The protocol is in `rserpool_proto::registrar`, its endpoints in `rserpool::registrar`.

#![forbid(unsafe_code)]

mod access;
mod admin;
mod check;
mod config;
pub mod json;
mod listen;
mod misspelt;
mod reload;
mod run;
mod timing;
mod tls;

pub use access::{Access, AccessError};
pub use admin::{AdminConfig, DEFAULT_URL as DEFAULT_ADMIN_URL};
pub use config::{AccessFile, Announce, Config, ConfigError, Limits};
pub use listen::default_urls;
pub use reload::Source;
pub use run::{Ready, run};
pub use timing::TimingOverrides;
pub use tls::{Tls, read_key_profile};
