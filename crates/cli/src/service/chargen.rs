//! The lines of RFC 864: 72 of the 95 printable characters, each line one further on.

const LINE_LEN: usize = 72;
const PRINTABLE: std::ops::RangeInclusive<u8> = b' '..=b'~';

/// How many lines are made at once.
pub(crate) const LINES: u64 = 32;

/// The lines after the first `sent`.
pub(super) fn lines(sent: u64) -> Vec<u8> {
    (sent..sent.saturating_add(LINES)).flat_map(line).collect()
}

fn line(number: u64) -> impl Iterator<Item = u8> {
    let start = usize::try_from(number % 95).unwrap_or_default();
    PRINTABLE.cycle().skip(start).take(LINE_LEN).chain(*b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_begins_one_character_further_on() {
        let octets = lines(94);
        let lines: Vec<&[u8]> = octets.split_inclusive(|&octet| octet == b'\n').collect();
        assert_eq!(lines.len(), 32);
        assert!(lines.iter().all(|line| line.len() == LINE_LEN + 2 && line.ends_with(b"\r\n")));
        assert!(lines[0].starts_with(b"~ !\"#") && lines[1].starts_with(b" !\"#$"));
    }
}
