//! The first moments of a server's process.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// Makes this process the server: it is killed when the process that started it, which has to be
/// `parent`, is gone, however that dies; sockets that were passed to that one are passed on.
///
/// # Errors
///
/// There is no such program, or it may not be executed.
pub fn become_server(parent: u32, command: &[OsString]) -> io::Result<Infallible> {
    let [program, args @ ..] = command else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that.
    let is_there = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    if is_there != Some(parent) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    let mut command = Command::new(program);
    command.args(args);
    if std::env::var_os("LISTEN_FDS").is_some() {
        command.env("LISTEN_PID", getpid().as_raw_nonzero().to_string());
    }
    Err(command.exec())
}
