//! Keys between commands: in the kernel's keyring of the user, which no swap and no disk ever sees,
//! and which forgets them by itself when their time is over.

use std::time::Duration;

use linux_keyutils::{
    Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
};
use zeroize::Zeroizing;

use super::key_file::Keys;
use crate::error::StorageError;

/// Whether this system keeps keys for us.
pub(super) fn is_there() -> bool {
    user_ring().is_ok()
}

/// The keys that are held under a name; none, too, where the system keeps none for us.
pub(super) fn find(name: &str) -> Option<Keys> {
    let key = user_ring().and_then(|ring| ring.search(name)).ok()?;
    let mut bytes = Zeroizing::new([0; 64]);
    let length = key.read(&mut *bytes).ok()?;
    if length == bytes.len() { Keys::from_bytes(bytes.as_slice()) } else { None }
}

/// Holds keys for as long as nobody uses them for `idle`; zero for as long as the system runs.
pub(super) fn hold(name: &str, keys: &Keys, idle: Duration) -> Result<(), StorageError> {
    let held = || -> Result<(), KeyError> {
        // Only a key that this process possesses can be given its rights and its time, whatever the
        // session's keyring is linked to: it is made in the process's own and linked from there.
        let own = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
        let key = own.add_key(name, keys.to_bytes().as_slice())?;
        set_idle(key, idle)?;
        let user = Permission::VIEW | Permission::READ | Permission::SEARCH | Permission::SETATTR;
        let rights = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(user);
        key.set_perms(rights.build())?;
        user_ring()?.link_key(key)
    };
    held().map_err(|error| StorageError::NoKeyring(format!("{error:?}")))
}

/// Somebody has used the keys: their time begins anew.
pub(super) fn renew(name: &str, idle: Duration) {
    // Keys that are just gone need no time.
    let _ = user_ring().and_then(|ring| ring.search(name)).and_then(|key| set_idle(key, idle));
}

/// Forgets keys now.
pub(super) fn forget(name: &str) -> Result<(), StorageError> {
    let Ok(key) = user_ring().and_then(|ring| ring.search(name)) else { return Ok(()) };
    match key.invalidate() {
        Err(error) if find(name).is_some() => Err(StorageError::NoKeyring(format!("{error:?}"))),
        _ => Ok(()),
    }
}

fn user_ring() -> Result<KeyRing, KeyError> {
    KeyRing::from_special_id(KeyRingIdentifier::User, true)
}

fn set_idle(key: Key, idle: Duration) -> Result<(), KeyError> {
    key.set_timeout(usize::try_from(idle.as_secs()).unwrap_or(usize::MAX))
}
