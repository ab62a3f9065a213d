//! Custody: taking mail, keeping it, handing it over, giving it up.

pub(crate) mod admission;
pub(crate) mod delivery;
pub(crate) mod ephemeral;
pub(crate) mod expiry;
pub(crate) mod intake;
pub(crate) mod item;
pub(crate) mod mailbox;
pub(crate) mod stamp;
