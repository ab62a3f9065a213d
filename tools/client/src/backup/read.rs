//! Reading a backup, record by record.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use postroad_proto::SigningKey;
use postroad_proto::backup::{
    self, BackupAccount, BackupEnd, BackupHead, Chain, LINE, Record, START, VERSION,
};
use postroad_proto::codec::CodecError;
use postroad_proto::ids::AccountId;
use postroad_proto::sync::{Item, item};

use super::lock::{self, BackupKey, Opened};
use super::{BackupError, BackupPlace, BackupSummary, CHUNK, SEALED_CHUNK};

/// Bytes of a first line that is looked at.
const MAX_LINE: usize = 32;
/// How many messages go by until it is said how far it has come.
const SAY: u64 = 512;

/// A backup that a key has opened. Nothing of it is taken for whole before [`Self::verify`].
pub struct Backup<R> {
    records: Records<R>,
    head: BackupHead,
    account: Box<BackupAccount>,
    counts: BackupEnd,
    verified: Option<BackupSummary>,
}

impl<R> core::fmt::Debug for Backup<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Backup").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Backup<File> {
    /// Opens a file. With a passphrase that takes about a second.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn open(path: &Path, key: &BackupKey) -> Result<Self, BackupError> {
        let what = || format!("read {}", path.display());
        let file = File::open(path).map_err(|error| BackupError::io(what(), error))?;
        Self::from_reader(file, key)
    }
}

impl<R: Read + Seek> Backup<R> {
    /// As [`Self::open`], from whatever can be read twice.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn from_reader(input: R, key: &BackupKey) -> Result<Self, BackupError> {
        let mut records = Records::new(lock::open(input, key)?);
        let (head, account) = records.begin()?;
        check(&head, &account)?;
        let counts = BackupEnd { records: 2, ..BackupEnd::default() };
        Ok(Self { records, head, account, counts, verified: None })
    }

    /// Reads all of it, checks every record and their number, and says what is in it. `on` hears how many
    /// messages were read, of about how many. A second time it knows already.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn verify(&mut self, mut on: impl FnMut(u64, u64)) -> Result<BackupSummary, BackupError> {
        if let Some(summary) = &self.verified {
            return Ok(summary.clone());
        }
        self.rewind()?;
        while let Some((number, item)) = self.next()? {
            let place = self.records.place(number, self.records.began);
            let wrong = |error: CodecError| BackupError::Damaged { place, why: error.to_string() };
            item.check().map_err(wrong)?;
            if item.kind == item::COPY && self.counts.messages.is_multiple_of(SAY) {
                on(self.counts.messages, self.head.messages);
            }
        }
        let summary = BackupSummary {
            contacts: self.counts.people,
            messages: self.counts.messages,
            bytes: self.records.opened.length,
            ..BackupSummary::new(&self.head, &self.account)
        };
        on(summary.messages, summary.messages);
        self.verified = Some(summary.clone());
        Ok(summary)
    }

    /// Messages that were read since the beginning.
    pub(super) fn messages(&self) -> u64 {
        self.counts.messages
    }

    /// Whose it is.
    pub(super) fn head(&self) -> &BackupHead {
        &self.head
    }

    /// What only the account has.
    pub(super) fn account(&self) -> &BackupAccount {
        &self.account
    }

    /// Back to the first item.
    pub(super) fn rewind(&mut self) -> Result<(), BackupError> {
        self.records.rewind()?;
        self.records.begin()?;
        self.counts = BackupEnd { records: 2, ..BackupEnd::default() };
        Ok(())
    }

    /// The next item, with the number of its record; none after the last one, with which all is whole.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Item)>, BackupError> {
        loop {
            match self.records.next()? {
                Record::Item(item) => {
                    self.counts.records += 1;
                    self.counts.people += u64::from(item.kind == item::PERSON);
                    self.counts.entries += u64::from(item.kind == item::ENTRY);
                    self.counts.messages += u64::from(item.kind == item::COPY);
                    return Ok(Some((self.records.number, item)));
                }
                Record::End(end) => {
                    if end != self.counts {
                        return Err(self.records.damaged("the numbers of its records are others"));
                    }
                    self.records.finish()?;
                    return Ok(None);
                }
                Record::Unknown(_) => self.counts.records += 1,
                Record::Head(_) | Record::Account(_) => {
                    return Err(self.records.damaged("a record is out of its place"));
                }
            }
        }
    }
}

/// Whether a backup is of the account that it says.
pub(super) fn check(head: &BackupHead, account: &BackupAccount) -> Result<(), BackupError> {
    let wrong = |why| Err(BackupError::Untrusted(why));
    let (Ok(record), Ok(list)) =
        (account.record.open(&head.network), account.devices.open(&head.network))
    else {
        return wrong("a signature is not the account's");
    };
    if record.account != head.account || list.account != head.account {
        return wrong("record and list are another account's");
    }
    if record.devices != account.devices.hash() {
        return wrong("record and list do not belong together");
    }
    let key = account.seed.as_ref().map(|seed| SigningKey::from_bytes(&seed.0).verifying_key());
    match key.is_none_or(|key| AccountId(key.to_bytes()) == head.account) {
        true => Ok(()),
        false => wrong("the key in it is not the account's"),
    }
}

/// The records of an open file, and where they are in it.
struct Records<R> {
    opened: Opened<R>,
    chain: Chain,
    /// Bytes that were taken of what is in it.
    taken: u64,
    /// Where the last record begins in that.
    began: u64,
    /// Records that are whole.
    number: u64,
    /// Records that there are, about; 0 before that is known.
    about: u64,
}

impl<R: Read + Seek> Records<R> {
    fn new(opened: Opened<R>) -> Self {
        Self { opened, chain: Chain::default(), taken: 0, began: 0, number: 0, about: 0 }
    }

    fn rewind(&mut self) -> Result<(), BackupError> {
        self.opened.plain.seek(SeekFrom::Start(0)).map_err(BackupError::reading)?;
        (self.chain, self.taken, self.began, self.number) = (Chain::default(), 0, 0, 0);
        Ok(())
    }

    /// The line and the two records that each backup begins with.
    fn begin(&mut self) -> Result<(BackupHead, Box<BackupAccount>), BackupError> {
        let mut line = Vec::new();
        while line.len() < MAX_LINE && line.last() != Some(&b'\n') {
            line.extend(self.take::<1>()?);
        }
        match backup::version(&line) {
            Some(VERSION) if line == LINE => {}
            Some(got) if got != VERSION => return Err(BackupError::Newer { got }),
            _ => return Err(BackupError::NotABackup("something else is encrypted in it")),
        }
        let Record::Head(head) = self.next()? else {
            return Err(self.damaged("its first record is another one"));
        };
        self.about = head.records;
        match self.next()? {
            Record::Account(account) => Ok((head, account)),
            _ => Err(self.damaged("its second record is another one")),
        }
    }

    fn next(&mut self) -> Result<Record, BackupError> {
        self.began = self.taken;
        let start: [u8; START] = self.take()?;
        let number = self.number + 1;
        let length = backup::rest(&start);
        let length = length.map_err(|error| self.at(number, error.to_string()))?;
        let mut rest = vec![0; length];
        self.fill(&mut rest)?;
        let record = self.chain.open(&start, &rest);
        let record = record.map_err(|error| self.at(number, error.to_string()))?;
        self.number = number;
        Ok(record)
    }

    /// After the last record there are zeros up to the end of the chunk, and nothing more.
    fn finish(&mut self) -> Result<(), BackupError> {
        let why = "something follows its last record";
        while !self.taken.is_multiple_of(CHUNK) {
            if self.take::<1>()? != [0] {
                return Err(self.damaged(why));
            }
        }
        match self.opened.plain.read(&mut [0]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(self.cut()),
            Err(error) if error.kind() != ErrorKind::InvalidData => {
                Err(BackupError::reading(error))
            }
            _ => Err(self.damaged(why)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.opened.plain.read(&mut bytes[filled..]) {
                Ok(0) => return Err(self.cut()),
                Ok(read) => {
                    filled += read;
                    self.taken += read as u64;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// A chunk does not decrypt, or there is none.
    fn failed(&self, error: std::io::Error) -> BackupError {
        match error.kind() {
            ErrorKind::UnexpectedEof => return self.cut(),
            ErrorKind::InvalidData => {}
            _ => return BackupError::reading(error),
        }
        let Opened { payload, length, .. } = self.opened;
        let from = payload + self.taken / CHUNK * SEALED_CHUNK;
        let to = length.min(from + SEALED_CHUNK);
        // All chunks are whole, unless the file ends before it should.
        if to - from < SEALED_CHUNK {
            return self.cut();
        }
        let place = BackupPlace { from, to, ..self.place(self.number + 1, 0) };
        BackupError::Damaged { place, why: "it does not decrypt".to_owned() }
    }

    fn cut(&self) -> BackupError {
        let end = self.opened.length;
        BackupError::Cut(BackupPlace { from: end, to: end, ..self.place(self.number + 1, 0) })
    }

    /// What was read last is not what it should be.
    fn damaged(&self, why: &str) -> BackupError {
        self.at(self.number, why.to_owned())
    }

    fn at(&self, record: u64, why: String) -> BackupError {
        BackupError::Damaged { place: self.place(record, self.began), why }
    }

    /// A record that begins at `from` and ends where reading has come to.
    fn place(&self, record: u64, from: u64) -> BackupPlace {
        let Opened { payload, length, .. } = self.opened;
        let in_file = |at: u64| payload + at + at / CHUNK * (SEALED_CHUNK - CHUNK);
        let (from, to) = (in_file(from), in_file(self.taken));
        BackupPlace { record, records: self.about, from, to, length }
    }
}
