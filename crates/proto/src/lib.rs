//! The state machines of RSerPool. They compute; someone else sends, sleeps and stores.
//!
//! | module | what it holds | source |
//! |---|---|---|
//! | [`machine`] | the one contract between a machine and its driver | |
//! | [`timing`] | every timer value, in profiles | RFC 5352 §7, 5353 §4 |
//! | [`registrar`] | keeps the handlespace, supervises elements, answers users | RFC 5352 §3, 5353 |
//! | [`handlespace`] | pools and their elements, selection, ownership | RFC 5353 §3, 5356 |
//! | [`dialect`] | every known difference between the RFCs and rsplib | |

#![forbid(unsafe_code)]

pub mod dialect;
pub mod handlespace;
pub mod machine;
pub mod registrar;
pub mod time;
pub mod timers;
pub mod timing;
