//! Secrets at rest: the account's seed, the device's keys and the ratchets' pickles are encrypted
//! under a key of the profile that lies in a file beside the database, so that a copied database
//! alone gives nobody an identity.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use postroad_proto::envelope::Attributes;
use postroad_proto::pair::{self, ContentKey};
use zeroize::Zeroizing;

use crate::entropy;
use crate::error::StorageError;

/// The profile's key.
#[derive(Clone)]
pub(crate) struct Vault {
    key: Zeroizing<[u8; 32]>,
}

impl core::fmt::Debug for Vault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// Reads the key file. Makes one when `fresh`: while the database holds no secret yet.
    pub(crate) fn open(path: &Path, fresh: bool) -> Result<Self, StorageError> {
        let io = |source| StorageError::io(path, source);
        match fs::read(path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                let key = bytes.as_slice().try_into().map(Zeroizing::new);
                match key {
                    Ok(key) => Ok(Self { key }),
                    // A kill between creating and writing it leaves a short file.
                    Err(_) if fresh => Self::create(path).map_err(io),
                    Err(_) => Err(StorageError::Key(path.to_owned())),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound && fresh => {
                Self::create(path).map_err(io)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StorageError::Key(path.to_owned()))
            }
            Err(error) => Err(io(error)),
        }
    }

    fn create(path: &Path) -> std::io::Result<Self> {
        let key = Zeroizing::new(entropy::bytes());
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(key.as_slice())?;
        file.sync_all()?;
        if let Some(directory) = path.parent() {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(Self { key })
    }

    /// A key of its own, for tests.
    #[cfg(test)]
    pub(crate) fn ephemeral() -> Self {
        Self { key: Zeroizing::new(entropy::bytes()) }
    }

    /// The key that Olm pickles are encrypted under.
    pub(crate) fn pickle_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("postroad v1 client pickles", self.key.as_slice()))
    }

    /// Encrypts a secret. Layout: salt (16) ‖ sealed.
    pub(crate) fn seal(&self, secret: &[u8]) -> Result<Vec<u8>, StorageError> {
        let salt: [u8; 16] = entropy::bytes();
        let sealed = pair::seal_body(&self.once(&salt), &ATTRIBUTES, secret)
            .map_err(|_| StorageError::Secret)?;
        Ok([salt.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn open_sealed(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        let (salt, body) = sealed.split_first_chunk::<16>().ok_or(StorageError::Secret)?;
        pair::open_body(&self.once(salt), &ATTRIBUTES, body).map_err(|_| StorageError::Secret)
    }

    /// The body cipher takes each key once: a fresh salt makes a fresh key.
    fn once(&self, salt: &[u8; 16]) -> ContentKey {
        let input = Zeroizing::new([self.key.as_slice(), salt].concat());
        ContentKey(blake3::derive_key("postroad v1 client vault", &input))
    }
}

/// Nothing on a wire has version 0, so nothing sealed here can be passed off as a message.
const ATTRIBUTES: Attributes = Attributes { version: 0, flags: 0, class: 0, mode: 0, deadline: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_while_there_is_nothing_to_lose() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert!(matches!(Vault::open(&path, false), Err(StorageError::Key(_))));
        let sealed = Vault::open(&path, true).unwrap().seal(b"seed").unwrap();
        assert_eq!(*Vault::open(&path, true).unwrap().open_sealed(&sealed).unwrap(), b"seed");
        assert!(Vault::ephemeral().open_sealed(&sealed).is_err());
        fs::write(&path, b"cut").unwrap();
        assert!(matches!(Vault::open(&path, false), Err(StorageError::Key(_))));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Vault::ephemeral()), "Vault(…)");
    }
}
