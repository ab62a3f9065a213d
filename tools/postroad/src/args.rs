//! The command line.

mod roads;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use postroad_cli::{CompletionsArgs, GlobalArgs, ManArgs, Program, parse_duration};

use crate::admin::Target;

pub use roads::{EventsArgs, MapArgs, MapFormat, PeerCommand, PingArgs, TraceArgs, WhoisArgs};

/// Inspect and run a Postroad node.
///
/// Without --admin it asks the node of this user on this machine.
#[derive(Debug, Parser)]
#[command(name = "postroad", version, arg_required_else_help = true)]
pub struct Postroad {
    #[command(flatten)]
    global: GlobalArgs,
    /// Which node.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Program for Postroad {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

/// What `postroad` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show whether the node is well and, if not, what to do
    Status,
    /// Wait until the node is ready, or connected to so many others
    Wait(WaitArgs),
    /// List the nodes that this one is connected to: the same as `peer ls`
    Peers,
    /// Say which nodes this one stays connected to
    Peer {
        /// What to do.
        #[command(subcommand)]
        command: PeerCommand,
    },
    /// List every node that is known, and how it is reached
    Routes,
    /// Ask a node for a sign of life, connecting to it if need be
    Ping(PingArgs),
    /// Show who or what an id or a name stands for
    Whois(WhoisArgs),
    /// Draw the network as this node sees it
    Map(MapArgs),
    /// Show what happened between this node and others
    Events(EventsArgs),
    /// Print the node's measurements in Prometheus' text format, whatever -o says
    Metrics,
    /// Look at the mailboxes of this node's users
    Mailbox {
        /// What to show.
        #[command(subcommand)]
        command: MailboxCommand,
    },
    /// List what waits for whom, and why
    Queue,
    /// Show the way of mail to somebody, or where a message is, hop by hop
    Trace(TraceArgs),
    /// Let people join this node
    Invite {
        /// What to do.
        #[command(subcommand)]
        command: InviteCommand,
    },
    /// Look at this node's users
    User {
        /// What to do.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Stop the node in order
    Shutdown(ShutdownArgs),
    /// Write shell completions
    Completions(CompletionsArgs),
    /// Write the man page
    Man(ManArgs),
}

/// Arguments of `wait`.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub struct WaitArgs {
    /// Until the node takes clients
    #[arg(long, group = "what")]
    pub ready: bool,
    /// Until it is connected to this many other nodes
    #[arg(long, value_name = "N", group = "what")]
    pub peers: Option<u64>,
    /// Give up, with exit code 5, after this long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Subcommands of `mailbox`.
#[derive(Debug, Subcommand)]
pub enum MailboxCommand {
    /// Show how much mail is kept in all
    Stats,
    /// List the mailboxes
    Ls,
}

/// Subcommands of `invite`.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Make an invite; its link is printed once and not kept
    Create(CreateArgs),
    /// List the invites
    Ls,
    /// Make an invite useless
    Revoke {
        /// The id that `invite ls` shows, the code, or the link
        code: String,
    },
}

/// Arguments of `invite create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// How many people may join with it
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "many"
    )]
    pub uses: u64,
    /// Any number of people may join with it
    #[arg(long)]
    pub many: bool,
    /// How long it is good for, or `never`
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_expiry)]
    pub expires: Expiry,
    /// Show the link as a QR code as well
    #[arg(long)]
    pub qr: bool,
}

/// When an invite ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(pub Option<Duration>);

fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry(None));
    }
    match parse_duration(text)? {
        // The API counts in seconds: less than one would be an invite that never worked.
        short if short < Duration::from_secs(1) => Err("an invite lives for at least 1s".into()),
        long => Ok(Expiry(Some(long))),
    }
}

/// Subcommands of `user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the users
    Ls,
    /// Show one user
    Show {
        /// A handle or an account id
        user: String,
    },
    /// Delete a user's account on this node, with the mail that waits for it
    Delete(DeleteArgs),
}

/// Arguments of `user delete`.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// A handle or an account id
    pub user: String,
    /// Show what would be deleted and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `shutdown`.
#[derive(Args, Debug)]
pub struct ShutdownArgs {
    /// Show what would be stopped and stop there
    #[arg(long)]
    pub dry_run: bool,
    /// Give up waiting for the end, with exit code 5, after this long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Postroad, clap::Error> {
        Postroad::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Postroad::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_parse() {
        for line in [
            "postroad --json status",
            "postroad wait --ready",
            "postroad wait --peers 2 --timeout 20s",
            "postroad mailbox stats",
            "postroad mailbox ls -o wide",
            "postroad queue --json",
            "postroad trace alice@example.org",
            "postroad peers --json",
            "postroad peer ls -o wide",
            "postroad peer add postroad:node#abc",
            "postroad peer rm beta",
            "postroad routes -o jsonl",
            "postroad ping beta -c 3 -i 200ms",
            "postroad whois alice@beta",
            "postroad map --format svg --out map.svg",
            "postroad --json events --follow --since 12",
            "postroad invite create --qr",
            "postroad invite create --many --expires never",
            "postroad invite create --uses 3 --expires 12h",
            "postroad invite ls",
            "postroad invite revoke abc",
            "postroad user ls",
            "postroad user show alice",
            "postroad user delete alice --dry-run",
            "postroad shutdown --yes --admin 127.0.0.1:1",
            "postroad metrics --token-file /run/token",
            "postroad completions zsh",
            "postroad man --dir /tmp/man",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "postroad wait",
            "postroad peer",
            "postroad ping",
            "postroad ping beta -i 3",
            "postroad map --format png",
            "postroad events --since -1",
            "postroad invite create --uses 0",
            "postroad invite create --uses 2 --many",
            "postroad invite create --expires 0s",
            "postroad invite create --expires 7",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
