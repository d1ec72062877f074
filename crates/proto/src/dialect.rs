//! Every known difference between the RFCs and rsplib, in one place. Where both forms can be
//! accepted, both are; a dialect decides only what is sent and what numbers mean.

use std::time::Duration;

use rserpool_wire::Message;
use rserpool_wire::enrp::Body;
use rserpool_wire::param::{PoolHandle, RegistrarId, RegistrationLife};

use crate::timing::Timing;

/// Which of the two ways of speaking RSerPool this scope uses.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Dialect {
    /// As the RFCs say.
    #[default]
    Rfc,
    /// As rsplib does: for scopes with registrars of rsplib.
    Rsplib,
}

/// How long a registration stands without being renewed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Lifetime {
    /// Until deregistration or loss.
    Forever,
    /// So long.
    For(Duration),
}

/// From here on rsplib has causes of its own (RFC 5354 §3.12 ends at 0xa).
const PRIVATE_CAUSES: u16 = 0x10;

impl Dialect {
    /// The name, as on the command line.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rfc => "rfc",
            Self::Rsplib => "rsplib",
        }
    }

    /// What a Registration Life means: seconds in RFC 5354 §3.10, milliseconds at rsplib, which
    /// has no "for ever".
    pub fn lifetime(self, life: RegistrationLife) -> Lifetime {
        match (self, u64::try_from(life.0)) {
            (Self::Rfc, Ok(seconds)) => Lifetime::For(Duration::from_secs(seconds)),
            (Self::Rfc, Err(_)) => Lifetime::Forever,
            (Self::Rsplib, _) => {
                let millis = u32::from_be_bytes(life.0.to_be_bytes());
                Lifetime::For(Duration::from_millis(millis.into()))
            }
        }
    }

    /// The Registration Life that means `lifetime`; rounded up, cut to what the field can say.
    pub fn registration_life(self, lifetime: Lifetime) -> RegistrationLife {
        let clamp = |value: u128| RegistrationLife(i32::try_from(value).unwrap_or(i32::MAX));
        match (self, lifetime) {
            (Self::Rfc, Lifetime::Forever) => RegistrationLife::FOREVER,
            (Self::Rsplib, Lifetime::Forever) => RegistrationLife(i32::MAX),
            (Self::Rfc, Lifetime::For(span)) => clamp(span.as_millis().div_ceil(1000)),
            (Self::Rsplib, Lifetime::For(span)) => clamp(span.as_millis()),
        }
    }

    /// Which of two registrars that both want a takeover goes on: the larger identifier in
    /// RFC 5353 §3.5.1, the smaller at rsplib.
    pub fn wins_takeover(self, own: RegistrarId, other: RegistrarId) -> bool {
        match self {
            Self::Rfc => own > other,
            Self::Rsplib => own < other,
        }
    }

    /// Timer values among registrars, no shorter than those of rsplib bear: its presences are up to
    /// 2.75 s apart, it looks at its timers twice a second, and who wins a takeover is known by the
    /// presence after it, for its TAKEOVER_SERVER never leaves the host. All else stays.
    pub fn timing(self, timing: Timing) -> Timing {
        match self {
            Self::Rfc => timing,
            Self::Rsplib => Timing {
                peer_silence_max: timing.peer_silence_max.max(Duration::from_secs(5)),
                response_timeout: timing.response_timeout.max(Duration::from_secs(1)),
                takeover_timeout: timing.takeover_timeout.max(Duration::from_millis(1_500)),
                ..timing
            },
        }
    }

    /// True where a registrar speaks in a way that only rsplib's do, and this scope does not: it
    /// tells an update to one registrar by name, of a life in milliseconds, or an error by a code of
    /// its own.
    pub fn is_foreign(self, receiver: Option<RegistrarId>, body: &Body) -> bool {
        if self == Self::Rsplib {
            return false;
        }
        match body {
            // Three times the interval at which the element registers again. What is suggested, all
            // tell one registrar only.
            Body::Update(update) => {
                let is_plain = receiver.is_some() && !update.takeover_suggested;
                is_plain && update.element.life.0 >= 3_000
            }
            Body::Error(causes) => causes.iter().any(|cause| cause.code.0 >= PRIVATE_CAUSES),
            _ => false,
        }
    }

    /// Octets of a pool handle at most: a longer one ends every program of rsplib that reads it.
    pub const fn handle_octets_max(self) -> usize {
        match self {
            Self::Rfc => PoolHandle::MAX_LEN,
            Self::Rsplib => 32,
        }
    }

    /// Octets of a handle table response at most: rsplib reads no more, the RFC sets no limit but
    /// that of a message.
    pub const fn table_response_octets_max(self) -> usize {
        match self {
            Self::Rfc => Message::MAX_LEN,
            Self::Rsplib => 1_400,
        }
    }

    /// Elements of a handle table response at most.
    pub const fn table_response_elements_max(self) -> usize {
        match self {
            Self::Rfc => usize::MAX,
            Self::Rsplib => 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use rserpool_wire::enrp::{Update, UpdateAction};
    use rserpool_wire::param::{Cause, PeId, Policy, PoolElement, Transport, TransportUse};
    use rserpool_wire::registry::CauseCode;

    use super::*;
    use crate::timing::Profile;

    #[test]
    fn registration_life_counts_seconds_or_milliseconds() {
        let life = Lifetime::For(Duration::from_millis(1_500));
        assert_eq!(Dialect::Rfc.registration_life(life), RegistrationLife(2));
        assert_eq!(Dialect::Rsplib.registration_life(life), RegistrationLife(1_500));
        let seconds = Lifetime::For(Duration::from_secs(300));
        assert_eq!(Dialect::Rfc.lifetime(RegistrationLife(300)), seconds);
        assert_eq!(Dialect::Rsplib.lifetime(RegistrationLife(300_000)), seconds);
        assert_eq!(Dialect::Rfc.lifetime(RegistrationLife::FOREVER), Lifetime::Forever);
    }

    #[test]
    fn among_registrars_of_rsplib_there_is_time_for_their_presences() {
        let fast = Timing::of(Profile::Fast);
        assert_eq!(Dialect::Rfc.timing(fast), fast);
        let patient = Dialect::Rsplib.timing(fast);
        let cycle_max = Timing::of(Profile::Rsplib).presence_interval.mul_f64(1.125);
        assert!(patient.peer_silence_max > cycle_max);
        // What a takeover is left to another one for (proto::registrar::takeover).
        assert!(patient.takeover_timeout * 2 + patient.response_timeout > cycle_max);
        assert_eq!(patient.presence_interval, fast.presence_interval);
        assert_eq!(patient.keep_alive_interval, fast.keep_alive_interval);
        let slow = Timing::of(Profile::Rfc);
        assert_eq!(Dialect::Rsplib.timing(slow), slow);
    }

    #[test]
    fn an_update_for_one_registrar_in_milliseconds_is_rsplibs_unless_it_is_a_suggestion() {
        let update = |takeover_suggested, life| {
            let element = PoolElement { life: RegistrationLife(life), ..element() };
            let handle = PoolHandle::new(*b"x").unwrap();
            let action = UpdateAction::AddElement;
            Body::Update(Update { takeover_suggested, action, handle, element })
        };
        let receiver = RegistrarId::new(1);
        assert!(Dialect::Rfc.is_foreign(receiver, &update(false, 30_000)));
        // An hour, and suggested: that goes to one registrar by name.
        assert!(!Dialect::Rfc.is_foreign(receiver, &update(true, 3_600)));
        assert!(!Dialect::Rfc.is_foreign(receiver, &update(false, 300)));
        assert!(!Dialect::Rfc.is_foreign(None, &update(false, 3_600)));
    }

    fn element() -> PoolElement {
        let address = std::net::IpAddr::from([10, 0, 0, 1]);
        let transport_use = TransportUse::DataOnly;
        PoolElement {
            id: PeId(1),
            home: RegistrarId::new(1),
            life: RegistrationLife(300),
            user_transport: Transport::Tcp { port: 7, transport_use, address },
            policy: Policy::round_robin(),
            asap_transport: None,
        }
    }

    #[test]
    fn errors_by_codes_of_its_own_are_rsplibs() {
        let error = |code| Body::Error(vec![Cause::new(CauseCode(code))]);
        assert!(Dialect::Rfc.is_foreign(None, &error(0x11)));
        assert!(!Dialect::Rfc.is_foreign(None, &error(0xa)));
        assert!(!Dialect::Rsplib.is_foreign(None, &error(0x11)));
    }

    #[test]
    fn the_larger_identifier_wins_but_at_rsplib_the_smaller() {
        let (small, large) = (RegistrarId::new(1).unwrap(), RegistrarId::new(2).unwrap());
        assert!(Dialect::Rfc.wins_takeover(large, small));
        assert!(!Dialect::Rfc.wins_takeover(small, large));
        assert!(Dialect::Rsplib.wins_takeover(small, large));
    }
}
