use serde::{Deserialize, Serialize};

use super::check_version;
use crate::codec::CodecError;
use crate::ids::{AccountId, NodeId};
use crate::network::Network;
use crate::signed::{Purpose, Signable, SignedError};

/// The account's word to one node that it is to be deleted there, or that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// [`super::RECORD_VERSION`].
    pub version: u64,
    /// See [`super::CRITICAL_FLAGS`].
    pub flags: u64,
    /// The account; its key signs, and no steward's.
    pub account: AccountId,
    /// The node that is to delete it: it says nothing to another home.
    pub node: NodeId,
    /// When it was said, seconds since the Unix epoch. The later word counts.
    pub at: u64,
    /// When it is to be deleted, seconds since the Unix epoch; 0 calls it off.
    pub delete_at: u64,
}

impl Signable for Deletion {
    const PURPOSE: Purpose = Purpose::Deletion;
    const LIMIT: usize = 128;

    fn signer(&self, _: &Network) -> Result<[u8; 32], SignedError> {
        Ok(self.account.0)
    }

    fn validate(&self) -> Result<(), CodecError> {
        check_version(self.version, self.flags)?;
        if self.delete_at != 0 && self.delete_at < self.at {
            return Err(CodecError::Value("to be deleted before that was said"));
        }
        Ok(())
    }
}
