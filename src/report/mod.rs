//! Records, pages, plots, number formats and result files, shared by `load`, `compare` and `doctor`.

pub(crate) mod format;
pub(crate) mod html;
pub(crate) mod output_file;
pub(crate) mod page;
pub(crate) mod plot;
pub(crate) mod record;
pub(crate) mod run_info;
pub(crate) mod terminal;
pub(crate) mod utc_time;
