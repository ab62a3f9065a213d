//! posthoused, the Postroad node: sockets, clock and disk around [`postroad_core::Core`].
//!
//! `main -> server -> { net, gateway, admin } -> engine -> { core, store }`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admin;
mod bucket;
pub mod cli;
mod clock;
pub mod config;
mod engine;
mod gateway;
#[cfg(feature = "hostile")]
mod hostile;
mod identity;
mod neighbourhood;
mod net;
mod outgoing;
mod ready;
mod record;
mod server;
mod sockets;

pub use crate::server::{Server, ServerError};
