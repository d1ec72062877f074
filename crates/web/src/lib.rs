//! HTTP for operators: a server over TCP and Unix sockets, and a small client.
//!
//! | module | what it holds |
//! |---|---|
//! | [`listen`] | where a server is: `unix:PATH`, `http://HOST:PORT` |
//! | [`server`] | connections and their limits |
//! | [`access`] | who asks, and what that one may; tokens |
//! | [`route`] | the list of what can be asked for |
//! | [`body`] | what comes with a request, read once it is known who asks |
//! | [`query`] | parameters; the unknown ones are errors |
//! | [`problem`] | what went wrong, as JSON (RFC 9457) |
//! | [`response`] | answers, whole or as they come |
//! | [`sse`] | events as they happen |
//! | [`exposition`] | metrics as Prometheus reads them |
//! | [`client`] | asking such a server |
//!
//! It knows nothing of the protocols: programs bring their list of routes.

#![forbid(unsafe_code)]

pub mod access;
pub mod body;
pub mod client;
pub mod exposition;
pub mod listen;
pub mod problem;
pub mod query;
pub mod response;
pub mod route;
pub mod server;
pub mod sse;
mod stalling;

pub use hyper::body::Bytes;
pub use hyper::{Method, StatusCode};
