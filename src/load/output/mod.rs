//! The result of `load` for people: a line each second, tables, a page.

pub(crate) mod live_line;
pub(crate) mod page;
pub(crate) mod table;
