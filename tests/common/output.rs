//! What a process writes to a pipe, read by a thread.

use std::io::Read;
use std::sync::{Condvar, Mutex};

use super::WAIT_MAX;

/// The bytes read so far, and whether the pipe has ended.
#[derive(Default)]
pub(super) struct Output {
    inner: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Output {
    pub(super) fn collect(&self, mut pipe: impl Read) {
        let mut chunk = [0; 64 * 1024];
        while let Ok(bytes @ 1..) = pipe.read(&mut chunk) {
            self.append(&chunk[..bytes]);
        }
        self.end();
    }

    pub(super) fn append(&self, bytes: &[u8]) {
        self.inner.lock().unwrap().0.extend_from_slice(bytes);
        self.more.notify_all();
    }

    pub(super) fn end(&self) {
        self.inner.lock().unwrap().1 = true;
        self.more.notify_all();
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.inner.lock().unwrap().0).into_owned()
    }

    pub(super) fn wait_for(&self, what: &str, is_done: impl Fn(&str) -> bool) {
        assert!(self.waits_until(is_done), "timed out waiting until {what}, after:\n{}", self.text());
    }

    /// Waits until `is_done`. Returns whether it is, before the pipe has ended or time is out.
    pub(super) fn waits_until(&self, is_done: impl Fn(&str) -> bool) -> bool {
        let inner = self.inner.lock().unwrap();
        let waits = |inner: &mut (Vec<u8>, bool)| !inner.1 && !is_done(&String::from_utf8_lossy(&inner.0));
        let (inner, _) = self.more.wait_timeout_while(inner, WAIT_MAX, waits).unwrap();
        is_done(&String::from_utf8_lossy(&inner.0))
    }
}
