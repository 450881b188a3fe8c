//! Which connections are open: a connection is in the list of them while its admission lives.

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, MutexGuard};

use crate::conn::admission::Refusal;
use crate::server::threads::shared::{Connection, MainEvent, Open, Shared, lock};

/// Keeps a connection in the list of the open ones until it is dropped.
pub(super) struct Admission {
    pub(super) connection: Arc<Connection>,
    pub(super) shared: Arc<Shared>,
    /// The client, or until its header is complete, the proxy.
    pub(super) peer: Cell<SocketAddr>,
    /// Why it is refused, if it is not served.
    pub(super) refusal: Cell<Option<Refusal>>,
    /// It begins with a PROXY header.
    pub(super) behind_proxy: bool,
    /// It is of the admin endpoint.
    pub(super) is_admin: bool,
    /// It counts as a connection of its source.
    is_counted: Cell<bool>,
    index: usize,
}

impl Admission {
    /// Admits a connection, or returns why it is to be refused without a thread.
    pub(super) fn new(
        shared: &Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        behind_proxy: bool,
    ) -> Result<Self, (TcpStream, Refusal)> {
        let mut open = lock(&shared.open);
        let served = open.connections.len() - open.refusals - open.admins;
        let refusal = if behind_proxy {
            // The limit of its source is that of the peer, who is not known yet.
            open.admissions.server_refusal(served)
        } else {
            open.admissions.refusal(peer, served)
        };
        let is_counted = refusal.is_none() && !behind_proxy;
        match refusal {
            Some(refusal) if open.refusals >= shared.limits.refusals_max => return Err((stream, refusal)),
            Some(_) => open.refusals += 1,
            None if behind_proxy => {}
            None => open.admissions.add(peer),
        }
        let mut admission = Self::insert(open, shared, stream, peer);
        admission.refusal.set(refusal);
        admission.is_counted.set(is_counted);
        admission.behind_proxy = behind_proxy;
        Ok(admission)
    }

    /// Admits a connection of the admin endpoint, unless it has as many as it may have.
    pub(super) fn of_admin(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) -> Option<Self> {
        let mut open = lock(&shared.open);
        if open.admins >= shared.limits.admin_connections_max {
            return None;
        }
        open.admins += 1;
        let mut admission = Self::insert(open, shared, stream, peer);
        admission.is_admin = true;
        Some(admission)
    }

    /// Adds a connection to the list of open ones.
    fn insert(
        mut open: MutexGuard<'_, Open>,
        shared: &Arc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Self {
        let connection = Arc::new(Connection::new(stream));
        let index = open.connections.insert(connection.clone());
        drop(open);
        // Either `finish` has seen it in the list, or this sees that the linger timeout is over.
        if shared.is_finishing() {
            connection.end_if_idle();
        }
        Self {
            connection,
            shared: shared.clone(),
            peer: Cell::new(peer),
            refusal: Cell::new(None),
            behind_proxy: false,
            is_admin: false,
            is_counted: Cell::new(false),
            index,
        }
    }

    /// Admits or refuses a connection whose PROXY header names `peer`.
    ///
    /// # Errors
    /// Why it is to be refused and closed at once: as many others as may be are refused already.
    pub(super) fn identify(&self, peer: SocketAddr) -> Result<(), Refusal> {
        self.peer.set(peer);
        let mut open = lock(&self.shared.open);
        let refusal = open.admissions.source_refusal(peer);
        match refusal {
            Some(refusal) if open.refusals >= self.shared.limits.refusals_max => return Err(refusal),
            Some(_) => open.refusals += 1,
            None => open.admissions.add(peer),
        }
        self.is_counted.set(refusal.is_none());
        self.refusal.set(refusal);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.memory.set(&self.connection.held, 0);
        let mut open = lock(&self.shared.open);
        open.connections.try_remove(self.index);
        if self.is_admin {
            open.admins -= 1;
        } else if self.refusal.get().is_some() {
            open.refusals -= 1;
        } else if self.is_counted.get() {
            open.admissions.remove(self.peer.get());
        }
        if open.connections.is_empty() && self.shared.is_draining() {
            // The receiver is gone only when the process is about to be.
            let _ = self.shared.events.send(MainEvent::Drained);
        }
    }
}
