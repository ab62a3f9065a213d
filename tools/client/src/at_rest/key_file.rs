//! The profile's key on disk: plain, or wrapped under a passphrase.
//!
//! A plain file is the vault's key, 32 bytes, and nothing else. A wrapped one is magic (16) ‖ memory
//! in KiB (4) ‖ passes (4) ‖ lanes (4), all little endian, ‖ salt (16) ‖ sealed ‖ check (16). Sealed
//! are the vault's key and the database's. The check is a hash of all before it: it needs no
//! passphrase, and so tells a damaged file from a wrong passphrase.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use postroad_proto::envelope::Attributes;
use postroad_proto::pair::{self, ContentKey, MIN_BODY};
use zeroize::Zeroizing;

use super::Passphrase;
use crate::entropy;
use crate::error::StorageError;

const MAGIC: &[u8; 16] = b"postroad key 1\r\n";
const HEAD: usize = 16 + 3 * 4 + 16;
const CHECK: usize = 16;
/// Longest file that is read, bytes; a wrapped one has 316.
const MAX_FILE: u64 = 4096;

/// Nothing on a wire has version 0, and what the vault seals has other flags.
const ATTRIBUTES: Attributes = Attributes { version: 0, flags: 1, class: 0, mode: 0, deadline: 0 };

/// What opens a profile.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// What the vault seals secrets and ratchets under.
    pub(crate) vault: Zeroizing<[u8; 32]>,
    /// What the database is encrypted under; none where there is no passphrase.
    pub(crate) database: Option<Zeroizing<[u8; 32]>>,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// Those of a profile without a passphrase.
    pub(crate) fn plain() -> Self {
        Self { vault: Zeroizing::new(entropy::bytes()), database: None }
    }

    /// These, with a new key for the database, which is to be encrypted under it.
    pub(super) fn with_database(&self) -> Self {
        Self { vault: self.vault.clone(), database: Some(Zeroizing::new(entropy::bytes())) }
    }

    /// These, for a database that is to be plain.
    pub(super) fn without_database(&self) -> Self {
        Self { vault: self.vault.clone(), database: None }
    }

    /// vault (32) ‖ database (32), if there is one.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        bytes.extend_from_slice(self.vault.as_slice());
        bytes.extend(self.database.iter().flat_map(|key| key.iter()));
        bytes
    }

    /// From 64 bytes of [`Self::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (vault, rest) = bytes.split_first_chunk::<32>()?;
        let database = Zeroizing::new(<[u8; 32]>::try_from(rest).ok()?);
        Some(Self { vault: Zeroizing::new(*vault), database: Some(database) })
    }
}

/// What trying one passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// Argon2id over 128 MiB, five times: about half a second, for each guess as well.
    pub(super) const USUAL: Self = Self { memory: 128 * 1024, passes: 5, lanes: 1 };
    /// Next to nothing.
    #[cfg(test)]
    pub(super) const TEST: Self = Self { memory: 8, passes: 1, lanes: 1 };

    /// What a file may ask for: no more than 1 GiB, so that a bad one does no harm.
    fn is_bounded(self) -> bool {
        let lanes = (1..=8).contains(&self.lanes);
        lanes
            && (1..=64).contains(&self.passes)
            && (8 * self.lanes..=1024 * 1024).contains(&self.memory)
    }
}

/// A key that needs a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrapped {
    cost: Cost,
    salt: [u8; 16],
    sealed: Vec<u8>,
}

/// The file.
#[derive(Debug)]
pub(crate) enum KeyFile {
    /// Whoever has the file has the profile.
    Plain(Keys),
    /// Whoever has the passphrase as well.
    Wrapped(Wrapped),
}

impl KeyFile {
    /// Reads it. None where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StorageError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(path, error)),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(512));
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|e| StorageError::io(path, e))?;
        if let Ok(vault) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Some(Self::Plain(Keys { vault: Zeroizing::new(vault), database: None })));
        }
        let wrapped = Wrapped::from_bytes(&bytes);
        let wrapped = wrapped.ok_or_else(|| StorageError::Key(path.to_owned()))?;
        Ok(Some(Self::Wrapped(wrapped)))
    }
}

impl Wrapped {
    /// Wraps keys under a passphrase.
    pub(super) fn new(
        keys: &Keys,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<Self, StorageError> {
        let salt = entropy::bytes();
        let key = stretch(passphrase, &salt, cost)?;
        let sealed = pair::seal_body(&key, &ATTRIBUTES, &keys.to_bytes())
            .map_err(|_| StorageError::Secret)?;
        Ok(Self { cost, salt, sealed })
    }

    /// The keys. Takes about half a second, and the memory that the file asks for.
    pub(crate) fn unwrap(&self, passphrase: &Passphrase) -> Result<Keys, StorageError> {
        let key = stretch(passphrase, &self.salt, self.cost)?;
        let opened = pair::open_body(&key, &ATTRIBUTES, &self.sealed);
        // The file is undamaged, or it would not have been read.
        let opened = opened.map_err(|_| StorageError::WrongPassphrase)?;
        Keys::from_bytes(&opened).ok_or(StorageError::Secret)
    }

    /// What the system's keyring knows the keys by: another one with each passphrase.
    pub(super) fn name(&self) -> String {
        let hash = blake3::derive_key("postroad v1 client keyring", &self.salt);
        let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("postroad:{hex}")
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Cost { memory, passes, lanes } = self.cost;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([memory, passes, lanes].iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(self.salt);
        bytes.extend(&self.sealed);
        bytes.extend(check(&bytes));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rest, found) = bytes.split_last_chunk::<CHECK>()?;
        if *found != check(rest) || rest.len() != HEAD + MIN_BODY {
            return None;
        }
        let rest = rest.strip_prefix(MAGIC.as_slice())?;
        let (numbers, rest) = rest.split_at_checked(12)?;
        let (salt, sealed) = rest.split_first_chunk::<16>()?;
        let mut numbers = numbers.chunks_exact(4).filter_map(|number| number.try_into().ok());
        let mut next = || numbers.next().map(u32::from_le_bytes);
        let cost = Cost { memory: next()?, passes: next()?, lanes: next()? };
        cost.is_bounded().then(|| Self { cost, salt: *salt, sealed: sealed.to_vec() })
    }
}

/// The bytes of a key file for these keys: plain, or under a passphrase.
pub(super) fn encode(
    keys: &Keys,
    passphrase: Option<(&Passphrase, Cost)>,
) -> Result<Zeroizing<Vec<u8>>, StorageError> {
    match passphrase {
        Some((passphrase, cost)) => {
            Ok(Zeroizing::new(Wrapped::new(keys, passphrase, cost)?.to_bytes()))
        }
        None => Ok(keys.to_bytes()),
    }
}

/// Writes a file that only its owner may read, and does not return before it is on the disk.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
    .and_then(|()| sync_directory_of(path))
    .map_err(|error| StorageError::io(path, error))
}

/// Makes durable which files there are.
pub(super) fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn stretch(
    passphrase: &Passphrase,
    salt: &[u8; 16],
    cost: Cost,
) -> Result<ContentKey, StorageError> {
    let refused = |error: argon2::Error| StorageError::Passphrase(error.to_string());
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).map_err(refused)?;
    let mut stretched = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.bytes(), salt, stretched.as_mut_slice())
        .map_err(refused)?;
    let context = "postroad v1 client passphrase";
    Ok(ContentKey(blake3::derive_key(context, stretched.as_slice())))
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let hash = blake3::derive_key("postroad v1 client key file", bytes);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hash[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn wrapped() -> (Keys, Wrapped) {
        let keys = Keys::plain().with_database();
        let wrapped = Wrapped::new(&keys, &"correct horse".into(), Cost::TEST).unwrap();
        (keys, wrapped)
    }

    #[test]
    fn a_wrapped_key_opens_with_its_passphrase_alone() {
        let (keys, wrapped) = wrapped();
        assert!(wrapped.unwrap(&"correct horse".into()).unwrap() == keys);
        let wrong = wrapped.unwrap(&"correct horse ".into());
        assert!(matches!(wrong, Err(StorageError::WrongPassphrase)), "{wrong:?}");
        let bytes = wrapped.to_bytes();
        for secret in [&*keys.vault, &**keys.database.as_ref().unwrap()] {
            assert!(!bytes.windows(32).any(|window| window == secret));
        }
        assert_eq!(Wrapped::from_bytes(&bytes), Some(wrapped));
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase_at_every_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let bytes = wrapped().1.to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(matches!(KeyFile::read(&path), Err(StorageError::Key(_))), "byte {at}");
        }
        for length in [0, 1, 31, 33, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(matches!(KeyFile::read(&path), Err(StorageError::Key(_))), "{length} bytes");
        }
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(KeyFile::read(&path), Ok(Some(KeyFile::Wrapped(_)))));
        fs::write(&path, [7; 32]).unwrap();
        assert!(matches!(KeyFile::read(&path), Ok(Some(KeyFile::Plain(_)))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(KeyFile::read(&path), Ok(None)));
    }

    #[test]
    fn a_file_cannot_ask_for_more_memory_or_time_than_there_is_reason_for() {
        let usual = Cost::USUAL;
        assert!(usual.is_bounded() && Cost::TEST.is_bounded());
        for cost in [
            Cost { memory: u32::MAX, ..usual },
            Cost { memory: 7, ..usual },
            Cost { passes: 0, ..usual },
            Cost { passes: 65, ..usual },
            Cost { lanes: 0, ..usual },
            Cost { lanes: 9, ..usual },
        ] {
            let (_, mut wrapped) = wrapped();
            wrapped.cost = cost;
            assert_eq!(Wrapped::from_bytes(&wrapped.to_bytes()), None, "{cost:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let (keys, wrapped) = wrapped();
        assert_eq!(format!("{keys:?}"), "Keys(…)");
        assert_eq!(format!("{:?}", KeyFile::Plain(keys)), "Plain(Keys(…))");
        assert_eq!(format!("{:?}", Passphrase::from("correct horse")), "Passphrase(…)");
        assert_ne!(wrapped.name(), self::wrapped().1.name(), "another one each time");
    }
}
