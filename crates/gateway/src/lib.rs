//! Reliable Server Pooling for programs that know nothing of it.
//!
//! | module | what it is |
//! |---|---|
//! | [`attach`] | an existing server as an element of a pool |
//! | [`dns`] | pools as names, for programs that look servers up in the DNS |
//! | [`feeds`] | files, and the servers of HAProxy, that follow a pool |
//! | [`proxy`] | a pool behind a local port, for existing clients |

#![forbid(unsafe_code)]

pub mod attach;
mod deadline;
pub mod dns;
pub mod feeds;
pub mod proxy;
mod sources;
