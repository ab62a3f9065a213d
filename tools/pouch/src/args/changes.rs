//! What changes a conversation that is there.

use std::time::Duration;

use clap::Args;
use postroad_cli::parse_duration;

use super::Wait;

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
