//! `memory`: the slope of own memory between few and many connections that have each been answered once.

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::kernel::own_bytes;
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::stats::slope;

const FEW: usize = 2000;

/// As many as there are descriptors for; a thread for each is too much for some machines.
const MANY: [usize; 4] = [18_000, 15_000, 10_000, 4000];

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let (programs, left_out) = bench.programs.message_servers();
    section.left_out.extend(left_out);
    let most = bench.many(MANY[0]);
    let title = format!("slope from {} to {} connections", count(bench.many(FEW)), count(most));
    let mut table = Table::new(title, &["bytes a connection"]);
    for program in &programs {
        let (bytes, reached) = a_connection(bench, program).with_context(|| program.name)?;
        let target = (program.name == OURS).then_some(Target::AtMost(32.0));
        table.line(program.name, vec![Cell::of([bytes]).should_be(target)]);
        if reached < most {
            section.note(format!("{}: up to {} connections only, more failed", program.name, count(reached)));
        }
    }
    section.tables.push(table);
    section.note("the kernel's memory is not in it: sockets, and 16 KiB of stack for each thread");
    Ok(())
}

/// Bytes of one more connection, and up to how many that was measured.
fn a_connection(bench: &Bench, program: &Program) -> Result<(f64, usize)> {
    let few = bench.many(FEW);
    let with_few = own_bytes_with(bench, program, few)?;
    let mut reached = Err(anyhow::anyhow!("no count was tried"));
    for many in MANY.map(|many| bench.many(many)) {
        reached = own_bytes_with(bench, program, many).map(|bytes| (bytes, many));
        if reached.is_ok() {
            break;
        }
    }
    let (with_many, many) = reached.context("no count of connections could be held")?;
    #[expect(clippy::cast_precision_loss, reason = "connections are some thousands")]
    Ok((slope((few as f64, with_few), (many as f64, with_many)), many))
}

fn own_bytes_with(bench: &Bench, program: &Program, connections: usize) -> Result<f64> {
    let server = bench.start(program)?;
    let _held = bench.hold(server.port, connections)?;
    own_bytes(server.pid())
}
