//! Where a passphrase comes from: a file, the environment, or somebody who types it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use postroad_cli::{CliError, Exit, ask_secret};
use postroad_client::Passphrase;
use zeroize::Zeroizing;

use crate::args::ProfileArgs;

/// What scripts may hold a passphrase in.
pub(crate) const VARIABLE: &str = "POSTROAD_PASSPHRASE";
/// Longest passphrase, bytes.
const MAX: u64 = 4096;

/// The one that was given on the command line or in the environment, if one was.
pub(crate) fn given(args: &ProfileArgs) -> Result<Option<Passphrase>, CliError> {
    if let Some(file) = &args.passphrase_file {
        return read(file).map(Some);
    }
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => Ok(Some(Zeroizing::new(text).into())),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(CliError::usage(format!("{VARIABLE} is no text"), "use --passphrase-file FILE"))
        }
        _ => Ok(None),
    }
}

/// The one that the profile has, as given or typed.
pub(crate) fn old(args: &ProfileArgs) -> Result<Passphrase, CliError> {
    match given(args)? {
        Some(given) => Ok(given),
        None => asked("passphrase"),
    }
}

/// One that the profile is to have: from a file, or typed twice.
pub(crate) fn new(file: Option<&Path>) -> Result<Passphrase, CliError> {
    if let Some(file) = file {
        return checked(read(file)?);
    }
    let first = checked(asked("new passphrase")?)?;
    if first == asked("once more")? {
        Ok(first)
    } else {
        Err(CliError::usage("the two are not the same", "nothing was changed; try again"))
    }
}

/// Refuses what is too short to keep anybody out.
pub(crate) fn checked(passphrase: Passphrase) -> Result<Passphrase, CliError> {
    if passphrase.is_short() {
        let message = format!("a passphrase has {} characters or more", Passphrase::MIN_CHARS);
        return Err(CliError::usage(message, "four or five words that nobody would put together"));
    }
    Ok(passphrase)
}

/// Asks on the terminal.
pub(crate) fn asked(question: &str) -> Result<Passphrase, CliError> {
    match ask_secret(question)? {
        Some(text) => Ok(text.into()),
        None => Err(CliError::new(
            Exit::Denied,
            "no_passphrase",
            "there is no terminal to ask for the passphrase on",
            format!(
                "--passphrase-file FILE, or {VARIABLE}; for a new one --new-passphrase-file FILE"
            ),
        )),
    }
}

/// The first line of a file.
fn read(path: &Path) -> Result<Passphrase, CliError> {
    let shown = path.display();
    let failed = |error| {
        CliError::io(format_args!("cannot read {shown}"), &error, "name a file that you can read")
    };
    let file = File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(String::with_capacity(256));
    file.take(MAX).read_to_string(&mut text).map_err(failed)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        let message = format!("{shown} has no passphrase in its first line");
        return Err(CliError::usage(message, "write it there, and nothing else"));
    }
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_passphrase_in_its_first_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        for text in ["correct horse\n", "correct horse", "correct horse\r\n", "correct horse\nx"] {
            std::fs::write(&path, text).unwrap();
            assert!(read(&path).unwrap() == "correct horse".into(), "{text:?}");
        }
        for text in ["", "\n", "\nx"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap_err().code, "usage");
        }
        assert_eq!(read(directory.path()).unwrap_err().code, "io");
        std::fs::write(&path, "short").unwrap();
        assert_eq!(new(Some(&path)).unwrap_err().code, "usage");
    }
}
