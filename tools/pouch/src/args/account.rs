//! `account`.

use std::time::Duration;

use clap::{Args, Subcommand};
use postroad_cli::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Delete this account: at its node, on its devices, and say so to its contacts
    ///
    /// Asks first. Until the time has come everything goes on, pouch status says when it ends, and pouch account keep
    /// calls it off. Then the node deletes all that it has of the account, and so does each device that has heard of
    /// it; the handle goes to nobody else for a year. Messages that others have stay with them. It takes the account's
    /// key: the device where the account was made, or was restored. A backup made before brings it back only
    /// where the node is open to all.
    Delete(AccountDelete),
    /// Call the deletion of this account off, and say so to its contacts
    Keep,
}

#[derive(Debug, Args)]
pub(crate) struct AccountDelete {
    /// How long it is to stay, at most 30d; 0s deletes it at once
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_duration)]
    pub(crate) after: Duration,
}
