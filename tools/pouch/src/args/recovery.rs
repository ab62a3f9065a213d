//! `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Show the account's recovery phrase: 24 words to write on paper
    ///
    /// Whoever has these words has the account; without them, and without a device that has the account's key, it
    /// cannot be brought back. They bring back contacts and settings with them, not messages.
    Phrase {
        /// Ask for the words instead, to see that they were written down right
        #[arg(long)]
        test: bool,
    },
}

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
