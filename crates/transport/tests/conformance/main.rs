//! One suite for every transport: what the contract of [`Endpoint`] promises holds for all of them.
//!
//! A back end joins with a [`Rig`] in `rigs.rs` and one line in the table below. Where it does not
//! work on this machine, each of its tests says so on stderr and passes.

#![expect(clippy::unwrap_used, reason = "the whole crate is a test")]

mod cases;
#[path = "../keys/mod.rs"]
mod keys;
mod lab;
mod pressure;
mod rigs;

use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use rserpool_transport::{Address, Endpoint, Error, Options, Remote, Scheme};

/// A back end under test.
trait Rig: Sized {
    /// What skips call it.
    const NAME: &'static str;
    /// The scheme of its URLs.
    const SCHEME: Scheme;
    /// True where messages keep the PPID they were sent with.
    const KEEPS_PPIDS: bool = true;
    /// True where a listening endpoint dials from the port it listens at (design: rsplib wants so).
    const DIALS_FROM_ITS_PORT: bool = true;
    /// True where a dial to a closed port is told so at once.
    const SAYS_REFUSED: bool = true;

    /// True where URLs of another transport are refused.
    const KNOWS_ITS_SCHEMES: bool = true;

    /// `Err` says why this back end does not work here.
    fn new() -> Result<Self, String>;

    /// Binds an endpoint that accepts and dials.
    fn bind(&self, address: &Address, options: &Options) -> Result<Box<dyn Endpoint>, Error>;

    /// An endpoint that only dials.
    fn dialer(&self, options: &Options) -> Result<Box<dyn Endpoint>, Error>;

    /// A place that never answers, where there is one; it stays as long as the guard lives.
    fn black_hole(&self) -> Option<(Remote, Box<dyn std::any::Any>)> {
        None
    }
}

/// Runs one case, or says loudly why not.
async fn run<R: Rig>(case: &str, body: impl AsyncFnOnce(&R)) {
    match R::new() {
        Ok(rig) => guarded(case, body(&rig)).await,
        Err(why) => skipped::<R>(case, &why),
    }
}

/// A test that hangs must say which one it is. No result depends on this time.
async fn guarded(case: &str, body: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(Duration::from_secs(300), body).await.is_ok(), "{case} hangs");
}

/// Writes past the capture of the test harness.
fn skipped<R: Rig>(case: &str, why: &str) {
    // In one piece: others write at the same time.
    let line = format!("SKIPPED {} {case}: {why}\n", R::NAME);
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Makes one test a case for each back end.
macro_rules! suite {
    ($($backend:ident: $rig:ty,)*) => {
        $(suite!(@cases $backend, $rig, cases {
            up_and_down_on_both_sides
            names_real_ports
            says_that_a_port_is_in_use
            keeps_message_boundaries
            keeps_the_order_in_both_directions
            serves_several_peers
            keeps_ppids
            delivers_everything_before_a_close
            both_sides_close_at_once
            reports_an_abort_as_reset
            reports_a_dropped_endpoint
            reports_a_refused_dial
            gives_up_on_a_peer_that_never_answers
            ends_a_dial_that_is_closed
            forgets_a_dial_that_is_aborted
            refuses_to_send_to_unknown_associations
            refuses_messages_that_are_too_long
            refuses_empty_messages
            slows_a_sender_down
            carries_100_associations
            dials_from_its_own_port
            survives_simultaneous_dials
            dials_the_same_peer_twice
            refuses_addresses_of_other_transports
            keeps_to_its_limit_of_associations
        } pressure {
            says_when_a_peer_is_congested_and_when_it_is_drained
            holds_requests_back_until_their_answers_are_taken
            two_that_send_each_other_much_both_go_on
            who_found_a_queue_full_hears_when_it_is_drained
            ends_an_association_whose_peer_takes_nothing
            closes_though_the_peer_takes_nothing
            ends_the_greatest_queue_when_too_much_waits_in_all
            one_source_has_no_more_associations_than_it_may
        });)*
    };
    (@cases $backend:ident, $rig:ty, $($module:ident { $($case:ident)* })*) => {
        mod $backend {
            $($(
                #[tokio::test]
                async fn $case() {
                    super::run(stringify!($case), super::$module::$case::<$rig>).await;
                }
            )*)*
        }
    };
}

suite! {
    memory: crate::rigs::Memory,
    tcp: crate::rigs::Tcp,
    tls: crate::rigs::TlsOverTcp,
    userland: crate::rigs::Userland,
    kernel: crate::rigs::Kernel,
    sctp: crate::rigs::Sctp,
}
