//! How many connections a port of this host has.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

/// Where Linux lists connections.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// `TCP_ESTABLISHED` and `TCP_CLOSE_WAIT`, as the tables have them: the server may still answer.
const OPEN: [&str; 2] = ["01", "08"];

/// The TCP connections whose local port this is, as long as its side of them has not ended; 0 where
/// the system does not tell.
pub(super) fn open(port: u16) -> usize {
    let files = TABLES.iter().filter_map(|table| File::open(table).ok());
    let lines = files.flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
    lines.filter(|line| is_open(line, port)).count()
}

/// Whether a line of the table is an open connection of this port.
fn is_open(line: &str, port: u16) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let local = words.next().and_then(|local| local.rsplit_once(':'));
    let local = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    local == Some(port) && words.nth(1).is_some_and(|state| OPEN.contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_told_from_a_listener_and_from_its_other_end() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when";
        let listener =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        let near = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000";
        let far = "   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000";
        let lines = [head, listener, near, far, ""];
        assert_eq!(lines.map(|it| is_open(it, 8080)), [false, false, true, false, false]);
    }

    #[test]
    fn who_has_said_everything_may_still_wait_for_an_answer() {
        let is_open = |state: &str| {
            let addresses = "1: 0100007F:1F90 0100007F:C350";
            is_open(&format!("{addresses} {state} 00000000:00000000 00:00000000"), 8080)
        };
        let states = ["01", "02", "03", "04", "05", "06", "07", "08", "09", "0A", "0B"];
        let open: Vec<&str> = states.into_iter().filter(|state| is_open(state)).collect();
        assert_eq!(open, ["01", "08"]);
    }
}
