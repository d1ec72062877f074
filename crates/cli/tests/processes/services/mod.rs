//! Services and their clients, with servers that are killed and frozen in the middle.

mod calcapp;
mod fractal;
mod get;
mod map;
mod pingpong;

use crate::programs::{Program, Registrar, Server, rserpool};

/// A client of a pool at this registrar.
fn client(registrar: &Registrar, args: &[&str]) -> Program {
    Program::start(rserpool(&[args, &["--registrar", registrar.tcp()]].concat()))
}

/// Servers that users turn to in this order.
fn in_order(registrar: &Registrar, count: u32, args: &[&str]) -> Vec<Server> {
    let start = |number| {
        let policy = format!("priority:{}", count - number);
        Server::start(registrar.tcp(), &[args, &["--policy", &policy]].concat())
    };
    (0..count).map(start).collect()
}
