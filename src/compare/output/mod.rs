//! The result of `compare` for people: a table, a page, pictures.

pub(crate) mod page;
mod plots;
mod rows;
pub(crate) mod table;
