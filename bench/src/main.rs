//! `bench/run`: measures loopline and reference programs in alternation.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::Serialize;

use bench::Bench;
use report::Section;
use rows::{ROWS, Row};

mod bench;
mod kernel;
mod process;
mod programs;
mod report;
mod rows;
mod stats;
mod tools;
mod turns;

/// Measure loopline and reference programs, in alternation.
#[derive(Debug, Parser)]
#[command(name = "bench/run", after_help = rows::list())]
struct Arguments {
    /// Rows to measure, by name or prefix of a name [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Number of runs of each program
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Measured time of each run of a timed row, in seconds
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Writes everything that was measured to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Short runs with a tenth of the connections, to check that each row works; the values mean nothing
    #[arg(long)]
    quick: bool,
}

/// All results, for `--json`.
#[derive(Serialize)]
struct Results<'a> {
    date: String,
    machine: String,
    command: String,
    quick: bool,
    pairs: usize,
    seconds: f64,
    rows: &'a [Section],
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench/run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows. Returns whether all could be measured, regardless of the targets.
fn measure(arguments: &Arguments) -> Result<bool> {
    let rows = select(&arguments.rows)?;
    let bench = Bench::new(arguments.pairs, arguments.seconds, arguments.quick)?;
    let date = process::output("date".as_ref(), &["+%F %H:%M".into()], &bench.cores.driver)?;
    let command = std::env::args().skip(1).fold("bench/run".to_owned(), |line, word| line + " " + &word);
    let (date, machine) = (date.trim().to_owned(), kernel::machine());
    println!("date     {date}\nmachine  {machine}\ncommand  {command}");
    println!("pinned   servers on processor {}, drivers on {}\n", bench.cores.server, bench.cores.driver);
    if bench.quick {
        println!("--quick: a check that each row works; the values mean nothing\n");
    }
    let mut sections = Vec::new();
    for row in rows {
        let section = row.run(&bench);
        println!("{}", section.to_text());
        sections.push(section);
    }
    let (met, targets) =
        sections.iter().map(Section::targets).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let left_out: usize = sections.iter().map(|section| section.left_out.len()).sum();
    let failures: usize = sections.iter().map(|section| section.failures.len()).sum();
    println!("targets: {met} of {targets} met; left out: {left_out}; failed: {failures}");
    if let Some(path) = &arguments.json {
        let Bench { pairs, seconds, quick, .. } = bench;
        let results = Results { date, machine, command, quick, pairs, seconds, rows: &sections };
        std::fs::write(path, serde_json::to_string_pretty(&results)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(failures == 0)
}

fn select(names: &[String]) -> Result<Vec<&'static Row>> {
    for name in names {
        if !ROWS.iter().any(|row| row.name.starts_with(name.as_str())) {
            bail!("unknown row {name}\n\n{}", rows::list());
        }
    }
    // The whole name of a row selects only that row.
    let matches = |name: &String, row: &Row| {
        row.name == name
            || row.name.starts_with(name.as_str()) && !ROWS.iter().any(|other| other.name == name)
    };
    let is_selected = |row: &&Row| names.is_empty() || names.iter().any(|name| matches(name, row));
    Ok(ROWS.iter().filter(is_selected).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_by_a_prefix_of_their_names() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            select(&names).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        assert_eq!(names(&["udp", "storm"]).unwrap(), ["udp", "storm"]);
        assert_eq!(names(&["cpu-50x"]).unwrap(), ["cpu-50x16"]);
        assert_eq!(names(&["cpu-50"]).unwrap(), ["cpu-50"]);
        assert!(names(&["cpu"]).unwrap().len() == 4 && names(&["cpux"]).is_err());
    }
}
