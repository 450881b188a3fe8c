//! The result of `compare` for people: a table, a page, pictures.

pub(crate) mod page;
pub(crate) mod plots;
pub(crate) mod table;
