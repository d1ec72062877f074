//! Real processes over loopback: registrars, servers and clients as people start them.

mod failures;
mod pool;
mod programs;
