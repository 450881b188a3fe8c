//! What is not measured by the server itself: the state of its process, and what the kernel has dropped.

/// The state of the process.
#[derive(Debug, Clone, Default)]
pub(super) struct ProcessStats {
    pub(super) log_lines_dropped: u64,
}

impl ProcessStats {
    pub(super) fn read() -> Self {
        Self { log_lines_dropped: crate::net::stderr::lock().dropped_total() }
    }
}
