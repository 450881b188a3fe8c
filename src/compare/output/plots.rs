//! The plots of a comparison, each with the name of its file.

use super::rows::in_bytes;
use crate::compare::analysis::findings::sides;
use crate::compare::analysis::scalability::Fit;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::analysis::verdict::Measure;
use crate::compare::options::Workload;
use crate::compare::result::{Cell, Comparison, WorkloadVerdict};
use crate::compare::server::Server;
use crate::load::stats::summary::LoadModel;
use crate::report::format::{connections, number, time_us};
use crate::report::plot::{Axis, Plot, Point, Scale, Series, Stroke};

/// A plot, a note below it, and the name of its file.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) plot: Plot,
    pub(crate) note: &'static str,
}

/// How many times better the loop is than each other server, for each workload: CPU time of a message, and rate.
pub(crate) fn verdicts(comparison: &Comparison) -> Vec<Figure> {
    let of_threads = verdicts_on("threads", "", &comparison.verdicts);
    let further = comparison.further.iter().flat_map(|further| {
        let name = further.name.name();
        verdicts_on(name, &format!("-{name}"), &further.verdicts)
    });
    of_threads.into_iter().chain(further).collect()
}

/// The same for the loop and `rival`. `suffix` is the end of the names of the files.
fn verdicts_on(rival: &str, suffix: &str, verdicts: &[WorkloadVerdict]) -> Vec<Figure> {
    let figure = |measure, name: &str, title: &str, label, note| {
        let of_workload = |verdict: &WorkloadVerdict| {
            let decided = verdict.by_connections.iter().filter(|it| it.measure == measure);
            let points = decided.map(|it| Point {
                x: it.connections.into(),
                y: Some(it.ratio),
                spread: Some((it.low, it.high)),
            });
            series(verdict.workload.name(), points.collect(), Stroke::Marked)
        };
        let lines = verdicts.iter().map(of_workload).collect();
        let mut plot = Plot::new(title, CONNECTIONS, Axis::new(label, Scale::Log, times), lines);
        plot.reference = Some(1.0);
        let ratios = || plot.series.iter().flat_map(|series| &series.points).filter_map(|point| point.y);
        let (low, high) = (ratios().fold(1.0, f64::min), ratios().fold(1.0, f64::max));
        plot.limits = Some((low / BEYOND, high * BEYOND));
        Figure { name: format!("{name}{suffix}"), plot, note }
    };
    let figures = vec![
        figure(
            Measure::CpuPerMessage,
            "verdict-cpu",
            &format!("CPU time of a message: {rival} ÷ loop"),
            "above 1, the loop needs less",
            "The ratio of runs beside each other, with its interval. Chance rarely explains a difference whose \
             interval does not reach 1. An interval without an end reaches further than the plot.",
        ),
        figure(
            Measure::Rate,
            "verdict-rate",
            &format!("Messages a second: loop ÷ {rival}"),
            "above 1, the loop handles more",
            "In the closed loop, as fast as replies arrive.",
        ),
    ];
    figures.into_iter().filter(|figure| figure.plot.drawn().next().is_some()).collect()
}

/// A ratio: `3.6 ×`, `1/20 ×`.
fn times(ratio: f64) -> String {
    match ratio {
        few if few < 1e-3 => "< 1/1,000 ×".into(),
        few if few < 0.1 => format!("1/{} ×", number(1.0 / few)),
        many if many > 1e3 => "> 1,000 ×".into(),
        other => number(other) + " ×",
    }
}

/// The plots of a workload, the most important first; none if nothing was measured.
pub(crate) fn of_workload(workload: Workload, comparison: &Comparison) -> Vec<Figure> {
    let (servers, cells) = (comparison.servers(), comparison.cells_of_all());
    let closed = sides(workload, LoadModel::Closed, &servers, &cells);
    let open = sides(workload, LoadModel::Open, &servers, &cells);
    let figure = |name: &str, title: &str, y, sides, pick, note| Figure {
        name: format!("{}-{name}", workload.name()),
        plot: against_connections(format!("{title}, {}", workload.description()), y, &servers, sides, pick),
        note,
    };
    if closed.is_empty() && open.is_empty() {
        return Vec::new();
    }
    let cpu_note = "Of the server, in the closed loop.";
    let closed_note = "In the closed loop: the more connections, the longer each one waits.";
    let mut figures = vec![
        figure("throughput", "Throughput", RATE, &closed, |cell| cell.rate, "In the closed loop."),
        figure("cpu", "Processor time per message", TIME, &closed, |cell| cell.cpu_us_per_message, cpu_note),
        figure("p99-closed", "p99 of response times", TIME, &closed, |cell| cell.p99_us, closed_note),
    ];
    if !open.is_empty() {
        let note = "In the open loop, at the same rate for all servers: half that of the slowest, or --rate.";
        figures.push(figure("p99-open", "p99 at the same rate", TIME, &open, |cell| cell.p99_us, note));
    }
    figures
}

/// The plots of memory, threads and scalability, with all connections active.
pub(crate) fn of_all(comparison: &Comparison) -> Vec<Figure> {
    let (servers, cells) = (comparison.servers(), comparison.cells_of_all());
    let closed = sides(Workload::AllActive, LoadModel::Closed, &servers, &cells);
    let figure = |name: &str, plot, note| Figure { name: name.into(), plot, note };
    let measured = |title: &str, y, pick| against_connections(title.into(), y, &servers, &closed, pick);
    let mut figures = Vec::new();
    if !closed.is_empty() {
        let memory = measured("Memory of the server", BYTES, |cell| cell.user_bytes);
        let stacks = measured("Kernel stacks", BYTES, |cell| cell.kernel_stack_bytes);
        let threads = measured("Threads of the server", COUNT, |cell| cell.threads);
        let switches = measured("Context switches", A_SECOND, |cell| cell.voluntary_switches);
        let scalability = scalability(comparison, &servers, &closed);
        figures.extend([
            figure("memory", memory, "Anonymous memory (RssAnon), with all connections open and used."),
            figure("kernel-stacks", stacks, "Growth while connections were opened, in the whole machine."),
            figure("threads", threads, ""),
            figure("switches", switches, "Voluntary switches a second."),
            figure("scalability", scalability, "Marks: measured. Dashed line: the fitted law."),
        ]);
    }
    let by_rate = comparison.latency_of_all();
    if !by_rate.is_empty() {
        let latency = latency_by_rate(&servers, &by_rate);
        let note = "In the open loop, from the time a message was due.";
        figures.push(figure("latency-by-rate", latency, note));
    }
    figures
}

/// The cells of each server by number of connections.
type Sides<'a> = [(u32, Vec<Option<&'a Cell>>)];

fn against_connections(
    title: String,
    y: Axis,
    servers: &[Server],
    measured: &Sides<'_>,
    pick: fn(&Cell) -> Option<Estimate>,
) -> Plot {
    let line = |(side, server): (usize, &Server)| {
        let points = measured.iter().map(|(connections, sides)| {
            let estimate = sides[side].and_then(pick).filter(|estimate| estimate.median > 0.0);
            point(f64::from(*connections), estimate)
        });
        series(server.name(), points.collect(), Stroke::Marked)
    };
    Plot::new(title, CONNECTIONS, y, servers.iter().enumerate().map(line).collect())
}

fn series(name: &str, points: Vec<Point>, stroke: Stroke) -> Series {
    Series { points, ..Series::new(name, []) }.drawn(stroke)
}

fn point(x: f64, estimate: Option<Estimate>) -> Point {
    let spread = estimate.map(|it| (it.low, it.high)).filter(|(low, high)| *low > 0.0 && low < high);
    Point { x, y: estimate.map(|it| it.median), spread }
}

fn scalability(comparison: &Comparison, servers: &[Server], measured: &Sides<'_>) -> Plot {
    let mut plot = against_connections("Scalability".into(), RATE, servers, measured, |cell| cell.rate);
    let most = measured.iter().map(|(connections, _)| *connections).max().unwrap_or(1);
    for (side, it) in comparison.scalability_of_all().enumerate() {
        let Some(fit) = it.fit.filter(Fit::is_good) else { continue };
        let points = (0..=STEPS).map(|step| {
            let n = f64::from(most).powf(f64::from(step) / f64::from(STEPS));
            (n, Some(fit.at(n)))
        });
        let name = format!("{}, fitted", it.model.name());
        plot.series.push(Series::new(&name, points).drawn(Stroke::Dashed).like(side));
    }
    plot
}

fn latency_by_rate(servers: &[Server], cells: &[&Cell]) -> Plot {
    let line = |server: Server, percentile: &str, pick: fn(&Cell) -> Option<Estimate>, stroke| {
        let of_server = cells.iter().filter(|cell| cell.model == server);
        #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
        let points = of_server.filter_map(|cell| Some(point(cell.offered_rate? as f64, pick(cell))));
        series(&format!("{}, {percentile}", server.name()), points.collect(), stroke)
    };
    let n = cells.first().map_or(0, |cell| cell.connections);
    let p99 = servers.iter().map(|server| line(*server, "p99", |cell| cell.p99_us, Stroke::Marked));
    let p50 = servers
        .iter()
        .enumerate()
        .map(|(side, server)| line(*server, "p50", |cell| cell.p50_us, Stroke::Dashed).like(side));
    let lines = p99.chain(p50).collect();
    let title = format!("Latency by rate, {}", connections(n.into()));
    Plot::new(title, Axis::numbers("messages a second", Scale::Linear), TIME, lines)
}

/// How far beyond the ratios the axis reaches for their intervals.
const BEYOND: f64 = 5.0;

/// Points of the curve of a law.
const STEPS: u32 = 60;

const CONNECTIONS: Axis = Axis::numbers("connections", Scale::Log);
const RATE: Axis = Axis::numbers("messages a second", Scale::Log);
const TIME: Axis = Axis::new("time", Scale::Log, time_us);
const BYTES: Axis = Axis::new("memory", Scale::Bytes, in_bytes);
const COUNT: Axis = Axis::numbers("threads", Scale::Log);
const A_SECOND: Axis = Axis::numbers("a second", Scale::Log);
