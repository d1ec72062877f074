//! The commands, one file each.

mod access;
mod attach;
mod calcapp;
mod check_config;
mod completions;
mod connect;
mod decode;
mod demo;
mod dns;
mod drain;
mod dump;
mod elements;
mod events;
mod evict;
mod explain;
mod fractal;
mod get;
mod holds;
mod man;
mod map;
mod peers;
mod pingpong;
mod pools;
mod probe;
mod proxy;
mod registrar;
pub(crate) mod resolve;
mod serve;
mod sim;
pub(crate) mod tls;
mod undrain;
mod verify;
mod watch;

#[cfg(test)]
pub(crate) use decode::decode_capture;

use clap::Subcommand;

use crate::output::Output;
use crate::runtime;

/// What the program can do. What the help says of a command stands at its `Args`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    #[command(hide = true)]
    DemoClient(demo::client::Args),
    Registrar(registrar::Args),
    Serve(serve::Args),
    Attach(attach::Args),
    #[command(hide = true)]
    AttachServer(attach::ServerArgs),
    Proxy(proxy::Args),
    Dns(dns::Args),
    Resolve(resolve::Args),
    Connect(connect::Args),
    Pingpong(pingpong::Args),
    Calcapp(calcapp::Args),
    Fractal(fractal::Args),
    Map(map::Args),
    Get(get::Args),
    Dump(dump::Args),
    Pools(pools::Args),
    Elements(elements::Args),
    Peers(peers::Args),
    Events(events::Args),
    Explain(explain::Args),
    Drain(drain::Args),
    Undrain(undrain::Args),
    Evict(evict::Args),
    Holds(holds::Args),
    Verify(verify::Args),
    Watch(watch::Args),
    CheckConfig(check_config::Args),
    Probe(probe::Args),
    Bench(rserpool_bench::Args),
    Decode(decode::Args),
    Completions(completions::Args),
    Man(man::Args),
    Sim(sim::Args),
    Tls(tls::Args),
    Access(access::Args),
}

impl Command {
    /// Does it. The error carries the exit code, see [`crate::exit::Failure`].
    pub(crate) fn run(self, output: &mut Output) -> anyhow::Result<()> {
        match self {
            Self::Demo(args) => args.run(output),
            Self::DemoClient(args) => args.run(output),
            Self::Registrar(args) => args.run(output),
            Self::Serve(args) => args.run(output),
            Self::Attach(args) => args.run(output),
            Self::AttachServer(args) => args.run(),
            Self::Proxy(args) => args.run(output),
            Self::Dns(args) => args.run(output),
            Self::Resolve(args) => args.run(output),
            Self::Connect(args) => args.run(output),
            Self::Pingpong(args) => args.run(output),
            Self::Calcapp(args) => args.run(output),
            Self::Fractal(args) => args.run(output),
            Self::Map(args) => args.run(output),
            Self::Get(args) => args.run(output),
            Self::Dump(args) => args.run(output),
            Self::Pools(args) => args.run(output),
            Self::Elements(args) => args.run(output),
            Self::Peers(args) => args.run(output),
            Self::Events(args) => args.run(output),
            Self::Explain(args) => args.run(output),
            Self::Drain(args) => args.run(output),
            Self::Undrain(args) => args.run(output),
            Self::Evict(args) => args.run(output),
            Self::Holds(args) => args.run(output),
            Self::Verify(args) => args.run(output),
            Self::Watch(args) => args.run(output),
            Self::CheckConfig(args) => args.run(output),
            Self::Probe(args) => args.run(output),
            Self::Bench(args) => runtime::block_on(args.run(output)),
            Self::Decode(args) => args.run(output),
            Self::Completions(args) => args.run(output),
            Self::Man(args) => args.run(output),
            Self::Tls(args) => args.run(output),
            Self::Access(args) => args.run(output),
            Self::Sim(args) => args.run(output),
        }
    }
}
