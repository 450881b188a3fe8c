//! The result of a comparison, as `--json` writes it. Times are in microseconds, rates a second.

use serde::Serialize;

use super::cores::Split;
use super::options::Workload;
use crate::compare::analysis::scalability::Fit;
use crate::compare::analysis::statistics::Estimate;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// Version of the program.
    pub loopline: &'static str,
    /// Where.
    pub machine: Machine,
    /// What was asked for.
    pub settings: Settings,
    /// Runs that were to be done.
    pub planned: usize,
    /// Of these, done.
    pub done: usize,
    /// Repeats that were left out, to be over in time, and open loops for whose rate nothing was measured.
    pub left_out: usize,
    /// Somebody has ended it early; what is here is what was done.
    pub interrupted: bool,
    /// Time that it took.
    pub took_seconds: f64,
    /// For each workload, what it comes to.
    pub verdicts: Vec<Verdict>,
    /// Every workload with every number of connections, for each model.
    pub cells: Vec<Cell>,
    /// What a connection takes of memory.
    pub memory: Vec<Memory>,
    /// The same of threads with stacks of other sizes.
    pub stacks: Vec<Stack>,
    /// Latency at rates that both models were asked for.
    pub latency_by_rate: Vec<Cell>,
    /// Throughput against connections, by the universal scalability law.
    pub scalability: Vec<Scalability>,
}

/// The machine.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Machine {
    /// Name of its processors.
    pub processor: Option<String>,
    /// How many of them this process may use.
    pub processors: Option<usize>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Release of the kernel.
    pub kernel: Option<String>,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// Numbers of connections.
    pub connections: Vec<u32>,
    /// Of each run, what is measured.
    pub duration_seconds: f64,
    /// Of each run, what comes before.
    pub warmup_seconds: f64,
    /// Runs of each model.
    pub repeats: u32,
    /// Who ran on which processors; `None` when there is only one.
    pub pinned: Option<Split>,
    /// Messages a second in the open loop, if that was asked for.
    pub rate: Option<u64>,
}

/// A model with a workload and a number of connections. Figures are medians over the runs in which the server
/// lived to the end.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    /// What connections do.
    pub workload: Workload,
    /// How many were asked for.
    pub connections: u32,
    /// `loop` or `threads`.
    pub model: &'static str,
    /// `closed`, or `open`: sent on schedule.
    pub load: &'static str,
    /// Messages a second on the schedule.
    pub offered_rate: Option<u64>,
    /// Messages acknowledged a second.
    pub rate: Option<Estimate>,
    /// Processor time of the server for a message.
    pub cpu_us_per_message: Option<Estimate>,
    /// Median response time.
    pub p50_us: Option<Estimate>,
    /// 99th percentile.
    pub p99_us: Option<Estimate>,
    /// 99.9th percentile.
    pub p99_9_us: Option<Estimate>,
    /// Memory of the server with all connections open (`RssAnon`).
    pub user_bytes: Option<Estimate>,
    /// Kernel stacks, as they grew.
    pub kernel_stack_bytes: Option<Estimate>,
    /// Small objects of the kernel, as they grew: the sockets of both ends, and what else the machine did.
    pub slab_bytes: Option<Estimate>,
    /// Threads of the server.
    pub threads: Option<Estimate>,
    /// Context switches a second because a thread waited.
    pub voluntary_switches: Option<Estimate>,
    /// Context switches a second because another was due.
    pub involuntary_switches: Option<Estimate>,
    /// Connections that were open to the end, or all there were where each message has its own, in the median run.
    pub opened: Option<f64>,
    /// Messages that failed or were not answered, in all runs.
    pub failed: u64,
    /// What kept the model from having more connections.
    pub limited_by: Option<String>,
    /// What the generator did meanwhile.
    pub generator: Generator,
    /// What to know before believing the figures.
    pub marks: Vec<String>,
}

/// The proof that the generator was not the limit, or that it was.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Generator {
    /// Share of the time in which it had something to do, 0 to 1.
    pub busy: Option<f64>,
    /// Its processor time in a run, in seconds.
    pub cpu_seconds: Option<f64>,
    /// How late it sent messages that were due, 99th percentile.
    pub lag_p99_us: Option<f64>,
    /// Whether most runs tell more of the generator than of the server.
    pub was_the_limit: bool,
    /// Why.
    pub why: Option<String>,
}

/// What a workload comes to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// Which.
    pub workload: Workload,
    /// Who does more messages a second from where on, in a sentence.
    pub sentence: String,
    /// The number of connections at which one overtakes the other, if there is one.
    pub crossover: Option<f64>,
    /// What a message costs in processor time, in a sentence.
    pub cost: Option<String>,
}

/// What a connection takes of memory, in bytes: the slope over the numbers of connections.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    /// `loop` or `threads`.
    pub model: &'static str,
    /// Of the server's own, after it was used.
    pub user_bytes: Option<f64>,
    /// Of kernel stacks.
    pub kernel_stack_bytes: Option<f64>,
    /// Of small objects of the kernel, the sockets of both ends.
    pub slab_bytes: Option<f64>,
}

/// Threads with a stack of so many bytes.
#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_field_names, reason = "the name of the JSON key")]
pub(crate) struct Stack {
    /// Bytes of the stack.
    pub stack_bytes: usize,
    /// Connections.
    pub connections: u32,
    /// Memory of the server for each, in bytes.
    pub user_bytes_per_connection: Option<f64>,
    /// Messages a second.
    pub rate: Option<f64>,
    /// What to know before believing it.
    pub marks: Vec<String>,
}

/// Throughput of a model against connections.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Scalability {
    /// `loop` or `threads`.
    pub model: &'static str,
    /// The law that comes closest, if there are enough points for one.
    pub fit: Option<Fit>,
    /// What it says, or why it says nothing.
    pub sentence: String,
}
