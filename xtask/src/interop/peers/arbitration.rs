//! Two registrars that want to take over the same one. The rival is played.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{
    ADDRESSES, ENRP, FIRST, Lab, OURS, PATIENCE, POOL, QUICK, READY, Speaker, address, id, millis,
    ours, presence, theirs, update,
};
use crate::interop::octets::{
    ADD, INIT_TAKEOVER, INIT_TAKEOVER_ACK, LIST_REQUEST, LIST_RESPONSE, TAKEOVER_SERVER, enrp,
};

/// Ours waits as long as rsplib's for those who may want to take over, too.
const CONTENDING: &str = "[timing]\ntakeover_timeout = \"20s\"\n";

/// Two want to take over the same registrar in the same moment: the smaller identifier wins at
/// rsplib, and at ours in its dialect. The rival is played.
pub(in crate::interop) fn run(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let theirs = theirs(lab, FIRST, &[], &QUICK)?;
    let _ours = ours(lab, OURS, &[], "rsplib", CONTENDING)?;
    theirs.logs(READY, PATIENCE)?;
    let mut seconds = Vec::new();
    for (n, round) in [(FIRST, 0_u8), (FIRST, 1), (OURS, 2), (OURS, 3)] {
        let rival = if round % 2 == 0 { 0x0101_0101 } else { 0x7f7f_7f7f } + u32::from(round);
        let started = Instant::now();
        contest(lab, n, round, rival)
            .with_context(|| format!("registrar {n}, rival {rival:#x}"))?;
        seconds.push(started.elapsed());
    }
    Ok(json!({ "rounds_ms": millis(&seconds) }))
}

/// A registrar with an element falls silent; the other one that knows it, the rival, begins to take
/// it over in the moment when registrar `n` does.
fn contest(lab: &Lab, n: u32, round: u8, rival: u32) -> anyhow::Result<()> {
    let registrar = format!("{}:9901", address(n));
    let (target, port) = (0x3030_3030 + u32::from(round), 9911 + u16::from(round));
    let at = |host: u8| format!("10.0.0.{host}:{port}");
    let mut victim = Speaker::start(lab, &format!("victim-{round}"), &at(3), &registrar)?;
    victim.say(ENRP, &presence_at(target, [10, 0, 0, 3], port))?;
    victim.say(ENRP, &update(target, ADD, POOL, 0x100 + u32::from(round), [10, 0, 0, 3]))?;
    let mut other = Speaker::start(lab, &format!("rival-{round}"), &at(4), &registrar)?;
    let deadline = Instant::now() + PATIENCE;
    // It goes on saying that it lives until it is asked.
    loop {
        other.say(ENRP, &presence_at(rival, [10, 0, 0, 4], port))?;
        if other.hears_about(INIT_TAKEOVER, target, BETWEEN_PRESENCES)? {
            break;
        }
        ensure!(Instant::now() < deadline, "nobody takes the silent one over");
    }
    other.say(ENRP, &enrp(INIT_TAKEOVER, 0, rival, id(n), &[&target.to_be_bytes()]))?;
    // What is asked next is answered after what was said before.
    other.say(ENRP, &enrp(LIST_REQUEST, 0, rival, id(n), &[]))?;
    let acknowledged = loop {
        let heard = other.hears(PATIENCE)?.context("it answers nothing any more")?;
        match heard.first() {
            Some(&INIT_TAKEOVER_ACK) if heard.ends_with(&target.to_be_bytes()) => break true,
            Some(&LIST_RESPONSE) => break false,
            _ => {}
        }
    };
    ensure!(acknowledged == (rival < id(n)), "acknowledged: {acknowledged}");
    if rival < id(n) {
        // So that nobody begins anew.
        other.say(ENRP, &enrp(TAKEOVER_SERVER, 0, rival, id(n), &[&target.to_be_bytes()]))?;
        return Ok(());
    }
    other.say(ENRP, &enrp(INIT_TAKEOVER_ACK, 0, rival, id(n), &[&target.to_be_bytes()]))?;
    if n == OURS {
        let is_done = other.hears_about(TAKEOVER_SERVER, target, PATIENCE)?;
        ensure!(is_done, "the winner does not say that it is done");
    }
    Ok(())
}

/// Between two signs of life of the rival.
const BETWEEN_PRESENCES: Duration = Duration::from_millis(500);

/// As [`presence`], at another port.
fn presence_at(from: u32, address: [u8; 4], port: u16) -> Vec<u8> {
    let mut octets = presence(from, address);
    // Headers of the message, both ends, the checksum, the server's header and identifier, and the
    // transport's header.
    octets[32..34].copy_from_slice(&port.to_be_bytes());
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_can_tell_another_port() {
        let octets = presence_at(1, [10, 0, 0, 3], 0x1234);
        let at = octets.windows(2).position(|two| two == [0x12, 0x34]);
        assert_eq!(at, Some(32));
        assert_eq!(octets[28..30], [0, 4], "the transport");
    }
}
