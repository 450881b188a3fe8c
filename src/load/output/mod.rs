//! What `load` shows: a progress line, tables, a page.

pub(crate) mod ending;
pub(crate) mod idle_probe;
pub(crate) mod live_line;
pub(crate) mod page;
pub(crate) mod search;
pub(crate) mod stages;
pub(crate) mod table;
pub(crate) mod wording;
