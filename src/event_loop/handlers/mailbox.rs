//! What other threads pass to a handler: messages, bytes for connections, and requests to stop.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::registry::ConnId;
use crate::net::Waker;

/// A handler of a server, for other threads. Clones refer to the same one.
///
/// What one thread posts arrives in the order in which it was posted.
///
/// ```
/// use loopline::event_loop::EventLoop;
/// use loopline::event_loop::handlers::{ConnContext, Context, Group, Handler};
/// use loopline::limits::Limits;
/// use loopline::net::kernel::KernelNet;
/// use loopline::net::sockets::SocketOptions;
///
/// /// Sends what a sensor measures to all who are connected.
/// struct Feed;
///
/// const READERS: Group = Group(0);
///
/// impl Handler for Feed {
///     type Conn = ();
///     type Message = f64;
///
///     fn opened(&mut self, cx: &mut ConnContext<'_>) {
///         let id = cx.id();
///         cx.join(id, READERS);
///     }
///
///     fn received(&mut self, _conn: &mut (), unread: &[u8], _cx: &mut ConnContext<'_>) -> usize {
///         unread.len()
///     }
///
///     fn message(&mut self, degrees: f64, cx: &mut Context<'_>) {
///         cx.publish(READERS, format!("{degrees:.1}\n").as_bytes());
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let net = KernelNet::new(SocketOptions::default())?;
/// let mut server = EventLoop::new(net, Limits::default());
/// let feed = server.add_handler(Feed)?;
/// server.listen_for(&feed, "127.0.0.1:0".parse()?)?;
/// let sensor = std::thread::spawn(move || {
///     for degrees in [20.5, 20.6] {
///         // An error returns what was not posted: too much waits, or the server has stopped.
///         feed.post(degrees).expect("the loop takes what is posted");
///     }
///     feed.stop()
/// });
/// server.run()?;
/// # sensor.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct Handle<M> {
    pub(super) mailbox: Arc<Mailbox<M>>,
    /// Which of the handlers of the server.
    pub(super) index: u8,
}

/// Why something was not posted; it is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostError<T> {
    /// As many posts wait as may; see [`Handler::POSTS_MAX`](super::Handler::POSTS_MAX).
    Full(T),
    /// The server has stopped.
    Stopped(T),
}

/// What waits for a handler.
#[derive(Debug)]
pub(super) enum Post<M> {
    Bytes(ConnId, Vec<u8>),
    Message(M),
}

pub(super) struct Mailbox<M> {
    posts: Mutex<VecDeque<Post<M>>>,
    /// The length of `posts`.
    waiting: AtomicUsize,
    posts_max: usize,
    stop_requests: AtomicU32,
    is_closed: AtomicBool,
    waker: Waker,
}

impl<M> Handle<M> {
    /// Passes a message to [`Handler::message`](super::Handler::message).
    ///
    /// # Errors
    /// See [`PostError`].
    pub fn post(&self, message: M) -> Result<(), PostError<M>> {
        self.mailbox.push(message, Post::Message)
    }

    /// Sends bytes to a connection, as [`Context::send_to`](super::Context::send_to) does: nothing happens if it is closed
    /// when they arrive.
    ///
    /// # Errors
    /// See [`PostError`].
    pub fn send_to(&self, to: ConnId, bytes: Vec<u8>) -> Result<(), PostError<Vec<u8>>> {
        self.mailbox.push(bytes, |bytes| Post::Bytes(to, bytes))
    }

    /// Stops the server: the first request drains it, the second stops it at once.
    ///
    /// # Errors
    /// The server cannot be woken.
    pub fn stop(&self) -> io::Result<()> {
        self.mailbox.stop_requests.fetch_add(1, Ordering::SeqCst);
        self.mailbox.waker.wake()
    }
}

impl<M> Mailbox<M> {
    pub(super) fn new(posts_max: usize, waker: Waker) -> Self {
        Self {
            posts: Mutex::default(),
            waiting: AtomicUsize::new(0),
            posts_max,
            stop_requests: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
            waker,
        }
    }

    fn push<T>(&self, value: T, post: impl FnOnce(T) -> Post<M>) -> Result<(), PostError<T>> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(PostError::Stopped(value));
        }
        if posts.len() >= self.posts_max {
            return Err(PostError::Full(value));
        }
        posts.push_back(post(value));
        self.waiting.store(posts.len(), Ordering::SeqCst);
        let is_first = posts.len() == 1;
        drop(posts);
        // The loop takes all that wait at once, so one event is enough for them. A poller that cannot be woken sees them
        // in its next turn.
        if is_first {
            let _ = self.waker.wake();
        }
        Ok(())
    }

    /// Takes all that waits.
    pub(super) fn take(&self) -> VecDeque<Post<M>> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(0, Ordering::SeqCst);
        std::mem::take(&mut *posts)
    }

    /// Whether nothing waits, and nobody has requested a stop.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0 && self.stop_requests.load(Ordering::SeqCst) == 0
    }

    /// Requests to stop since the last call.
    pub(super) fn take_stop_requests(&self) -> u32 {
        self.stop_requests.swap(0, Ordering::SeqCst)
    }

    /// Nothing is taken anymore.
    pub(super) fn close(&self) {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_closed.store(true, Ordering::SeqCst);
        posts.clear();
    }
}

impl<T> PostError<T> {
    /// What was not posted.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Stopped(value) => value,
        }
    }
}

impl<T> fmt::Display for PostError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the handler has as many posts to take as it may have",
            Self::Stopped(_) => "the server has stopped",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for PostError<T> {}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { mailbox: self.mailbox.clone(), index: self.index }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("index", &self.index).finish_non_exhaustive()
    }
}
