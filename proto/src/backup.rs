//! What a backup holds: a line, then records, each with a check over all before it. What keeps them
//! secret is age, outside of them. `spec/backup.md`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::codec::{self, CodecError};
use crate::ids::{AccountId, DeviceNumber, Millis};
use crate::limits::MAX_BACKUP_RECORD;
use crate::linking::SharedSecret;
use crate::network::Network;
use crate::record::{AccountRecord, DeviceList, HandleRecord};
use crate::signed::Signed;
use crate::sync::Item;

/// What a backup begins with.
pub const LINE: &[u8] = b"postroad backup 1\n";
/// The version that [`LINE`] names.
pub const VERSION: u32 = 1;
/// Bytes of a record before its body: the body's length and the record's kind.
pub const START: usize = 5;
/// Bytes of a record after its body.
pub const CHECK: usize = 16;

/// The version of a backup that begins with `line`; none when it is no backup.
pub fn version(line: &[u8]) -> Option<u32> {
    let number = line.strip_prefix(b"postroad backup ")?.strip_suffix(b"\n")?;
    core::str::from_utf8(number).ok()?.parse().ok()
}

/// The first record: whose backup it is, and about how much is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHead {
    /// Random: of this backup and no other.
    pub id: ByteArray<16>,
    /// Whose it is.
    pub account: AccountId,
    /// The account's network.
    pub network: Network,
    /// Which of the account's devices made it.
    pub device: DeviceNumber,
    /// What that one is called; empty if nothing.
    pub device_name: String,
    /// When.
    pub made: Millis,
    /// Records that there are, about, this one and the last one included.
    pub records: u64,
    /// Messages that there are, about.
    pub messages: u64,
}

/// The second record: what a device of the account is handed, and what only the account has. None of a
/// device's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupAccount {
    /// The home, as a node link.
    pub home: String,
    /// The account's record as the device had it.
    pub record: Signed<AccountRecord>,
    /// The list that the record names.
    pub devices: Signed<DeviceList>,
    /// The account's handle.
    pub handle: Option<Signed<HandleRecord>>,
    /// Of the account's key; none when the device has not got it.
    pub seed: Option<SharedSecret>,
    /// What delivery tokens are made from.
    pub tokens: SharedSecret,
    /// The account's own links.
    pub invites: Vec<BackupInvite>,
    /// The highest number that a device of the account has or had, as far as is known.
    pub last_device: DeviceNumber,
}

/// A link of the account's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupInvite {
    /// The code in it.
    pub code: ByteArray<16>,
    /// How often it may be used; 0 for any number.
    pub uses: u64,
    /// Seconds; 0 for never.
    pub expires: u64,
    /// When it was made.
    pub made: Millis,
}

/// The last record: what there was. A file without it is cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEnd {
    /// Records before this one.
    pub records: u64,
    /// Of these, people.
    pub people: u64,
    /// Of these, entries.
    pub entries: u64,
    /// Of these, messages.
    pub messages: u64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Kind 1: see [`BackupHead`].
    Head(BackupHead),
    /// Kind 2: see [`BackupAccount`].
    Account(Box<BackupAccount>),
    /// Kind 3: something to know, as in `spec/sync.md`.
    Item(Item),
    /// Kind 4: see [`BackupEnd`].
    End(BackupEnd),
    /// A kind that this version does not know: it is passed over.
    Unknown(u8),
}

/// Makes records and checks them, one after another from the first.
#[derive(Debug, Clone)]
pub struct Chain {
    check: [u8; CHECK],
}

impl Default for Chain {
    fn default() -> Self {
        Self { check: cut(blake3::hash(LINE)) }
    }
}

impl Chain {
    /// The bytes of the next record.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] for a body of more than [`MAX_BACKUP_RECORD`] bytes;
    /// [`CodecError::Value`] for [`Record::Unknown`], of which there is no body.
    pub fn seal(&mut self, record: &Record) -> Result<Vec<u8>, CodecError> {
        let (kind, body) = match record {
            Record::Head(head) => (1, codec::encode(head)?),
            Record::Account(account) => (2, codec::encode(account.as_ref())?),
            Record::Item(item) => (3, codec::encode(item)?),
            Record::End(end) => (4, codec::encode(end)?),
            Record::Unknown(_) => return Err(CodecError::Value("a record of an unknown kind")),
        };
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = [&length[..], &[kind]].concat();
        body_length(&length)?;
        bytes.extend_from_slice(&body);
        self.check = self.over(&bytes);
        bytes.extend_from_slice(&self.check);
        Ok(bytes)
    }

    /// The next record, from its first [`START`] bytes and the [`rest`].
    ///
    /// # Errors
    /// When its check, or its body, is not what it should be.
    pub fn open(&mut self, start: &[u8; START], rest: &[u8]) -> Result<Record, CodecError> {
        let (body, check) = rest.split_last_chunk::<CHECK>().ok_or(CodecError::Truncated)?;
        let [length @ .., kind] = start;
        if body_length(length)? != body.len() {
            return Err(CodecError::Truncated);
        }
        let expected = self.over(&[start, body].concat());
        if expected != *check {
            return Err(CodecError::Value("the check of a record is not that of its bytes"));
        }
        self.check = expected;
        Ok(match kind {
            1 => Record::Head(decode(body)?),
            2 => Record::Account(Box::new(decode(body)?)),
            3 => Record::Item(decode(body)?),
            4 => Record::End(decode(body)?),
            kind => Record::Unknown(*kind),
        })
    }

    fn over(&self, bytes: &[u8]) -> [u8; CHECK] {
        cut(blake3::Hasher::new().update(&self.check).update(bytes).finalize())
    }
}

/// Bytes that follow the first ones of a record: its body and its check.
///
/// # Errors
/// [`CodecError::TooLarge`].
pub fn rest(start: &[u8; START]) -> Result<usize, CodecError> {
    let [length @ .., _] = start;
    Ok(body_length(length)? + CHECK)
}

fn body_length(length: &[u8; 4]) -> Result<usize, CodecError> {
    let got = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    match got <= MAX_BACKUP_RECORD {
        true => Ok(got),
        false => Err(CodecError::TooLarge { limit: MAX_BACKUP_RECORD, got }),
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    codec::decode(body, MAX_BACKUP_RECORD)
}

fn cut(hash: blake3::Hash) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&hash.as_bytes()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_its_version() {
        assert_eq!(version(LINE), Some(VERSION));
        assert_eq!(version(b"postroad backup 12\n"), Some(12));
        for other in [&b"postroad backup 1"[..], b"postroad backup \n", b"age", b""] {
            assert_eq!(version(other), None);
        }
    }

    #[test]
    fn a_record_out_of_its_place_is_noticed() {
        let end = |records| Record::End(BackupEnd { records, ..BackupEnd::default() });
        let mut chain = Chain::default();
        let (one, two) = (chain.seal(&end(1)).unwrap(), chain.seal(&end(2)).unwrap());
        let open = |chain: &mut Chain, bytes: &[u8]| {
            let (start, after) = bytes.split_first_chunk().unwrap();
            assert_eq!(rest(start).unwrap(), after.len());
            chain.open(start, after)
        };
        let mut reader = Chain::default();
        assert!(open(&mut reader.clone(), &two).is_err());
        assert_eq!(open(&mut reader, &one), Ok(end(1)));
        assert!(open(&mut reader.clone(), &one).is_err());
        assert_eq!(open(&mut reader, &two), Ok(end(2)));
    }
}
