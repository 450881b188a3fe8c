//! A page that shows results: one file of HTML with everything in it, light or dark as its reader likes.
//!
//! It needs no script and loads nothing. What is put into it is text, numbers and plots, never HTML.

mod picture;
mod style;

pub(crate) use picture::picture;

use crate::report::html::{element, of_text, text};
use crate::report::plot::{COLOURS, Plot, Stroke};

/// A page as it grows, from the top down.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    body: String,
}

/// A number that stands out.
#[derive(Debug)]
pub(crate) struct Card {
    /// What it is.
    pub name: &'static str,
    /// The number, with its unit.
    pub value: String,
    /// What to know with it, in small letters.
    pub note: String,
}

/// A table. The first column says what a row is, the others are numbers unless they are [`Column::Text`].
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// What it shows.
    pub title: &'a str,
    /// Its columns.
    pub columns: &'a [Column<'a>],
    /// Its rows, as many cells in each as there are columns.
    pub rows: Vec<Vec<String>>,
    /// What to know with it.
    pub note: &'a str,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'a> {
    /// Numbers, with the digits of one row under those of another.
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

/// How a note is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Who reads on without this is misled.
    Warning,
}

impl Page {
    /// A page with a heading, and a line below it.
    #[must_use]
    pub(crate) fn new(title: &str, subtitle: &str) -> Self {
        let heading = of_text("h1", title) + &of_text("p class=\"subtitle\"", subtitle);
        Self { title: title.into(), body: element("header", &heading) }
    }

    /// A box with a verdict in bold and the reason for it.
    pub(crate) fn note(&mut self, tone: Tone, verdict: &str, reason: &str) {
        let start = match tone {
            Tone::Good => "p class=\"note good\"",
            Tone::Warning => "p class=\"note warning\" role=\"alert\"",
        };
        self.push(&element(start, &format!("{} {}", of_text("strong", verdict), text(reason))));
    }

    /// Numbers that stand out, side by side.
    pub(crate) fn cards(&mut self, cards: &[Card]) {
        let card = |card: &Card| {
            let value = of_text("dd class=\"value\"", &card.value);
            let note = of_text("dd class=\"small\"", &card.note);
            element("div", &(of_text("dt", card.name) + &value + &note))
        };
        self.push(&element("dl class=\"cards\"", &cards.iter().map(card).collect::<String>()));
    }

    /// A heading, and what is below it in a paragraph.
    pub(crate) fn section(&mut self, heading: &str, explanation: &str) {
        self.push(&of_text("h2", heading));
        self.paragraph(explanation);
    }

    /// A paragraph, if there is anything in it.
    pub(crate) fn paragraph(&mut self, words: &str) {
        if !words.is_empty() {
            self.push(&of_text("p class=\"prose\"", words));
        }
    }

    /// Plots side by side, each with what there is to know with it.
    pub(crate) fn plots(&mut self, plots: &[(Plot, &str)]) {
        let figures: Vec<_> = plots.iter().map(|(plot, note)| figure(plot, note)).collect();
        self.push(&element("div class=\"pair\"", &figures.join("\n")));
    }

    /// A table as wide as the page. It scrolls by itself where it is wider.
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
    let cell = |(place, (cell, column)): (usize, (&String, &Column<'_>))| match column {
        _ if place == 0 => of_text("th scope=\"row\"", cell),
        Column::Numbers(_) => of_text("td class=\"number\"", cell),
        Column::Text(_) => of_text("td class=\"words\"", cell),
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
    // What scrolls is reached by the keyboard.
    let scrolls = element("div class=\"scrolls\" tabindex=\"0\"", &whole);
    let note = if table.note.is_empty() { String::new() } else { of_text("p class=\"small\"", table.note) };
    element("div class=\"table\"", &(scrolls + &note))
}

/// A plot with its title above, and below it the legend and what there is to know.
fn figure(plot: &Plot, note: &str) -> String {
    let entry = |(number, name, stroke): (usize, &str, Stroke)| {
        let start = if stroke == Stroke::Dashed { "span class=\"key dashed\"" } else { "span class=\"key\"" };
        let key = format!("{start} style=\"--key: var(--series-{})\"", number % COLOURS + 1);
        element("li", &(element(&key, "") + &text(name)))
    };
    let series = plot.series.iter().enumerate();
    let entries: String = series.map(|(n, series)| entry((n, &series.name, series.stroke))).collect();
    let legend = element("ul class=\"legend\"", &entries);
    let note = if note.is_empty() { String::new() } else { of_text("p class=\"small\"", note) };
    element("figure", &(of_text("figcaption", &plot.title) + "\n" + &legend + &plot.svg() + &note))
}

/// Leaves `page` to be looked at: as `name` in the folder that `LOOPLINE_SAMPLE_PAGES` names, if it names one.
#[cfg(test)]
pub(crate) fn leave(name: &str, page: &str) {
    if let Ok(folder) = std::env::var("LOOPLINE_SAMPLE_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join(name), page).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format;
    use crate::report::html::unbalanced;
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
        assert_eq!(unbalanced(&page), None);
        assert!(!page.contains("<script") && !page.contains("<name>") && !page.contains("<note>"), "{page}");
        assert!(page.contains("<th scope=\"row\">&lt;td&gt;</th>"), "{page}");
        assert!(page.contains("<td class=\"words\">&amp;amp;</td>"), "{page}");
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
        leave("servers.html", &page);
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
    fn every_colour_of_a_plot_is_defined_in_light_and_in_dark() {
        for number in 1..=COLOURS {
            assert_eq!(style::CSS.matches(&format!("--series-{number}:")).count(), 2);
        }
        for name in ["--plot-text:", "--plot-grid:", "--plot-axis:"] {
            assert_eq!(style::CSS.matches(name).count(), 2, "{name}");
        }
    }
}
