//! `contact` and `requests`.

use std::time::Duration;

use clap::{Args, Subcommand};
use postroad_cli::parse_duration;

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
