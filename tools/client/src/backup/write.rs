//! Making a backup.

use std::io::{self, Write};

use postroad_proto::backup::{
    BackupAccount, BackupEnd, BackupHead, BackupInvite, Chain, LINE, Record,
};
use postroad_proto::ids::{DeviceNumber, Millis};
use postroad_proto::linking::SharedSecret;
use postroad_proto::sync::{Item, item};
use rusqlite::{Transaction, params};
use serde_bytes::ByteArray;

use super::lock::{BackupLock, Sealing};
use super::{BackupError, BackupSummary, CHUNK};
use crate::client::Client;
use crate::clock;
use crate::db::{blob, int, unsigned};
use crate::devices::{copies, entries};
use crate::entropy;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::linking::portions;
use crate::vault::Vault;

/// Messages in memory at a time; each may be as large as an envelope.
const PAGE: usize = 128;
/// Links of the account's own that go with it: the newest.
const MAX_INVITES: i64 = 1024;

impl Client {
    /// Writes a backup of the account to `out`, from one view of the database: what other processes on the
    /// profile do meanwhile goes on, and is not in it. `on` hears how many messages are written, of about
    /// how many. With a passphrase it begins with about a second of work.
    ///
    /// # Errors
    /// [`Error::NotJoined`], [`Error::Backup`], [`Error::Storage`].
    pub fn write_backup(
        &mut self,
        out: impl Write,
        lock: &BackupLock,
        on: impl FnMut(u64, u64),
    ) -> Result<BackupSummary> {
        let vault = &self.vault;
        self.db.read(|tx| write(tx, vault, (out, lock), clock::now(), on))
    }
}

/// Writes what a view of the database has.
pub(crate) fn write(
    tx: &Transaction<'_>,
    vault: &Vault,
    (out, lock): (impl Write, &BackupLock),
    now: Millis,
    mut on: impl FnMut(u64, u64),
) -> Result<BackupSummary> {
    let own = Identity::find(tx, vault)?.filter(|own| own.registered).ok_or(Error::NotJoined)?;
    let opening = portions::view(tx, &own, now)?;
    let messages = copies::count(tx)?;
    let head = BackupHead {
        id: ByteArray::new(entropy::bytes()),
        account: own.account,
        network: own.network.clone(),
        device: own.device,
        device_name: entries::text(tx, entries::DEVICE, &own.device)?,
        made: now,
        records: 3 + opening.len() as u64 + messages,
        messages,
    };
    let account = account(tx, &own, now)?;
    let summary = BackupSummary::new(&head, &account);
    let mut records = Records::begin(out, lock)?;
    records.put(&Record::Head(head))?;
    records.put(&Record::Account(Box::new(account)))?;
    for item in opening {
        records.item(item)?;
    }
    let mut row = 0;
    loop {
        on(records.counts.messages, messages);
        let page = copies::after(tx, row, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        row = *last;
        for item in page.into_iter().filter_map(|(_, item)| item) {
            records.item(item)?;
        }
    }
    let (counts, bytes) = records.end()?;
    Ok(BackupSummary { contacts: counts.people, messages: counts.messages, bytes, ..summary })
}

/// What only the account has.
fn account(tx: &Transaction<'_>, own: &Identity, now: Millis) -> Result<BackupAccount> {
    Ok(BackupAccount {
        home: own.home.to_string(),
        record: own.record.clone(),
        devices: own.devices.clone(),
        handle: own.handle.clone(),
        seed: own.seed().map(|seed| SharedSecret(*seed)),
        tokens: SharedSecret(own.tokens().0),
        invites: invites(tx, now)?,
        last_device: DeviceNumber::try_from(own.last_number(tx)?).unwrap_or(DeviceNumber::MAX),
    })
}

/// Links of the account's own that can still be used.
fn invites(tx: &Transaction<'_>, now: Millis) -> Result<Vec<BackupInvite>> {
    let mut query = tx.prepare(
        "SELECT * FROM invite WHERE revoked = 0 AND (expires = 0 OR expires > ?1)
         ORDER BY created_at DESC LIMIT ?2",
    )?;
    let rows = query.query_map(params![int(now / 1000), MAX_INVITES], |row| {
        Ok(BackupInvite {
            code: ByteArray::new(blob(row, "code")?),
            uses: unsigned(row, "uses")?,
            expires: unsigned(row, "expires")?,
            made: unsigned(row, "created_at")?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Records on their way into the file.
struct Records<W: Write> {
    out: Sealing<Counted<W>>,
    chain: Chain,
    counts: BackupEnd,
    /// Bytes that were written, before they were encrypted.
    plain: u64,
}

impl<W: Write> Records<W> {
    fn begin(out: W, lock: &BackupLock) -> Result<Self, BackupError> {
        let out = lock.seal(Counted { out, bytes: 0 })?;
        let (chain, counts) = (Chain::default(), BackupEnd::default());
        let mut records = Self { out, chain, counts, plain: 0 };
        records.write(LINE)?;
        Ok(records)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.plain += bytes.len() as u64;
        self.out.write_all(bytes).map_err(BackupError::writing)
    }

    fn put(&mut self, record: &Record) -> Result<()> {
        let bytes = self.chain.seal(record)?;
        self.counts.records += 1;
        Ok(self.write(&bytes)?)
    }

    fn item(&mut self, item: Item) -> Result<()> {
        self.counts.people += u64::from(item.kind == item::PERSON);
        self.counts.entries += u64::from(item.kind == item::ENTRY);
        self.counts.messages += u64::from(item.kind == item::COPY);
        self.put(&Record::Item(item))
    }

    /// What was written, and bytes of the file.
    fn end(mut self) -> Result<(BackupEnd, u64)> {
        let counts = self.counts.clone();
        self.put(&Record::End(counts.clone()))?;
        let padding = self.plain.next_multiple_of(CHUNK) - self.plain;
        self.write(&vec![0; usize::try_from(padding).unwrap_or_default()])?;
        let counted = self.out.finish().map_err(BackupError::writing)?;
        Ok((counts, counted.bytes))
    }
}

/// Counts what goes through it.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
