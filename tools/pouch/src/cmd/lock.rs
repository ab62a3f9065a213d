//! `lock` and `unlock`.

use std::time::Duration;

use postroad_cli::{CliError, Printer, human_duration};
use postroad_client::{Lock, Passphrase, StorageError};
use serde::Serialize;

use crate::args::{LockArgs, ProfileArgs};
use crate::error::explain;
use crate::passphrase;
use crate::profile::existing;

#[derive(Serialize)]
struct LockRow {
    protected: bool,
    locked: bool,
    /// Seconds without a command after which it locks by itself; 0 never. Absent while locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_after_s: Option<u64>,
}

pub(crate) fn lock(
    profile: &ProfileArgs,
    args: &LockArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let lock = Lock::of(&existing(profile)?);
    let is_set = lock.is_set().map_err(explain)?;
    if !is_set && (args.remove || args.change) {
        return Err(CliError::usage("this profile has no passphrase", "pouch lock sets one"));
    }
    if args.remove {
        return remove(profile, &lock, printer);
    }
    if is_set && args.new_passphrase_file.is_some() && !args.change {
        let message = "this profile has a passphrase already";
        return Err(CliError::usage(message, "pouch lock --change sets another one"));
    }
    if args.change {
        let old = passphrase::old(profile)?;
        let new = passphrase::new(args.new_passphrase_file.as_deref())?;
        write(&lock, Some(&old), Some(&new), printer)?;
    } else if !is_set {
        // Where there is none yet, the one that a script opens profiles with is the new one.
        let new = match (&args.new_passphrase_file, passphrase::given(profile)?) {
            (None, Some(given)) => passphrase::checked(given)?,
            (file, _) => passphrase::new(file.as_deref())?,
        };
        write(&lock, None, Some(&new), printer)?;
        printer.hint("keep the passphrase: nobody can open this profile without it");
        printer.hint("traces of what lay here in plain may stay on the disk for a while");
    }
    lock.close().map_err(explain)?;
    let row = LockRow { protected: true, locked: true, lock_after_s: None };
    printer.object(&row, || "locked: pouch unlock opens it again".to_owned())
}

fn remove(profile: &ProfileArgs, lock: &Lock, printer: &Printer) -> Result<(), CliError> {
    let old = passphrase::old(profile)?;
    write(lock, Some(&old), None, printer)?;
    let row = LockRow { protected: false, locked: false, lock_after_s: None };
    printer.object(&row, || "the passphrase is gone: whoever has this disk reads all".to_owned())
}

fn write(
    lock: &Lock,
    old: Option<&Passphrase>,
    new: Option<&Passphrase>,
    printer: &Printer,
) -> Result<(), CliError> {
    printer.progress("writing all of the profile anew");
    lock.set(old, new).map_err(explain)
}

pub(crate) fn unlock(profile: &ProfileArgs, printer: &Printer) -> Result<(), CliError> {
    let lock = Lock::of(&existing(profile)?);
    if !lock.is_set().map_err(explain)? {
        let message = "this profile has no passphrase, so it is never locked";
        return Err(CliError::usage(message, "pouch lock sets one"));
    }
    if !Lock::can_hold() {
        return Err(explain(StorageError::NoKeyring("there is no keyring".to_owned()).into()));
    }
    let idle = match lock.renew().map_err(explain)? {
        Some(idle) => idle,
        None => lock.open(&passphrase::old(profile)?).map_err(explain)?,
    };
    let row = LockRow { protected: true, locked: false, lock_after_s: Some(idle.as_secs()) };
    printer.object(&row, || format!("unlocked, {}", until(idle)))
}

/// How long held keys stay.
pub(super) fn until(idle: Duration) -> String {
    if idle.is_zero() {
        return "until pouch lock or the system's end".to_owned();
    }
    format!("until no command is run for {}", human_duration(idle))
}
