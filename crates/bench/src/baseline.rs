//! What the host itself needs: the least that anything over TCP can take here.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::report::{Report, Series};

const OCTETS: usize = 64;
const ROUND_TRIPS: usize = 2000;

/// A report of so many rounds with the floor of this run.
pub(super) fn report(rounds: u32) -> anyhow::Result<Report> {
    let echo = Series::of(tcp_echo_us()?).context("no echo")?;
    Ok(Report::new(rounds, vec![("tcp_echo_us", echo)]))
}

/// Round trips of a few octets between two threads, in microseconds.
fn tcp_echo_us() -> anyhow::Result<Vec<f64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let address = listener.local_addr()?;
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut octets = [0; OCTETS];
        for _ in 0..ROUND_TRIPS {
            stream.read_exact(&mut octets)?;
            stream.write_all(&octets)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).context("cannot dial")?;
    stream.set_nodelay(true)?;
    let mut octets = [0; OCTETS];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        stream.write_all(&octets)?;
        stream.read_exact(&mut octets)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    echo.join().map_err(|_| anyhow!("the echo failed"))??;
    Ok(times)
}
