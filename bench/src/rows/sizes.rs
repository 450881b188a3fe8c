//! `sizes`: size of the programs on disk, and memory at start.

use std::fs;

use anyhow::Result;

use crate::bench::Bench;
use crate::kernel::resident_bytes;
use crate::report::{Cell, Section, Table, Target};

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let minimal = bench.programs.build_minimal()?;
    #[expect(clippy::cast_precision_loss, reason = "programs are some megabytes")]
    let size = |path: &std::path::Path| fs::metadata(path).map(|metadata| metadata.len() as f64 / 1024.0);
    let (minimal_size, whole_size) = (size(&minimal)?, size(&bench.programs.loopline())?);

    let whole_server = bench.programs.ours();
    let mut minimal_server = whole_server.clone();
    minimal_server.command[0] = minimal.into();
    let mut resident = Vec::new();
    for program in [&minimal_server, &whole_server] {
        let server = bench.start(program)?;
        resident.push(Cell::of([resident_bytes(server.pid())? / 1024.0]));
    }
    let mut table = Table::new("linked dynamically", &["KiB on disk", "KiB resident at start"]);
    let target = Some(Target::AtMost(350.0));
    table.line("minimal build", vec![Cell::of([minimal_size]).with_target(target), resident[0]]);
    table.line("default build", vec![Cell::of([whole_size]), resident[1]]);
    section.tables.push(table);
    section.note("resident: VmRSS after the port is bound, including shared pages of the C library");
    Ok(())
}
