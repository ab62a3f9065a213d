//! `restore`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A file with the 24 words, or - for standard input; on a terminal they are asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) phrase_file: Option<PathBuf>,
    /// The node that the account is homed at, or was: postroad:node#…
    #[arg(long, value_name = "LINK")]
    pub(crate) node: String,
    /// What to call this device [default: the name of this machine]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Take all other devices out of the account: they were lost, or are in somebody else's hands
    #[arg(long)]
    pub(crate) cut_off: bool,
}
