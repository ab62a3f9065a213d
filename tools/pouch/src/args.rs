//! The command line.

mod account;
mod agent;
mod backup;
mod changes;
mod devices;
mod lock;
mod moving;
mod people;
mod recovery;
mod settings;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postroad_cli::{CompletionsArgs, GlobalArgs, ManArgs, Program, parse_duration};

pub(crate) use account::Account;
pub(crate) use agent::{Agent, AgentArgs};
pub(crate) use backup::{Backup, BackupCreate, BackupRead};
pub(crate) use changes::{Delete, Edit, Forward, React, Timer, TimerArgs};
pub(crate) use devices::{Device, DeviceJoin};
pub(crate) use lock::LockArgs;
pub(crate) use moving::Move;
pub(crate) use people::{Contact, Request, Requests};
pub(crate) use recovery::Restore;
pub(crate) use settings::{Setting, Settings, Value};

/// The Postroad messenger.
///
/// Every command first takes what came in and sends what waits, and works offline with what it has.
/// Without a command, on a terminal, it opens the full screen.
#[derive(Debug, Parser)]
#[command(name = "pouch", version, arg_required_else_help = true)]
pub(crate) struct Pouch {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line without a command: on a terminal it opens the full screen.
#[derive(Debug, Parser)]
#[command(name = "pouch", version)]
pub(crate) struct Bare {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(flatten)]
    pub(crate) profile: ProfileArgs,
}

/// Which account is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct ProfileArgs {
    /// The profile: one machine may hold several accounts
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    #[arg(env = "POSTROAD_PROFILE")]
    pub(crate) profile: String,
    /// Where profiles are kept [default: postroad/pouch in the user's data directory]
    #[arg(long, global = true, value_name = "DIR", env = "POSTROAD_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Your own list of nodes: lines with a name and a node's id, which go before the DNS
    /// [default: postroad/names in the user's configuration directory]
    #[arg(long, global = true, value_name = "FILE", env = "POSTROAD_NAMES")]
    pub(crate) names: Option<PathBuf>,
    /// A file whose first line is the passphrase of a locked profile, for scripts; POSTROAD_PASSPHRASE may hold
    /// the passphrase itself
    #[arg(long, global = true, value_name = "FILE", env = "POSTROAD_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account at the node that a join link names
    Join(Join),
    /// Show who this is, and the link by which others add you
    Whoami(Whoami),
    /// List conversations
    Chats,
    /// Add, list, invite, rename, block and unblock contacts
    #[command(subcommand)]
    Contact(Contact),
    /// Bring an account back from its recovery phrase, into a fresh profile
    ///
    /// This profile becomes a new device of the account, which stays the same for its contacts. After a failure the same
    /// command goes on.
    Restore(Restore),
    /// Move this account to another node
    ///
    /// The old node must answer: this device empties its mailbox there and leaves word of where the account went, which
    /// the old node gives for 90 days. Contacts and your other devices follow by themselves, links and handles that
    /// others have of you lead to the new node as long, and nothing that is under way is lost or comes twice. Handle,
    /// tokens, invites, vault and settings are made anew at the new node. After a failure the same command
    /// goes on. On a device that was away for more than 90 days it goes after the account.
    Move(Move),
    /// Link, list and revoke this account's devices
    #[command(subcommand)]
    Device(Device),
    /// Delete this account, or keep it after all
    #[command(subcommand)]
    Account(Account),
    /// What brings this account back when its devices are gone: its phrase, and encrypted files
    #[command(subcommand)]
    Backup(Backup),
    /// List, accept, ignore and block people who ask to write to you
    Requests(Requests),
    /// Send a text
    Send(Send),
    /// Send a text of a conversation to somebody else
    Forward(Forward),
    /// Put another text in the place of one that you sent
    Edit(Edit),
    /// Take back a message that you sent, on both sides
    Delete(Delete),
    /// React to a message with an emoji
    React(React),
    /// Let texts of a conversation vanish some time after they were read, on both sides
    Timer(TimerArgs),
    /// Show the messages that were not shown before
    Inbox(Inbox),
    /// Show a conversation
    Read(Read),
    /// Write a whole conversation to a file, oldest first; nothing counts as read by that
    Export(Export),
    /// Print what happens, one JSON object per line, until interrupted
    Watch(Watch),
    /// Keep connected in the background, and tell of what comes in
    ///
    /// Nothing counts as read by that. At most four hooks run at once, in any order; one that takes longer than 30
    /// seconds is ended, with what it has started, and the agent's log, agent.log in the profile, says so. Each
    /// message and request is told once, also what comes while no agent runs: the next one goes on from there, as long
    /// as no more than ten thousand events lie between. Hooks that an end or a kill of the agent cut off run again.
    /// On a profile that is locked it waits to be unlocked.
    #[command(subcommand)]
    Agent(Agent),
    /// Show each step of a message's way, and what it waits for
    Why(Why),
    /// Show how this account and its connection stand
    Status,
    /// Walk from here to the node and back, and say which step fails and why
    ///
    /// The steps: the profile opens; the node's names have addresses; one of them takes a connection; who answers is
    /// the node; it knows this account; it answers in time; the clocks agree. Then what waits here to be sent, whom
    /// nothing reaches, and the problems of the last day. Each is ok, warn, fail or skipped. Exit 3 when the node is
    /// not reached, 1 for any other failure.
    Doctor,
    /// Show or change settings
    Settings(Settings),
    /// Lock the profile: nothing of it can be read until it is unlocked
    ///
    /// Where there is no passphrase yet this first sets one, which is asked for twice, and encrypts all that the
    /// profile holds: keys, texts, contacts, drafts. A screen, a watch or an agent that has the profile open notices
    /// within a second, forgets the keys and gives up its connection; the agent then waits to be unlocked, the others
    /// end with exit 6, and so does every command while the profile is locked. A profile also locks by itself once no
    /// command was run for a while (settings lock-after, 15m at first); what runs then keeps its keys and runs on.
    /// Setting, changing and removing need the profile alone: stop its agent and close its screen first.
    Lock(LockArgs),
    /// Take the passphrase once, and keep the profile unlocked while it is used
    ///
    /// The keys stay in the kernel's memory, never on a disk, until no command was run for a while (settings
    /// lock-after), until pouch lock, or until the system ends.
    Unlock,
    /// Write shell completions
    Completions(CompletionsArgs),
    /// Write man pages
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The node's invitation: postroad:join#…
    pub(crate) link: String,
    /// The handle to take at the node: lower-case letters, digits, '.', '_' and '-'
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Whoami {
    /// Show the contact link as a QR code
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Name, handle or id; who is found by handle and is no contact yet is asked first
    pub(crate) to: String,
    /// The text, or - to read it from standard input
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Read the text from a file
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
    /// The message that it answers, which is of the same conversation
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) reply: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// How long a command stays with what it sent.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait until it got that far; exit 5 if it did not
    #[arg(long, value_name = "STATE")]
    pub(crate) wait: Option<WaitFor>,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// States that can be waited for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WaitFor {
    /// Your node has it
    Accepted,
    /// The recipient's node has it
    AtNode,
    /// The recipient's device has it
    Delivered,
    /// The recipient saw it
    Read,
}

#[derive(Debug, Args)]
pub(crate) struct Inbox {
    /// Leave them as not shown
    #[arg(long)]
    pub(crate) peek: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    /// Name, handle or id
    pub(crate) chat: String,
    /// How many of the newest messages; 0 for all
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 50)]
    pub(crate) last: usize,
    /// Only messages whose text contains each of these words, be it within others
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Name, handle or id
    pub(crate) chat: String,
    /// How to write it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ExportFormat::Jsonl)]
    pub(crate) format: ExportFormat,
    /// Where to write it: a file that only you can read, or - for standard output
    #[arg(short = 'O', long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What a conversation is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object per line, as read --json shows messages
    Jsonl,
    /// One page that a browser shows without any network
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Also print when contacts begin and end to write, and when they come and go
    #[arg(long)]
    pub(crate) signs: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// A message's id, as send, inbox and read show it
    pub(crate) message: String,
}

impl Program for Bare {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

impl Program for Pouch {
    fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Pouch::command().debug_assert();
    }

    #[test]
    fn texts_that_look_like_flags_can_be_sent() {
        let pouch = Pouch::try_parse_from(["pouch", "send", "bob", "-"]).unwrap();
        let Command::Send(send) = pouch.command else { panic!() };
        assert_eq!(send.text.as_deref(), Some("-"));
        let pouch = Pouch::try_parse_from(["pouch", "send", "bob", "--", "--json"]).unwrap();
        let Command::Send(send) = pouch.command else { panic!() };
        assert_eq!(send.text.as_deref(), Some("--json"));
        let args = ["pouch", "--json", "send", "bob", "hi", "--wait", "at-node", "--timeout", "5s"];
        let pouch = Pouch::try_parse_from(args).unwrap();
        let Command::Send(send) = pouch.command else { panic!() };
        assert!(matches!(send.wait.wait, Some(WaitFor::AtNode)));
    }
}
