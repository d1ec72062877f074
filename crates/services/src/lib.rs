//! The example services of Reliable Server Pooling: what each does with a session, and what its
//! clients need for their side of it.
//!
//! Each is made in the same way: packets and a state machine without sockets, which tests and both
//! sides use, and a service that carries messages and cookies between the machine and a session of
//! [`rserpool::server`]. [`Kind::start`] runs one of them as an element of a pool.

#![forbid(unsafe_code)]

pub mod calcapp;
mod chargen;
mod daytime;
mod discard;
pub mod download;
mod echo;
pub mod exec;
pub mod fractal;
pub mod fuzzing;
mod kind;
mod options;
mod packet;
pub mod pingpong;

pub use kind::{Kind, StartError};
pub use options::Options;
