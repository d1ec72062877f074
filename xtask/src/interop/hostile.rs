//! What rsplib says differently, and what nobody should say, to our programs: they go on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::lab::{Lab, PATIENCE};
use super::octets::{
    ASAP, ASAP_ERROR, ENDPOINT_KEEP_ALIVE, ENRP, HANDLE_RESOLUTION, HANDLE_RESOLUTION_RESPONSE,
    PE_IDENTIFIER, POOL_HANDLE, REGISTRATION, REGISTRATION_RESPONSE, Speaker, cause, element,
    message, parameter,
};
use super::process::Process;

const ADDRESSES: [&str; 4] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"];
/// What our registrar says, and what our element and our user say to the one that is played.
pub(super) const JUDGED: &str =
    "(ip.src == 10.0.0.1 && sctp.srcport == 3863) || (ip.dst == 10.0.0.3 && sctp.dstport == 3863)";
const POOL: &[u8] = b"pool5";
/// Between two looks whether a program has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const HERE: [u8; 4] = [10, 0, 0, 4];
/// Codes of errors that only rsplib has.
const PRIVATE: [u16; 12] =
    [0x10, 0x11, 0x100a, 0x100b, 0xf000, 0xf003, 0xf004, 0xf005, 0xf006, 0xf007, 0xf008, 0xffff];

/// What a registrar says to something odd.
enum Answer {
    /// A message of this type.
    Of(u8),
    /// A registration that is rejected for this cause.
    Rejection(u16),
    /// An error with this cause.
    Error(u16),
    Nothing,
}

/// Odd messages at our registrar, then odd answers to our element and our user.
pub(super) fn run(lab: &mut Lab) -> anyhow::Result<Value> {
    lab.addresses(&ADDRESSES)?;
    let registrar = "sctp+kernel://10.0.0.1:3863";
    // The speaker answers no keep-alives.
    let config = lab.config("registrar", "[timing]\nkeep_alive_interval = \"10min\"\n")?;
    let more = ["--dialect", "rsplib", "--asap", registrar, "--config", &config];
    let arguments = [&["registrar", "--id", "0x11"][..], &more].concat();
    let _registrar = lab.serving("registrar", &arguments)?;
    let mut speaker = Speaker::start(lab, "speaker", "10.0.0.4:4000", "10.0.0.1:3863")?;
    let cases = cases();
    let count = cases.len();
    for (what, ppid, octets, answer) in cases {
        say(&mut speaker, ppid, &octets, &answer).with_context(|| what)?;
    }
    let answers = odd_answers(lab)?;
    Ok(json!({ "odd_messages": count, "odd_answers": answers }))
}

/// Says something, hears what is to be heard, and that the registrar still answers.
fn say(speaker: &mut Speaker, ppid: u32, octets: &[u8], answer: &Answer) -> anyhow::Result<()> {
    speaker.say(ppid, octets)?;
    let expected = match answer {
        Answer::Of(kind) => Some((*kind, None)),
        Answer::Rejection(code) => Some((REGISTRATION_RESPONSE, Some(*code))),
        Answer::Error(code) => Some((ASAP_ERROR, Some(*code))),
        Answer::Nothing => None,
    };
    if let Some((kind, code)) = expected {
        let heard = answer_to(speaker).context("no answer")?;
        ensure!(heard[0] == kind, "it says {heard:02x?}");
        let has_code = |code: u16| heard.windows(2).any(|two| two == code.to_be_bytes());
        ensure!(code.is_none_or(has_code), "it says {heard:02x?}");
    }
    speaker.say(ASAP, &resolution(&[]))?;
    let heard = answer_to(speaker).context("it does not answer any more")?;
    ensure!(heard[0] == HANDLE_RESOLUTION_RESPONSE, "it says {heard:02x?}");
    Ok(())
}

/// What is heard next. What the registrar asks the speaker's elements itself may come in between.
fn answer_to(speaker: &mut Speaker) -> anyhow::Result<Vec<u8>> {
    loop {
        let heard = speaker.hears(PATIENCE)?.context("silence")?;
        if heard.first() != Some(&ENDPOINT_KEEP_ALIVE) {
            return Ok(heard);
        }
    }
}

/// A question for the pool, with something after it.
fn resolution(rest: &[u8]) -> Vec<u8> {
    message(HANDLE_RESOLUTION, 0, &[&parameter(POOL_HANDLE, POOL), rest])
}

fn registration(handle: &[u8], id: u32) -> Vec<u8> {
    let handle = parameter(POOL_HANDLE, handle);
    message(REGISTRATION, 0, &[&handle, &element(id, 0, HERE, &[])])
}

/// What is said, under which PPID, and the answer.
fn cases() -> Vec<(&'static str, u32, Vec<u8>, Answer)> {
    use Answer::{Error, Nothing, Of, Rejection};
    let response = || Of(HANDLE_RESOLUTION_RESPONSE);
    // The handle has five octets: the RFC does not count the last padding, rsplib does.
    let with_padding = resolution(&[]);
    let mut without = with_padding.clone();
    without[3] -= 3;
    let mut missing = without.clone();
    missing.truncate(13);
    let mut longer = with_padding.clone();
    longer[3] += 40;
    let vendor = parameter(0x803f, &1_u32.to_be_bytes());
    let unknown = |kind| resolution(&parameter(kind, b"????"));
    let handle = parameter(POOL_HANDLE, POOL);
    let mut cases = vec![
        ("an element that founds the pool", ASAP, registration(POOL, 1), Of(REGISTRATION_RESPONSE)),
        ("a length with padding", ASAP, with_padding, response()),
        ("a length without padding", ASAP, without, response()),
        ("padding that is missing", ASAP, missing, response()),
        ("a length beyond the message", ASAP, longer, Error(0x0)),
        ("rsplib's number of items", ASAP, resolution(&vendor), response()),
        ("a parameter to be skipped", ASAP, unknown(0x9999), response()),
        ("a handle of 33 octets", ASAP, registration(&[b'x'; 33], 2), Rejection(0x3)),
        ("a handle of 32 octets", ASAP, registration(&[b'x'; 32], 2), Of(REGISTRATION_RESPONSE)),
        ("an element without number", ASAP, registration(POOL, 0), Rejection(0x3)),
        ("ENRP where ASAP is spoken", ENRP, message(5, 0, &[&[0; 8]]), Nothing),
        ("nobody's protocol", 0, vec![0xff; 40], Nothing),
        ("an answer that nobody asked for", ASAP, message(6, 0, &[&handle]), Nothing),
        ("no message", ASAP, vec![5], Nothing),
    ];
    for code in PRIVATE {
        let error = message(ASAP_ERROR, 0, &[&cause(code, b"????")]);
        cases.push(("an error by a code of rsplib", ASAP, error, Nothing));
    }
    cases
}

/// Our element and our user at a registrar that says no in rsplib's words: they end, and say so.
fn odd_answers(lab: &Lab) -> anyhow::Result<usize> {
    let registrar = "sctp+kernel://10.0.0.3:3863";
    let mut played = Speaker::listen(lab, "played", "10.0.0.3:3863")?;
    let handle = parameter(POOL_HANDLE, POOL);
    let id = parameter(PE_IDENTIFIER, &7_u32.to_be_bytes());
    let mut count = 0;
    for code in PRIVATE {
        let rejection = message(REGISTRATION_RESPONSE, 1, &[&handle, &id, &cause(code, b"????")]);
        // rsplib answers a registration that it cannot read by an error.
        let error = message(ASAP_ERROR, 0, &[&cause(code, b"????")]);
        for answer in [rejection, error] {
            let arguments = ["serve", "echo", "--pool", "pool5", "--id", "7"];
            let more = ["--listen", "10.0.0.2", "--dialect", "rsplib", "--registrar", registrar];
            let more = [&more[..], &["--wait", "60s"]].concat();
            let mut process = lab.rserpool("element", &[&arguments[..], &more].concat())?;
            refuse(&mut played, &mut process, REGISTRATION, &answer)
                .with_context(|| format!("our element and cause {code:#x}"))?;
            count += 1;
        }
    }
    let refusal = message(HANDLE_RESOLUTION_RESPONSE, 0, &[&handle, &cause(0x100b, b"")]);
    let error = message(ASAP_ERROR, 0, &[&cause(0x10, b"????")]);
    for answer in [refusal, error] {
        let arguments = ["resolve", "pool5", "--registrar", registrar, "--dialect", "rsplib"];
        let mut process = lab.rserpool("resolve", &arguments)?;
        refuse(&mut played, &mut process, HANDLE_RESOLUTION, &answer).context("our user")?;
        count += 1;
    }
    Ok(count)
}

/// Gives this answer to each question of this type until the program ends, which is to be with an
/// error. One that is late is asked again, and what the program before it asked may still come.
fn refuse(
    played: &mut Speaker,
    process: &mut Process,
    kind: u8,
    answer: &[u8],
) -> anyhow::Result<()> {
    let (deadline, mut asked) = (Instant::now() + PATIENCE, false);
    while !process.has_ended()? {
        ensure!(Instant::now() < deadline, "it goes on");
        if played.hears_of(kind, BETWEEN_LOOKS)?.is_some() {
            asked = true;
            played.say(ASAP, answer)?;
        }
    }
    ensure!(asked, "it does not ask");
    ensure!(!process.wait(PATIENCE)?.success(), "it takes a no for a yes");
    Ok(())
}
