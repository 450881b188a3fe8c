//! What a server sent on held connections, which may be its reason to close them.

use std::collections::VecDeque;

use crate::conn::token::ConnToken;
use crate::load::excerpt::quoted;

/// The first bytes of the connections on which the server sent something most recently.
#[derive(Debug, Default)]
pub(super) struct FirstBytes {
    recent: VecDeque<(ConnToken, String)>,
}

impl FirstBytes {
    /// `bytes` were received. Only the first of a connection are kept.
    pub(super) fn add(&mut self, id: ConnToken, bytes: &[u8]) {
        if self.recent.iter().any(|(known, _)| *known == id) {
            return;
        }
        if self.recent.len() == CONNECTIONS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((id, quoted(bytes)));
    }

    /// Removes the bytes of a connection, in quotation marks.
    pub(super) fn take(&mut self, id: ConnToken) -> Option<String> {
        let index = self.recent.iter().position(|(known, _)| *known == id)?;
        self.recent.remove(index).map(|(_, text)| text)
    }
}

/// Connections whose bytes are kept. A server that sends a reason closes soon after it.
const CONNECTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_the_most_recent_connections_are_kept_once() {
        let id = |key| ConnToken { key, generation: 1 };
        let mut first = FirstBytes::default();
        first.add(id(0), b"-DENIED\r\n");
        first.add(id(0), b"more");
        assert_eq!(first.take(id(0)).as_deref(), Some("\"-DENIED\\r\\n\""));
        assert_eq!(first.take(id(0)), None);
        (0..=64).for_each(|key| first.add(id(key), b"x"));
        assert_eq!((first.take(id(0)), first.take(id(64)).as_deref()), (None, Some("\"x\"")));
    }
}
