//! Signed records: who someone is, where they are homed, how a node is reached.
//! `spec/records.md` is the normative text.

mod account;
mod deletion;
mod devices;
pub mod digest;
mod handle;
mod node;
mod steward;

pub use account::{AccountRecord, AccountRecordOrder};
pub use deletion::Deletion;
pub use devices::{Device, DeviceList, OLM_VERSION};
pub use handle::{Handle, HandleChange, HandleError, HandleRecord};
pub use node::NodeRecord;
pub use steward::StewardCert;

use crate::codec::CodecError;

/// Versions of records that this crate reads and writes.
pub const RECORD_VERSION: u64 = 1;

/// Bits 16 to 31 of a `flags` field are critical: a reader that does not know one refuses the
/// object. None is known yet.
pub const CRITICAL_FLAGS: u64 = 0xffff_0000;

/// Refuses other versions and unknown critical flags.
pub(crate) fn check_version(version: u64, flags: u64) -> Result<(), CodecError> {
    if version != RECORD_VERSION {
        return Err(CodecError::Value("unknown version"));
    }
    if flags & CRITICAL_FLAGS != 0 {
        return Err(CodecError::Value("unknown critical flag"));
    }
    Ok(())
}
