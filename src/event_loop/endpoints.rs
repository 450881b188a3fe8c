//! The endpoints of a server: what it listens to, and with which service.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use crate::conn::deadlines::Tick;
use crate::conn::reply_rules::ReplyRules;
use crate::conn::token::Source;
use crate::event_loop::EventLoop;
use crate::net::{HAS_UDP, Net, Token};
use crate::service::{DatagramService, StreamService};

/// A stream endpoint.
pub(super) struct StreamEndpoint<N: Net> {
    /// `None` once the server is stopping.
    pub(super) socket: Option<N::Listener>,
    /// Another process has the socket too.
    pub(super) is_inherited: bool,
    pub(super) name: EndpointName,
    pub(super) service: Box<dyn StreamService>,
    /// Its connections are those of a handler.
    #[cfg(feature = "handlers")]
    pub(super) handler: Option<u8>,
    /// Its connections begin with a PROXY header.
    #[cfg(feature = "cli")]
    pub(super) behind_proxy: bool,
    /// Connections may wait to be accepted.
    pub(super) ready: bool,
    /// Accepts in a row that have failed.
    pub(super) failed_accepts: usize,
}

/// The address that is listened at; `None`: its connections are those that a handler opens to other servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndpointName(Option<SocketAddr>);

impl EndpointName {
    #[cfg(feature = "handlers")]
    pub(super) fn is_outgoing(self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("outgoing"),
        }
    }
}

/// A datagram endpoint.
pub(super) struct DatagramEndpoint<N: Net> {
    pub(super) socket: N::Socket,
    pub(super) address: SocketAddr,
    pub(super) service: Box<dyn DatagramService>,
    pub(super) rules: ReplyRules,
    /// Datagrams may wait.
    pub(super) ready: bool,
    /// Receives in a row that have failed.
    pub(super) failed_receives: usize,
    /// Receiving does nothing but fail: it pauses for a short time.
    pub(super) paused_since: Option<Tick>,
}

/// The datagram endpoints. In a build without datagrams there are none, as the compiler knows.
pub(super) struct DatagramEndpoints<N: Net>(Vec<DatagramEndpoint<N>>);

impl<N: Net> DatagramEndpoints<N> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Ends with them.
    pub(super) fn take(&mut self) -> Vec<DatagramEndpoint<N>> {
        std::mem::take(&mut self.0)
    }
}

impl<N: Net> Deref for DatagramEndpoints<N> {
    type Target = [DatagramEndpoint<N>];

    fn deref(&self) -> &[DatagramEndpoint<N>] {
        if HAS_UDP { &self.0 } else { &[] }
    }
}

impl<N: Net> DerefMut for DatagramEndpoints<N> {
    fn deref_mut(&mut self) -> &mut [DatagramEndpoint<N>] {
        if HAS_UDP { &mut self.0 } else { &mut [] }
    }
}

impl<N: Net> EventLoop<N> {
    /// Serves `service` on connections to `address`; returns the address with the port that was taken.
    ///
    /// # Errors
    /// The address cannot be listened at, or there are 255 endpoints already.
    pub fn listen(&mut self, address: SocketAddr, service: Box<dyn StreamService>) -> io::Result<SocketAddr> {
        self.listen_with(service, |net, token| net.listen(address, token))
    }

    /// Serves `service` on a listener that `open` makes; returns its address.
    ///
    /// # Errors
    /// That of `open`, or there are 255 endpoints already.
    pub fn listen_with(
        &mut self,
        service: Box<dyn StreamService>,
        open: impl FnOnce(&mut N, Token) -> io::Result<(N::Listener, SocketAddr)>,
    ) -> io::Result<SocketAddr> {
        self.add_listener(service, open, false)
    }

    /// Serves `service` on a listener that another process has too, as after socket activation; returns its address.
    /// When this server stops, connections that wait to be accepted are left to the next one.
    ///
    /// # Errors
    /// See [`listen_with`](Self::listen_with).
    pub fn listen_inherited(
        &mut self,
        service: Box<dyn StreamService>,
        open: impl FnOnce(&mut N, Token) -> io::Result<(N::Listener, SocketAddr)>,
    ) -> io::Result<SocketAddr> {
        self.add_listener(service, open, true)
    }

    /// Adds the endpoint of the connections that a handler opens to other servers.
    #[cfg(feature = "handlers")]
    pub(super) fn add_outgoing(&mut self, handler: u8, service: Box<dyn StreamService>) -> io::Result<u8> {
        let index = endpoint_index(self.listeners.len())?;
        self.listeners.push(StreamEndpoint {
            socket: None,
            is_inherited: false,
            name: EndpointName(None),
            service,
            handler: Some(handler),
            #[cfg(feature = "cli")]
            behind_proxy: false,
            ready: false,
            failed_accepts: 0,
        });
        Ok(index)
    }

    fn add_listener(
        &mut self,
        service: Box<dyn StreamService>,
        open: impl FnOnce(&mut N, Token) -> io::Result<(N::Listener, SocketAddr)>,
        is_inherited: bool,
    ) -> io::Result<SocketAddr> {
        let index = endpoint_index(self.listeners.len())?;
        let (listener, address) = open(&mut self.net, Source::Listener(index).into())?;
        self.listeners.push(StreamEndpoint {
            socket: Some(listener),
            is_inherited,
            name: EndpointName(Some(address)),
            service,
            #[cfg(feature = "handlers")]
            handler: None,
            #[cfg(feature = "cli")]
            behind_proxy: false,
            ready: false,
            failed_accepts: 0,
        });
        self.allocate_listener();
        Ok(address)
    }

    /// Connections to the endpoint that was added last by [`listen`](Self::listen) or
    /// [`listen_with`](Self::listen_with) begin with a header of the PROXY protocol, version 1 or 2: their peer is the
    /// one that it names. A connection that begins with anything else is refused.
    #[cfg(feature = "cli")]
    pub fn expect_proxy_header(&mut self) {
        if let Some(listener) = self.listeners.last_mut() {
            listener.behind_proxy = true;
        }
    }

    /// Serves `service` on datagrams to `address`; returns the address with the port that was taken.
    ///
    /// # Errors
    /// The address cannot be bound, there are 255 endpoints already, or this build has no datagrams (the feature `udp`).
    pub fn bind(&mut self, address: SocketAddr, service: Box<dyn DatagramService>) -> io::Result<SocketAddr> {
        self.bind_with(service, |net, token| net.bind(address, token))
    }

    /// Serves `service` on a socket that `open` makes; returns its address.
    ///
    /// # Errors
    /// That of `open`, there are 255 endpoints already, or this build has no datagrams.
    pub fn bind_with(
        &mut self,
        service: Box<dyn DatagramService>,
        open: impl FnOnce(&mut N, Token) -> io::Result<(N::Socket, SocketAddr)>,
    ) -> io::Result<SocketAddr> {
        if !HAS_UDP {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let index = endpoint_index(self.sockets.len())?;
        let (socket, address) = open(&mut self.net, Source::Socket(index).into())?;
        // A datagram over the limit is recognized by the one byte more that is read of it.
        let read_bytes = self.read_buffer.len().max(service.datagram_bytes_max() + 1);
        self.read_buffer = vec![0; read_bytes].into_boxed_slice();
        let rules = ReplyRules::new(address, &self.limits, self.net.hash_key());
        self.sockets.0.push(DatagramEndpoint {
            socket,
            address,
            service,
            rules,
            ready: false,
            failed_receives: 0,
            paused_since: None,
        });
        self.allocate_socket();
        Ok(address)
    }
}

/// Endpoints of a server for streams, and likewise for datagrams: as many as fit into a token.
pub(crate) const ENDPOINTS_MAX: usize = 255;

/// The index of the next endpoint.
fn endpoint_index(endpoints: usize) -> io::Result<u8> {
    match u8::try_from(endpoints) {
        Ok(index) if endpoints < ENDPOINTS_MAX => Ok(index),
        _ => Err(io::Error::other(format!("a server has at most {ENDPOINTS_MAX} endpoints"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::net::kernel::KernelNet;
    use crate::net::sockets::SocketOptions;
    use crate::service::{Output, Session};

    #[test]
    fn a_server_has_at_most_255_endpoints_of_a_kind() {
        assert_eq!((endpoint_index(0).unwrap(), endpoint_index(254).unwrap()), (0, 254));
        for too_many in [255, 256, 1000] {
            let error = endpoint_index(too_many).unwrap_err();
            assert_eq!(error.to_string(), "a server has at most 255 endpoints");
        }
    }

    #[test]
    fn a_datagram_of_any_service_fits_with_one_byte_more() {
        struct Jumbo;

        impl DatagramService for Jumbo {
            fn received(&self, session: Session, _: &[u8], _: &mut Output<'_>) -> Session {
                session
            }

            fn is_own_answer(&self, _: &[u8]) -> bool {
                false
            }

            fn datagram_bytes_max(&self) -> usize {
                1 << 20
            }
        }

        let net = KernelNet::new(SocketOptions::default()).unwrap();
        let mut server = EventLoop::new(net, Limits::default());
        assert!(server.read_buffer.len() < 1 << 20);
        server.bind(([127, 0, 0, 1], 0).into(), Box::new(Jumbo)).unwrap();
        assert_eq!(server.read_buffer.len(), (1 << 20) + 1);
    }
}
