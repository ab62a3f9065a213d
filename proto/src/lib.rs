//! What crosses a wire in Postroad, and its rules: ids, signed records, envelopes, frames,
//! receipts, and the Noise channel.
//!
//! Pure: no async, no clock, no sockets, no disk. The documents in `spec/` lead; the bytes in
//! `vectors/` check every implementation, this one included.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backup;
pub mod blob;
pub mod codec;
pub mod content;
pub mod envelope;
pub mod ephemeral;
pub mod error;
pub mod frame;
pub mod hello;
pub mod ids;
pub mod limits;
pub mod link;
pub mod linking;
pub mod merkle;
pub mod network;
pub mod noise;
pub mod pair;
pub mod prekey;
pub mod receipt;
pub mod record;
pub mod recovery;
pub mod safety;
pub mod signed;
pub mod sync;
pub mod token;

/// Signing keys, as this crate takes them.
pub use ed25519_dalek::{Signer, SigningKey};

/// The protocol versions (lowest, highest) of frames that this crate speaks.
pub const PROTOCOL_VERSIONS: (u64, u64) = (1, 1);

use core::fmt;

/// Debug output for bytes that are no secret: the first eight in hexadecimal.
pub(crate) fn hex_debug(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}(")?;
    for byte in bytes.iter().take(8) {
        write!(f, "{byte:02x}")?;
    }
    f.write_str(")")
}
