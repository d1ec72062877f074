//! Kernel SCTP that sends back what it gets: `echo LOCAL`, a URL such as `sctp+kernel://0.0.0.0:7`.
//!
//! It prints `bound`, and runs until it is killed.

use std::future::poll_fn;

use rserpool_transport::{Address, Endpoint, Event, KernelEndpoint, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let local: Address = std::env::args().nth(1).ok_or("usage: echo LOCAL")?.parse()?;
    let mut endpoint = KernelEndpoint::bind(&local, &Options::default())?;
    println!("bound");
    loop {
        let event = poll_fn(|cx| endpoint.poll_event(cx)).await;
        match event {
            Event::Message { assoc, ppid, octets } => endpoint.send(assoc, ppid, &octets)?,
            other => eprintln!("{other:?}"),
        }
    }
}
