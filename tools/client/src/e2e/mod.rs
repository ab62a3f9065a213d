//! End-to-end encryption of two devices: Olm sessions carry the keys of bodies.
//!
//! Pure but for randomness: sessions and keys come in, changed ones go out, and `store` keeps them.
//! Whatever an Olm step produced is in the database before it is sent, and whatever was decrypted
//! before it is acked.

mod device;
mod open;
mod seal;
mod sessions;
pub(crate) mod store;
#[cfg(test)]
mod tests;

pub use device::OwnDevice;
pub(crate) use open::MAX_SEQ;
pub use open::{Incoming, Introduced, OpenError, Opened, header, may_start_session, open};
pub use seal::{Letter, Sealed, seal};
pub use sessions::PeerSessions;

/// An account's device.
pub type DeviceAddress = (postroad_proto::ids::AccountId, postroad_proto::ids::DeviceNumber);
