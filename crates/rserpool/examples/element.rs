//! A server as it was before pools, here one that echoes over TCP, and what it takes to join one:
//!
//! ```text
//! cargo run -p rserpool --example element [REGISTRAR]...
//! ```
//!
//! Start as many as you like; each takes a port of its own. See the example `user` for the client.

use std::error::Error;

use rserpool::element::{Config, PoolElement};
use rserpool::transport::Address;
use rserpool::wire::param::{PoolHandle, Transport, TransportUse};
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

    let pool = PoolHandle::new("ExamplePool".as_bytes()).ok_or("no pool handle")?;
    let transport = Transport::Tcp {
        port: address.port(),
        transport_use: TransportUse::DataOnly,
        address: address.ip(),
    };
    let element = PoolElement::start(Config::new(registrars, pool, transport))?;
    let home = element.registered().await?;
    println!("{} serves at {address}, registered at {:?}", element.id(), home.link.remote);

    loop {
        tokio::select! {
            accepted = listener.accept() => drop(tokio::spawn(echo(accepted?.0))),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    // Without this, too, the registrar would notice; so it does at once.
    element.deregister().await?;
    Ok(())
}

async fn echo(mut client: TcpStream) {
    let (mut from, mut to) = client.split();
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        eprintln!("client lost: {error}");
    }
}
