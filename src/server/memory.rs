//! The memory budget of the program: what is asked for, or a quarter of the memory that is available.

use crate::conn::memory::budget_bytes_min;
use crate::limits::Limits;

/// Sets the budget: `requested`, or a quarter of what is available. Logs the default, and warns if it is too small for
/// messages of `message_bytes_max` bytes.
pub(super) fn fit(limits: &mut Limits, requested: Option<usize>, message_bytes_max: usize) {
    let bytes = requested.unwrap_or_else(|| default_budget(available_bytes()));
    limits.memory_bytes_max = bytes;
    let (number, unit) = in_unit(bytes);
    log::info!("memory budget: {number} {unit} for bytes that wait");
    if bytes < budget_bytes_min(message_bytes_max) {
        log::warn!(
            "the memory budget of {bytes} bytes is too small for a message of {message_bytes_max} bytes, as \
             --max-message allows"
        );
    }
}

/// A size in the unit in which it has at least two digits: a budget is never less than some KiB.
fn in_unit(bytes: usize) -> (usize, &'static str) {
    if bytes < 10 << 20 { (bytes >> 10, "KiB") } else { (bytes >> 20, "MiB") }
}

fn default_budget(available_bytes: Option<u64>) -> usize {
    let quarter = |bytes: u64| usize::try_from(bytes / 4).unwrap_or(usize::MAX).min(DEFAULT_BYTES_MAX);
    available_bytes.map_or(BYTES_IF_UNKNOWN, quarter)
}

/// What the control group and the machine have left.
#[cfg(feature = "cli")]
fn available_bytes() -> Option<u64> {
    crate::doctor::available_memory()
}

/// What the machine has left. A limit of the control group is not read.
#[cfg(not(feature = "cli"))]
fn available_bytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The budget of a machine that does not reveal its memory.
const BYTES_IF_UNKNOWN: usize = 64 << 20;

/// An eighth of all addresses: a process of 32 bits has 2 to 4 GiB of them, however much memory the machine has.
const DEFAULT_BYTES_MAX: usize = 1 << (usize::BITS - 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_quarter_of_what_is_available() {
        assert_eq!(default_budget(Some(4000)), 1000);
        assert_eq!(default_budget(None), BYTES_IF_UNKNOWN);
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn the_default_is_at_most_an_eighth_of_all_addresses() {
        let bytes = default_budget(Some(u64::MAX));
        assert_eq!(bytes, if cfg!(target_pointer_width = "32") { 512 << 20 } else { 1 << (usize::BITS - 3) });
    }

    #[test]
    fn a_small_budget_is_not_shown_as_none() {
        let shown = [300_000, 10 << 20, 3 << 30].map(in_unit);
        assert_eq!(shown, [(292, "KiB"), (10, "MiB"), (3072, "MiB")]);
    }

    #[test]
    fn a_requested_budget_is_taken() {
        let mut limits = Limits::default();
        fit(&mut limits, Some(12_345_678), 12);
        assert_eq!(limits.memory_bytes_max, 12_345_678);
    }
}
