//! The result of a comparison, as `--json` writes it. Times are in microseconds, rates a second.

use std::fmt;

use serde::{Serialize, Serializer};

use super::cores::Split;
use super::options::Workload;
use super::quietness::Quietness;
use super::runner::SkipReason;
use crate::compare::analysis::baseline::{CellRuns, Changes};
use crate::compare::analysis::scalability::Fit;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::analysis::verdict::Verdict;
use crate::compare::server::{MODELS, Server};
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::LoadModel;
use crate::report::format;

/// The result of `compare`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Comparison {
    /// The machine of the comparison.
    pub machine: Machine,
    /// How quiet it was before the first run, and what that allows.
    pub quietness: Quietness,
    /// The options as they were applied.
    pub settings: Settings,
    /// Number of runs planned.
    pub planned: usize,
    /// Number of runs completed.
    pub done: usize,
    /// Number of runs skipped: for lack of time, and open loops without a measured rate.
    #[serde(rename = "left_out")]
    pub skipped: usize,
    /// Number of pairs of runs that were added because a verdict was not decided.
    pub more_pairs: usize,
    /// Scenarios without a run of each server.
    pub not_measured: Vec<NotMeasured>,
    /// Whether a signal ended the comparison early.
    pub interrupted: bool,
    /// Time of the whole comparison, in seconds.
    #[serde(rename = "took_seconds")]
    pub elapsed_seconds: f64,
    /// The verdicts on each workload.
    pub verdicts: Vec<WorkloadVerdict>,
    /// The measurements of each scenario, for each model.
    #[cfg_attr(test, schemars(extend("items" = of_models("Cell"))))]
    pub cells: Vec<Cell>,
    /// Memory per connection, in bytes: the slope over the numbers of connections.
    #[cfg_attr(test, schemars(extend("items" = of_models("Memory"))))]
    pub memory: Vec<Memory>,
    /// Memory of threads by the size of their stacks.
    pub stacks: Vec<Stack>,
    /// The measurements at the same rates for both models.
    #[cfg_attr(test, schemars(extend("items" = of_models("Cell"))))]
    pub latency_by_rate: Vec<Cell>,
    /// Throughput against connections, by the universal scalability law.
    #[cfg_attr(test, schemars(extend("items" = of_models("Scalability"))))]
    pub scalability: Vec<Scalability>,
    /// The servers of `--with`, in the order of the options.
    pub further: Vec<Further>,
    /// What has changed since the result of `--baseline`; null if not given.
    #[serde(rename = "baseline")]
    pub changes: Option<Changes>,
}

/// The schema of `definition` with one of both models.
#[cfg(test)]
fn of_models(definition: &str) -> serde_json::Value {
    let models = MODELS.map(Server::name);
    serde_json::json!({"$ref": format!("#/$defs/{definition}"), "properties": {"model": {"enum": models}}})
}

/// A server of `--with`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Further {
    /// Its name.
    pub name: Server,
    /// Its command.
    pub command: String,
    /// The verdicts on each workload: the loop and this server.
    pub verdicts: Vec<WorkloadVerdict>,
    /// The measurements of each scenario.
    pub cells: Vec<Cell>,
    /// Memory per connection, in bytes: the slope over the numbers of connections.
    pub memory: Memory,
    /// The measurements at the rates of `latency_by_rate`.
    pub latency_by_rate: Vec<Cell>,
    /// Throughput against connections, by the universal scalability law.
    pub scalability: Scalability,
}

/// A scenario without a run of each server.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NotMeasured {
    /// The workload.
    pub workload: Workload,
    /// The connections asked for.
    pub connections: u32,
    /// The scenario, in words.
    pub scenario: String,
    /// Why it was not measured.
    pub why: SkipReason,
}

/// The machine of the comparison.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Machine {
    /// Name of the processors; null if unknown.
    pub processor: Option<String>,
    /// Number of processors that this process may use; null if unknown.
    pub processors: Option<usize>,
    /// Total memory, in bytes; null if unknown.
    pub memory_bytes: Option<u64>,
    /// Release of the kernel; null if unknown.
    pub kernel: Option<String>,
}

/// The options of the comparison.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Settings {
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// Numbers of connections.
    pub connections: Vec<u32>,
    /// Measured time of each run, in seconds.
    pub duration_seconds: f64,
    /// Time before that in which messages were sent but not measured, in seconds.
    pub warmup_seconds: f64,
    /// Runs of each server in each scenario.
    pub repeats: u32,
    /// The processors of server and generator; null if there is only one processor.
    pub pinned: Option<Split>,
    /// Messages per second in the open loop; null if not given.
    pub rate: Option<u64>,
}

/// One server in one scenario. The values are medians over the runs that the server completed; those of messages, over
/// the runs with replies. A value that one of these runs lacks is null: medians of different runs could contradict each
/// other.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Cell {
    /// The workload.
    pub workload: Workload,
    /// Number of connections to open.
    pub connections: u32,
    /// The server: `loop`, `threads`, or in `further` its name.
    pub model: Server,
    /// When messages were sent.
    pub load: LoadModel,
    /// Messages due per second; null in a closed loop.
    pub offered_rate: Option<u64>,
    /// Messages acknowledged per second.
    pub rate: Option<Estimate>,
    /// CPU time of the server per message, in microseconds.
    pub cpu_us_per_message: Option<Estimate>,
    /// Median response time, in microseconds.
    pub p50_us: Option<Estimate>,
    /// 99th percentile of the response time, in microseconds.
    pub p99_us: Option<Estimate>,
    /// 99.9th percentile of the response time, in microseconds.
    pub p99_9_us: Option<Estimate>,
    /// Memory of the server with all connections open (`RssAnon`), in bytes.
    pub user_bytes: Option<Estimate>,
    /// Growth of kernel stacks, in bytes; null if it does not exceed the noise.
    pub kernel_stack_bytes: Option<Estimate>,
    /// Growth of slab memory of the kernel, in bytes: the sockets of both ends, and other activity of the machine; null
    /// if it does not exceed the noise.
    pub slab_bytes: Option<Estimate>,
    /// Number of threads of the server.
    pub threads: Option<Estimate>,
    /// Voluntary context switches of the server per second: a thread waited.
    pub voluntary_switches: Option<Estimate>,
    /// Involuntary context switches of the server per second: a thread was preempted.
    pub involuntary_switches: Option<Estimate>,
    /// Connections open at the end, in the median run; with a connection for each message, all that were opened.
    pub opened: Option<f64>,
    /// Messages that failed or were not answered, in all runs.
    pub failed: u64,
    /// The limit that kept the server from more connections; null if all were opened.
    pub limited_by: Option<String>,
    /// What each run measured.
    pub runs: CellRuns,
    /// The load generator in these runs.
    pub generator: Generator,
    /// Reasons to distrust the values, as sentences.
    pub marks: Vec<Mark>,
}

impl Comparison {
    /// All servers, in the order of the tables.
    pub(super) fn servers(&self) -> Vec<Server> {
        MODELS.into_iter().chain(self.further.iter().map(|it| it.name)).collect()
    }

    /// The cells of all servers.
    pub(super) fn cells_of_all(&self) -> Vec<&Cell> {
        self.cells.iter().chain(self.further.iter().flat_map(|it| &it.cells)).collect()
    }

    /// The cells of all servers at the same rates.
    pub(super) fn latency_of_all(&self) -> Vec<&Cell> {
        self.latency_by_rate.iter().chain(self.further.iter().flat_map(|it| &it.latency_by_rate)).collect()
    }

    /// Memory per connection of all servers.
    pub(super) fn memory_of_all(&self) -> impl Iterator<Item = &Memory> {
        self.memory.iter().chain(self.further.iter().map(|it| &it.memory))
    }

    /// The scalability of all servers.
    pub(super) fn scalability_of_all(&self) -> impl Iterator<Item = &Scalability> {
        self.scalability.iter().chain(self.further.iter().map(|it| &it.scalability))
    }

    /// Why the comparison failed, if it has measured nothing and was not interrupted.
    pub(crate) fn failure(&self) -> Option<String> {
        let is_empty = self.cells.iter().all(|cell| cell.rate.is_none());
        let why = || match self.cells.iter().find_map(|cell| cell.marks.first()) {
            Some(mark) => mark.to_string(),
            None => "the time limit allows no run".into(),
        };
        (is_empty && !self.interrupted).then(|| format!("nothing was measured: {}", why()))
    }
}

/// A reason to distrust a cell.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
pub(crate) enum Mark {
    /// The server of a run failed: it ended, closed its connections, or stopped replying; how.
    ServerFailed(String),
    /// In some of the runs, no message was answered.
    NoReplies {
        /// These runs.
        runs: usize,
        /// All runs.
        of: usize,
    },
    /// Connections that were lost in all runs together, after they were open.
    ConnectionsLost(u64),
    /// The generator was the limit in most runs.
    GeneratorLimited(InvalidReason),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerFailed(how) => f.write_str(how),
            Self::NoReplies { runs, of } => write!(f, "no message was answered in {runs} of {of} runs"),
            Self::ConnectionsLost(lost) => {
                let were = if *lost == 1 { "was" } else { "were" };
                write!(f, "{} {were} lost in runs that are not compared", format::connections(*lost))
            }
            Self::GeneratorLimited(why) => why.fmt(f),
        }
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether the generator was the limit.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Generator {
    /// Share of the time in which the generator was busy, 0 to 1.
    pub busy: Option<f64>,
    /// CPU time of the generator in a run, in seconds.
    pub cpu_seconds: Option<f64>,
    /// How late messages were sent, 99th percentile, in microseconds.
    pub lag_p99_us: Option<f64>,
    /// Whether the generator was the limit in most runs.
    pub was_the_limit: bool,
    /// Why, in the first of these runs, as a sentence; null if it was not the limit.
    pub why: Option<InvalidReason>,
}

/// The verdicts on a workload.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct WorkloadVerdict {
    /// The workload.
    pub workload: Workload,
    /// Which server handles more messages a second, in a sentence.
    pub sentence: String,
    /// The number of connections at which one server overtakes the other in messages a second, if there is one.
    pub crossover: Option<f64>,
    /// Which server needs less CPU time a message, in a sentence.
    pub cost: Option<String>,
    /// The verdicts in each measure, by number of connections.
    pub by_connections: Vec<Verdict>,
}

/// Memory per connection, in bytes: the slope over the numbers of connections.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Memory {
    /// The server: `loop`, `threads`, or in `further` its name.
    pub model: Server,
    /// Memory of the server for a connection, after messages were sent, in bytes.
    pub user_bytes: Option<f64>,
    /// Kernel stacks for a connection, in bytes.
    pub kernel_stack_bytes: Option<f64>,
    /// Slab memory of the kernel for a connection, in bytes: the sockets of both ends.
    pub slab_bytes: Option<f64>,
}

/// Threads with one size of stack.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::struct_field_names, reason = "the name of the JSON key")]
pub(crate) struct Stack {
    /// Size of the stack of a thread, in bytes.
    pub stack_bytes: usize,
    /// Number of connections.
    pub connections: u32,
    /// Memory of the server for a connection, in bytes.
    pub user_bytes_per_connection: Option<f64>,
    /// Messages acknowledged per second.
    pub rate: Option<f64>,
    /// Reasons to distrust the values, as sentences.
    pub marks: Vec<Mark>,
}

/// The throughput of a server by connections.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Scalability {
    /// The server: `loop`, `threads`, or in `further` its name.
    pub model: Server,
    /// The parameters of the law; null if there are too few points.
    pub fit: Option<Fit>,
    /// The fit in a sentence, or why there is none.
    pub sentence: String,
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn a_comparison_without_a_completed_run_has_failed_unless_it_was_interrupted() {
        let mut it = fixtures::comparison();
        assert_eq!(it.failure(), None);
        for cell in &mut it.cells {
            (cell.rate, cell.marks) = (None, vec![Mark::ServerFailed("not ready after 10 s".into())]);
        }
        assert_eq!(it.failure().unwrap(), "nothing was measured: not ready after 10 s");
        it.cells.clear();
        assert_eq!(it.failure().unwrap(), "nothing was measured: the time limit allows no run");
        it.interrupted = true;
        assert_eq!(it.failure(), None);
    }
}
