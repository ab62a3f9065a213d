//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postroad_cli::{CompletionsArgs, GlobalArgs, ManArgs, Program, parse_duration, parse_size};
use postroad_proto::limits::{MAX_BODY, MAX_IN_FLIGHT};

use crate::message::STAMP;

/// More users than this need more loopback ports than there are.
const MANY: usize = 1_000_000;

const ABOUT_LOAD: &str = "\
Workloads:
  w1  idle sessions: memory of a session, cost of a login
  w2  pairs who are online and write to each other, so many messages in flight each way
  w3  mail for users who are away, who then log in, 100 at a time, and fetch it
  w4  w2 and w3 between two nodes; the CPU of both is added up
  lone  one message at a time between two nodes, --rate a second
  rest  a node that has nothing to do, connected to another one
  restart  a node with --users mailboxes and --messages in them starts, after an orderly end and
      after kill -9 under load, until a client is in and has its first message

The load is the real client protocol: Noise channels, frames, credit, acks. Message bodies are
random bytes of the sealed size, since a node cannot tell them from sealed ones; so nothing is
encrypted end to end, and receipts are counted but their signatures not checked. At the end of w2,
w3 and w4 nodes of its own are killed (kill -9) under load and started again, and everything they
accepted must come. With --rate latencies count from when a message was to be sent.";

/// Measure what a posthouse carries and what it costs.
///
/// Starts nodes of its own on loopback, and removes them afterwards. Their program is the one
/// next to this one, or the one in the directory POSTROAD_BIN.
#[derive(Debug, Parser)]
#[command(name = "postroad-load", version, arg_required_else_help = true)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Program for LoadArgs {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put load on a node and print what it cost
    Run(Box<RunArgs>),
    /// Set two results side by side
    Compare {
        /// A result of `run --json`, or several in one file
        before: PathBuf,
        /// The other one
        after: PathBuf,
    },
    /// Print a Markdown table of results beside figures of other servers
    Report {
        /// Results of `run --json`; of several runs the median counts. `tests/bench/run` adds what it
        /// knows of the machine, other servers and single steps
        #[arg(required = true)]
        results: Vec<PathBuf>,
        /// Write report.md and report.json into this directory instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Draw how costs grow, as SVG files
    Plot {
        /// Points as `tests/bench/run growth` writes them: one JSON object a line, {"axis": what was
        /// varied, "at": how far, "report": a result of `run --json`}
        points: PathBuf,
        /// Where the files go; made if it is not there
        #[arg(long, value_name = "DIR", default_value = "plots")]
        out: PathBuf,
    },
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Print the man page
    Man(ManArgs),
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Idle sessions
    W1,
    /// Pairs who are online
    W2,
    /// Mail for users who are away
    W3,
    /// Two nodes, online and away
    W4,
    /// One message at a time between two nodes
    Lone,
    /// A node that has nothing to do
    Rest,
    /// A node with much in store starts
    Restart,
}

impl Workload {
    /// Nodes that it takes.
    pub(crate) fn nodes(self) -> usize {
        if matches!(self, Self::W4 | Self::Lone | Self::Rest) { 2 } else { 1 }
    }

    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::Lone => "lone",
            Self::Rest => "rest",
            Self::Restart => "restart",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = ABOUT_LOAD)]
pub(crate) struct RunArgs {
    /// What to measure
    #[arg(long)]
    pub(crate) workload: Workload,
    /// Users: in w1 idle [default: 5000], in w2 and w4 in pairs [default: 200], in w3 and
    /// restart away [default: 1000]
    #[arg(long, value_name = "U", value_parser = number::<2, MANY>)]
    pub(crate) users: Option<usize>,
    /// Users who are away in w4
    #[arg(long, value_name = "U", default_value = "1000", value_parser = number::<1, MANY>)]
    pub(crate) recipients: usize,
    /// Users who write to those who are away
    #[arg(long, value_name = "U", default_value = "50", value_parser = number::<1, MANY>)]
    pub(crate) senders: usize,
    /// Messages to users who are away; a fifth of it, 20,000 at most, before nodes are killed
    #[arg(long, value_name = "M", default_value_t = 100_000)]
    pub(crate) messages: u64,
    /// Starts after each kind of end in restart
    #[arg(long, value_name = "N", default_value = "3", value_parser = number::<1, 100>)]
    pub(crate) starts: usize,
    /// Messages a second of all users together; the window only bounds what may be late
    #[arg(long, value_name = "R", conflicts_with = "window")]
    pub(crate) rate: Option<u64>,
    /// Messages in flight each way of a pair
    #[arg(long, value_name = "W", default_value = "16", value_parser = number::<1, MAX_IN_FLIGHT>)]
    pub(crate) window: usize,
    /// Bytes of a sealed body
    #[arg(long, default_value = "256", value_parser = body_size)]
    pub(crate) size: usize,
    /// How long to measure
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
    /// Draws the users' keys and the bodies [default: drawn, and printed]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Count syncs from outside: by perf, which costs nodes nothing, or else by strace
    #[arg(long, conflicts_with = "target")]
    pub(crate) count_syncs: bool,
    /// Count the bytes that cross between clients and nodes in w2 and w4 (by `ss`)
    #[arg(long, conflicts_with = "target")]
    pub(crate) count_bytes: bool,
    /// Load this node in place of one of its own; open registration is needed there
    #[arg(long, value_name = "LINK")]
    pub(crate) target: Vec<String>,
    /// Processes of the targets, whose CPU and writes to count
    #[arg(long, requires = "target", value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// Targets may be on other machines
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// Where the nodes' data lies while they run [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

fn body_size(text: &str) -> Result<usize, String> {
    let size = usize::try_from(parse_size(text)?).unwrap_or(usize::MAX);
    match (STAMP..=MAX_BODY).contains(&size) {
        true => Ok(size),
        false => Err(format!("expected {STAMP} to {MAX_BODY} bytes")),
    }
}

fn number<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("expected a number from {LEAST} to {MOST}"))
}
