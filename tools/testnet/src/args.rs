//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use postroad_cli::{CompletionsArgs, GlobalArgs, ManArgs, Program};

/// More nodes than this on one machine are a matter for the simulation.
const MAX_NODES: i64 = 32;

/// Run small Postroad networks on this machine.
///
/// A network lives in a throw-away directory, so nothing here asks before it acts. The
/// node's program is the one next to this one, or the one in the directory POSTROAD_BIN.
#[derive(Debug, Parser)]
#[command(name = "postroad-testnet", version, arg_required_else_help = true)]
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
    /// Start a network; its nodes run on until `down`
    Up(UpArgs),
    /// List the nodes
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
    /// End all nodes and remove their data
    Down,
    /// Run a command that is pointed at a node
    Exec(ExecArgs),
    /// Watch two people write to each other through a node that is killed on the way
    Demo(DemoArgs),
    /// Become a node: a session of its own, then the program
    #[command(hide = true)]
    Launch(LaunchArgs),
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
            "postroad-testnet ls --dir /tmp/x",
            "postroad-testnet status -o json",
            "postroad-testnet logs",
            "postroad-testnet logs n1 -n 5",
            "postroad-testnet env n1 --invite",
            "postroad-testnet kill n1",
            "postroad-testnet restart n1",
            "postroad-testnet down",
            "postroad-testnet exec n1 -- postroad status --json",
            "postroad-testnet demo --keep",
        ] {
            let parsed = TestnetArgs::try_parse_from(line.split_whitespace());
            parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in ["postroad-testnet up --nodes 0", "postroad-testnet exec n1"] {
            assert!(TestnetArgs::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
