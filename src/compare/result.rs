//! The result of a comparison, as `--json` writes it. Times are in microseconds, rates a second.

use std::fmt;

use serde::{Serialize, Serializer};

use super::cores::Split;
use super::options::Workload;
use crate::compare::analysis::scalability::Fit;
use crate::compare::analysis::statistics::Estimate;
use crate::compare::analysis::verdict::Verdict;
use crate::load::stats::invalid::InvalidReason;
use crate::load::stats::summary::LoadModel;
use crate::server::options::Model;

/// The result of `compare`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// The machine.
    pub machine: Machine,
    /// The options.
    pub settings: Settings,
    /// Runs planned.
    pub planned: usize,
    /// Runs completed.
    pub done: usize,
    /// Repeats skipped for lack of time, and open loops without a measured rate.
    #[serde(rename = "left_out")]
    pub skipped: usize,
    /// Whether a signal ended it early.
    pub interrupted: bool,
    /// Time of the whole comparison.
    #[serde(rename = "took_seconds")]
    pub elapsed_seconds: f64,
    /// The verdicts on each workload.
    pub verdicts: Vec<WorkloadVerdict>,
    /// The measurements of each scenario, for each model.
    pub cells: Vec<Cell>,
    /// Memory per connection.
    pub memory: Vec<Memory>,
    /// Memory of threads by the size of their stacks.
    pub stacks: Vec<Stack>,
    /// Latency at the same rates for both models.
    pub latency_by_rate: Vec<Cell>,
    /// Throughput against connections, by the universal scalability law.
    pub scalability: Vec<Scalability>,
}

/// The machine of the comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Machine {
    /// The name of its processors.
    pub processor: Option<String>,
    /// The processors that this process may use.
    pub processors: Option<usize>,
    /// Total memory.
    pub memory_bytes: Option<u64>,
    /// The kernel release.
    pub kernel: Option<String>,
}

/// The options of the comparison.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// The numbers of connections.
    pub connections: Vec<u32>,
    /// The measured time of each run.
    pub duration_seconds: f64,
    /// The time before it.
    pub warmup_seconds: f64,
    /// Runs of each model.
    pub repeats: u32,
    /// The processors of server and generator; `None` if there is only one processor.
    pub pinned: Option<Split>,
    /// Messages a second in the open loop, if given.
    pub rate: Option<u64>,
}

/// One model in one scenario. The values are medians over the runs that the server completed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    /// The workload.
    pub workload: Workload,
    /// The connections asked for.
    pub connections: u32,
    /// The server.
    pub model: Model,
    /// Whether messages were sent on schedule.
    pub load: LoadModel,
    /// Messages a second on the schedule.
    pub offered_rate: Option<u64>,
    /// Messages acknowledged a second.
    pub rate: Option<Estimate>,
    /// Processor time of the server per message.
    pub cpu_us_per_message: Option<Estimate>,
    /// Median response time.
    pub p50_us: Option<Estimate>,
    /// 99th percentile.
    pub p99_us: Option<Estimate>,
    /// 99.9th percentile.
    pub p99_9_us: Option<Estimate>,
    /// Memory of the server with all connections open (`RssAnon`).
    pub user_bytes: Option<Estimate>,
    /// Growth of kernel stacks.
    pub kernel_stack_bytes: Option<Estimate>,
    /// Growth of slab memory of the kernel: the sockets of both ends, and other activity of the machine.
    pub slab_bytes: Option<Estimate>,
    /// Threads of the server.
    pub threads: Option<Estimate>,
    /// Voluntary context switches a second: a thread waited.
    pub voluntary_switches: Option<Estimate>,
    /// Involuntary context switches a second: a thread was preempted.
    pub involuntary_switches: Option<Estimate>,
    /// Connections open at the end, in the median run; with a connection per message, all that were opened.
    pub opened: Option<f64>,
    /// Messages that failed or were not answered, in all runs.
    pub failed: u64,
    /// The limit that kept the model from more connections.
    pub limited_by: Option<String>,
    /// The load generator.
    pub generator: Generator,
    /// Reasons to distrust the values.
    pub marks: Vec<Mark>,
}

/// A reason to distrust a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mark {
    /// A server ended before its run did; how.
    ServerEnded(String),
    /// The generator was the limit in most runs.
    GeneratorLimited(InvalidReason),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerEnded(how) => f.write_str(how),
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
pub(crate) struct Generator {
    /// Share of the time in which it was busy, 0 to 1.
    pub busy: Option<f64>,
    /// Its processor time in a run, in seconds.
    pub cpu_seconds: Option<f64>,
    /// How late messages were sent, 99th percentile.
    pub lag_p99_us: Option<f64>,
    /// Whether the generator was the limit in most runs.
    pub was_the_limit: bool,
    /// The reason in the first of these runs.
    pub why: Option<InvalidReason>,
}

/// The verdicts on a workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WorkloadVerdict {
    /// The workload.
    pub workload: Workload,
    /// Which model handles more messages a second, in a sentence.
    pub sentence: String,
    /// The number of connections at which one model overtakes the other in messages a second, if there is one.
    pub crossover: Option<f64>,
    /// Which model needs less CPU time a message, in a sentence.
    pub cost: Option<String>,
    /// The verdicts in each measure, by number of connections.
    pub by_connections: Vec<Verdict>,
}

/// Memory per connection, in bytes: the slope over the numbers of connections.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    /// The server.
    pub model: Model,
    /// Memory of the server, after messages were sent.
    pub user_bytes: Option<f64>,
    /// Kernel stacks.
    pub kernel_stack_bytes: Option<f64>,
    /// Slab memory of the kernel: the sockets of both ends.
    pub slab_bytes: Option<f64>,
}

/// Threads with one size of stack.
#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_field_names, reason = "the name of the JSON key")]
pub(crate) struct Stack {
    /// The size of the stack.
    pub stack_bytes: usize,
    /// Connections.
    pub connections: u32,
    /// Memory of the server per connection.
    pub user_bytes_per_connection: Option<f64>,
    /// Messages a second.
    pub rate: Option<f64>,
    /// Reasons to distrust the values.
    pub marks: Vec<Mark>,
}

/// The throughput of a model by connections.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Scalability {
    /// The server.
    pub model: Model,
    /// The fit, if there are enough points.
    pub fit: Option<Fit>,
    /// The fit in a sentence, or why there is none.
    pub sentence: String,
}
