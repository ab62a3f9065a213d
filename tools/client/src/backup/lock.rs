//! Who can open a backup. The only file that names age.

use core::fmt;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};

use age::secrecy::SecretString;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor, Identity, IdentityFile, Recipient};
use age::{scrypt, x25519};

use super::{BackupError, BackupPlace};

/// log2 of scrypt's N: 256 MiB and about a second for each guess. Tests guess at random, too.
const WORK: u8 = if cfg!(test) { 4 } else { 18 };
/// The highest that is tried: 1 GiB.
const MAX_WORK: u8 = 20;
/// What a file of age begins with.
const FIRST: &[u8] = b"age-encryption.org/";
/// Bytes of a header, at most: ours have about 250.
const MAX_HEADER: u64 = 16 * 1024;
/// Bytes between the header and the first chunk.
const NONCE: u64 = 16;

/// To whom a backup is encrypted. Debug shows nothing of it.
pub struct BackupLock(Lock);

enum Lock {
    Passphrase(SecretString),
    Recipient(x25519::Recipient),
}

/// Encrypts what is written to it.
pub(super) type Sealing<W> = StreamWriter<W>;

/// What opens a backup. Debug shows nothing of it.
pub struct BackupKey(Key);

enum Key {
    Passphrase(SecretString),
    Identities(Vec<Box<dyn Identity + Send + Sync>>),
}

impl fmt::Debug for BackupLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupLock(…)")
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupKey(…)")
    }
}

impl BackupLock {
    /// Whoever knows `text`. How good it is, is the caller's matter.
    ///
    /// # Errors
    /// [`BackupError::BadKey`] when it is empty.
    pub fn passphrase(text: &str) -> Result<Self, BackupError> {
        secret(text).map(|secret| Self(Lock::Passphrase(secret)))
    }

    /// Whoever has the key to an age recipient, `age1…`.
    ///
    /// # Errors
    /// [`BackupError::BadKey`].
    pub fn recipient(text: &str) -> Result<Self, BackupError> {
        let recipient = text.trim().parse().map_err(|why| {
            BackupError::BadKey(format!("{text:?} is no recipient of age, age1…: {why}"))
        })?;
        Ok(Self(Lock::Recipient(recipient)))
    }

    /// A writer that encrypts. It has to be finished.
    pub(super) fn seal<W: Write>(&self, out: W) -> Result<Sealing<W>, BackupError> {
        let passphrase;
        let recipient: &dyn Recipient = match &self.0 {
            Lock::Passphrase(secret) => {
                let mut recipient = scrypt::Recipient::new(secret.clone());
                recipient.set_work_factor(WORK);
                passphrase = recipient;
                &passphrase
            }
            Lock::Recipient(recipient) => recipient,
        };
        let encryptor = Encryptor::with_recipients(core::iter::once(recipient))
            .map_err(|error| BackupError::BadKey(error.to_string()))?;
        encryptor.wrap_output(out).map_err(BackupError::writing)
    }
}

impl BackupKey {
    /// Knowing `text`.
    ///
    /// # Errors
    /// [`BackupError::BadKey`] when it is empty.
    pub fn passphrase(text: &str) -> Result<Self, BackupError> {
        secret(text).map(|secret| Self(Key::Passphrase(secret)))
    }

    /// What a file of age's identities holds: lines of `AGE-SECRET-KEY-1…`, and comments.
    ///
    /// # Errors
    /// [`BackupError::BadKey`].
    pub fn identities(text: &str) -> Result<Self, BackupError> {
        let bad = |why: String| BackupError::BadKey(format!("no file of age's keys: {why}"));
        let file = IdentityFile::from_buffer(text.as_bytes()).map_err(|e| bad(e.to_string()))?;
        let identities = file.into_identities().map_err(|error| bad(error.to_string()))?;
        match identities.is_empty() {
            true => Err(bad("there is none in it".to_owned())),
            false => Ok(Self(Key::Identities(identities))),
        }
    }

    fn name(&self) -> &'static str {
        match self.0 {
            Key::Passphrase(_) => "the passphrase",
            Key::Identities(_) => "the key",
        }
    }
}

fn secret(text: &str) -> Result<SecretString, BackupError> {
    match text.is_empty() {
        true => Err(BackupError::BadKey("the passphrase is empty".to_owned())),
        false => Ok(SecretString::from(text.to_owned())),
    }
}

/// A file that a key has opened.
pub(super) struct Opened<R> {
    /// What is in it.
    pub(super) plain: StreamReader<BufReader<R>>,
    /// Where its chunks begin, bytes.
    pub(super) payload: u64,
    /// Bytes of the file.
    pub(super) length: u64,
}

/// Opens a file.
///
/// # Errors
/// [`BackupError::NotABackup`], [`BackupError::OtherKind`], [`BackupError::WrongKey`],
/// [`BackupError::TooMuchWork`], [`BackupError::Cut`] and [`BackupError::Damaged`] within the header.
pub(super) fn open<R: Read + Seek>(input: R, key: &BackupKey) -> Result<Opened<R>, BackupError> {
    let mut input = BufReader::new(input);
    let length = input.seek(io::SeekFrom::End(0)).map_err(BackupError::reading)?;
    input.rewind().map_err(BackupError::reading)?;
    let header = header(&mut input, length)?;
    input.rewind().map_err(BackupError::reading)?;
    let failed = |error| refused(error, key, (header, length));
    let decryptor = Decryptor::new_buffered(input).map_err(failed)?;
    let identities: Vec<&dyn Identity> = match (&key.0, decryptor.is_scrypt()) {
        (Key::Passphrase(_), false) => return Err(BackupError::OtherKind("a key")),
        (Key::Identities(_), true) => return Err(BackupError::OtherKind("a passphrase")),
        (Key::Identities(all), false) => all.iter().map(|one| &**one as &dyn Identity).collect(),
        (Key::Passphrase(secret), true) => {
            let mut identity = scrypt::Identity::new(secret.clone());
            identity.set_max_work_factor(MAX_WORK);
            let one: [&dyn Identity; 1] = [&identity];
            let plain = decryptor.decrypt(one.into_iter()).map_err(failed)?;
            return Ok(Opened { plain, payload: header + NONCE, length });
        }
    };
    let plain = decryptor.decrypt(identities.into_iter()).map_err(failed)?;
    Ok(Opened { plain, payload: header + NONCE, length })
}

/// Bytes of the header. It is looked through before age is, which reads lines of any length.
fn header(input: &mut impl BufRead, length: u64) -> Result<u64, BackupError> {
    let place = |to| BackupPlace { record: 0, records: 0, from: 0, to, length };
    let mut taken = 0;
    loop {
        let mut line = Vec::new();
        let read = input.take(MAX_HEADER - taken).read_until(b'\n', &mut line);
        read.map_err(BackupError::reading)?;
        let is_first = taken == 0;
        taken += line.len() as u64;
        if is_first && !line.starts_with(FIRST) {
            let is_begun = !line.is_empty() && FIRST.starts_with(&line);
            return Err(match is_begun {
                true => BackupError::Cut(BackupPlace { from: taken, ..place(taken) }),
                false => BackupError::NotABackup("it is not encrypted with age"),
            });
        }
        if line.starts_with(b"--- ") && line.ends_with(b"\n") {
            return Ok(taken);
        }
        if !line.ends_with(b"\n") {
            return Err(match taken == length {
                true => BackupError::Cut(BackupPlace { from: taken, ..place(taken) }),
                false => damaged(place(taken), "its header has no end"),
            });
        }
    }
}

fn damaged(place: BackupPlace, why: &str) -> BackupError {
    BackupError::Damaged { place, why: why.to_owned() }
}

fn refused(error: DecryptError, key: &BackupKey, (header, length): (u64, u64)) -> BackupError {
    let place = BackupPlace { record: 0, records: 0, from: 0, to: header, length };
    match error {
        DecryptError::UnknownFormat => BackupError::NotABackup("it is of another version of age"),
        DecryptError::ExcessiveWork { required: got, .. } => {
            BackupError::TooMuchWork { got, limit: MAX_WORK }
        }
        DecryptError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            BackupError::Cut(BackupPlace { from: length, to: length, ..place })
        }
        DecryptError::Io(source) => BackupError::reading(source),
        DecryptError::InvalidHeader => damaged(place, "its header is none"),
        DecryptError::InvalidMac => damaged(place, "its header is not as it was written"),
        _ => BackupError::WrongKey { what: key.name(), header },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use age::secrecy::ExposeSecret;

    use super::*;

    fn sealed(lock: &BackupLock) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = lock.seal(&mut bytes).unwrap();
        out.write_all(&[7; 100]).unwrap();
        out.finish().unwrap();
        bytes
    }

    #[test]
    fn a_key_opens_what_is_for_it_and_nothing_else() {
        let identity = x25519::Identity::generate();
        let lock = BackupLock::recipient(&identity.to_public().to_string()).unwrap();
        let file = format!("# mine\n{}\n", identity.to_string().expose_secret());
        let key = BackupKey::identities(&file).unwrap();
        let bytes = sealed(&lock);
        let mut opened = open(Cursor::new(&bytes), &key).unwrap();
        let mut plain = Vec::new();
        opened.plain.read_to_end(&mut plain).unwrap();
        assert_eq!(plain, [7; 100]);
        let payload = usize::try_from(opened.payload).unwrap();
        assert_eq!(bytes.len() - payload, 116);
        let other = x25519::Identity::generate().to_string();
        let other = BackupKey::identities(other.expose_secret()).unwrap();
        let refused = open(Cursor::new(&bytes), &other).err();
        assert!(matches!(refused, Some(BackupError::WrongKey { what: "the key", .. })));
        let passphrase = BackupKey::passphrase("x").unwrap();
        let refused = open(Cursor::new(&bytes), &passphrase).err();
        assert!(matches!(refused, Some(BackupError::OtherKind("a key"))));
        let bytes = sealed(&BackupLock::passphrase("x").unwrap());
        let refused = open(Cursor::new(&bytes), &key).err();
        assert!(matches!(refused, Some(BackupError::OtherKind("a passphrase"))));
        for no_key in ["", "# none\n", "AGE-SECRET-KEY-1QQ\n"] {
            assert!(matches!(BackupKey::identities(no_key), Err(BackupError::BadKey(_))));
        }
        assert!(matches!(BackupLock::recipient("age1x"), Err(BackupError::BadKey(_))));
        assert_eq!(format!("{lock:?} {key:?}"), "BackupLock(…) BackupKey(…)");
    }

    #[test]
    fn more_work_than_is_reasonable_is_not_begun() {
        let bytes = sealed(&BackupLock::passphrase("x").unwrap());
        let text = String::from_utf8_lossy(&bytes);
        let end = text.lines().nth(1).unwrap().len() + FIRST.len() + "v1\n".len();
        let harder = [&bytes[..end - 1], b"21", &bytes[end..]].concat();
        let refused = open(Cursor::new(&harder), &BackupKey::passphrase("x").unwrap()).err();
        assert!(matches!(refused, Some(BackupError::TooMuchWork { got: 21, limit: 20 })));
    }
}
