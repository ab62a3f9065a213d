//! The decisions of a posthouse: custody, mailboxes, tokens, quotas.
//!
//! Sans-IO: inputs and the time come in, [`changes::Changes`] and outputs go out. Nothing here
//! reads a clock, opens a socket or touches a disk.

pub mod changes;
