//! Whether text may be coloured.

use std::env;
use std::io::IsTerminal;

/// Whether `stream` is a terminal that knows colours, and nobody has asked for none.
pub(crate) fn are_wanted(stream: &impl IsTerminal) -> bool {
    let is_unset = |name: &str| env::var_os(name).is_none_or(|it| it.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|it| it == "dumb");
    stream.is_terminal() && is_unset("NO_COLOR") && !is_dumb
}
