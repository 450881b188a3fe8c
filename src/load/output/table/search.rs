//! The table of a search.

use comfy_table::{CellAlignment, Row};

use super::{GREEN, RED, Style, table};
use crate::load::output::search::{answer, cells, certainty, columns, title};
use crate::load::search::result::SearchResult;

/// The result of a search: the answer, then all steps.
pub(crate) fn search(of: &SearchResult, colors: bool) -> String {
    let style = Style { width: None, colors };
    let color = if of.answer.is_some() { GREEN } else { RED };
    let mut head = vec![style.painted(&answer(of), color)];
    head.extend(certainty(of).map(|certainty| format!("certainty: {certainty}")));
    head.push(style.bold(&title(of)));
    let rows = of.steps.iter().enumerate().map(|(index, row)| Row::from(cells(of, index, row)));
    let mut table = table([Row::from(columns(of))].into_iter().chain(rows));
    for column in [0, 1, 3, 4, 5, 6, 7] {
        table
            .column_iter_mut()
            .skip(column)
            .take(1)
            .for_each(|it| it.set_cell_alignment(CellAlignment::Right));
    }
    format!("{}\n\n{}\n", head.join("\n"), style.headed(&table.trim_fmt()))
}
