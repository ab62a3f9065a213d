//! What can be typed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use postroad_core::units::parse_size;

use super::Failure;

/// posthoused: a Postroad node. Without a command it starts one; the first start makes its keys.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "First steps:\n  posthoused                  start a node in the default data directory\n  postroad invite create      make the link that a first user joins with\n  pouch join LINK             join with it\n\nSettings: flags over POSTROAD_* environment over the TOML file over defaults."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) run: Run,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Start the node (the same as without a command)
    Run(Run),
    /// Make the data directory, keys and a configuration file to edit
    Init(Init),
    /// Show or check the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the node's id
    Id {
        #[command(flatten)]
        place: Place,
        /// Print a QR code as well
        #[arg(long)]
        qr: bool,
    },
    /// Look into the store of a stopped node
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Run as a system service
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// Print shell completions
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Where the node's data lies.
#[derive(Args, Clone)]
pub(super) struct Place {
    /// The data directory [default: $XDG_DATA_HOME/postroad/posthoused]
    #[arg(long, env = "POSTROAD_NODE_DIR", value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

impl Place {
    pub(super) fn data_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.data_dir {
            return std::path::absolute(dir).map_err(Into::into);
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        set("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")))
            .map(|base| base.join("postroad/posthoused"))
            .ok_or_else(|| Failure::new("neither XDG_DATA_HOME nor HOME is set", "give --data-dir"))
    }
}

/// Which network the node belongs to.
#[derive(Args)]
pub(super) struct Join {
    /// The network to belong to: its name, or the file that defines it, which has a / in its path or
    /// ends in .toml [default: postroad]
    #[arg(long, env = "POSTROAD_NETWORK", value_name = "NAME|FILE")]
    pub(super) network: Option<String>,
}

impl Join {
    /// The file that defines the network, if it was named by that.
    pub(super) fn file(&self) -> Option<&Path> {
        let network = self.network.as_deref()?;
        (network.contains('/') || network.ends_with(".toml")).then(|| Path::new(network))
    }
}

#[derive(Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) place: Place,
    /// The configuration file [default: posthoused.toml in the data directory]
    #[arg(long, env = "POSTROAD_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) join: Join,
    /// What stands after the @ of its handles: a DNS name [default: the node's id]
    #[arg(long, env = "POSTROAD_NAME", value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Address for clients; may be repeated; port 0 takes a free one [default: 0.0.0.0:7450]
    #[arg(long, env = "POSTROAD_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub(super) listen: Vec<SocketAddr>,
    /// host:port for clients as seen from outside, put into links; may be repeated
    #[arg(long, env = "POSTROAD_EXTERNAL_ADDRESS", value_name = "ADDR", value_delimiter = ',')]
    pub(super) external_address: Vec<String>,
    /// Address for other nodes; may be repeated; port 0 takes a free one [default: 0.0.0.0:7452]
    #[arg(long, env = "POSTROAD_P2P_LISTEN", value_name = "ADDR", value_delimiter = ',')]
    pub(super) p2p_listen: Vec<SocketAddr>,
    /// host:port for other nodes as seen from outside; may be repeated
    #[arg(long, env = "POSTROAD_P2P_EXTERNAL", value_name = "ADDR", value_delimiter = ',')]
    pub(super) p2p_external: Vec<String>,
    /// Node link of a node to keep a connection to from now on; may be repeated
    #[arg(long, env = "POSTROAD_PEER", value_name = "LINK", value_delimiter = ',')]
    pub(super) peer: Vec<String>,
    /// Loopback address of the operator's interface [default: 127.0.0.1:7451]
    #[arg(long, env = "POSTROAD_ADMIN_LISTEN", value_name = "ADDR")]
    pub(super) admin: Option<SocketAddr>,
    /// Disk for mail, such as 20GiB; new mail is refused beyond [default: no limit]
    #[arg(long, env = "POSTROAD_DISK", value_name = "SIZE", value_parser = parse_size)]
    pub(super) disk: Option<u64>,
    /// Write one JSON line here when ready: addresses, token file, link
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Init {
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) join: Join,
    /// What the node is for
    #[arg(long, value_enum, default_value_t = Profile::Personal)]
    pub(super) profile: Profile,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Profile {
    /// A few people: invites, generous mailboxes
    Personal,
    /// A community: invites, smaller mailboxes
    Community,
    /// Anybody may join; small mailboxes, for trying things out
    Testnet,
}

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting in force, as TOML
    Show {
        #[command(flatten)]
        run: Run,
        /// Say for each setting where it comes from: flag, environment, file or default
        #[arg(long)]
        origin: bool,
    },
    /// Check the configuration without starting
    Validate {
        #[command(flatten)]
        run: Run,
    },
}

#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// What the store holds, as JSON
    Stats(Place),
    /// Check every segment, record and footer; changes nothing
    Verify(Place),
    /// Rewrite segments until nothing more can be gained
    Compact(Place),
    /// Delete the index and build it anew from the journal
    RebuildIndex(Place),
}

#[derive(Subcommand)]
pub(super) enum ServiceCommand {
    /// Print a systemd unit
    Unit(Join),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
