//! A self-contained HTML page for results, in light or dark colors.
//!
//! It has no script and loads nothing. Its parts are text, numbers and plots, never HTML from outside.

mod picture;
mod style;

pub(crate) use picture::picture;

use crate::report::html::{element, of_text, text};
use crate::report::plot::{COLORS, Plot, Stroke};

/// A page under construction, from the top down.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    body: String,
}

/// A highlighted number.
#[derive(Debug)]
pub(crate) struct Card {
    /// The name of the number.
    pub name: &'static str,
    /// The number, with its unit.
    pub value: String,
    /// A note in small letters.
    pub note: String,
}

/// A table. The first column is the heading of a row.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// The caption.
    pub title: &'a str,
    /// The columns.
    pub columns: &'a [Column<'a>],
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
    /// Text.
    Text(&'a str),
}

impl Column<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Numbers(name) | Self::Text(name) => name,
        }
    }
}

/// The meaning of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The results are reliable.
    Good,
    /// The results are misleading without this note.
    Warning,
}

impl Page {
    /// A page with a heading and a subtitle.
    #[must_use]
    pub(crate) fn new(title: &str, subtitle: &str) -> Self {
        let heading = of_text("h1", title) + &of_text("p class=\"subtitle\"", subtitle);
        Self { title: title.into(), body: element("header", &heading) }
    }

    /// A box with a summary in bold and the reason for it.
    pub(crate) fn note(&mut self, tone: Tone, summary: &str, reason: &str) {
        let start = match tone {
            Tone::Good => "p class=\"note good\"",
            Tone::Warning => "p class=\"note warning\" role=\"alert\"",
        };
        self.push(&element(start, &format!("{} {}", of_text("strong", summary), text(reason))));
    }

    /// Highlighted numbers, side by side.
    pub(crate) fn cards(&mut self, cards: &[Card]) {
        let card = |card: &Card| {
            let value = of_text("dd class=\"value\"", &card.value);
            let note = of_text("dd class=\"small\"", &card.note);
            element("div", &(of_text("dt", card.name) + &value + &note))
        };
        self.push(&element("dl class=\"cards\"", &cards.iter().map(card).collect::<String>()));
    }

    /// A heading, and a paragraph below it.
    pub(crate) fn section(&mut self, heading: &str, explanation: &str) {
        self.push(&of_text("h2", heading));
        self.paragraph(explanation);
    }

    /// A paragraph, unless it is empty.
    pub(crate) fn paragraph(&mut self, content: &str) {
        if !content.is_empty() {
            self.push(&of_text("p class=\"prose\"", content));
        }
    }

    /// Plots side by side, each with a note.
    pub(crate) fn plots(&mut self, plots: &[(Plot, &str)]) {
        let figures: Vec<_> = plots.iter().map(|(plot, note)| figure(plot, note)).collect();
        self.push(&element("div class=\"pair\"", &figures.join("\n")));
    }

    /// A table as wide as the page; a wider one scrolls.
    pub(crate) fn table(&mut self, of: &Table<'_>) {
        self.push(&table(of));
    }

    /// Tables side by side.
    pub(crate) fn tables(&mut self, tables: &[Table<'_>]) {
        self.push(&element("div class=\"pair\"", &tables.iter().map(table).collect::<String>()));
    }

    /// The whole page, with `footer` at its end.
    #[must_use]
    pub(crate) fn finish(mut self, footer: &str) -> String {
        self.push(&of_text("footer", footer));
        let head = format!(
            "<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             {}\n{}\n",
            of_text("title", &self.title),
            element("style", style::CSS)
        );
        let body = element("body", &element("main", &self.body));
        format!("<!doctype html>\n<html lang=\"en\">\n{}\n{body}\n</html>\n", element("head", &head))
    }

    fn push(&mut self, html: &str) {
        self.body.push('\n');
        self.body.push_str(html);
    }
}

fn table(table: &Table<'_>) -> String {
    let head = |column: &Column<'_>| match column {
        Column::Numbers(name) => of_text("th scope=\"col\" class=\"number\"", name),
        Column::Text(name) => of_text("th scope=\"col\"", name),
    };
    let cell = |(index, (cell, column)): (usize, (&String, &Column<'_>))| match column {
        _ if index == 0 => of_text("th scope=\"row\"", cell),
        Column::Numbers(_) => of_text("td class=\"number\"", cell),
        Column::Text(_) => of_text("td class=\"text\"", cell),
    };
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().zip(table.columns).enumerate().map(cell).collect();
        element("tr", &cells) + "\n"
    };
    let head = element("thead", &element("tr", &table.columns.iter().map(head).collect::<String>()));
    let named = table.columns.iter().any(|column| !column.name().is_empty());
    let head = if named { head } else { String::new() };
    let rows = element("tbody", &table.rows.iter().map(row).collect::<String>());
    let whole = element("table", &(of_text("caption", table.title) + &head + &rows));
    // A scrolling element must be reachable by the keyboard.
    let scrolls = element("div class=\"scrolls\" tabindex=\"0\"", &whole);
    let note = if table.note.is_empty() { String::new() } else { of_text("p class=\"small\"", table.note) };
    element("div class=\"table\"", &(scrolls + &note))
}

/// A plot with its title, its legend and a note.
fn figure(plot: &Plot, note: &str) -> String {
    let entry = |(number, name, stroke): (usize, &str, Stroke)| {
        let start = if stroke == Stroke::Dashed { "span class=\"key dashed\"" } else { "span class=\"key\"" };
        let key = format!("{start} style=\"--key: var(--series-{})\"", number % COLORS + 1);
        element("li", &(element(&key, "") + &text(name)))
    };
    let series = plot.series.iter().enumerate();
    let entries: String = series.map(|(n, series)| entry((n, &series.name, series.stroke))).collect();
    let legend = element("ul class=\"legend\"", &entries);
    let note = if note.is_empty() { String::new() } else { of_text("p class=\"small\"", note) };
    element("figure", &(of_text("figcaption", &plot.title) + "\n" + &legend + &plot.svg() + &note))
}

/// Writes `page` as `name` into the folder `LOOPLINE_SAMPLE_PAGES`, if that is set, for a check in a browser.
#[cfg(test)]
pub(crate) fn write_sample(name: &str, page: &str) {
    if let Ok(folder) = std::env::var("LOOPLINE_SAMPLE_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join(name), page).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format;
    use crate::report::html::mismatched_tag;
    use crate::report::plot::{Axis, Point, Scale, Series};

    fn page() -> String {
        let mut page = Page::new("a <title>", "below & beside");
        page.note(Tone::Warning, "Not \"valid\".", "<script>alert(1)</script>");
        page.cards(&[Card { name: "rate", value: "1 < 2".into(), note: "'".into() }]);
        page.section("Plots", "");
        let y = Axis { label: "y", scale: Scale::Linear, show: format::with_prefix };
        let series = vec![Series::new("<name>", [(0.0, Some(1.0)), (1.0, Some(2.0))])];
        page.plots(&[(Plot { title: "p".into(), x: Axis::time("x"), y, series }, "<note>")]);
        let columns = [Column::Text("what"), Column::Numbers("n<"), Column::Text("why")];
        let rows = vec![vec!["<td>".into(), "1".into(), "&amp;".into()]];
        page.table(&Table { title: "<caption>", columns: &columns, rows, note: "" });
        page.finish("<footer>")
    }

    #[test]
    fn what_is_shown_is_text() {
        let page = page();
        assert_eq!(mismatched_tag(&page), None);
        assert!(!page.contains("<script") && !page.contains("<name>") && !page.contains("<note>"), "{page}");
        assert!(page.contains("<th scope=\"row\">&lt;td&gt;</th>"), "{page}");
        assert!(page.contains("<td class=\"text\">&amp;amp;</td>"), "{page}");
    }

    /// What two servers do as connections grow: the other kind of plot.
    #[test]
    fn marks_with_error_bars_have_a_page_to_be_looked_at() {
        let server = |name: &str, falls: f64| {
            let rates = [1.0, 10.0, 100.0, 1_000.0, 10_000.0f64].map(|connections| {
                let y = 140_000.0 / (1.0 + 5.0 / connections + connections * falls);
                Point { x: connections, y: Some(y), spread: Some((y * 0.85, y * 1.1)) }
            });
            Series { name: name.into(), points: rates.to_vec(), stroke: Stroke::Marked }
        };
        let connections = Axis { label: "connections", scale: Scale::Log, show: format::with_prefix };
        let mut page = Page::new("two servers", "as connections grow");
        let plots = [Scale::Log, Scale::Linear].map(|scale| {
            let y = Axis { label: "messages a second", scale, show: format::with_prefix };
            let mut series = vec![server("loop", 1e-5), server("threads", 4e-4)];
            series[1].points.pop();
            (Plot { title: "Throughput".into(), x: connections, y, series }, "")
        });
        page.plots(&plots);
        let page = page.finish("");
        assert_eq!(page.matches("<circle").count(), 2 * (5 + 4));
        write_sample("servers.html", &page);
    }

    #[test]
    fn a_page_loads_nothing() {
        let page = page();
        for loads in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(loads), "{loads}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn every_color_of_a_plot_is_defined_in_light_and_in_dark() {
        for number in 1..=COLORS {
            assert_eq!(style::CSS.matches(&format!("--series-{number}:")).count(), 2);
        }
        for name in ["--plot-text:", "--plot-grid:", "--plot-axis:"] {
            assert_eq!(style::CSS.matches(name).count(), 2, "{name}");
        }
    }
}
