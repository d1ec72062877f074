//! The state machines of RSerPool. They compute; someone else sends, sleeps and stores.
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | [`machine`] | the one contract between a machine and its driver | |
//! | [`timing`] | every timer value, in profiles | RFC 5352 §7, 5353 §4 |
//! | [`registrar`] | keeps the handlespace, supervises elements, answers users | RFC 5352 §3, 5353 |
//! | [`handlespace`] | pools and their elements, selection, ownership | RFC 5353 §3, 5356 |
//! | [`dialect`] | every known difference between the RFCs and rsplib | |
//! | [`element`] | a pool element: registration, supervision by its home | RFC 5352 §3.1, §3.2, §3.5 |
//! | [`user`] | a pool user: handle resolution, cache, reports | RFC 5352 §3.3 to §3.5 |
//! | [`session`] | a user's session with a pool, cookies | RFC 5352 §3.5 to §3.7 |
//! | [`hunt`] | how both find a registrar | RFC 5352 §3.6 |
//! | [`identity`] | who the other end of an association has proved to be | RFC 5355 |
//! | [`stats`] | what they count | |
//! | [`fuzzing`] | what must hold for whatever a registrar is told | |
//! | [`time`], [`timers`] | points in time, and tables of deadlines | |

#![forbid(unsafe_code)]

mod advertised_addresses;
pub mod deadlines;
pub mod dialect;
pub mod element;
pub mod fuzzing;
pub mod handlespace;
pub mod hunt;
pub mod identity;
pub mod machine;
mod packed_u64;
pub mod registrar;
pub mod session;
pub mod stats;
pub mod time;
pub mod timers;
pub mod timing;
pub mod user;
