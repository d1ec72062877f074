//! A service whose sessions outlive their servers: it counts the messages of each session.
//!
//! ```sh
//! rserpool registrar --asap tcp://127.0.0.1:3863
//! cargo run --example service -- tcp://127.0.0.1:3863      # twice, and kill one of them
//! ```

use std::sync::Arc;
use std::time::Duration;

use rserpool::server::{Event, Session};
use rserpool::{Server, ServerConfig, Service};

/// Counts the messages of a session; the count is its state.
struct Counter;

impl Service for Counter {
    async fn serve(self: Arc<Self>, mut session: Session) {
        let mut count: u64 = 0;
        while let Some(event) = session.next().await {
            match event {
                // What the session's former server has sent as its last cookie.
                Event::Resumed(state) => count = state.try_into().map_or(0, u64::from_be_bytes),
                Event::Message { ppid, .. } => {
                    count += 1;
                    // First the state, then what it covers: no number is told twice.
                    let Ok(()) = session.send_cookie(&count.to_be_bytes()).await else { return };
                    let answer = format!("{count}\n");
                    let Ok(()) = session.send(ppid, answer.as_bytes()).await else { return };
                }
                // The next server goes on from the last cookie.
                Event::Draining => return,
                _ => {}
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registrars: Vec<_> =
        std::env::args().skip(1).map(|url| url.parse()).collect::<Result<_, _>>()?;
    let url = "sctp://0.0.0.0:0".parse()?;
    let config = ServerConfig::new(registrars, "CounterPool".parse()?, url);
    let server = Server::start(config, Counter)?;
    server.element().registered().await?;
    println!("{} counts at {}", server.id(), server.url());
    tokio::signal::ctrl_c().await?;
    Ok(server.drain(Duration::from_secs(2)).await?)
}
