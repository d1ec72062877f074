//! A registrar without a network: what the protocol itself takes.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rserpool::proto::machine::{self, Carrier, Input, Link, Machine as _, Output, Peer};
use rserpool::proto::registrar::{Command, Config, Registrar};
use rserpool::proto::time::Time;
use rserpool::wire::Protocol;
use rserpool::wire::param::PeId;

use super::What;
use crate::generator::registration;
use crate::load::{handle, resolution};
use crate::report::Round;
use crate::usage::thread_time;

/// Elements of the pool.
const ELEMENTS: u32 = 100;
/// Requests between two looks at the clock.
const BATCH: u32 = 256;
const CLIENT: Peer = Peer::accepted(1);

pub(super) fn round(what: What, span: Duration) -> anyhow::Result<Round> {
    let mut registrar = Registrar::new(Config::default(), 1);
    registrar.handle(Time::ZERO, Input::Command(Command::Start));
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    let link = Link::new(Protocol::Asap, Carrier::Tcp, vec![here], 1).local(vec![here]);
    registrar.handle(Time::ZERO, Input::Up(CLIENT, link));
    let pool = handle("Asked")?;
    let registrations = (1..=ELEMENTS).map(|id| registration(&pool, PeId(id), id));
    let registrations: Vec<Vec<u8>> = registrations.collect();
    for octets in &registrations {
        answer(&mut registrar, octets)?;
    }
    let requests = match what {
        What::Resolve3 => vec![resolution(pool, 3).encode()],
        What::Resolve100 => vec![resolution(pool, ELEMENTS).encode()],
        What::Register => registrations,
        What::KeepAlive => bail!("nobody is asked without a network"),
        What::Handshake | What::Reconnect | What::Idle => bail!("nobody comes without a network"),
    };
    let (begun, time_before) = (Instant::now(), thread_time());
    let mut answered = 0_u64;
    while begun.elapsed() < span {
        // Time stands still: nobody is asked whether it lives.
        for request in requests.iter().cycle().take(BATCH as usize) {
            black_box(answer(&mut registrar, request)?);
        }
        answered += u64::from(BATCH);
    }
    let seconds = thread_time().saturating_sub(time_before).as_secs_f64();
    Ok(Round(vec![
        ("rate_per_s", answered as f64 / seconds),
        ("server_us", seconds * 1e6 / answered as f64),
    ]))
}

/// The answer to a request.
fn answer(registrar: &mut Registrar, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (input, _) = machine::read(CLIENT, Protocol::Asap, request);
    registrar.handle(Time::ZERO, input);
    let mut answer = None;
    while let Some(output) = registrar.poll() {
        match output {
            Output::Send(_, message) => answer = Some(message.encode()),
            Output::SendEncoded(_, _, octets) => answer = Some(octets),
            _ => {}
        }
    }
    answer.context("no answer")
}
