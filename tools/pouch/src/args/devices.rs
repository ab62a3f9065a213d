//! `device`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Show a link, and hand this account to the device that reads it
    ///
    /// The link is good for ten minutes and for one device, which gets a place in the account, the contacts,
    /// settings and all messages. Whatever breaks in between, the same command goes on, for a day. Only the device
    /// on which the account was made, or restored, can link another.
    Link {
        /// Show the link as a QR code as well
        #[arg(long)]
        qr: bool,
        /// A new link, in place of one that was shown and is not over
        #[arg(long)]
        anew: bool,
    },
    /// Make this profile another device of the account that shows a link
    ///
    /// On the account's device: pouch device link. Whatever breaks, the same command goes on.
    Join(DeviceJoin),
    /// List the account's devices
    Ls,
    /// Take a device out of the account: it gets nothing more, and what it says counts for nothing
    Revoke {
        /// Its number, as ls shows it
        device: u8,
    },
    /// Call a device something else
    Rename {
        /// Its number, as ls shows it
        device: u8,
        /// The new name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeviceJoin {
    /// What the other device shows: postroad:device#…
    pub(crate) link: String,
    /// What to call this device [default: the name of this machine]
    #[arg(long)]
    pub(crate) name: Option<String>,
}
