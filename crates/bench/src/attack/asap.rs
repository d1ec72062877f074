//! Attacks at the ASAP port.

use std::time::Duration;

use anyhow::Context as _;
use rserpool::wire::Message;
use rserpool::wire::asap::{Asap, Deregistration, HandleResolution, Unreachable};
use rserpool::wire::param::{PeId, PoolHandle, Transport, TransportUse};
use tokio::time::sleep;

use super::Sent;
use super::honest::{registration, transport};
use super::stranger::{Host, Stranger};
use super::target::Aim;

/// Subscribers that read nothing.
const SUBSCRIBERS: usize = 1500;
/// Elements of the pool that they subscribe to.
const SUBSCRIBED: u32 = 900;
/// How often that pool changes.
const CHANGE: Duration = Duration::from_millis(20);
/// Connections that ask and read nothing.
const SLOW_READERS: usize = 500;
/// Between two reports of all elements.
const REPORT: Duration = Duration::from_millis(250);
/// Between two tries to be somebody else.
const PRETEND: Duration = Duration::from_millis(50);
/// A connection for each of so many reporters.
const REPORTERS: usize = 8;

fn pool(number: u64) -> anyhow::Result<PoolHandle> {
    PoolHandle::new(format!("Hostile-{number}")).context("no pool handle")
}

/// An address of the attacker, at which nobody serves.
fn nowhere(port: u16) -> Transport {
    let (address, transport_use) = (Host::Hostile.address(), TransportUse::DataOnly);
    Transport::Tcp { port, transport_use, address }
}

fn resolution(handle: PoolHandle, want_updates: bool) -> Vec<u8> {
    let question = HandleResolution { want_updates, handle, items: None };
    Message::from(Asap::HandleResolution(question)).encode()
}

/// Identifier 0 is nobody's.
pub(super) async fn rejected(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let octets = registration(&pool(0)?, PeId(0), nowhere(1)).encode();
    Stranger::flood(Host::Hostile, aim.asap, &[], sent, |_| octets.clone()).await
}

pub(super) async fn pools(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let octets = |number: u64| {
        pool(number)
            .map_or_else(|_| Vec::new(), |it| registration(&it, PeId(1), nowhere(1)).encode())
    };
    Stranger::flood(Host::Hostile, aim.asap, &[], sent, octets).await
}

pub(super) async fn elements(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let pool = pool(0)?;
    let octets = |number: u64| {
        let id = u32::try_from(number % u64::from(u32::MAX)).unwrap_or_default() + 1;
        registration(&pool, PeId(id), nowhere(1)).encode()
    };
    Stranger::flood(Host::Hostile, aim.asap, &[], sent, octets).await
}

pub(super) async fn subscribers(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let pool = pool(0)?;
    let mut owner = Stranger::dial(Host::Hostile, aim.asap).await?;
    for id in 1..=SUBSCRIBED {
        owner.say(registration(&pool, PeId(id), nowhere(1))).await?;
    }
    let subscription = resolution(pool.clone(), true);
    let subscribe = |_| subscription.clone();
    let _crowd = Stranger::crowd(Host::Hostile, aim.asap, SUBSCRIBERS, sent, subscribe).await;
    for number in (1..=u16::MAX).cycle() {
        // An owner that was turned away has nothing left to change.
        let _ = owner.say(registration(&pool, PeId(1), nowhere(number))).await;
        sent.add(1);
        sleep(CHANGE).await;
    }
    Ok(())
}

pub(super) async fn slow_readers(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    let pool = pool(0)?;
    let mut owner = Stranger::dial(Host::Hostile, aim.asap).await?;
    for id in 1..=SUBSCRIBED {
        owner.say(registration(&pool, PeId(id), nowhere(1))).await?;
    }
    let question = resolution(pool, false);
    let questions = question.repeat(1000);
    let crowd =
        Stranger::crowd(Host::Hostile, aim.asap, SLOW_READERS, sent, |_| questions.clone()).await;
    loop {
        for stranger in &crowd {
            // Whole ones or none: half a question would be another attack.
            let taken = stranger.try_say(&question).unwrap_or_default();
            sent.add(u64::from(taken > 0));
        }
        sleep(CHANGE).await;
    }
}

pub(super) async fn reports(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    loop {
        for _ in 0..REPORTERS {
            let Ok(mut stranger) = Stranger::dial(Host::Hostile, aim.asap).await else { continue };
            for (id, _) in &aim.elements {
                let report = Unreachable { handle: aim.pool.clone(), id: *id };
                if stranger.say(Asap::Unreachable(report)).await.is_ok() {
                    sent.add(1);
                }
            }
        }
        sleep(REPORT).await;
    }
}

/// From the address of the honest elements: first with their ports, then with another one.
pub(super) async fn taken_ids(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    loop {
        for (id, port) in &aim.elements {
            let Ok(mut stranger) = Stranger::dial(Host::Honest, aim.asap).await else { continue };
            for port in [*port, 9] {
                if stranger.say(registration(&aim.pool, *id, transport(port))).await.is_ok() {
                    sent.add(1);
                }
            }
            sleep(PRETEND).await;
        }
    }
}

/// From the address of the honest elements, at both registrars.
pub(super) async fn deregistrations(aim: &Aim, sent: &Sent) -> anyhow::Result<()> {
    loop {
        for registrar in [aim.asap, aim.asap_second] {
            let Ok(mut stranger) = Stranger::dial(Host::Honest, registrar).await else { continue };
            for (id, _) in &aim.elements {
                let message = Deregistration { handle: aim.pool.clone(), id: *id };
                if stranger.say(Asap::Deregistration(message)).await.is_ok() {
                    sent.add(1);
                }
            }
        }
        sleep(PRETEND).await;
    }
}
