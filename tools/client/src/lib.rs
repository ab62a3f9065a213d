//! postroad-client: the Postroad SDK. An account in a program of your own: a bot, a bridge,
//! something that reports, another messenger.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use postroad_client::{Client, Query};
//!
//! # async fn echo() -> Result<(), Box<dyn std::error::Error>> {
//! let mut bot = Client::open(Path::new("echo"))?;
//! if !bot.is_joined()? {
//!     let link = "postroad:join#...".parse()?; // postroad invite create
//!     bot.join(&link, None).await?;
//! }
//! println!("add me: {}", bot.whoami()?.link);
//! let mut seen = bot.newest_event()?;
//! loop {
//!     for message in bot.messages(&Query { unshown: true, ..Query::default() })? {
//!         match &message.text {
//!             Some(text) => drop(bot.answer(&message, text)?),
//!             None => bot.mark_shown(&[message])?,
//!         }
//!     }
//!     (seen, _) = bot.next_event(seen).await?;
//! }
//! # }
//! ```
//!
//! `examples/` has this one whole, `echo_bot.rs`, and `notifier.rs`, which only sends. Ids and links
//! are types of `postroad-proto`, and all are read with `parse`.
//!
//! # A profile
//!
//! [`Client`] is a profile, a directory on disk, and, while there is one, its connection to the home
//! node. [`Client::open`] makes the directory; [`Client::join`] makes the account's keys in it and
//! registers them where an invitation says, and may be repeated until it works. Who has the directory
//! is the account: it belongs to nobody else, into no image and into no repository.
//!
//! With a passphrase that is no longer so, see [`Lock`]: then [`Client::open_with`] takes it, and whatever
//! waits for something ends with [`StorageError::Locked`] once somebody has locked the profile.
//!
//! Several processes may use a profile. One of them has the connection and works for the others, so
//! that `pouch --data-dir DIR --profile NAME` looks into the profile `DIR/NAME` of a bot that runs.
//!
//! # Sending
//!
//! [`Client::send_text`] and its like only store, and return at once, with or without a connection.
//! What is stored goes out in [`Client::step`], [`Client::next_event`], [`Client::wait_for`] or
//! [`Client::sync`], of this process or the next; it is kept until the recipient's device has it or its
//! time is over. [`Client::wait_for`] waits for a [`State`], [`Client::why`] says what is waited for.
//!
//! # Receiving
//!
//! What came in is in the database before the node is told so. [`Client::messages`] finds what was not
//! shown yet, however long ago it came; events only say that it is time to look again. A program that
//! looks first and then waits for [`Client::next_event`] misses nothing, also of what happened while it
//! did not run.
//!
//! # Typing and presence
//!
//! [`Client::typing`] and [`Client::here`] tell a contact what the user does now; [`Client::signs`] says
//! what contacts do. Neither is a message: nobody keeps it, and it ends by itself.
//!
//! # Exactly once
//!
//! Every operation is one transaction: a kill at any moment leaves it done or not begun.
//!
//! - A message comes into the database once, however often it crosses the wire. Its [`Message::id`] is
//!   the same on both sides, its [`Message::row`] counts here.
//! - [`Client::answer`] stores an answer and the mark that the message was shown in one transaction:
//!   each message is answered once.
//! - [`Client::mark_shown`] after an effect elsewhere, such as a line in another database, is at least
//!   once: after a kill between the two the message is found again. Keep its id beside the effect to
//!   know it.
//! - [`Client::send_text`] sends anew with each call. Who calls it for something that was read elsewhere
//!   and is killed in between may do so twice; what is stored is sent and shown once.
//!
//! # Backups
//!
//! [`Client::write_backup`] writes all of the account from one view of the database, into a [`BackupDraft`] or
//! anything else; [`Backup::open`] and [`Backup::verify`] read it; [`Client::restore_backup`] merges it.
//!
//! # Errors
//!
//! A node that is away is no error of [`Client::step`] and [`Client::next_event`]: they try again, and
//! [`Client::offline_reason`] says why. [`Client::join`] gives it as [`Error::Connection`], and a node's
//! no as [`Error::Refused`]. [`Error::Storage`] is the machine's: a full disk, a directory that cannot
//! be written; nothing that was stored is lost, so end and start again. The others are of what was
//! asked for, change nothing, and say so each for itself.
//!
//! # Below
//!
//! [`connection::Connection`] is the raw level: frames in and out over an authenticated channel.
//! [`e2e`] is the encryption between two devices, without storage or network.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod connection;
pub mod e2e;

mod amend;
mod at_rest;
mod backup;
mod client;
mod clock;
mod contacts;
mod conversations;
mod db;
mod deletion;
mod devices;
mod entropy;
mod ephemeral;
mod error;
mod events;
mod identity;
mod linking;
mod mentions;
mod messages;
mod moving;
mod names;
mod outbox;
mod profile;
mod quotes;
mod receipts;
mod receive;
mod recovery;
mod requests;
mod resend;
mod settings;
mod state;
mod steps;
#[cfg(test)]
mod stories;
mod sync;
#[cfg(test)]
mod testing;
mod vault;
mod waiting;

pub use amend::{Quoted, Reaction};
pub use at_rest::{AtRest, Lock, Passphrase};
pub use backup::{
    Backup, BackupDraft, BackupError, BackupKey, BackupLock, BackupPlace, BackupSummary, Restored,
};
pub use client::{
    Check, Client, ContactView, DeviceView, InviteView, LastContact, Problem, Recovery, STEPS,
    Safety, Sent, Settings, SettingsChange, Status, Verdict, WaitsFor, Whoami, Why,
};
pub use clock::now;
pub use contacts::Phase;
pub use ephemeral::Signs;
pub use error::{ConnectionError, Error, Result, StorageError};
pub use events::Event;
pub use linking::{LinkEvent, LinkOffer};
pub use messages::{Message, Query};
pub use moving::Moved;
pub use names::{NameError, Names, Resolver};
pub use outbox::MAX_TEXT;
pub use postroad_proto::content::Mention;
pub use recovery::{AccountKey, Others};
pub use state::State;
pub use steps::{CheckedStep, Signer};
pub use sync::Synced;
