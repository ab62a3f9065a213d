//! `move`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Move {
    /// The node to go to: its invitation, postroad:join#…, or the link of one that is open to all
    pub(crate) link: String,
    /// The handle to take there [default: the present one]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Take no handle there
    #[arg(long, conflicts_with = "name")]
    pub(crate) no_handle: bool,
}
