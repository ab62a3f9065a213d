//! In place of the keyring where the system has none that we know: nothing is held between commands.

use std::time::Duration;

use super::key_file::Keys;
use crate::error::StorageError;

pub(super) fn is_there() -> bool {
    false
}

pub(super) fn find(_: &str) -> Option<Keys> {
    None
}

pub(super) fn hold(_: &str, _: &Keys, _: Duration) -> Result<(), StorageError> {
    Err(StorageError::NoKeyring("this system has none".to_owned()))
}

pub(super) fn renew(_: &str, _: Duration) {}

pub(super) fn forget(_: &str) -> Result<(), StorageError> {
    Ok(())
}
