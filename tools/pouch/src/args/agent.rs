//! `agent`.

use clap::{Args, Subcommand};

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
