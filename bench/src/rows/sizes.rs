//! `sizes`: size of the programs on disk, and memory at start.

use std::fs;

use anyhow::Result;

use crate::bench::Bench;
use crate::kernel::resident_bytes;
use crate::report::{Cell, Section, Table, Target};

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let message_alone = bench.programs.build_message_alone()?;
    let minimal = bench.programs.build_minimal()?;
    #[expect(clippy::cast_precision_loss, reason = "programs are some megabytes")]
    let size = |path: &std::path::Path| fs::metadata(path).map(|metadata| metadata.len() as f64 / 1024.0);
    let sizes = [size(&message_alone)?, size(&minimal)?, size(&bench.programs.loopline())?];

    let whole_server = bench.programs.ours();
    let [mut message_server, mut minimal_server] = [(); 2].map(|()| whole_server.clone());
    message_server.command[0] = message_alone.into();
    minimal_server.command[0] = minimal.into();
    let mut resident = Vec::new();
    for program in [&message_server, &minimal_server, &whole_server] {
        let server = bench.start(program)?;
        resident.push(Cell::of([resident_bytes(server.pid())? / 1024.0]));
    }
    let mut table = Table::new("linked dynamically", &["KiB on disk", "KiB resident at start"]);
    let targets = [Some(Target::AtMost(300.0)), Some(Target::AtMost(350.0)), None];
    let names = ["minimal build, message alone", "minimal build", "default build"];
    for (index, name) in names.into_iter().enumerate() {
        table.line(name, vec![Cell::of([sizes[index]]).with_target(targets[index]), resident[index]]);
    }
    section.tables.push(table);
    section.note("resident: VmRSS after the port is bound, including shared pages of the C library");
    Ok(())
}
