//! Opening the profile that is meant, and coming into step with its home.

use std::path::PathBuf;
use std::time::Duration;

use postroad_cli::{CliError, Printer, data_root, safe};
use postroad_client::{Client, Error, Lock, Names, StorageError, Synced};

use crate::args::ProfileArgs;
use crate::error::explain;
use crate::passphrase;

/// Longest time a command's sync may take: a node that answers slowly must not hang it.
const SYNC: Duration = Duration::from_secs(8);

/// Opens the profile of a command that needs an account. One that `reads` alone also works where
/// nothing can be written.
pub(crate) async fn open(
    args: &ProfileArgs,
    reads: bool,
    printer: &Printer,
) -> Result<Client, CliError> {
    let directory = existing(args)?;
    let mut client = match open_any(args, printer).await {
        Err(error) if reads && matches!(error.code, "read_only" | "disk_full") => {
            // What cannot be written can perhaps be read; else the first error says why.
            let given = passphrase::given(args)?;
            let client = Client::open_read_only(&directory, given.as_ref());
            let client = client.map_err(|_| error.clone())?;
            printer.warn(&format!("warning: {}; showing what is here", safe(&error.message)));
            client
        }
        opened => opened?,
    };
    if client.is_joined().map_err(explain)? { Ok(client) } else { Err(explain(Error::NotJoined)) }
}

/// Opens a profile, or makes it. Commands on one profile take turns.
pub(crate) async fn open_any(args: &ProfileArgs, printer: &Printer) -> Result<Client, CliError> {
    let mut client = open_as_given(args)?;
    client.used().map_err(explain)?;
    for path in client.repaired() {
        let path = path.display().to_string();
        printer.warn(&format!("warning: others could read {}; mended", safe(&path)));
    }
    let waits = || printer.progress("another command on this profile is at work; waiting");
    client.lock(waits).await.map_err(explain)?;
    Ok(client)
}

/// Opens a profile, or makes it, with the passphrase if one was given. Where no keys can be held
/// between commands, whoever types this one is asked.
pub(crate) fn open_as_given(args: &ProfileArgs) -> Result<Client, CliError> {
    let directory = directory(args)?;
    let opened = match passphrase::given(args)? {
        Some(passphrase) => Client::open_with(&directory, &passphrase),
        None => Client::open(&directory),
    };
    match opened {
        Err(Error::Storage(StorageError::Locked)) if !Lock::can_hold() => {
            Client::open_with(&directory, &passphrase::asked("passphrase")?).map_err(explain)
        }
        opened => opened.map_err(explain),
    }
}

/// Where the profile lies, if there is one.
pub(crate) fn existing(args: &ProfileArgs) -> Result<PathBuf, CliError> {
    let directory = directory(args)?;
    if directory.is_dir() { Ok(directory) } else { Err(explain(Error::NotJoined)) }
}

/// Where the profile lies.
pub(crate) fn directory(args: &ProfileArgs) -> Result<PathBuf, CliError> {
    let name = &args.profile;
    let allowed = |c: char| c.is_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        let message = format!("{name:?} cannot be the name of a profile");
        return Err(CliError::usage(message, "use letters, digits, '.', '_' and '-'"));
    }
    let base = match &args.data_dir {
        Some(directory) => directory.clone(),
        None => data_root()?.join("pouch"),
    };
    Ok(base.join(name))
}

/// How the names of nodes are looked up.
pub(crate) fn names(args: &ProfileArgs) -> Result<Names, CliError> {
    match &args.names {
        Some(path) if !path.is_file() => {
            let message = format!("there is no list of names at {}", path.display());
            Err(CliError::usage(message, "name a file with --names or POSTROAD_NAMES"))
        }
        Some(path) => Ok(Names::new(Some(path.clone()))),
        None => Ok(Names::new(config_root().map(|root| root.join("names")))),
    }
}

/// `$XDG_CONFIG_HOME/postroad`, or `~/.config/postroad`. The XDG rules say that a relative path is to
/// be ignored.
fn config_root() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let xdg = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(absolute);
    let home = || std::env::home_dir().filter(absolute).map(|home| home.join(".config"));
    xdg.or_else(home).map(|root| root.join("postroad"))
}

/// Takes what came in and sends what waits. Says so when there is no connection, and goes on.
pub(crate) async fn sync(client: &mut Client, printer: &Printer) -> Result<bool, CliError> {
    sync_within(client, printer, SYNC).await
}

/// As [`sync`], for at most `within`.
pub(crate) async fn sync_within(
    client: &mut Client,
    printer: &Printer,
    within: Duration,
) -> Result<bool, CliError> {
    if client.is_read_only() {
        return Ok(false);
    }
    let synced = tokio::time::timeout(within, client.sync()).await;
    match synced {
        Ok(Ok(Synced::Online | Synced::Shared)) => Ok(true),
        Ok(Ok(Synced::Offline(error))) => {
            printer.hint(&format!("offline: {}", safe(&error.to_string())));
            Ok(false)
        }
        Ok(Err(error @ (Error::Refused { .. } | Error::NoAccount))) => {
            // The home refuses this device: what is here can still be read and written.
            printer.warn(&format!("warning: {}", safe(&error.to_string())));
            Ok(false)
        }
        Ok(Err(error @ Error::Storage(StorageError::Full | StorageError::ReadOnly(_)))) => {
            // Nothing was taken from the node, so nothing is lost; what is here can be read.
            client.disconnect();
            printer.warn(&format!("warning: {}", explain(error).render(false)));
            Ok(false)
        }
        Ok(Err(error)) => Err(explain(error)),
        Err(_) => {
            client.disconnect();
            printer.hint("offline: the node answers too slowly");
            Ok(false)
        }
    }
}
