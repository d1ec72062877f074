//! Every known difference between the RFCs and rsplib, in one place. Where both forms can be
//! accepted, both are; a dialect decides only what is sent and what numbers mean.

use std::time::Duration;

use rserpool_wire::Message;
use rserpool_wire::param::{RegistrarId, RegistrationLife};

/// Which of the two ways of speaking RSerPool this scope uses.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
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
    use super::*;

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
    fn the_larger_identifier_wins_but_at_rsplib_the_smaller() {
        let (small, large) = (RegistrarId::new(1).unwrap(), RegistrarId::new(2).unwrap());
        assert!(Dialect::Rfc.wins_takeover(large, small));
        assert!(!Dialect::Rfc.wins_takeover(small, large));
        assert!(Dialect::Rsplib.wins_takeover(small, large));
    }
}
