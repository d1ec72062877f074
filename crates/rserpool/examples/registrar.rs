//! A registrar, which says who joins and who leaves:
//!
//! ```text
//! cargo run -p rserpool --example registrar [URL]...
//! ```

use std::error::Error;

use rserpool::registrar::Event;
use rserpool::{Address, Registrar, RegistrarConfig};
use tokio::sync::broadcast::error::RecvError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut urls: Vec<Address> = Vec::new();
    for url in std::env::args().skip(1) {
        urls.push(url.parse()?);
    }
    if urls.is_empty() {
        urls = vec!["sctp://127.0.0.1:3863".parse()?, "tcp://127.0.0.1:3863".parse()?];
    }
    let registrar = Registrar::start(RegistrarConfig::new(urls))?;
    let mut events = registrar.events();
    for url in registrar.urls() {
        println!("registrar {} at {url}", registrar.id());
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Joined { handle, id }) => println!("{id} joined {handle}"),
                Ok(Event::Left { handle, id, reason, .. }) => println!("{id} left {handle}: {reason:?}"),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => println!("{missed} events missed"),
                Err(RecvError::Closed) => return Err("the registrar has ended".into()),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    registrar.stop().await;
    Ok(())
}
