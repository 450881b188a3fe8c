//! Results as text tables and as JSON.

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, presets};
use serde::Serialize;

use crate::stats::{Spread, ratios};

/// The result of one row.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) row: &'static str,
    pub(crate) about: &'static str,
    pub(crate) tables: Vec<Table>,
    /// Notes on the result.
    pub(crate) notes: Vec<String>,
    /// Parts that cannot be measured on this machine, with the reason.
    pub(crate) left_out: Vec<String>,
    /// Errors.
    pub(crate) failures: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) program: String,
    pub(crate) cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cell {
    #[serde(flatten)]
    pub(crate) spread: Spread,
    pub(crate) target: Option<Target>,
}

/// The target of a median.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Section {
    pub(crate) fn new(row: &'static str, about: &'static str) -> Self {
        Self { row, about, tables: vec![], notes: vec![], left_out: vec![], failures: vec![] }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The number of targets met, and of all targets.
    pub(crate) fn targets(&self) -> (usize, usize) {
        let cells = self.tables.iter().flat_map(|table| &table.lines).flat_map(|line| &line.cells);
        let met: Vec<bool> =
            cells.filter_map(|cell| Some(cell.target?.is_met_by(cell.spread.median))).collect();
        (met.iter().filter(|met| **met).count(), met.len())
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{}: {}\n", self.row, self.about);
        for table in &self.tables {
            text += &format!("\n{}\n{}\n", table.title, table.to_text());
        }
        for note in &self.notes {
            text += &format!("  {note}\n");
        }
        for what in &self.left_out {
            text += &format!("  LEFT OUT: {what}\n");
        }
        for what in &self.failures {
            text += &format!("  FAILED: {what}\n");
        }
        text
    }
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.into(), columns, lines: vec![] }
    }

    pub(crate) fn line(&mut self, program: impl Into<String>, cells: Vec<Cell>) {
        self.lines.push(Line { program: program.into(), cells });
    }

    fn to_text(&self) -> String {
        let mut grid = Grid::new();
        grid.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED)
            .set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header([String::new()].into_iter().chain(self.columns.iter().cloned()));
        for line in &self.lines {
            let cells = line.cells.iter().map(|cell| cell.to_text());
            grid.add_row([line.program.clone()].into_iter().chain(cells));
        }
        for column in grid.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        grid.trim_fmt()
    }
}

impl Cell {
    /// The spread of `runs`, of which there is at least one.
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Self {
        Self { spread: Spread::of(runs).expect("at least one run"), target: None }
    }

    /// The spread of the ratios of pairs of runs.
    pub(crate) fn of_ratios(dividends: &[f64], divisors: &[f64]) -> Self {
        Self::of(ratios(dividends, divisors))
    }

    /// Sets the target of the median.
    pub(crate) fn with_target(self, target: Option<Target>) -> Self {
        Self { target, ..self }
    }

    fn to_text(self) -> String {
        let Spread { median, lower_quartile, upper_quartile, runs } = self.spread;
        let mut text = number(median);
        if runs > 1 {
            text += &format!(" ({}–{})", number(lower_quartile), number(upper_quartile));
        }
        if let Some(target) = self.target {
            text +=
                &format!("\n{}: {}", target.to_text(), if target.is_met_by(median) { "yes" } else { "NO" });
        }
        text
    }
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn to_text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {}", number(bound)),
            Self::AtMost(bound) => format!("≤ {}", number(bound)),
        }
    }
}

/// Three significant digits, or all digits of the integer part, in groups of three.
fn number(value: f64) -> String {
    let digits_after = match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits_after$}");
    if digits_after > 0 {
        return text;
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    format!("{sign}{}", groups.join(","))
}

/// A count in groups of three digits.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn count(count: usize) -> String {
    if count < 100 { count.to_string() } else { number(count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.031_25, "0.031"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (32.04, "32.0"),
            (99.96, "100"),
            (1234.5, "1,234"),
            (1_000_000.0, "1,000,000"),
            (-0.5, "-0.500"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!([0, 50, 1000].map(count), ["0", "50", "1,000"]);
    }

    #[test]
    fn a_cell_shows_its_target_and_whether_it_is_met() {
        let cell = Cell::of([0.97, 0.96, 0.98, 0.5, 2.0]);
        assert_eq!(cell.to_text(), "0.970 (0.960–0.980)");
        assert_eq!(cell.with_target(Some(Target::AtLeast(1.0))).to_text(), "0.970 (0.960–0.980)\n≥ 1.00: NO");
        assert_eq!(Cell::of([2.0]).with_target(Some(Target::AtMost(2.02))).to_text(), "2.00\n≤ 2.02: yes");
    }

    #[test]
    fn targets_are_counted() {
        let mut section = Section::new("row", "about");
        let cell = |value, target| Cell::of([value]).with_target(target);
        let mut table = Table::new("table", &["first", "second", "third"]);
        let cells = vec![
            cell(1.0, Some(Target::AtLeast(1.0))),
            cell(1.1, Some(Target::AtMost(1.0))),
            cell(1.0, None),
        ];
        table.line("ours", cells);
        section.tables.push(table);
        assert_eq!(section.targets(), (1, 2));
        assert!(section.to_text().contains("≥ 1.00: yes") && section.to_text().contains("≤ 1.00: NO"));
    }
}
