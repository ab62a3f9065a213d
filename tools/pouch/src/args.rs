//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postroad_cli::{CompletionsArgs, GlobalArgs, ManArgs, Program, parse_duration};

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
    Watch,
    /// Keep connected in the background, and tell of what comes in
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

#[derive(Debug, Subcommand)]
pub(crate) enum Contact {
    /// Add a contact by link or handle
    Add {
        /// A contact link, or a handle: alice@road.example, or alice@ and the id of her node
        ///
        /// The name of a node is looked up in your own list of names, then in the DNS: a TXT record
        /// "postroad=NODE-ID" at _postroad.road.example. A node's id needs neither.
        contact: String,
        /// What to call them here
        #[arg(long)]
        name: Option<String>,
    },
    /// List contacts
    Ls,
    /// Make a link for others to add you
    Invite {
        /// How often it may be used; without it, until revoked
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        uses: Option<u64>,
        /// How long it may be used, such as 7d
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        expires: Option<Duration>,
        /// Show it as a QR code
        #[arg(long)]
        qr: bool,
    },
    /// List your own links
    Invites,
    /// Take one of your own links back
    Revoke {
        /// The link
        link: String,
    },
    /// Give a contact another name
    Rename {
        /// Name, handle or id
        contact: String,
        /// The new name
        name: String,
    },
    /// Compare safety words with a contact, so that nobody can be in between
    ///
    /// Both sides see the same twelve words. Compare them face to face or by phone, not by Postroad; or let one
    /// side read in the code that the other one shows.
    Verify {
        /// Name, handle or id
        contact: String,
        /// Show this side's code as a QR code
        #[arg(long)]
        qr: bool,
        /// The code that the other side shows: postroad:verify#…
        #[arg(long, value_name = "LINK", conflicts_with = "undo")]
        code: Option<String>,
        /// Count them as not verified again
        #[arg(long)]
        undo: bool,
    },
    /// Take nothing more from a contact
    Block {
        /// Name, handle or id
        contact: String,
    },
    /// Take a blocked contact back
    Unblock {
        /// Name, handle or id
        contact: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Requests {
    #[command(subcommand)]
    pub(crate) verb: Option<Request>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Request {
    /// List them
    Ls,
    /// Make somebody who asks a contact
    Accept {
        /// Name, handle or id
        contact: String,
    },
    /// Forget a request; nothing is said
    Ignore {
        /// Name, handle or id
        contact: String,
    },
    /// Forget a request and take no other from there
    Block {
        /// Name, handle or id
        contact: String,
    },
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

#[derive(Debug, Args)]
pub(crate) struct Forward {
    /// The message's id, as inbox and read show it
    pub(crate) message: String,
    /// Name, handle or id
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The message's id, as send and read show it
    pub(crate) message: String,
    /// The whole new text
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The message's id, as send and read show it
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct React {
    /// The message's id, as inbox and read show it
    pub(crate) message: String,
    /// One emoji, in place of an earlier one; without it that is taken back
    pub(crate) emoji: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub(crate) struct TimerArgs {
    /// Name, handle or id
    pub(crate) chat: String,
    /// How long texts are kept from now on, such as 1h or 7d, or off
    #[arg(value_parser = parse_timer)]
    pub(crate) after: Timer,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// How long texts are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timer {
    /// For ever.
    Off,
    /// That long.
    After(Duration),
}

fn parse_timer(text: &str) -> Result<Timer, String> {
    if text == "off" { Ok(Timer::Off) } else { parse_duration(text).map(Timer::After) }
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

/// The process that keeps a profile connected.
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Start it in the background; one that runs already is left alone
    Start(AgentArgs),
    /// End it in order
    Stop,
    /// Show whether it runs
    Status,
    /// Be the agent, in the foreground, until interrupted
    Run(AgentArgs),
    /// Print a unit with which systemd starts it when you log in
    Unit(AgentArgs),
}

/// How the agent tells of what comes in.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentArgs {
    /// What to run for each message and each request, by sh -c: it gets one JSON object on standard
    /// input, as watch prints them, and POSTROAD_EVENT, POSTROAD_CHAT and POSTROAD_ID
    #[arg(long, value_name = "COMMAND", env = "POSTROAD_HOOK")]
    pub(crate) hook: Option<String>,
    /// Show each message on the desktop, by notify-send
    #[arg(long)]
    pub(crate) notify: bool,
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
pub(crate) struct Why {
    /// A message's id, as send, inbox and read show it
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Which one to change
    #[arg(requires = "value")]
    pub(crate) key: Option<Setting>,
    /// Its new value
    pub(crate) value: Option<Switch>,
}

/// Settings.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Setting {
    /// Whether contacts are told that their messages arrived and were read, and you that yours were read
    Receipts,
    /// Whether your handle can be looked up, so that strangers can ask to write
    Lookups,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes
    On,
    /// No
    Off,
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
