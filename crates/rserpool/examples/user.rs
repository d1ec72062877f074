//! A client that asks a server of a pool once a second, and stays with the pool when its server
//! dies:
//!
//! ```text
//! cargo run -p rserpool --example user [REGISTRAR]...
//! ```
//!
//! Start it after the examples `registrar` and `element`, then stop the element that it speaks with.

use std::error::Error;
use std::time::Duration;

use rserpool::session::Event;
use rserpool::{Address, PoolUser, Session, SessionConfig, UserConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut registrars: Vec<Address> = Vec::new();
    for url in std::env::args().skip(1) {
        registrars.push(url.parse()?);
    }
    if registrars.is_empty() {
        registrars.push("tcp://127.0.0.1:3863".parse()?);
    }
    let user = PoolUser::start(UserConfig::new(registrars))?;
    let session = Session::connect(user, "ExamplePool".parse()?, SessionConfig::new()).await?;

    let mut pace = tokio::time::interval(Duration::from_secs(1));
    for number in 1_u64.. {
        pace.tick().await;
        let answer = ask(&session, &format!("question {number}\n")).await?;
        let server = session.server().map_or_else(String::new, |server| server.id.to_string());
        println!("{server} answers {}", answer.trim_end());
    }
    Ok(())
}

/// One line there, one line back. Where the server fails, the next one is asked the same.
async fn ask(session: &Session, question: &str) -> Result<String, Box<dyn Error>> {
    // Where nothing is sent the server has failed, and a failover follows.
    let _ = session.send(question.as_bytes()).await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        match session.next().await? {
            Event::Received(octets) => answer.extend(octets),
            Event::FailedOver { from, to, .. } => {
                println!("{from} has failed, {to} takes over");
                answer.clear();
                let _ = session.send(question.as_bytes()).await;
            }
            _ => {}
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
