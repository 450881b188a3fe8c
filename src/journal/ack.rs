//! When a message is acknowledged.

/// When a message is acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ack {
    /// At once, written or not.
    Received,
    /// After the write to the journal.
    #[default]
    Written,
    /// After the write has reached the disk.
    Synced,
}
