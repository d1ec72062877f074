//! A server as it was before pools, here one that echoes over TCP, and what it takes to join one:
//!
//! ```text
//! cargo run -p rserpool --example element [REGISTRAR]...
//! ```
//!
//! Start as many as you like; each takes a port of its own. See the example `user` for the client.

use std::error::Error;

use rserpool::{Address, ElementConfig, PoolElement, Transport};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut registrars: Vec<Address> = Vec::new();
    for url in std::env::args().skip(1) {
        registrars.push(url.parse()?);
    }
    if registrars.is_empty() {
        registrars.push("tcp://127.0.0.1:3863".parse()?);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;

    let transport = Transport::tcp(address);
    let config = ElementConfig::new(registrars, "ExamplePool".parse()?, transport);
    let element = PoolElement::start(config)?;
    let home = element.registered().await?;
    println!("{} serves at {address}, registered at {:?}", element.id(), home.link.remote);

    loop {
        tokio::select! {
            accepted = listener.accept() => drop(tokio::spawn(echo(accepted?.0))),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    // Without this, too, the registrar would notice; so it does at once.
    element.stop().await;
    Ok(())
}

async fn echo(mut client: TcpStream) {
    let (mut from, mut to) = client.split();
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        eprintln!("client lost: {error}");
    }
}
