//! Arguments of the verbs about other nodes.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use postroad_cli::parse_duration;

/// Subcommands of `peer`.
#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// List the nodes that this one is connected to
    Ls,
    /// Connect to a node and stay connected, over restarts as well
    Add {
        /// The node's link, postroad:node#…, which its start and `postroad -o wide status` there show
        link: String,
    },
    /// Undo `peer add`; the two may stay connected as any two nodes of a network
    Rm {
        /// Its id, the beginning of its id, its name, or a link that leads to it
        node: String,
    },
}

/// Arguments of `ping`.
#[derive(Args, Debug)]
#[command(after_help = "Each line says how the node was reached: direct is a connection of \
    this node's own. Exit code 3 if nothing was answered, 7 if only some was.")]
pub struct PingArgs {
    /// Its id, the beginning of its id, its name, or a link that leads to it
    pub node: String,
    /// How often; 0 until interrupted
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub count: u64,
    /// Time between one answer and the next question
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,
}

/// Arguments of `whois`.
#[derive(Args, Debug)]
pub struct WhoisArgs {
    /// The id or name of a node, the id of an account, a handle, handle@node, or a link
    pub target: String,
}

/// Arguments of `trace`.
#[derive(Args, Debug)]
#[command(after_help = "A message goes by the id of its parcel here: what is inside, its message \
    id too, only its sender and its recipient know. `pouch --json why MESSAGE` names the parcel.")]
pub struct TraceArgs {
    /// A handle such as alice@example.org, the id of an account, a node, a link, or the id of a parcel
    pub target: String,
}

/// How a map is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// A picture for a browser.
    Svg,
    /// For Graphviz: postroad map --format dot | dot -Tpng.
    Dot,
    /// What the node knows, as data.
    Json,
}

/// Arguments of `map`.
#[derive(Args, Debug)]
pub struct MapArgs {
    /// How to write it [default: as --out is called; json with --json; dot on a terminal; else svg]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<MapFormat>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `events`.
#[derive(Args, Debug)]
#[command(after_help = "Events are kept in memory, the last thousand, and numbered from 1 at \
    each start of the node. With --json each is one line. While it is followed, a node that ends is \
    awaited; standard error says so.")]
pub struct EventsArgs {
    /// Go on with what happens next, until interrupted; over restarts of the node as well
    #[arg(short, long)]
    pub follow: bool,
    /// Only events with a higher number than this
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub since: u64,
}
