//! `memory`: the slope of anonymous memory by connections, each of which had one reply.

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::kernel::own_bytes;
use crate::programs::{OURS, Program};
use crate::report::{Cell, Section, Table, Target, count};
use crate::stats::slope;

const FEW: usize = 2000;

/// The largest number first; a smaller one is tried if a server fails, such as for lack of threads.
const MANY: [usize; 4] = [18_000, 15_000, 10_000, 4000];

pub(super) fn measure(bench: &Bench, section: &mut Section) -> Result<()> {
    let (programs, left_out) = bench.programs.message_servers();
    section.left_out.extend(left_out);
    let most = bench.scaled(MANY[0]);
    let title = format!("slope from {} to {} connections", count(bench.scaled(FEW)), count(most));
    let mut table = Table::new(title, &["bytes per connection"]);
    for program in &programs {
        let (bytes, reached) = bytes_per_connection(bench, program).with_context(|| program.name)?;
        let target = (program.name == OURS).then_some(Target::AtMost(32.0));
        table.line(program.name, vec![Cell::of([bytes]).with_target(target)]);
        if reached < most {
            section.note(format!(
                "{}: measured up to {} connections, more failed",
                program.name,
                count(reached)
            ));
        }
    }
    section.tables.push(table);
    section.note("without kernel memory: sockets, and 16 KiB of stack per thread");
    Ok(())
}

/// Bytes per connection, and the largest number of connections measured.
fn bytes_per_connection(bench: &Bench, program: &Program) -> Result<(f64, usize)> {
    let few = bench.scaled(FEW);
    let with_few = own_bytes_with(bench, program, few)?;
    let mut reached = Err(anyhow::anyhow!("nothing tried"));
    for many in MANY.map(|many| bench.scaled(many)) {
        reached = own_bytes_with(bench, program, many).map(|bytes| (bytes, many));
        if reached.is_ok() {
            break;
        }
    }
    let (with_many, many) = reached.context("no number of connections could be held")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok((slope((few as f64, with_few), (many as f64, with_many)), many))
}

/// The least of some runs. What a run has in addition, its turns have used and not its connections: a page of the
/// stack, of the run queue or of the replies, by how many connections were ready at a time.
fn own_bytes_with(bench: &Bench, program: &Program, connections: usize) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..bench.pairs.min(RUNS_MAX) {
        let server = bench.start(program)?;
        let _held = bench.hold(server.port, connections)?;
        least = least.min(own_bytes(server.pid())?);
    }
    Ok(least)
}

const RUNS_MAX: usize = 3;
