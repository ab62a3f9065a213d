//! Who is homed here, and who may write to whom.

pub(crate) mod accounts;
pub(crate) mod departures;
pub(crate) mod invites;
pub(crate) mod prekeys;
pub(crate) mod records;
pub(crate) mod recovery;
pub(crate) mod rendezvous;
pub(crate) mod requests;
pub(crate) mod tokens;
pub(crate) mod vault;
