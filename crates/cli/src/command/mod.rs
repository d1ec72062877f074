//! The commands, one file each.

mod calcapp;
mod connect;
mod decode;
mod demo;
mod dump;
mod fractal;
mod get;
mod map;
mod pingpong;
mod probe;
mod registrar;
pub(crate) mod resolve;
mod serve;
mod sim;

#[cfg(test)]
pub(crate) use decode::decode_capture;

use clap::Subcommand;

use crate::output::Output;
use crate::runtime;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a pool survive its servers.
    Demo(demo::Args),
    /// The client of the demo.
    #[command(hide = true)]
    DemoClient(demo::client::Args),
    /// Run a registrar.
    Registrar(registrar::Args),
    /// Run an example service as an element of a pool.
    Serve(serve::Args),
    /// Ask which elements a pool has.
    Resolve(resolve::Args),
    /// Speak with a pool: standard input goes to a server, its answers to standard output.
    Connect(connect::Args),
    /// Ask a pool in regular intervals, and find out whether anything gets lost.
    Pingpong(pingpong::Args),
    /// Have a pool calculate, and measure how long its jobs take.
    Calcapp(calcapp::Args),
    /// Have a pool compute a picture.
    Fractal(fractal::Args),
    /// Run a job for each line of standard input on the servers of a pool.
    Map(map::Args),
    /// Fetch a file from a pool.
    Get(get::Args),
    /// Show everything that a registrar knows.
    Dump(dump::Args),
    /// Say which transports work on this host.
    Probe(probe::Args),
    /// Measure this program, with real processes.
    Bench(rserpool_bench::Args),
    /// Take messages apart: hex or a capture in, annotated fields out.
    Decode(decode::Args),
    /// Simulate: worlds of registrars, elements and users in virtual time.
    Sim(sim::Args),
}

impl Command {
    /// Does it. The error carries the exit code, see [`crate::exit::Failure`].
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Demo(args) => args.run(output),
            Self::DemoClient(args) => args.run(output),
            Self::Registrar(args) => args.run(output),
            Self::Serve(args) => args.run(output),
            Self::Resolve(args) => args.run(output),
            Self::Connect(args) => args.run(output),
            Self::Pingpong(args) => args.run(output),
            Self::Calcapp(args) => args.run(output),
            Self::Fractal(args) => args.run(output),
            Self::Map(args) => args.run(output),
            Self::Get(args) => args.run(output),
            Self::Dump(args) => args.run(output),
            Self::Probe(args) => args.run(output),
            Self::Bench(args) => runtime::block_on(args.run(output)),
            Self::Decode(args) => args.run(output),
            Self::Sim(args) => args.run(output),
        }
    }
}
