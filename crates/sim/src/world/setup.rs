//! What a world is like from the start.

use rserpool_proto::machine::Carrier;
use rserpool_proto::timing::Timing;

use crate::network::{Impairment, Stack};

/// What a world is like from the start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides everything that is left open.
    pub seed: u64,
    /// Timer values of all machines and transports.
    pub timing: Timing,
    /// How packets fare at first.
    pub weather: Impairment,
    /// What elements and users dial with.
    pub carrier: Carrier,
    /// Who runs the transports.
    pub stack: Stack,
    /// Registrars announce themselves by multicast, and everybody hears it, they too.
    pub announces: bool,
    /// Whom registrars have in their configuration.
    pub acquaintance: Acquaintance,
    /// Clocks may be wrong by so many millionths, either way.
    pub clock_error: u32,
    /// Keep a trace.
    pub trace: bool,
}

/// Whom registrars have in their configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acquaintance {
    /// All others.
    All,
    /// Those that were added to the world before: of any two one knows the other.
    Earlier,
    /// Nobody: they have to hear of each other.
    Nobody,
}

impl Setup {
    /// A LAN with right clocks, kernel SCTP, the default timers, and a trace.
    pub fn lan(seed: u64) -> Self {
        Self {
            seed,
            timing: Timing::default(),
            weather: Impairment::LAN,
            carrier: Carrier::Sctp,
            stack: Stack::Kernel,
            announces: false,
            acquaintance: Acquaintance::All,
            clock_error: 0,
            trace: true,
        }
    }
}
