//! `backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Write all of the account to one file, encrypted to a passphrase or a key
    ///
    /// Contacts, settings and all messages; and the account's key, if this is the device on which the account was
    /// made, or restored. Other commands and the agent go on meanwhile. On a terminal it asks for a passphrase;
    /// elsewhere it takes one from --backup-passphrase-file or POSTROAD_BACKUP_PASSPHRASE. The file is one of age's: age and rage
    /// open it as well. With --json: file, account, handle, network, device, device_name, made_at, contacts, messages,
    /// account_key, bytes.
    Create(BackupCreate),
    /// Decrypt a backup and check every record of it
    ///
    /// Needs no profile. Says what is in the backup, as create does, or where it is damaged: the first record that is
    /// not whole, and the bytes of the file in which that lies. Exit 1 when it is cut or damaged.
    Verify(BackupRead),
    /// Give this device all that is in a backup and not here yet
    ///
    /// An empty profile becomes a new device of the account first, at the home that the backup names; that takes the
    /// account's key, which is in a backup of the device where the account was made, and room for one device more.
    /// Messages merge by their ids: done twice it changes nothing, and after an interruption it goes on. A backup that
    /// is not whole is not taken. With --json: file, account, device, contacts, messages, and added, how many of these
    /// were not here.
    Restore(BackupRead),
    /// Show the account's recovery phrase: 24 words to write on paper
    ///
    /// Whoever has these words has the account; without them, and without a device that has the account's key, it
    /// cannot be brought back. They bring back contacts and settings with them, not messages.
    Phrase {
        /// Ask for the words instead, to see that they were written down right
        #[arg(long)]
        test: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BackupCreate {
    /// Where to write it [default: pouch-backup-HANDLE-DATE.age, here]
    #[arg(short = 'O', long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// A file whose first line is the passphrase [default: POSTROAD_BACKUP_PASSPHRASE, else it asks]
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub(crate) backup_passphrase_file: Option<PathBuf>,
    /// Encrypt to a key instead: an age recipient, age1…, as age-keygen prints it
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupRead {
    /// The backup
    pub(crate) file: PathBuf,
    /// A file whose first line is the passphrase [default: POSTROAD_BACKUP_PASSPHRASE, else it asks]
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    pub(crate) backup_passphrase_file: Option<PathBuf>,
    /// The file with the key to a backup that is for a key, as age-keygen writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}
