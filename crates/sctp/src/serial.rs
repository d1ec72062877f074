//! Serial numbers that wrap around (RFC 1982): TSNs and the serials of ASCONF.

/// Whether `a` comes after `b`; not where they are the same, or 2³¹ apart.
pub(crate) fn after(a: u32, b: u32) -> bool {
    let distance = a.wrapping_sub(b);
    distance != 0 && distance < 1 << 31
}

/// Whether `a` comes after `b` or is `b`.
pub(crate) fn reaches(a: u32, b: u32) -> bool {
    a == b || after(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_around() {
        assert!(after(0, u32::MAX) && !after(u32::MAX, 0));
        assert!(!after(7, 7) && reaches(7, 7));
        assert!(!after(1 << 31, 0) && !after(0, 1 << 31));
    }
}
