//! What pages, tables and result files are made of; `load`, `compare` and `doctor` share it.

pub(crate) mod color;
pub(crate) mod format;
pub(crate) mod html;
pub(crate) mod output_file;
pub(crate) mod page;
pub(crate) mod plot;
pub(crate) mod stderr;
