//! `lock` and `unlock`, and what a profile is opened with.

use std::path::PathBuf;

use clap::Args;

/// The passphrase of a profile.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// Put another passphrase in the place of the one there is
    #[arg(long, conflicts_with = "remove")]
    pub(crate) change: bool,
    /// Take the passphrase away: whoever has the disk can read all again
    #[arg(long)]
    pub(crate) remove: bool,
    /// Read the new passphrase from a file's first line, and do not ask for it
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
}
