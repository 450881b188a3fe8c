//! A table. One that is wider than its place scrolls, with a hint above it that a style rule shows only then.

use crate::report::html::{element, of_text};

/// A table. The first column is the heading of a row, and stays in sight while the others scroll.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// The caption.
    pub title: &'a str,
    /// The columns.
    pub columns: Vec<Column<'a>>,
    /// The rows, with one cell for each column.
    pub rows: Vec<Vec<String>>,
    /// A note below the table.
    pub note: &'a str,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'a> {
    /// Numbers, aligned at the right.
    Numbers(&'a str),
    /// Text in lines.
    Text(&'a str),
    /// A word or two, in one line.
    Short(&'a str),
}

impl Column<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Numbers(name) | Self::Text(name) | Self::Short(name) => name,
        }
    }
}

/// The table as HTML.
pub(super) fn table(table: &Table<'_>) -> String {
    let head = |(index, column): (usize, &Column<'_>)| match column {
        Column::Numbers(_) if index > 0 => of_text("th scope=\"col\" class=\"number\"", column.name()),
        Column::Numbers(_) | Column::Text(_) | Column::Short(_) => of_text("th scope=\"col\"", column.name()),
    };
    let cell = |(index, (cell, column)): (usize, (&String, &Column<'_>))| match column {
        Column::Short(_) if index == 0 => of_text("th scope=\"row\" class=\"short\"", cell),
        _ if index == 0 => of_text("th scope=\"row\"", cell),
        Column::Numbers(_) => of_text("td class=\"number\"", cell),
        Column::Text(_) => of_text("td class=\"text\"", cell),
        Column::Short(_) => of_text("td class=\"short\"", cell),
    };
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().zip(&table.columns).enumerate().map(cell).collect();
        element("tr", &cells) + "\n"
    };
    let head =
        element("thead", &element("tr", &table.columns.iter().enumerate().map(head).collect::<String>()));
    let named = table.columns.iter().any(|column| !column.name().is_empty());
    let head = if named { head } else { String::new() };
    let rows = element("tbody", &table.rows.iter().map(row).collect::<String>());
    let whole = element("table", &(of_text("caption", table.title) + &head + &rows));
    let hint = element("p class=\"hint\" aria-hidden=\"true\"", &of_text("span", HINT));
    let wide = element("div class=\"wide\"", &(hint + &whole));
    // A scrolling element must be reachable by the keyboard.
    let scrolls = element("div class=\"scrolls\" tabindex=\"0\"", &wide);
    let note = if table.note.is_empty() { String::new() } else { of_text("p class=\"small\"", table.note) };
    element("div class=\"table\"", &(scrolls + &note))
}

/// Shown while a table is wider than its place.
const HINT: &str = "Scroll sideways for more columns →";
