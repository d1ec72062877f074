//! Settings that nobody means, and that must not stop a registrar.

use std::num::NonZeroU32;
use std::time::Duration;

use rserpool_wire::asap::{Asap, Registration};

use super::colleague::{EMPTY, from, presence};
use super::lab::{ELEMENT, ELEMENT_ADDRESS, Lab, OTHER, USER, element, pool};
use crate::machine::{Input, Machine, Output};
use crate::registrar::{Command, Config};
use crate::timing::Timing;

const EXTREMES: [Duration; 4] =
    [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1 << 40), Duration::MAX];

/// A registrar with an element, a user, another registrar: all that has timers happens.
fn live(config: Config) {
    let mut lab =
        Lab::with(Config { enrp: Some(super::colleague::server(0x11).transport), ..config });
    lab.input(Input::Command(Command::Start));
    lab.meet(0x22);
    // It may be starting, and answer later.
    let registration = Registration { handle: pool(), element: element(1, &[ELEMENT_ADDRESS]) };
    lab.asap(ELEMENT, Asap::Registration(registration));
    lab.report(USER, 1);
    lab.enrp(0x22, presence(0x22, EMPTY ^ 1, true));
    for step in 0..200 {
        let Some(at) = lab.registrar.next_timeout() else { break };
        lab.now = at.max(lab.now);
        for output in lab.input(Input::Timeout) {
            if matches!(output, Output::Send(ELEMENT, _)) {
                lab.acknowledge(ELEMENT, 1);
            }
        }
        match step {
            50 => drop(lab.input(Input::Down(from(0x22)))),
            100 => drop(lab.input(Input::Down(OTHER))),
            150 => drop(lab.input(Input::Command(Command::Leave))),
            _ => {}
        }
    }
}

#[test]
fn no_duration_stops_a_registrar() {
    for extreme in EXTREMES {
        for field in 0..Timing::DURATIONS {
            let mut timing = Timing::default();
            *timing.durations_mut()[field] = extreme;
            let announced = Some(Vec::new());
            live(Config { timing, announced, peers: 1, ..Config::default() });
        }
        let all = |change: &dyn Fn(&mut Config)| {
            let mut config = Config { takeover_suggestion: true, ..Config::default() };
            change(&mut config);
            live(config);
        };
        all(&|config| config.start_timeout = extreme);
        all(&|config| config.suggestion_pause = extreme);
        all(&|config| config.adoption_grace = extreme);
        all(&|config| config.leave_timeout = extreme);
        all(&|config| config.push_interval = extreme);
        all(&|config| config.idle_timeout = extreme);
        all(&|config| {
            config.timing.durations_mut().into_iter().for_each(|span| *span = extreme);
        });
    }
}

#[test]
fn no_rate_stops_a_registrar() {
    for rate in [NonZeroU32::MIN, NonZeroU32::MAX] {
        live(Config {
            supervision_rate_max: rate,
            suggestion_rate_max: rate,
            adoption_rate_max: rate,
            takeover_suggestion: true,
            ..Config::default()
        });
    }
}
