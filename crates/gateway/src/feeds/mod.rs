//! Pools as other programs read them: files, and the servers of a load balancer.

mod files;
mod haproxy;

pub use files::{FileFormat, FileFormatParseError};
pub use haproxy::{Haproxy, HaproxyError, Told};
