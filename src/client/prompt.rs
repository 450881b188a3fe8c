//! The prompt on a terminal: lines with editing, and a history that ends with the conversation.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal};

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{
    Behavior, Cmd, ConditionalEventHandler, Config, Editor, Event, EventContext, EventHandler, KeyEvent,
    Movement, RepeatCount,
};

use super::error::Failure;

/// Reads lines from the terminal of this process. It also draws there, so that standard output has nothing but
/// replies.
pub(super) struct Prompt(Editor<(), MemHistory>);

impl Prompt {
    /// `None` if standard input or standard error is no terminal, or the terminal cannot move its cursor.
    pub(super) fn open() -> Option<Self> {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        let moves_cursor = env::var("TERM").is_ok_and(|term| !UNSUPPORTED_TERMINALS.contains(&term.as_str()));
        if !is_terminal || !moves_cursor || File::open("/dev/tty").is_err() {
            return None;
        }
        let config = Config::builder()
            .behavior(Behavior::PreferTerm)
            .auto_add_history(true)
            // Each pasted line is a message, as it is from a pipe.
            .bracketed_paste(false)
            .build();
        let mut editor = Editor::with_history(config, MemHistory::new()).ok()?;
        let interrupt = EventHandler::Conditional(Box::new(DiscardLine));
        editor.bind_sequence(KeyEvent::ctrl('C'), interrupt);
        Some(Self(editor))
    }

    /// The next line; `None` after Ctrl-D or Ctrl-C at an empty one.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        match self.0.readline("> ") {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(Failure::Input(io::Error::other(error))),
        }
    }
}

/// Ctrl-C discards a line, as in a shell. At an empty line it interrupts, which is the default.
struct DiscardLine;

impl ConditionalEventHandler for DiscardLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// On these, `rustyline` does not edit lines, and would write the prompt to standard output.
const UNSUPPORTED_TERMINALS: [&str; 3] = ["dumb", "cons25", "emacs"];
