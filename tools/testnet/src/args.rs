//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use postroad_cli::{CompletionsArgs, GlobalArgs, ManArgs, Program, parse_duration};

use crate::wire::{Groups, Link};

/// More nodes than this on one machine are a matter for the simulation.
const MAX_NODES: i64 = 128;

const FIRST_STEPS: &str = "\
First steps:
  postroad-testnet up --nodes 3         three nodes, n1 to n3, that know each other
  eval \"$(postroad-testnet env n1)\"     from here on 'postroad' asks n1
  postroad peers
  postroad-testnet partition n1/n2,n3   cut n1 off; mail for it waits
  postroad-testnet heal                 and goes on
  postroad-testnet down                 the end of it all

Nodes reach each other through one more process, the wire, which can hold up what one node sends
to another. Clients reach their node directly: partitions and latencies are not for them.";

/// Run small Postroad networks on this machine.
///
/// A network lives in a throw-away directory, so nothing here asks before it acts. The
/// node's program is the one next to this one, or the one in the directory POSTROAD_BIN.
#[derive(Debug, Parser)]
#[command(
    name = "postroad-testnet",
    version,
    arg_required_else_help = true,
    after_help = FIRST_STEPS
)]
pub(crate) struct TestnetArgs {
    #[command(flatten)]
    global: GlobalArgs,
    /// The network's directory [default: one of yours in XDG_RUNTIME_DIR or /tmp]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Program for TestnetArgs {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a network and wait until its nodes see each other; they run on until `down`
    Up(UpArgs),
    /// List the nodes: which run, are paused or cut off from others
    Ls,
    /// Ask every node how it is
    Status,
    /// Show the end of the nodes' logs
    Logs(LogsArgs),
    /// Print what points `postroad` at a node: eval "$(postroad-testnet env n1)"
    Env(EnvArgs),
    /// End a node at once, as a power cut would (kill -9)
    Kill {
        /// The node's name
        node: String,
    },
    /// Start a node again on its data and its addresses, and wait until it is ready
    Restart {
        /// The node's name
        node: String,
    },
    /// Freeze a node where it stands; its connections stay open and say nothing
    Pause {
        /// The node's name
        node: String,
    },
    /// Let a paused node go on
    Resume {
        /// The node's name
        node: String,
    },
    /// Cut groups of nodes off from each other; an earlier partition is replaced
    Partition(PartitionArgs),
    /// End the partition; what was held up goes on its way
    Heal {
        /// End what `latency` has set as well
        #[arg(long)]
        all: bool,
    },
    /// Delay what one node sends to another; the way back keeps its time
    Latency(LatencyArgs),
    /// Write the network's definition, with which other nodes on this machine can join it
    Export(ExportArgs),
    /// End all nodes and remove their data
    Down,
    /// Run a command that is pointed at a node
    Exec(ExecArgs),
    /// Watch two people on two nodes write to each other while one of the nodes is killed
    Demo(DemoArgs),
    /// Become a node: a session of its own, then the program
    #[command(hide = true)]
    Launch(LaunchArgs),
    /// Be the wire between the nodes of a network
    #[command(hide = true)]
    Wire,
    /// Write shell completions
    Completions(CompletionsArgs),
    /// Write the man page
    Man(ManArgs),
}

#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    /// How many nodes
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=MAX_NODES)
    )]
    pub(crate) nodes: u16,
    /// What lies between the nodes
    #[arg(long, value_enum, default_value_t = Link::Lan)]
    pub(crate) link: Link,
    /// When lossy and mobile links stall is drawn from this number
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct PartitionArgs {
    /// Groups of nodes, such as n1,n2/n3 or n1/rest
    ///
    /// A '/' stands between groups, a ',' between the nodes of one; `rest` is all nodes that are not
    /// named. Nodes that are in no group stay connected to all. Nothing is refused: bytes stop,
    /// as they would in a real partition, until `heal` or until a program gives up.
    pub(crate) groups: Groups,
}

#[derive(Args, Debug)]
pub(crate) struct LatencyArgs {
    /// Who sends
    pub(crate) from: String,
    /// Who receives
    pub(crate) to: String,
    /// How long it takes, at most 1m, in place of what `up --link` chose; 0ms for none
    #[arg(value_name = "DURATION", value_parser = parse_latency)]
    pub(crate) latency: Duration,
}

/// A program that waits longer than this for an answer is rare, and so is such a line.
const MAX_LATENCY: Duration = Duration::from_secs(60);

fn parse_latency(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        long if long > MAX_LATENCY => Err("a latency is 1m at most".to_owned()),
        latency => Ok(latency),
    }
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The node's name [default: all]
    pub(crate) node: Option<String>,
    /// How many lines of each
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) lines: usize,
}

#[derive(Args, Debug)]
pub(crate) struct EnvArgs {
    /// The node's name
    pub(crate) node: String,
    /// Make an invite for one person and add it as POSTROAD_INVITE
    #[arg(long)]
    pub(crate) invite: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    /// The node's name
    pub(crate) node: String,
    /// The command and its arguments, after --
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Leave the network running and say what to type next
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Args, Debug)]
pub(crate) struct LaunchArgs {
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        TestnetArgs::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_parse() {
        for line in [
            "postroad-testnet --json up --nodes 3 --dir /tmp/x",
            "postroad-testnet up",
            "postroad-testnet up --nodes 50 --link mobile --seed 7",
            "postroad-testnet ls --dir /tmp/x",
            "postroad-testnet status -o json",
            "postroad-testnet logs",
            "postroad-testnet logs n1 -n 5",
            "postroad-testnet env n1 --invite",
            "postroad-testnet kill n1",
            "postroad-testnet restart n1",
            "postroad-testnet pause n1",
            "postroad-testnet resume n1",
            "postroad-testnet partition n1,n2/n3",
            "postroad-testnet heal",
            "postroad-testnet heal --all",
            "postroad-testnet latency n1 n2 120ms",
            "postroad-testnet export --out net.toml",
            "postroad-testnet down",
            "postroad-testnet exec n1 -- postroad status --json",
            "postroad-testnet demo --keep",
        ] {
            let parsed = TestnetArgs::try_parse_from(line.split_whitespace());
            parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "postroad-testnet up --nodes 0",
            "postroad-testnet exec n1",
            "postroad-testnet latency n1 n2 61s",
            "postroad-testnet partition n1,n2",
        ] {
            assert!(TestnetArgs::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
