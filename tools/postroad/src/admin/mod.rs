//! The admin API of a node: where it is, and how to ask it.

mod client;
mod target;

pub use client::Admin;
pub(crate) use client::segment;
pub use target::Target;
