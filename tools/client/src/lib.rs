//! postroad-client: the Postroad SDK.
//!
//! [`Client`] is a profile on disk and, while there is one, its connection to the home node. All of
//! its state is in the profile's database; every step is one transaction, so that a kill at any
//! moment loses nothing and several processes may take turns.
//!
//! [`connection::Connection`] is the raw level below it: frames in and out over an authenticated
//! channel. [`e2e`] is the encryption between two devices, without storage or network.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod connection;
pub mod e2e;

mod amend;
mod client;
mod clock;
mod contacts;
mod conversations;
mod db;
mod entropy;
mod error;
mod events;
mod identity;
mod messages;
mod names;
mod outbox;
mod profile;
mod quotes;
mod receipts;
mod receive;
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
pub use client::{
    Client, ContactView, InviteView, LastContact, Problem, Sent, Settings, Status, WaitsFor,
    Whoami, Why,
};
pub use clock::now;
pub use contacts::Phase;
pub use error::{ConnectionError, Error, Result, StorageError};
pub use events::Event;
pub use messages::{Message, Query};
pub use names::{NameError, Names, Resolver};
pub use outbox::MAX_TEXT;
pub use state::State;
pub use steps::{CheckedStep, Signer};
pub use sync::Synced;
