//! The decisions of a posthouse: custody, mailboxes, tokens, quotas.
//!
//! Sans-IO: inputs and the time come in, [`Changes`](changes::Changes) and outputs go out. Nothing
//! here reads a clock, opens a socket or touches a disk. One group of inputs goes through
//!
//! 1. [`Core::handle`] for each, and [`Core::expire`] now and then,
//! 2. [`Core::seal`], whose changes the caller makes durable,
//! 3. [`Core::committed`], which releases what the group promised,
//! 4. [`Core::deliver`], which reads mailboxes for those who listen,
//! 5. [`Core::take_outputs`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bucket;
pub mod changes;
mod config;
mod core;
mod group;
mod inspect;
mod mail;
mod map;
mod people;
mod reply;
mod ring;
pub mod roads;
mod rollback;
mod sessions;
mod state;
mod timers;
pub mod units;

pub use crate::config::{Config, Keys, Registration, RoadsConfig};
pub use crate::core::{Core, Counters, Input, Output, SessionId, StartError};
pub use crate::inspect::{InviteView, MailboxTotals, MailboxView, QueueRow, TraceView, UserView};
pub use crate::people::invites::{InviteError, InviteState};
