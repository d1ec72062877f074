//! Worlds of registrars, pool elements and pool users in virtual time.
//!
//! The machines are the real ones of `rserpool-proto`, driven as the tokio driver drives them:
//! what has arrived first, all of it together; then commands; then timers. Their messages are
//! octets on the way. Hosts, kernels, links and applications are models. Everything follows from
//! one seed: the same seed gives the same world, to the last nanosecond.
//!
//! | module | what it holds |
//! |---|---|
//! | [`world`] | nodes, time, what happens |
//! | [`network`] | hosts, links, associations |
//! | [`program`] | what a node runs, is told, and says |
//! | [`application`] | what its application wants |
//! | `machine`, `node` | the real machines; processes |
//! | [`hostile`] | strangers, elements that lie, those that read nothing |
//! | [`crowd`] | very many elements of one process |
//! | [`session`] | sessions: a service and its clients |
//! | [`fault`] | what can go wrong |
//! | [`bounds`] | how long things may take, from timer values |
//! | [`invariant`] | what has to hold, whatever happens |
//! | [`chaos`] | random worlds and random faults from a seed |
//! | [`trace`] | what happened, in lines for people |
//! | [`calcapp`] | the workload of the published experiments, on the handlespace alone |
//! | [`experiment`] | these experiments |
//! | [`statistics`] | what many runs say together |

#![forbid(unsafe_code)]

pub mod application;
pub mod bounds;
pub mod calcapp;
pub mod chaos;
mod clock;
pub mod crowd;
pub mod experiment;
pub mod fault;
pub mod hostile;
pub mod invariant;
mod machine;
pub mod network;
mod node;
pub mod program;
pub mod session;
pub mod statistics;
pub mod trace;
pub mod world;
