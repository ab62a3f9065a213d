//! `backup create|verify|restore`: all of the account in one file.

mod passphrase;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use postroad_cli::{CliError, Printer, fields, human_bytes, rfc3339_ms};
use postroad_client::{
    Backup as File, BackupDraft, BackupError, BackupKey, BackupLock, BackupSummary, Restored,
    Whoami,
};
use serde::Serialize;

use super::device::host_name;
use super::recovery;
use crate::args::{Backup, BackupCreate, BackupRead, ProfileArgs};
use crate::error::explain;
use crate::profile::{open, open_any, sync};

/// How often it is said how far it has come.
const SAY: Duration = Duration::from_secs(1);

/// What is in a backup.
#[derive(Serialize)]
struct BackupRow {
    file: String,
    account: String,
    /// `handle@node`, if the account had one.
    handle: Option<String>,
    network: String,
    /// The device that made it.
    device: u8,
    device_name: String,
    made_at: String,
    contacts: u64,
    /// Edits, reactions and the like as well.
    messages: u64,
    /// Whether the account's key is in it.
    account_key: bool,
    /// Of the file.
    bytes: u64,
}

impl BackupRow {
    fn new(file: &Path, summary: BackupSummary) -> Self {
        Self {
            file: file.display().to_string(),
            account: summary.account.to_string(),
            handle: summary.handle,
            network: summary.network.to_string(),
            device: summary.device,
            device_name: summary.device_name,
            made_at: rfc3339_ms(summary.made),
            contacts: summary.contacts,
            messages: summary.messages,
            account_key: summary.has_account_key,
            bytes: summary.bytes,
        }
    }

    fn human(&self) -> String {
        let key = if self.account_key { "in it" } else { "not in it" };
        fields(&[
            ("backup", self.file.clone()),
            ("account", self.handle.clone().unwrap_or_else(|| self.account.clone())),
            ("made", format!("{}, on device {} {}", self.made_at, self.device, self.device_name)),
            ("contacts", self.contacts.to_string()),
            ("messages", self.messages.to_string()),
            ("account's key", key.to_owned()),
            ("size", human_bytes(self.bytes)),
        ])
    }
}

/// What came of a backup.
#[derive(Serialize)]
struct RestoredRow {
    file: String,
    account: String,
    /// This device.
    device: u8,
    /// In the backup.
    contacts: u64,
    /// In the backup.
    messages: u64,
    /// Of these, those that were not here.
    added: u64,
}

impl RestoredRow {
    fn new(file: &Path, restored: &Restored) -> Self {
        Self {
            file: file.display().to_string(),
            account: restored.account.to_string(),
            device: restored.device,
            contacts: restored.contacts,
            messages: restored.messages,
            added: restored.added,
        }
    }
}

pub(crate) async fn run(
    profile: &ProfileArgs,
    verb: &Backup,
    printer: &Printer,
) -> Result<(), CliError> {
    match verb {
        Backup::Create(args) => create(profile, args, printer).await,
        Backup::Verify(args) => {
            let (_, summary) = checked(args, printer).await?;
            let row = BackupRow::new(&args.file, summary);
            printer.object(&row, || format!("whole\n{}", row.human()))
        }
        Backup::Restore(args) => restore(profile, args, printer).await,
        Backup::Phrase { test } => {
            let mut client = open(profile, true, printer).await?;
            recovery::phrase(&mut client, *test, printer)
        }
    }
}

async fn create(
    profile: &ProfileArgs,
    args: &BackupCreate,
    printer: &Printer,
) -> Result<(), CliError> {
    let lock = match &args.to {
        Some(recipient) => BackupLock::recipient(recipient),
        None => BackupLock::passphrase(&passphrase::get(
            args.backup_passphrase_file.as_deref(),
            true,
            printer,
        )?),
    };
    let lock = lock.map_err(failed)?;
    let mut client = open(profile, true, printer).await?;
    sync(&mut client, printer).await?;
    let path = match &args.out {
        Some(path) => path.clone(),
        None => default_name(&client.whoami().map_err(explain)?),
    };
    // Other commands have their turns meanwhile.
    client.disconnect();
    client.unlock().map_err(explain)?;
    let draft = begin(&path, printer)?;
    let file = draft.file().map_err(failed)?;
    let on = progress(printer, "written");
    // An interruption drops the draft, and with it what was written.
    let made = aside(move || client.write_backup(file, &lock, on)).await?;
    let row = BackupRow::new(&path, made.map_err(explain)?);
    draft.publish().map_err(failed)?;
    printer.object(&row, || row.human())?;
    if !row.account_key {
        printer.warn(
            "warning: this device has not got the account's key: the backup can only be restored on a device of \
             the account",
        );
    }
    printer.hint(
        "pouch backup verify FILE reads it again; without what it was encrypted to nobody can",
    );
    Ok(())
}

/// Begins the file. One that is there is replaced only if the user agrees.
fn begin(path: &Path, printer: &Printer) -> Result<BackupDraft, CliError> {
    let replace = path.is_file();
    if replace {
        let question = format!("{} is there. Replace it?", path.display());
        printer.confirm(&question).map_err(|error| match error.code {
            "needs_yes" => CliError {
                hint: "add --yes to replace it, or name another: -O FILE".to_owned(),
                ..error
            },
            _ => error,
        })?;
    }
    BackupDraft::begin(path, replace).map_err(failed)
}

/// `pouch-backup-HANDLE-DATE.age`; for an account without a handle the beginning of its id.
fn default_name(who: &Whoami) -> PathBuf {
    let handle = who.handle.as_deref().and_then(|handle| handle.split('@').next());
    let name: String = match handle {
        Some(handle) => handle.to_owned(),
        None => who.account.to_string().chars().take(12).collect(),
    };
    let day: String = rfc3339_ms(postroad_client::now()).chars().take(10).collect();
    PathBuf::from(format!("pouch-backup-{name}-{day}.age"))
}

async fn restore(
    profile: &ProfileArgs,
    args: &BackupRead,
    printer: &Printer,
) -> Result<(), CliError> {
    let (mut backup, _) = checked(args, printer).await?;
    let mut client = open_any(profile, printer).await?;
    let restored =
        client.restore_backup(&mut backup, &host_name(), progress(printer, "restored")).await;
    let row = RestoredRow::new(&args.file, &restored.map_err(explain)?);
    sync(&mut client, printer).await?;
    printer.object(&row, || {
        let s = if row.messages == 1 { "" } else { "s" };
        format!("{} message{s} restored, of which {} were not here", row.messages, row.added)
    })
}

/// A backup that is whole, and what is in it.
async fn checked(
    args: &BackupRead,
    printer: &Printer,
) -> Result<(File<std::fs::File>, BackupSummary), CliError> {
    let path = args.file.clone();
    if !path.is_file() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(failed(BackupError::Io {
            what: format!("read {}", path.display()),
            source: error,
        }));
    }
    let key = match &args.identity {
        Some(identity) => BackupKey::identities(&passphrase::read(identity)?),
        None => {
            let file = args.backup_passphrase_file.as_deref();
            BackupKey::passphrase(&passphrase::get(file, false, printer)?)
        }
    };
    let key = key.map_err(failed)?;
    let on = progress(printer, "checked");
    let read = move || {
        let mut backup = File::open(&path, &key)?;
        let summary = backup.verify(on)?;
        Ok((backup, summary))
    };
    aside(read).await?.map_err(failed)
}

/// Runs what takes long, so that an interruption is noticed.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        CliError::failed("internal", error.to_string(), "this is a bug; please report it")
    })
}

/// Says how many messages are done, once in a while.
fn progress(printer: &Printer, done: &'static str) -> impl FnMut(u64, u64) + Send + 'static {
    let (printer, mut at) = (printer.clone(), Instant::now());
    move |count, all| {
        if at.elapsed() >= SAY {
            at = Instant::now();
            printer.progress(&format!("{count} of {all} messages {done}"));
        }
    }
}

fn failed(error: BackupError) -> CliError {
    explain(error.into())
}
