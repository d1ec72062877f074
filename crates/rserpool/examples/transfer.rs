//! Requests that must not be done twice, whichever servers die meanwhile: payments into an account.
//!
//! ```sh
//! rserpool registrar --asap tcp://127.0.0.1:3863
//! cargo run --example transfer -- serve tcp://127.0.0.1:3863   # twice, and kill them by turns
//! cargo run --example transfer -- pay 1000 tcp://127.0.0.1:3863
//! ```
//!
//! A client cannot know whether a request without answer was done. So it numbers its requests, and
//! asks the next server the same under the same number; and the state that a server hands over says
//! up to which number it has done them. Each payment is then counted once:
//!
//! | the server dies | what the next server knows | it gets the request again, and |
//! |---|---|---|
//! | before the state is with the client | the number before | counts it |
//! | after that, and before the answer | this number | repeats the answer |

use std::error::Error;
use std::sync::Arc;

use rserpool::server::{self, Event};
use rserpool::session::{self, SendError};
use rserpool::{
    Address, PoolUser, Server, ServerConfig, Service, Session, SessionConfig, UserConfig,
};

/// The state of a session: all that a server needs to go on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Account {
    /// The last payment that was counted.
    pub(crate) number: u64,
    /// What was paid up to then.
    pub(crate) balance: u64,
}

impl Account {
    /// Counts a payment once, however often it comes; `None` where one before it is missing.
    pub(crate) fn pay(&mut self, number: u64, amount: u64) -> Option<u64> {
        if number == self.number + 1 {
            *self = Self { number, balance: self.balance.checked_add(amount)? };
        }
        (number == self.number).then_some(self.balance)
    }

    fn to_state(self) -> Vec<u8> {
        format!("{} {}", self.number, self.balance).into_bytes()
    }

    fn of_state(state: &[u8]) -> Option<Self> {
        let (number, balance) = pair(state)?;
        Some(Self { number, balance })
    }
}

/// Two numbers with a space between them: what states, requests and answers are made of.
fn pair(octets: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = str::from_utf8(octets).ok()?.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// An account for each session.
pub(crate) struct Bank;

impl Service for Bank {
    async fn serve(self: Arc<Self>, mut session: server::Session) {
        let mut account = Account::default();
        while let Some(event) = session.next().await {
            match event {
                Event::Resumed(state) => {
                    let Some(resumed) = Account::of_state(&state) else { return session.abort() };
                    account = resumed;
                }
                Event::Message { ppid, octets } => {
                    let Some((number, amount)) = pair(&octets) else { return session.abort() };
                    let Some(balance) = account.pay(number, amount) else { return session.abort() };
                    // First the state, then the answer: who has the answer has the state, too.
                    let Ok(()) = session.send_cookie(&account.to_state()).await else { return };
                    let answer = format!("{number} {balance}");
                    let Ok(()) = session.send(ppid, answer.as_bytes()).await else { return };
                }
                Event::Draining => return,
                _ => {}
            }
        }
    }
}

/// Pays, and returns the balance after it. One payment at a time: the next one has the next number.
pub(crate) async fn pay(
    session: &Session,
    number: u64,
    amount: u64,
) -> Result<u64, Box<dyn Error>> {
    let request = format!("{number} {amount}");
    let ask = async || match session.send(request.as_bytes()).await {
        // Another server takes over, and is asked then.
        Err(SendError::ServerLost) => Ok(()),
        sent => sent,
    };
    ask().await?;
    loop {
        match session.next().await? {
            session::Event::Received(answer) => match pair(&answer) {
                Some((answered, balance)) if answered == number => return Ok(balance),
                _ => return Err("that is no answer to this payment".into()),
            },
            // Without the state the next server would begin at zero.
            session::Event::FailedOver { resumed: false, .. } if number > 1 => {
                return Err("the state of the account is lost with its server".into());
            }
            session::Event::FailedOver { .. } => ask().await?,
            _ => {}
        }
    }
}

async fn serve(registrars: Vec<Address>) -> Result<(), Box<dyn Error>> {
    // Clients that are not trusted: give the servers a key, see `ServerConfig::cookies`.
    let config = ServerConfig::new(registrars, "BankPool".parse()?, "sctp://0.0.0.0:0".parse()?);
    let server = Server::start(config, Bank)?;
    server.element().registered().await?;
    println!("{} serves", server.id());
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}

async fn pay_all(count: u64, registrars: Vec<Address>) -> Result<(), Box<dyn Error>> {
    let user = PoolUser::start(UserConfig::new(registrars))?;
    let session = Session::connect(user, "BankPool".parse()?, SessionConfig::new()).await?;
    for number in 1..=count {
        let balance = pay(&session, number, number).await?;
        let server = session.server().map_or_else(String::new, |server| server.id.to_string());
        println!("{number} {balance} {server}");
    }
    session.close().await;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let urls = |urls: &[String]| urls.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>();
    match args.as_slice() {
        [what, registrars @ ..] if what == "serve" => serve(urls(registrars)?).await,
        [what, count, registrars @ ..] if what == "pay" => {
            pay_all(count.parse()?, urls(registrars)?).await
        }
        _ => Err("serve REGISTRAR... or pay COUNT REGISTRAR...".into()),
    }
}
