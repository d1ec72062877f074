//! How many connections a port of this host has.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

/// Where Linux lists connections.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// `TCP_ESTABLISHED`, as the tables have it.
const ESTABLISHED: &str = "01";

/// The established TCP connections whose local port this is; 0 where the system does not tell.
pub(super) fn established(port: u16) -> usize {
    let files = TABLES.iter().filter_map(|table| File::open(table).ok());
    let lines = files.flat_map(|file| BufReader::new(file).lines().map_while(Result::ok));
    lines.filter(|line| is_established(line, port)).count()
}

/// Whether a line of the table is an established connection of this port.
fn is_established(line: &str, port: u16) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let local = words.next().and_then(|local| local.rsplit_once(':'));
    let local = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    local == Some(port) && words.nth(1) == Some(ESTABLISHED)
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
        let found: Vec<bool> =
            [head, listener, near, far, ""].iter().map(|it| is_established(it, 8080)).collect();
        assert_eq!(found, [false, false, true, false, false]);
    }
}
