//! What ends the commands of a server that cannot do so itself any more.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;
use tracing::warn;

/// A process that knows which process groups run for this server, and kills them when the server is
/// gone: it reads of them from a pipe that ends with the server, however that dies.
#[derive(Debug)]
pub(crate) struct Guard(Mutex<Option<ChildStdin>>);

/// A process group that the guard knows of. Dropping it says that the group has ended.
#[derive(Debug)]
pub(crate) struct Guarded {
    guard: Arc<Guard>,
    group: Pid,
}

/// Reads "+ GROUP" and "- GROUP", and kills what is left.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=
while read -r sign group; do
    case $sign in
    +) groups="$groups $group" ;;
    -)
        left=
        for other in $groups; do
            [ "$other" = "$group" ] || left="$left $other"
        done
        groups=$left
        ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

impl Guard {
    /// Starts it.
    pub(crate) fn start() -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "rserpool-exec-guard"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // What is sent to the server's group, such as SIGINT of a terminal, is not for it.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take();
        if let Some(stdin) = &stdin {
            // A guard that is stopped does not stop the server.
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        Ok(Self(Mutex::new(stdin)))
    }

    /// Has it know of a group that has just been started.
    pub(crate) fn of(self: &Arc<Self>, group: Pid) -> Guarded {
        self.tell('+', group);
        Guarded { guard: Arc::clone(self), group }
    }

    fn tell(&self, sign: char, group: Pid) {
        let mut stdin = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pipe) = &mut *stdin else { return };
        let line = format!("{sign} {}\n", group.as_raw_nonzero());
        if let Err(error) = pipe.write_all(line.as_bytes()) {
            warn!(%error, "the guard is gone: commands may outlive a server that is killed");
            *stdin = None;
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.guard.tell('-', self.group);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn group() -> (std::process::Child, Pid) {
        let child = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let group = Pid::from_child(&child);
        (child, group)
    }

    #[test]
    fn what_is_left_when_the_server_is_gone_is_killed_and_nothing_else() {
        let guard = Arc::new(Guard::start().unwrap());
        let [(mut ended, first), (mut left, second), (mut other, third)] =
            [(); 3].map(|()| group());
        let [first, _second, _third] = [first, second, third].map(|group| guard.of(group));
        drop(first);
        // As when the server dies: the pipe ends, and no farewell is said.
        *guard.0.lock().unwrap() = None;
        for child in [&mut left, &mut other] {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        assert_eq!(ended.try_wait().unwrap(), None);
        ended.kill().unwrap();
        ended.wait().unwrap();
    }
}
