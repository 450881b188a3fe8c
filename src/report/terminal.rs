//! Properties of the standard streams, and the terminal on which progress is drawn.

use std::env;
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::mem;
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;

use crate::net::stderr;

/// Whether `stream` is a terminal with colors, and neither `NO_COLOR` nor `TERM=dumb` is set.
pub(crate) fn supports_color(stream: &impl IsTerminal) -> bool {
    let is_unset = |name: &str| env::var_os(name).is_none_or(|it| it.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|it| it == "dumb");
    stream.is_terminal() && is_unset("NO_COLOR") && !is_dumb
}

/// Draws progress on standard error, or nothing if that is not a terminal. Each update is written whole or not at
/// all: nothing waits for a terminal that is stopped (Ctrl-S).
pub(crate) fn progress_target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() {
        ProgressDrawTarget::term_like(Box::new(Terminal::default()))
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// Collects an update until it is complete.
#[derive(Debug, Default)]
struct Terminal(Mutex<String>);

impl Terminal {
    fn add(&self, what: fmt::Arguments<'_>) -> io::Result<()> {
        let mut update = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        update.write_fmt(what).map_err(io::Error::other)
    }

    /// `code` with the number `n`; nothing for 0, which terminals take for 1.
    fn control(&self, n: usize, code: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(format_args!("\x1b[{n}{code}")) }
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        // A terminal without a size, such as that of a program which drives this one, reports 0.
        if columns == 0 { 80 } else { columns }
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.control(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.control(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.control(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.control(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let update = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        stderr::lock().write(&update);
        Ok(())
    }
}
