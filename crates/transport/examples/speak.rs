//! Speaks kernel SCTP by hand: `speak LOCAL REMOTE...`, URLs such as `sctp+kernel://10.0.0.4:9901`.
//!
//! It binds LOCAL, dials each REMOTE, and takes one message a line from its standard input:
//! `TO PPID HEX`, where TO is the number of a REMOTE, 0 the first, or `*` for all. What happens it
//! prints, one line each: `bound`, `up TO`, `message TO PPID HEX`, `down TO REASON`. Associations
//! that others dial have numbers from 100 on. It ends with its input.

use std::collections::HashMap;
use std::future::poll_fn;

use rserpool_transport::{Address, AssocId, Endpoint, Event, KernelEndpoint, Options, Ppid};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

type Failure = Box<dyn std::error::Error>;

/// The first number of those that dial this program.
const CALLERS: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut urls = std::env::args().skip(1);
    let local: Address = urls.next().ok_or("usage: speak LOCAL REMOTE...")?.parse()?;
    let mut endpoint = KernelEndpoint::bind(&local, &Options::default())?;
    println!("bound");
    let mut numbers = HashMap::new();
    for (number, url) in urls.enumerate() {
        let remote = url.parse::<Address>()?.resolve().await?;
        numbers.insert(endpoint.connect(&remote)?, number);
    }
    let mut lines = BufReader::new(stdin()).lines();
    let mut callers = CALLERS;
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => say(&mut endpoint, &numbers, &line)?,
                None => return Ok(()),
            },
            event = poll_fn(|cx| endpoint.poll_event(cx)) => {
                let number = *numbers.entry(event.assoc()).or_insert_with(|| {
                    callers += 1;
                    callers - 1
                });
                show(number, &event);
            }
        }
    }
}

/// Sends what a line says.
fn say(
    endpoint: &mut KernelEndpoint,
    numbers: &HashMap<AssocId, usize>,
    line: &str,
) -> Result<(), Failure> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [to, ppid, hex] = words[..] else { return Err(format!("what is `{line}`?").into()) };
    let octets: Result<Vec<u8>, _> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16))
        .collect();
    let (ppid, octets) = (Ppid(ppid.parse()?), octets?);
    for (assoc, number) in numbers {
        if to == "*" || to.parse() == Ok(*number) {
            // An association that is gone has been reported.
            let _ = endpoint.send(*assoc, ppid, &octets);
        }
    }
    Ok(())
}

fn show(number: usize, event: &Event) {
    match event {
        Event::Up { .. } => println!("up {number}"),
        Event::Down { reason, .. } => println!("down {number} {reason:?}"),
        Event::Message { ppid, octets, .. } => {
            let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            println!("message {number} {} {hex}", ppid.0);
        }
        _ => {}
    }
}
