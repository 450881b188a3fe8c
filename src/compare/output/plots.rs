//! The plots of a comparison, each with the name of its file.

use crate::compare::analysis::findings::pairs;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::options::Workload;
use crate::compare::plan::{MODELS, model_name};
use crate::compare::result::{Cell, Comparison};
use crate::load::stats::summary::LoadModel;
use crate::report::format::{connections, time_us, with_prefix};
use crate::report::plot::{Axis, Plot, Point, Scale, Series, Stroke};
use crate::server::options::Model;

/// A plot, a note below it, and the name of its file.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) plot: Plot,
    pub(crate) note: &'static str,
}

/// The plots of a workload.
pub(crate) fn of_workload(workload: Workload, comparison: &Comparison) -> Vec<Figure> {
    let cells = &comparison.cells;
    let closed = pairs(workload, LoadModel::Closed, cells);
    let open = pairs(workload, LoadModel::Open, cells);
    let title = |what: &str| format!("{what}, {}", workload.description());
    let name = |what: &str| format!("{}-{what}", workload.name());
    let rate = against_connections(title("Throughput"), RATE, &closed, |cell| cell.rate);
    let cpu = against_connections(title("Processor time per message"), TIME, &closed, |cell| {
        cell.cpu_us_per_message
    });
    let mut figures = vec![
        Figure { name: name("throughput"), plot: rate, note: "In the closed loop." },
        Figure { name: name("cpu"), plot: cpu, note: "Of the server, in the closed loop." },
    ];
    let p99 = against_connections(title("p99 of response times"), TIME, &closed, |cell| cell.p99_us);
    let note = "In the closed loop: the more connections, the longer each one waits.";
    figures.push(Figure { name: name("p99-closed"), plot: p99, note });
    if !open.is_empty() {
        let p99 = against_connections(title("p99 at the same rate"), TIME, &open, |cell| cell.p99_us);
        let note =
            "In the open loop, at the same rate for both models: half that of the slower model, or --rate.";
        figures.push(Figure { name: name("p99-open"), plot: p99, note });
    }
    figures
}

/// The plots of memory, threads and scalability, with all connections active.
pub(crate) fn of_all(comparison: &Comparison) -> Vec<Figure> {
    let closed = pairs(Workload::AllActive, LoadModel::Closed, &comparison.cells);
    let memory = |title: &str, pick| against_connections(title.into(), BYTES, &closed, pick);
    let mut figures = Vec::new();
    if !closed.is_empty() {
        figures.push(Figure {
            name: "memory".into(),
            plot: memory("Memory of the server", |cell| cell.user_bytes),
            note: "Anonymous memory (RssAnon), with all connections open and used.",
        });
        figures.push(Figure {
            name: "kernel-stacks".into(),
            plot: memory("Kernel stacks", |cell| cell.kernel_stack_bytes),
            note: "Growth while connections were opened, in the whole machine.",
        });
        figures.push(Figure {
            name: "threads".into(),
            plot: against_connections("Threads of the server".into(), COUNT, &closed, |cell| cell.threads),
            note: "",
        });
        figures.push(Figure {
            name: "switches".into(),
            plot: against_connections("Context switches".into(), A_SECOND, &closed, |cell| {
                cell.voluntary_switches
            }),
            note: "Voluntary switches a second.",
        });
        figures.push(Figure {
            name: "scalability".into(),
            plot: scalability(comparison),
            note: "Marks: measured. Dashed line: the fitted law.",
        });
    }
    if !comparison.latency_by_rate.is_empty() {
        figures.push(Figure {
            name: "latency-by-rate".into(),
            plot: latency_by_rate(&comparison.latency_by_rate),
            note: "In the open loop, from the time a message was due.",
        });
    }
    figures
}

fn against_connections(
    title: String,
    y: Axis,
    pairs: &[(u32, [Option<&Cell>; 2])],
    pick: fn(&Cell) -> Option<Estimate>,
) -> Plot {
    let line = |side: usize| {
        let points = pairs.iter().map(|(connections, sides)| {
            let estimate = sides[side].and_then(pick).filter(|estimate| estimate.median > 0.0);
            point(f64::from(*connections), estimate)
        });
        Series { name: model_name(MODELS[side]).into(), points: points.collect(), stroke: Stroke::Marked }
    };
    Plot { title, x: CONNECTIONS, y, series: vec![line(0), line(1)] }
}

fn point(x: f64, estimate: Option<Estimate>) -> Point {
    let spread = estimate.map(|it| (it.low, it.high)).filter(|(low, high)| *low > 0.0 && low < high);
    Point { x, y: estimate.map(|it| it.median), spread }
}

fn scalability(comparison: &Comparison) -> Plot {
    let measured = pairs(Workload::AllActive, LoadModel::Closed, &comparison.cells);
    let mut plot = against_connections("Scalability".into(), RATE, &measured, |cell| cell.rate);
    let most = measured.iter().map(|(connections, _)| *connections).max().unwrap_or(1);
    for it in &comparison.scalability {
        let Some(fit) = it.fit.filter(crate::compare::analysis::scalability::Fit::is_good) else { continue };
        let points = (0..=STEPS).map(|step| {
            let n = f64::from(most).powf(f64::from(step) / f64::from(STEPS));
            (n, Some(fit.at(n)))
        });
        plot.series
            .push(Series::new(&format!("{}, fitted", model_name(it.model)), points).drawn(Stroke::Dashed));
    }
    plot
}

fn latency_by_rate(cells: &[Cell]) -> Plot {
    let line = |model: Model, percentile: &str, pick: fn(&Cell) -> Option<Estimate>, stroke| {
        let of_model = cells.iter().filter(|cell| cell.model == model);
        #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
        let points = of_model.filter_map(|cell| Some(point(cell.offered_rate? as f64, pick(cell))));
        Series { name: format!("{}, {percentile}", model_name(model)), points: points.collect(), stroke }
    };
    let [by_loop, by_threads] = MODELS;
    let n = cells.first().map_or(0, |cell| cell.connections);
    Plot {
        title: format!("Latency by rate, {}", connections(n.into())),
        x: Axis { label: "messages a second", scale: Scale::Linear, show: with_prefix },
        y: TIME,
        series: vec![
            line(by_loop, "p99", |cell| cell.p99_us, Stroke::Marked),
            line(by_threads, "p99", |cell| cell.p99_us, Stroke::Marked),
            line(by_loop, "p50", |cell| cell.p50_us, Stroke::Dashed),
            line(by_threads, "p50", |cell| cell.p50_us, Stroke::Dashed),
        ],
    }
}

/// Points of the curve of a law.
const STEPS: u32 = 60;

const CONNECTIONS: Axis = Axis { label: "connections", scale: Scale::Log, show: with_prefix };
const RATE: Axis = Axis { label: "messages a second", scale: Scale::Log, show: with_prefix };
const TIME: Axis = Axis { label: "time", scale: Scale::Log, show: time_us };
const BYTES: Axis = Axis { label: "bytes", scale: Scale::Log, show: in_bytes };
const COUNT: Axis = Axis { label: "threads", scale: Scale::Log, show: with_prefix };
const A_SECOND: Axis = Axis { label: "a second", scale: Scale::Log, show: with_prefix };

/// Ticks are at powers of ten, so their units are decimal.
fn in_bytes(number: f64) -> String {
    let number = with_prefix(number);
    if number.ends_with(|last: char| last.is_ascii_digit()) { number + " B" } else { number + "B" }
}
