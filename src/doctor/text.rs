//! Limits and sizes as text.

use crate::report::format::count;

/// A limit; the largest numbers mean that there is none.
pub(super) fn limit_of(number: u64) -> String {
    if number >= i64::MAX as u64 { "unlimited".into() } else { count(number) }
}

/// Bytes in the largest unit below them, with one decimal: `22.9 GiB`.
pub(super) fn in_bytes(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        let whole = bytes >> shift;
        if whole > 0 {
            let tenths = (bytes >> (shift - 10) & 1023) * 10 / 1024;
            return format!("{}.{tenths} {unit}", count(whole));
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_limit_is_unlimited() {
        assert_eq!([limit_of(1000), limit_of(u64::MAX)], ["1,000", "unlimited"]);
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        let texts = [0, 1023, 1024, (3 << 20) + (1 << 19), 24 << 30, u64::MAX].map(in_bytes);
        assert_eq!(texts, ["0 bytes", "1023 bytes", "1.0 KiB", "3.5 MiB", "24.0 GiB", "16,777,215.9 TiB"]);
    }
}
