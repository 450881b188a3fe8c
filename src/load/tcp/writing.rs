//! Writing requests, as far as the send buffer takes them.

use std::io;

use super::TcpTraffic;
use crate::load::conn::ConnEvent;
use crate::load::error_kind::ErrorKind;
use crate::load::traffic::Context;
use crate::net::ClientNet;

impl<N: ClientNet> TcpTraffic<N> {
    /// Writes until nothing is left or the send buffer is full. Returns whether the connection is still open.
    pub(super) fn flush(&mut self, context: &mut Context<N>, key: u32) -> bool {
        loop {
            let conn = self.conns.get_mut(key);
            let bytes = self.messages.to_write(conn.unsent, conn.written);
            let (Some(stream), false) = (&conn.stream, bytes.is_empty()) else {
                return self.flush_numbered(context, key);
            };
            let taken = match write(context, stream, bytes) {
                Ok(taken) => taken,
                Err(error) => {
                    self.on_write_error(context, key, &error);
                    return false;
                }
            };
            let is_short = taken < bytes.len();
            (conn.unsent, conn.written) = self.messages.left(conn.unsent, conn.written, taken);
            if is_short {
                self.conns.apply(key, ConnEvent::SendBufferFull);
                return true;
            }
            if conn.unsent == 0 {
                return true;
            }
        }
    }

    /// The same for requests that are rendered. Without requests, nothing is left.
    #[inline(never)]
    fn flush_numbered(&mut self, context: &mut Context<N>, key: u32) -> bool {
        loop {
            let conn = self.conns.get_mut(key);
            let (Some(stream), Some(requests), 1..) = (&conn.stream, self.messages.numbered(), conn.unsent)
            else {
                conn.unsent = 0;
                return true;
            };
            let bytes = requests.render(key, conn.unsent, conn.written);
            let length = bytes.len();
            let taken = match write(context, stream, bytes) {
                Ok(taken) => taken,
                Err(error) => {
                    self.on_write_error(context, key, &error);
                    return false;
                }
            };
            (conn.unsent, conn.written) = requests.left(key, conn.unsent, conn.written, taken);
            if taken < length {
                self.conns.apply(key, ConnEvent::SendBufferFull);
                return true;
            }
        }
    }

    /// A write has failed. Bytes that arrived before may say why.
    #[cold]
    pub(super) fn on_write_error(&mut self, context: &mut Context<N>, key: u32, error: &io::Error) {
        self.conns.apply(key, ConnEvent::WriteFailed);
        if self.drain_reads(context, key) {
            self.fail(context, key, ErrorKind::of(error), || error.to_string());
        }
    }
}

/// Writes to a stream. Returns how many bytes were written: 0 if its send buffer is full.
#[inline]
pub(super) fn write<N: ClientNet>(
    context: &mut Context<N>,
    stream: &N::Stream,
    bytes: &[u8],
) -> io::Result<usize> {
    loop {
        match context.net.write(stream, bytes) {
            Ok(taken) => {
                context.tally.wrote(taken);
                return Ok(taken);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
