//! The header of a proxy, at the beginning of its connections.

use super::socket::is_timeout;
use super::{Driver, READ_BYTES, deadline_after, output};
use crate::conn::CloseReason;
use crate::conn::stream_session::{HeaderStep, Step};
use crate::conn::unread::Unread;
use crate::server::threads::clock::unix_seconds;
use crate::service::StreamService;

impl Driver<'_> {
    /// Reads the header of a proxy, and serves or refuses the peer that it names.
    pub(super) fn receive_header(
        &mut self,
        service: &dyn StreamService,
        unread: &mut Unread,
    ) -> Result<Step, CloseReason> {
        let limits = &self.shared.limits;
        let deadline = deadline_after(Some(limits.proxy_header_timeout));
        let (mut received, mut buffer) = (Vec::new(), [0; READ_BYTES]);
        let header = loop {
            let bytes = self.read(&mut buffer, deadline).map_err(|error| {
                if is_timeout(&error) {
                    CloseReason::ProxyHeaderTimeout
                } else {
                    self.session.reason_of(&error)
                }
            })?;
            if bytes == 0 && self.connection.is_ended() {
                return Err(CloseReason::Stopped);
            }
            let mut out = output(self.admission, &mut self.answer, &mut self.lines);
            if bytes == 0 {
                return Ok(self.session.peer_ended(service, !received.is_empty(), &mut out));
            }
            self.connection.mark_busy();
            received.extend_from_slice(&buffer[..bytes]);
            match self.session.receive_header(service, &received, limits.proxy_header_bytes_max, &mut out) {
                HeaderStep::Incomplete => {}
                HeaderStep::Refused(step) => return Ok(step),
                HeaderStep::Complete(header) => break header,
            }
        };
        let proxy = self.admission.peer.get();
        let peer = header.source.unwrap_or(proxy);
        log::debug!("{peer} connects through {proxy}");
        if let Err(refusal) = self.admission.identify(peer) {
            let _ = self.refuse(service, refusal);
            self.write()?;
            // Bytes that are unread when it is closed would make the kernel send a reset, which may overtake the reason.
            let _ = self.read_without_waiting(&mut buffer);
            return Err(refusal.close_reason());
        }
        let mut out = output(self.admission, &mut self.answer, &mut self.lines);
        let step = self.session.identified(service, self.admission.refusal.get(), unix_seconds(), &mut out);
        let fresh = &received[header.bytes..];
        if fresh.is_empty() || !self.session.is_open() {
            return Ok(step);
        }
        // It counts the lines of both steps.
        let (step, left) = self.session.receive_first(service, fresh, &mut out);
        *unread = Unread::holding(left);
        Ok(step)
    }
}
