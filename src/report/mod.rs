//! Pages, plots, number formats and result files, shared by `load`, `compare` and `doctor`.

pub(crate) mod format;
pub(crate) mod html;
pub(crate) mod output_file;
pub(crate) mod page;
pub(crate) mod plot;
pub(crate) mod terminal;
