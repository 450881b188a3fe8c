//! A plot on a page: title, legend, drawing, note.

use crate::report::html::{element, of_text, text};
use crate::report::plot::{KEY_SIZE, Plot, Series, key};

/// `plot` as HTML, with `note` below it, each line of which is a paragraph.
pub(super) fn figure(plot: &Plot, note: &str) -> String {
    let entry = |(number, series): (usize, &Series)| {
        let (width, height) = KEY_SIZE;
        let start = format!("svg class=\"key\" viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\"");
        element("li", &(element(&start, &key(plot, number)) + &text(&series.name)))
    };
    let legend = element("ul class=\"legend\"", &plot.drawn().map(entry).collect::<String>());
    let note: String = note.lines().map(|line| of_text("p class=\"small\"", line)).collect();
    let drawing = element("div class=\"drawing\"", &plot.svg());
    element("figure", &(of_text("figcaption", &plot.title) + "\n" + &legend + &drawing + &note))
}
