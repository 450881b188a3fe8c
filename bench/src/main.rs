//! `bench/run`: what loopline costs, beside references that are as good as they can be, measured in turn.

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

/// Measures what loopline costs, beside references that are as good as they can be, in turn in one run.
#[derive(Debug, Parser)]
#[command(name = "bench/run", after_help = rows::list())]
struct Arguments {
    /// What is measured: rows by the beginning of their names; all of them unless given
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// How often each program is measured, in turn with the others
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// How long each run of a timed row counts
    #[arg(long, default_value_t = 0.2)]
    seconds: f64,
    /// Writes everything that was measured to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Every row for a moment, with a tenth of the connections: shows that it works, the figures mean nothing
    #[arg(long)]
    quick: bool,
}

/// Everything that was measured, for `--json`.
#[derive(Serialize)]
struct Everything<'a> {
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

/// Whether everything could be measured, whatever came out.
fn measure(arguments: &Arguments) -> Result<bool> {
    let rows = chosen(&arguments.rows)?;
    let bench = Bench::new(arguments.pairs, arguments.seconds, arguments.quick)?;
    let date = process::output("date".as_ref(), &["+%F %H:%M".into()], &bench.cores.driver)?;
    let command = std::env::args().skip(1).fold("bench/run".to_owned(), |line, word| line + " " + &word);
    let (date, machine) = (date.trim().to_owned(), kernel::machine());
    println!("date     {date}\nmachine  {machine}\ncommand  {command}");
    println!("pinned   servers on processor {}, drivers on {}\n", bench.cores.server, bench.cores.driver);
    if bench.quick {
        println!("--quick: this shows that it works; the figures mean nothing\n");
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
        let everything = Everything { date, machine, command, quick, pairs, seconds, rows: &sections };
        std::fs::write(path, serde_json::to_string_pretty(&everything)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(failures == 0)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Row>> {
    for name in names {
        if !ROWS.iter().any(|row| row.name.starts_with(name.as_str())) {
            bail!("there is no row {name}\n\n{}", rows::list());
        }
    }
    // A whole name means that row alone, whatever else begins with it.
    let means = |name: &String, row: &Row| {
        row.name == name
            || row.name.starts_with(name.as_str()) && !ROWS.iter().any(|other| other.name == name)
    };
    let is_chosen = |row: &&Row| names.is_empty() || names.iter().any(|name| means(name, row));
    Ok(ROWS.iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_the_beginning_of_their_names() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            chosen(&names).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        assert_eq!(names(&["udp", "storm"]).unwrap(), ["udp", "storm"]);
        assert_eq!(names(&["cpu-50x"]).unwrap(), ["cpu-50x16"]);
        assert_eq!(names(&["cpu-50"]).unwrap(), ["cpu-50"]);
        assert!(names(&["cpu"]).unwrap().len() == 4 && names(&["cpux"]).is_err());
    }
}
