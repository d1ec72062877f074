//! What others are compared with: the least that a program can do over TCP. Each request of so many
//! octets is answered with the same so many octets.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Output;
use crate::process::end_of_stdin;

/// Answers requests with zeroes, until standard input ends.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Octets of a request.
    #[arg(long, value_parser = clap::value_parser!(u16).range(4..))]
    request: u16,

    /// Octets of an answer. It looks like a message: its length is in it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(4..))]
    answer: u16,
}

/// The type of the message that an answer looks like.
pub(super) const ANSWER: u8 = 0;
/// Octets that are read at once.
const READ_MAX: usize = 16 << 10;

impl Args {
    pub(crate) async fn run(self, output: &mut dyn Output) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr().context("no address")?.port();
        output.json(&port.into())?;
        tokio::select! {
            served = self.serve(&listener) => served,
            () = end_of_stdin(true) => Ok(()),
        }
    }

    async fn serve(self, listener: &TcpListener) -> anyhow::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // One that ends is no concern of the others.
            tokio::spawn(async move { drop(self.answer(stream).await) });
        }
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut answer = vec![0; usize::from(self.answer)];
        answer[0] = ANSWER;
        answer[2..4].copy_from_slice(&self.answer.to_be_bytes());
        let (mut octets, mut answers) = (vec![0; READ_MAX], Vec::new());
        let mut asked = 0;
        loop {
            let len = stream.read(&mut octets).await?;
            if len == 0 {
                return Ok(());
            }
            asked += len;
            answers.clear();
            while asked >= usize::from(self.request) {
                asked -= usize::from(self.request);
                answers.extend_from_slice(&answer);
            }
            stream.write_all(&answers).await?;
        }
    }
}
